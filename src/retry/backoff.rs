//! [`Backoff`]: how long to wait between attempts.

use std::time::Duration;

use super::Cause;
use crate::ConfigError;

/// How long to wait before another attempt, if the server doesn't say.
///
/// Each is a pure function of the number of the retry, the wait before, and a random number. The default is exponential with
/// full jitter, from 200 ms, or 1 s where the upstream throttles, up to 8 s.
///
/// A base is above zero and no more than the cap, and a cap is a day at most; a layer with another isn't
/// [built](super::Builder::try_build).
///
/// Full and decorrelated jitter are those of [Exponential Backoff And Jitter].
///
/// [Exponential Backoff And Jitter]: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    curve: Curve,
    base: Duration,
    throttled: Duration,
    cap: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Curve {
    Full,
    Decorrelated,
    Constant,
}

impl Backoff {
    /// Exponential with full jitter: a random time up to `base` · 2ⁿ, and up to `cap`, before retry n, counted from 0.
    #[must_use]
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self { curve: Curve::Full, base, throttled: base, cap }
    }

    /// Decorrelated jitter: a random time between `base` and three times the last wait, up to `cap`.
    #[must_use]
    pub const fn decorrelated(base: Duration, cap: Duration) -> Self {
        Self { curve: Curve::Decorrelated, base, throttled: base, cap }
    }

    /// Always `wait`, which may be zero.
    #[must_use]
    pub const fn constant(wait: Duration) -> Self {
        Self { curve: Curve::Constant, base: wait, throttled: wait, cap: wait }
    }

    /// Another base where the upstream [throttles](Cause::Throttled), for it needs time rather than another try. Default: the
    /// same.
    #[must_use]
    pub const fn throttled_base(mut self, base: Duration) -> Self {
        self.throttled = base;
        self
    }

    /// The wait before retry number `retry`, counted from 0. `last` is the wait before, zero if there was none; `random` is from
    /// 0 to 1, and not 1.
    #[must_use]
    pub fn delay(&self, retry: u32, cause: Cause, last: Duration, random: f64) -> Duration {
        let base = match cause {
            Cause::Throttled => self.throttled,
            Cause::Failed | Cause::Refused => self.base,
        };
        match self.curve {
            Curve::Full => {
                let ceiling = base.saturating_mul(1_u32.checked_shl(retry.min(31)).unwrap_or(u32::MAX)).min(self.cap);
                ceiling.mul_f64(random)
            }
            Curve::Decorrelated => {
                let ceiling = last.max(base).saturating_mul(3);
                (base + ceiling.saturating_sub(base).mul_f64(random)).min(self.cap)
            }
            Curve::Constant => base,
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let longest = Duration::from_secs(24 * 60 * 60);
        let what = match self.curve {
            _ if self.cap > longest => Some("a cap of at most a day"),
            Curve::Constant => None,
            Curve::Full | Curve::Decorrelated if self.base.is_zero() || self.throttled.is_zero() => {
                Some("a base above zero; Backoff::constant takes zero")
            }
            Curve::Full | Curve::Decorrelated if self.base.max(self.throttled) > self.cap => {
                Some("a cap that is no less than the base")
            }
            Curve::Full | Curve::Decorrelated => None,
        };
        what.map_or(Ok(()), |what| Err(ConfigError::new("backoff", format!("{self:?}; takes {what}"))))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(200), Duration::from_secs(8)).throttled_base(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_default_doubles_from_200_ms_or_a_second_up_to_eight() {
        let ceilings = |cause| -> Vec<_> {
            let almost = 1.0 - f64::EPSILON;
            (0..7)
                .map(|n| Backoff::default().delay(n, cause, Duration::ZERO, almost).as_secs_f64().round_ms())
                .collect()
        };
        assert_eq!(ceilings(Cause::Failed), [200, 400, 800, 1600, 3200, 6400, 8000]);
        assert_eq!(ceilings(Cause::Throttled), [1000, 2000, 4000, 8000, 8000, 8000, 8000]);
        assert_eq!(Backoff::default().delay(3, Cause::Failed, Duration::ZERO, 0.5), 800 * MS);
    }

    trait RoundMs {
        fn round_ms(self) -> u64;
    }

    impl RoundMs for f64 {
        fn round_ms(self) -> u64 {
            (self * 1000.0).round() as u64
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for backoff in [
            Backoff::exponential(Duration::ZERO, 8 * MS),
            Backoff::exponential(9 * MS, 8 * MS),
            Backoff::decorrelated(8 * MS, 16 * MS).throttled_base(17 * MS),
            Backoff::constant(Duration::from_secs(100_000)),
        ] {
            assert_eq!(backoff.check().expect_err("refused").setting(), "backoff");
        }
        assert!(Backoff::constant(Duration::ZERO).check().is_ok());
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_cap_nor_than_its_curve(
            retry in 0_u32..200, last in 0_u64..1_000_000, random in 0.0_f64..1.0, base in 1_u64..10_000, cap in 1_u64..100_000,
        ) {
            let (base, cap) = (MS * base as u32, MS * (base.max(cap) as u32));
            let last = MS * last as u32;
            let full = Backoff::exponential(base, cap).delay(retry, Cause::Failed, last, random);
            prop_assert!(full <= cap);
            prop_assert!(retry > 10 || full <= base * (1 << retry));
            let decorrelated = Backoff::decorrelated(base, cap).delay(retry, Cause::Failed, last, random);
            prop_assert!(decorrelated <= cap && decorrelated >= base.min(cap));
            prop_assert!(decorrelated <= last.max(base) * 3);
            prop_assert_eq!(Backoff::constant(base).delay(retry, Cause::Throttled, last, random), base);
        }
    }
}
