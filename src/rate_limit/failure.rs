//! [`OnFailure`]: what is done while the limiter doesn't answer.

use std::num::NonZeroU32;

/// What is done with a request if the limiter does not answer.
///
/// Neither waits longer than the limiter's own deadline, and not at all while a Redis is known to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// Lets it through: no limits, no lost requests.
    Open,
    /// Refuses it with 503: no request too many.
    Closed,
    /// Counts it in this process, against this process's share of each quota: ⌈quota / replicas⌉.
    Local {
        /// How many processes there are.
        replicas: NonZeroU32,
    },
}

impl OnFailure {
    /// Counts in this process, one of so many. 0 is taken for 1.
    #[must_use]
    pub const fn local(replicas: u32) -> Self {
        Self::Local {
            replicas: match NonZeroU32::new(replicas) {
                Some(replicas) => replicas,
                None => NonZeroU32::MIN,
            },
        }
    }

    /// This process's share of an amount.
    pub(super) fn share(self, amount: u64) -> u64 {
        match self {
            Self::Local { replicas } => amount.div_ceil(u64::from(replicas.get())),
            Self::Open | Self::Closed => amount,
        }
    }
}

impl Default for OnFailure {
    /// In this process, as if it were the only one.
    fn default() -> Self {
        Self::local(1)
    }
}
