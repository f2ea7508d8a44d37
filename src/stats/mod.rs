//! What a cache did: counters and [histograms](Latency) without a lock, and a [`Snapshot`] of them.

mod errors;
mod latency;
mod outcome;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::{
    errors::{ErrorKind, of_status},
    latency::Times,
    outcome::{Latencies, Outcome},
};
pub use self::{latency::Latency, outcome::LatencyByOutcome};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a cache since it was made. Requests are counted once each, under how they were answered.
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// How long it took until a response's head was there, by how the request was answered.
            pub latency: LatencyByOutcome,
            /// How long misses took until the body's end, of those whose body came to it.
            pub fetches: Latency,
        }

        #[derive(Debug, Default)]
        pub(crate) struct Stats {
            $(pub(crate) $name: Counter,)*
            pub(crate) latency: Latencies,
            pub(crate) fetches: Times,
        }

        impl Stats {
            pub(crate) fn snapshot(&self) -> Snapshot {
                Snapshot {
                    $($name: self.$name.get(),)*
                    latency: self.latency.snapshot(),
                    fetches: self.fetches.snapshot(),
                }
            }
        }
    };
}

counters! {
    /// Requests answered by a stored response that was fresh, or as stale as the request accepts.
    hits,
    /// Of the hits, those whose response was kept in another rendering, such as a stream's events for a request that doesn't stream.
    converted,
    /// Requests answered by a stale response that was refreshed behind it.
    stale_hits,
    /// Requests answered by a stale response in place of an error.
    stale_on_error,
    /// Requests answered by a stored response after the origin confirmed it with 304.
    revalidated,
    /// Requests answered by another request's fetch.
    collapsed,
    /// Requests sent on because nothing stored answers them.
    misses,
    /// Requests that passed by the cache.
    bypassed,
    /// Requests with `only-if-cached` that nothing stored answers: 504.
    only_if_cached,
    /// Requests that passed by because the policy doesn't admit them; those whose method isn't for caches are counted apart.
    bypassed_by_policy,
    /// Requests that passed by because of their method.
    bypassed_method,
    /// Requests that passed by because they said `no-store`.
    bypassed_directive,
    /// Requests that passed by because only the origin can judge them: `If-Match`, ranges that can't be read, other protocols.
    bypassed_origin,
    /// Requests that passed by because they have a body, which the fingerprint doesn't read.
    bypassed_body,
    /// Requests that passed by because their body is larger than the fingerprint reads.
    bypassed_too_large,
    /// Requests that passed by because their body broke.
    bypassed_broken,
    /// Requests that passed by because the fingerprint gave them no key.
    bypassed_by_fingerprint,
    /// Answers of the inner service that said that there is no room: 429.
    errors_rate_limited,
    /// Answers of the inner service that said that something took too long: 408 and 504.
    errors_timeout,
    /// Requests that the inner service failed; a client fails those whose connection it can't make, or loses.
    errors_connection,
    /// Other answers of the inner service with a 5xx.
    errors_server,
    /// Other answers of the inner service with a 4xx.
    errors_client,
    /// Bytes of the bodies of responses that were made of what is stored.
    served_bytes,
    /// Bytes of the bodies that came from the inner service.
    fetched_bytes,
    /// Bytes of the bodies that were stored, as they are served.
    stored_bytes,
    /// Responses that were stored.
    stored,
    /// Responses whose status, fields or request forbid to keep them.
    not_storable,
    /// Responses that were larger than the limit.
    too_large,
    /// Responses that broke, were abandoned, or ended before their protocol's own end.
    incomplete,
    /// Responses that were purged or invalidated while they were fetched, and so not stored.
    outdated,
    /// Look-ups that the store failed, and those that it didn't answer in time.
    store_read_errors,
    /// Writes that the store failed.
    store_write_errors,
    /// Writes that were dropped because too many were under way.
    store_writes_dropped,
    /// URIs that a request which changes something made invalid.
    invalidated,
    /// Entries that were removed by a purge.
    purged,
}

/// Counters without anything besides: a `Snapshot`, with its documentation, and the `Stats` that it is of.
macro_rules! counters_alone {
    ($(#[$of:meta])* Snapshot; $($(#[$doc:meta])* $name:ident,)*) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Stats {
            $(pub(super) $name: $crate::stats::Counter,)*
        }

        impl Stats {
            pub(super) fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

pub(crate) use counters_alone;

impl Snapshot {
    /// Requests in all.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.answered() + self.misses + self.bypassed + self.only_if_cached
    }

    /// Requests answered without a fetch of their own.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.hits + self.stale_hits + self.stale_on_error + self.revalidated + self.collapsed
    }

    /// The part of the requests that the cache had to do with (bypassed ones left out) that it answered, from 0 to 1; `None`
    /// before the first.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let asked = self.requests() - self.bypassed;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counters need not be exact")]
        (asked > 0).then(|| self.answered() as f64 / asked as f64)
    }
}

/// Counts up, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_leaves_out_what_passed_by() {
        let stats = Stats::default();
        assert_eq!(stats.snapshot().hit_ratio(), None);
        stats.hits.add(3);
        stats.misses.increment();
        stats.bypassed.add(96);
        assert_eq!((stats.snapshot().requests(), stats.snapshot().hit_ratio()), (100, Some(0.75)));
    }
}
