//! [`Hedge`]: a second attempt while the first is still under way.

use std::time::Duration;

use super::upstreams::UpstreamState;
use crate::ConfigError;

/// When a second attempt begins although the first hasn't failed. The first good answer wins, and the other attempt is cancelled.
///
/// Only what may be [repeated](super::Builder::repeatable) is hedged, and a second attempt is paid for from the
/// [budget](super::Builder::budget), as a retry is. See [The Tail at Scale], which has it begin at the 95th percentile.
///
/// [The Tail at Scale]: https://research.google/pubs/the-tail-at-scale/
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge(When);

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    After(Duration),
    Percentile(f64),
}

impl Hedge {
    /// After so long.
    #[must_use]
    pub const fn after(delay: Duration) -> Self {
        Self(When::After(delay))
    }

    /// When an answer takes longer than this part of the last 256 good answers of the same upstream did: above 0 and below 1, such
    /// as 0.95. Before there are 32 of them, nothing is hedged.
    #[must_use]
    pub const fn percentile(part: f64) -> Self {
        Self(When::Percentile(part))
    }

    pub(super) fn delay(self, upstream: &UpstreamState) -> Option<Duration> {
        match self.0 {
            When::After(delay) => Some(delay),
            When::Percentile(part) => upstream.latencies.percentile(part),
        }
    }

    /// Whether it goes by how long answers take.
    pub(super) fn measures(self) -> bool {
        matches!(self.0, When::Percentile(_))
    }

    pub(super) fn check(self) -> Result<(), ConfigError> {
        match self.0 {
            When::Percentile(part) if !(part > 0.0 && part < 1.0) => Err(ConfigError::new(
                "hedge",
                format!("a percentile of {part}; takes a part between 0 and 1, such as 0.95"),
            )),
            When::Percentile(_) | When::After(_) => Ok(()),
        }
    }
}
