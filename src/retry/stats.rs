//! What the layer did.

use super::upstreams::UpstreamSnapshot;
use crate::stats::Counter;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a layer since it was made, and what is known of its upstreams.
        #[derive(Clone, Debug, Default, serde::Serialize)]
        #[non_exhaustive]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// The upstreams that were asked, by name.
            pub upstreams: Vec<UpstreamSnapshot>,
        }

        #[derive(Debug, Default)]
        pub(super) struct Stats {
            $(pub(super) $name: Counter,)*
        }

        impl Stats {
            pub(super) fn snapshot(&self, upstreams: Vec<UpstreamSnapshot>) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* upstreams }
            }
        }
    };
}

counters! {
    /// Requests.
    requests,
    /// Attempts, at all upstreams: the first ones, retries and hedges.
    attempts,
    /// Attempts after one that failed, at the same upstream.
    retries,
    /// Requests that a retry, or another credential, got an answer for.
    retried_successfully,
    /// Times that another credential took its turn.
    credential_changes,
    /// Attempts that came to nothing within their time.
    timeouts,
    /// Retries, hedges and changes of the credential that were not made, for the budget was spent.
    over_budget,
    /// Retries that were not made, for the wait would have been too long.
    too_long_to_wait,
    /// Requests that were not sent, for a breaker was open.
    circuit_open,
    /// Second attempts that were made while the first was under way.
    hedges,
    /// Those of them that were the first to be answered.
    hedges_won,
    /// Requests answered with a stale answer.
    fallback_stale,
    /// Requests answered by another upstream.
    fallback_upstream,
    /// Requests answered with a default answer.
    fallback_default,
    /// Requests answered with a problem description.
    problems,
    /// Requests whose last failure was handed on as it came.
    handed_on,
}
