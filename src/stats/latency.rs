//! [`Latency`]: how long something took, each time: a histogram without a lock.

use std::time::Duration;

use histogram::{AtomicHistogram, Config};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::Counter;

/// Each doubling is cut into 2⁵ steps, so that a time is known to 3 %, up to 2⁴⁴ ns, which is close to five hours. What takes
/// longer counts as that. It takes 10 KiB.
const STEPS: Config = match Config::new(5, 44) {
    Ok(steps) => steps,
    Err(_) => panic!("they are within what a histogram can have"),
};

/// The longest time that is told from longer ones, in nanoseconds.
const LONGEST: u64 = (1 << 44) - 1;

/// Times by how often they came.
#[derive(Debug)]
pub(crate) struct Times {
    counts: AtomicHistogram,
    /// In nanoseconds.
    sum: Counter,
}

impl Default for Times {
    fn default() -> Self {
        Self { counts: AtomicHistogram::with_config(&STEPS), sum: Counter::default() }
    }
}

impl Times {
    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(LONGEST).min(LONGEST);
        // No error, for it isn't greater than the longest.
        let _ = self.counts.increment(nanos);
        self.sum.add(nanos);
    }

    pub(crate) fn snapshot(&self) -> Latency {
        // Read after the counts, a sum has all that was counted, and perhaps a little more.
        let counts = self.counts.load();
        let came = counts.iter().filter(|bucket| bucket.count() > 0);
        let buckets =
            came.map(|bucket| Bucket { first: bucket.start(), last: bucket.end(), count: bucket.count() }).collect();
        Latency { buckets, sum: Duration::from_nanos(self.sum.get()) }
    }
}

/// How long something took, each time that it came. Each time is known to 3 %, from nanoseconds to 4.8 hours; what takes longer
/// counts as that. The sum is exact.
///
/// As JSON it is `count`, `sum_seconds`, and in seconds `p50`, `p90`, `p99` and `p999`, which are `null` before the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Those that there is anything in, in order.
    buckets: Vec<Bucket>,
    sum: Duration,
}

/// Times that aren't told apart, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    first: u64,
    last: u64,
    count: u64,
}

impl Bucket {
    /// What each time in it is taken for.
    fn middle(&self) -> Duration {
        Duration::from_nanos(self.first + (self.last - self.first) / 2)
    }
}

impl Latency {
    /// How often it came.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    /// How long it took, all together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The time that so large a part of all, from 0 to 1, took at most: 0.5 gives the median. `None` if there was none, or if it isn't
    /// such a part.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a quantile need not be exact")]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        if !(0.0..=1.0).contains(&part) {
            return None;
        }
        let wanted = self.count() as f64 * part;
        let mut seen = 0;
        let reaches = |bucket: &&Bucket| {
            seen += bucket.count;
            seen as f64 >= wanted
        };
        self.buckets.iter().find(reaches).map(Bucket::middle)
    }

    /// How often it took no longer than this.
    #[must_use]
    pub fn count_within(&self, limit: Duration) -> u64 {
        self.times().take_while(|(took, _)| *took <= limit).map(|(_, count)| count).sum()
    }

    /// What it took, from the shortest to the longest, and how often: each pair stands for times that aren't told apart.
    pub fn times(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.buckets.iter().map(|bucket| (bucket.middle(), bucket.count))
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serializer.serialize_struct("Latency", 6)?;
        shown.serialize_field("count", &self.count())?;
        shown.serialize_field("sum_seconds", &self.sum.as_secs_f64())?;
        for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            shown.serialize_field(name, &self.quantile(part).map(|time| time.as_secs_f64()))?;
        }
        shown.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_quantile_and_neither_has_nonsense() {
        let times = Times::default();
        assert_eq!((times.snapshot().count(), times.snapshot().quantile(0.5)), (0, None));
        let shown = serde_json::to_value(times.snapshot()).expect("JSON");
        assert_eq!(
            shown,
            serde_json::json!({
                "count": 0, "sum_seconds": 0.0, "p50": null, "p90": null, "p99": null, "p999": null,
            })
        );
        times.record(Duration::from_secs(1));
        for part in [-0.1, 1.1, f64::NAN] {
            assert_eq!(times.snapshot().quantile(part), None, "{part}");
        }
    }

    #[test]
    fn the_quantiles_are_those_of_the_times_that_came() {
        let times = Times::default();
        for millis in 1..=1000 {
            times.record(Duration::from_millis(millis));
        }
        let latency = times.snapshot();
        assert_eq!((latency.count(), latency.sum()), (1000, Duration::from_millis(500_500)));
        for (part, millis) in [(0.0, 1.0), (0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = latency.quantile(part).expect("some came").as_secs_f64() * 1000.0;
            assert!((found - millis).abs() <= millis * 0.03, "{part}: {found}");
        }
        assert_eq!(latency.count_within(Duration::from_secs(2)), 1000);
        assert!((480..=520).contains(&latency.count_within(Duration::from_millis(500))));
    }

    #[test]
    fn what_takes_longer_than_can_be_told_is_still_counted() {
        let times = Times::default();
        for time in [Duration::MAX, Duration::from_secs(24 * 3600), Duration::ZERO] {
            times.record(time);
        }
        let latency = times.snapshot();
        assert_eq!(latency.count(), 3);
        assert!(latency.quantile(1.0).expect("some came") > Duration::from_secs(4 * 3600));
    }

    proptest! {
        #[test]
        fn a_time_is_known_to_three_per_cent(nanos in 1..LONGEST) {
            let times = Times::default();
            times.record(Duration::from_nanos(nanos));
            let found = times.snapshot().quantile(0.5).expect("one came").as_nanos() as f64;
            prop_assert!((found - nanos as f64).abs() <= nanos as f64 * 0.03, "{nanos}: {found}");
        }
    }
}
