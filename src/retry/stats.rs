//! What the layer did.

use super::{
    FailureKind,
    attempt::{Attempted, Bad},
    upstreams::UpstreamSnapshot,
};
use crate::stats::{Counter, ErrorKind, of_status};

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
    /// Requests that were sent again to the upstream that they were sent to before; one that is sent again to several counts for each.
    retried,
    /// Times that another credential took its turn.
    credential_changes,
    /// Attempts that came to nothing within their time.
    timeouts,
    /// Attempts answered with 429.
    errors_rate_limited,
    /// Attempts that came to nothing within their time, and those answered with 408 or 504.
    errors_timeout,
    /// Attempts that the inner service failed; a client fails those whose connection it can't make, or loses.
    errors_connection,
    /// Attempts whose answer broke before any of it was released.
    errors_broken,
    /// Attempts answered with another 5xx, or with an event stream that begins with an error.
    errors_server,
    /// Attempts answered with another 4xx.
    errors_client,
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

impl Snapshot {
    /// The part of the requests that were [`retried`](Self::retried) that got an answer so, from 0 to 1; `None` before the first.
    #[must_use]
    pub fn retry_success_ratio(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counters need not be exact")]
        (self.retried > 0).then(|| self.retried_successfully as f64 / self.retried as f64)
    }
}

impl Stats {
    pub(super) fn count_error(&self, kind: ErrorKind) {
        match kind {
            ErrorKind::RateLimited => &self.errors_rate_limited,
            ErrorKind::Timeout => &self.errors_timeout,
            ErrorKind::Connection => &self.errors_connection,
            ErrorKind::Broken => &self.errors_broken,
            ErrorKind::Server => &self.errors_server,
            ErrorKind::Client => &self.errors_client,
        }
        .increment();
    }
}

/// What kind of error an attempt came to, whatever is done about it; `None` if it was none, or is one in the eyes of who judges alone.
pub(super) fn error_of<A, E>(attempted: &Attempted<A, E>) -> Option<ErrorKind> {
    match attempted {
        Attempted::Final(Ok(response)) => of_status(response.status()),
        Attempted::Final(Err(_)) => Some(ErrorKind::Connection),
        Attempted::Bad(Bad { kind, status, .. }) => match kind {
            FailureKind::TimedOut | FailureKind::DeadlineExceeded => Some(ErrorKind::Timeout),
            FailureKind::Error => Some(ErrorKind::Connection),
            FailureKind::Broken => Some(ErrorKind::Broken),
            FailureKind::ErrorEvent => Some(ErrorKind::Server),
            FailureKind::Response => status.and_then(of_status),
            FailureKind::CircuitOpen | FailureKind::NoCredential => None,
        },
    }
}
