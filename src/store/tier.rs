//! What a store's tiers went through, for those who watch it.

use serde::Serialize;

/// One tier of a store: a store by itself has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tier {
    /// What it is, such as `memory` or `redis`.
    pub name: &'static str,
    /// Whether it is asked.
    pub state: TierState,
    /// How often its breaker opened.
    pub opened: u64,
    /// Calls that its breaker refused.
    pub refused: u64,
    /// Calls that it didn't answer in time.
    pub timeouts: u64,
    /// Calls that it failed.
    pub errors: u64,
    /// Entries that could not be read, and were removed: damaged, or of another version.
    pub unreadable: u64,
    /// Entries that no key at hand opens.
    pub sealed: u64,
    /// Entries that were too large for it.
    pub too_large: u64,
    /// Writes that were dropped because too many were under way.
    pub writes_dropped: u64,
    /// How often changes by other processes may have been missed.
    pub deafened: u64,
}

/// Whether a tier is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TierState {
    /// It is.
    Closed,
    /// It isn't, for it failed.
    Open,
    /// It isn't but for a try whether it works again.
    HalfOpen,
}

impl Tier {
    /// A tier that nothing has happened to.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            state: TierState::Closed,
            opened: 0,
            refused: 0,
            timeouts: 0,
            errors: 0,
            unreadable: 0,
            sealed: 0,
            too_large: 0,
            writes_dropped: 0,
            deafened: 0,
        }
    }
}
