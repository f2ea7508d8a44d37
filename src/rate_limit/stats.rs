//! What the layer did.

use super::Policy;
use crate::stats::Counter;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a layer since it was made. Requests are counted once each, under how they were answered.
        #[derive(Clone, Debug, Default, serde::Serialize)]
        #[non_exhaustive]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// The limits, in the order in which they were given.
            pub policies: Vec<PolicySnapshot>,
        }

        #[derive(Debug, Default)]
        pub(super) struct Stats {
            $(pub(super) $name: Counter,)*
            policies: Vec<PolicyStats>,
        }

        impl Stats {
            pub(super) fn snapshot(&self) -> Snapshot {
                Snapshot {
                    $($name: self.$name.get(),)*
                    policies: self.policies.iter().map(PolicyStats::snapshot).collect(),
                }
            }
        }
    };
}

counters! {
    /// Requests that no limit was for.
    unlimited,
    /// Requests that were let through by the limiter.
    allowed,
    /// Requests that were denied.
    denied,
    /// Requests that waited for room; they are also counted under how that ended.
    waited,
    /// Requests that were let through because the limiter did not answer.
    failed_open,
    /// Requests that were refused with 503 because the limiter did not answer.
    failed_closed,
    /// Requests that were let through by this process's own share, because the limiter did not answer.
    local_allowed,
    /// Requests that were denied by this process's own share, because the limiter did not answer.
    local_denied,
    /// Calls that the limiter failed, and those that it didn't answer in time.
    limiter_errors,
    /// Calls that were not made because the limiter is known to be out of order.
    limiter_refused,
    /// Times that a provider said that it has no room, which was believed.
    learned,
    /// Charges of which it became known what the request did cost; the limiter was told, whether it answered or not.
    settled,
    /// Charges that stay, for nobody knows what the request did cost.
    unsettled,
}

/// The counters of a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct PolicySnapshot {
    /// The limit's name.
    pub name: String,
    /// Requests that it had room for.
    pub allowed: u64,
    /// Requests that it denied.
    pub denied: u64,
    /// Requests that it would have denied, were it not only watched.
    pub would_deny: u64,
}

#[derive(Debug)]
pub(super) struct PolicyStats {
    policy: Policy,
    pub(super) allowed: Counter,
    pub(super) denied: Counter,
    pub(super) would_deny: Counter,
}

impl PolicyStats {
    fn snapshot(&self) -> PolicySnapshot {
        PolicySnapshot {
            name: self.policy.name().to_owned(),
            allowed: self.allowed.get(),
            denied: self.denied.get(),
            would_deny: self.would_deny.get(),
        }
    }
}

impl Stats {
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let policies = policies.map(|policy| PolicyStats {
            policy: policy.clone(),
            allowed: Counter::default(),
            denied: Counter::default(),
            would_deny: Counter::default(),
        });
        Self { policies: policies.collect(), ..Self::default() }
    }

    /// Of the limit that was given at this place.
    pub(super) fn policy(&self, index: usize) -> Option<&PolicyStats> {
        self.policies.get(index)
    }
}
