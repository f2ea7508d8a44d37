//! [`Outcome`]: how a request was answered.

use std::time::Duration;

use super::{Counter, Latency, Stats, Times};

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident $variant:ident $counter:ident,)*) => {
        /// How long responses took until their head was there, by how the request was answered.
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct LatencyByOutcome {
            $($(#[$doc])* pub $name: Latency,)*
        }

        impl LatencyByOutcome {
            /// All of them, with the names that they have here and in metrics.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Latency)> {
                [$((stringify!($name), &self.$name),)*].into_iter()
            }
        }

        #[derive(Debug, Default)]
        pub(crate) struct Latencies {
            $($name: Times,)*
        }

        impl Latencies {
            pub(super) fn snapshot(&self) -> LatencyByOutcome {
                LatencyByOutcome { $($name: self.$name.snapshot(),)* }
            }
        }

        /// How a request was answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Outcome {
            $($variant,)*
        }

        impl Outcome {
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }
        }

        impl Stats {
            fn of(&self, outcome: Outcome) -> (&Counter, &Times) {
                match outcome {
                    $(Outcome::$variant => (&self.$counter, &self.latency.$name),)*
                }
            }
        }
    };
}

outcomes! {
    /// By a stored response that was fresh.
    hit Hit hits,
    /// By a stale response that was refreshed behind it.
    stale_hit StaleHit stale_hits,
    /// By a stale response in place of an error.
    stale_on_error StaleOnError stale_on_error,
    /// By a stored response after the origin confirmed it.
    revalidated Revalidated revalidated,
    /// By another request's fetch.
    collapsed Collapsed collapsed,
    /// By the inner service, for nothing stored answers.
    miss Miss misses,
    /// By the inner service, past the cache.
    bypass Bypass bypassed,
    /// By nobody: 504 to `only-if-cached`.
    only_if_cached OnlyIfCached only_if_cached,
}

impl Stats {
    /// Counts a request that was answered after so long.
    pub(crate) fn answered(&self, outcome: Outcome, took: Duration) {
        let (counter, times) = self.of(outcome);
        counter.increment();
        times.record(took);
    }

    /// Counts a request whose answer is still to come.
    pub(crate) fn is_to_be_answered(&self, outcome: Outcome) {
        self.of(outcome).0.increment();
    }

    /// Notes how long that answer took.
    pub(crate) fn took(&self, outcome: Outcome, took: Duration) {
        self.of(outcome).1.record(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_and_timed_under_its_own_name() {
        let outcomes = [
            Outcome::Hit,
            Outcome::StaleHit,
            Outcome::StaleOnError,
            Outcome::Revalidated,
            Outcome::Collapsed,
            Outcome::Miss,
            Outcome::Bypass,
            Outcome::OnlyIfCached,
        ];
        let stats = Stats::default();
        for (number, outcome) in outcomes.into_iter().enumerate() {
            stats.answered(outcome, Duration::from_secs(number as u64));
        }
        let snapshot = stats.snapshot();
        assert_eq!((snapshot.requests(), snapshot.answered()), (8, 5));
        for ((number, outcome), (name, latency)) in outcomes.into_iter().enumerate().zip(snapshot.latency.iter()) {
            assert_eq!((name, latency.count()), (outcome.as_str(), 1));
            assert_eq!(latency.sum(), Duration::from_secs(number as u64));
        }
    }
}
