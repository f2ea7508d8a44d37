//! [`Quota`]: how much of what in how long.

use std::time::Duration;

use crate::ConfigError;

/// The largest amount, so that sums of any two stay exact in Lua's numbers.
pub(super) const MOST: u64 = 1 << 50;

/// The longest window.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The most buckets that a window is divided into.
const FINEST: u32 = 1000;

/// How much of what may be used within any stretch of time of a given length.
///
/// ```
/// use larder::rate_limit::{Quota, Unit};
///
/// const GENERATIONS: Quota = Quota::per_minute(20);
/// const TOKENS: Quota = Quota::per_minute(90_000).of(Unit::Tokens);
/// const STREAMS: Quota = Quota::concurrent(4);
/// ```
///
/// An amount of 0 admits nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Quota {
    amount: u64,
    /// Zero for what is used at the same time.
    window: Duration,
    unit: Unit,
    algorithm: Algorithm,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Requests, one each.
    #[default]
    Requests,
    /// Tokens of language models, as a [`Meter`](super::Meter) counts them.
    Tokens,
    /// Bytes of bodies, of the request's and the response's together. Of a request without `Content-Length` they aren't known, and not
    /// counted.
    Bytes,
    /// Money, in a unit as small as you like, as a [`Meter`](super::Meter) counts it.
    Cost,
    /// Requests that are under way at the same time, until the end of the response's body.
    Concurrent,
}

/// How a window slides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// The window is made of this many buckets, at most 1000, and one that it only overlaps counts as a whole: no window ever holds
    /// more than the quota, and what was used is forgotten by a bucket's length late.
    Strict {
        /// Into how many the window is divided.
        buckets: u32,
    },
    /// Two buckets as long as the window; the elder counts by the part of it that the window covers. The cheapest, but if use is not
    /// even, a window may hold nearly twice the quota. A subject's [own amount](super::Limit::amounts) counts up to a thousand times the
    /// quota's, or a thousand if that is 0.
    Approximate,
    /// Each use is remembered: exact to the microsecond. For small quotas, as its memory and time grow with what is used.
    Log,
}

impl Default for Algorithm {
    /// Strict, with 30 buckets.
    fn default() -> Self {
        Self::Strict { buckets: 30 }
    }
}

impl Quota {
    /// So many requests in any second.
    pub const fn per_second(amount: u64) -> Self {
        Self::per(amount, Duration::from_secs(1))
    }

    /// So many requests in any minute.
    pub const fn per_minute(amount: u64) -> Self {
        Self::per(amount, Duration::from_secs(60))
    }

    /// So many requests in any hour.
    pub const fn per_hour(amount: u64) -> Self {
        Self::per(amount, Duration::from_secs(3600))
    }

    /// So many requests in any 24 hours.
    pub const fn per_day(amount: u64) -> Self {
        Self::per(amount, Duration::from_secs(24 * 3600))
    }

    /// So many requests in any window of this length: from 1 ms to 366 days.
    pub const fn per(amount: u64, window: Duration) -> Self {
        Self { amount, window, unit: Unit::Requests, algorithm: Algorithm::Strict { buckets: 30 } }
    }

    /// So many requests at the same time.
    pub const fn concurrent(amount: u64) -> Self {
        Self { unit: Unit::Concurrent, ..Self::per(amount, Duration::ZERO) }
    }

    /// What is counted. Default: [`Unit::Requests`].
    pub const fn of(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// How the window slides. Default: [`Algorithm::Strict`] with 30 buckets.
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How much may be used.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// The window's length; zero for what is used at the same time.
    #[must_use]
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// How the window slides.
    pub(super) const fn how(&self) -> Algorithm {
        self.algorithm
    }

    /// What is counted.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// What its limit is called if nobody gives it [another name](super::Limit::named): by what it counts and its window, such as
    /// `rpm`, `tpd`, `requests-90s` or `concurrent`.
    #[must_use]
    pub fn default_name(&self) -> String {
        let (word, letter) = match self.unit {
            Unit::Requests => ("requests", 'r'),
            Unit::Tokens => ("tokens", 't'),
            Unit::Bytes => ("bytes", 'b'),
            Unit::Cost => ("cost", 'c'),
            Unit::Concurrent => return "concurrent".to_owned(),
        };
        let time = match (self.window.as_secs(), self.window.subsec_millis()) {
            (1, 0) => return format!("{letter}ps"),
            (60, 0) => return format!("{letter}pm"),
            (3600, 0) => return format!("{letter}ph"),
            (86_400, 0) => return format!("{letter}pd"),
            (seconds, 0) => format!("{seconds}s"),
            _ => format!("{}ms", self.window.as_millis()),
        };
        format!("{word}-{time}")
    }

    /// Finds what could never work.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |problem: String| Err(ConfigError::new("rate_limit::Quota", problem));
        if self.amount > MOST {
            return wrong(format!(
                "{} is more than can be counted; take at most {MOST}, or a larger unit",
                self.amount
            ));
        }
        if self.unit == Unit::Concurrent {
            return Ok(());
        }
        if self.window < Duration::from_millis(1) || self.window > LONGEST {
            let window = self.window;
            return wrong(format!("a window of {window:?} can't be kept; take one from 1 ms to 366 days"));
        }
        match self.algorithm {
            Algorithm::Strict { buckets } if !(1..=FINEST).contains(&buckets) => {
                wrong(format!("a window can't be divided into {buckets}; take 1 to {FINEST} buckets"))
            }
            Algorithm::Strict { .. } | Algorithm::Approximate | Algorithm::Log => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_called_by_its_unit_and_window() {
        for (quota, name) in [
            (Quota::per_second(1), "rps"),
            (Quota::per_minute(1).of(Unit::Tokens), "tpm"),
            (Quota::per_hour(1).of(Unit::Bytes), "bph"),
            (Quota::per_day(1).of(Unit::Cost), "cpd"),
            (Quota::per(1, Duration::from_secs(90)), "requests-90s"),
            (Quota::per(1, Duration::from_millis(1500)), "requests-1500ms"),
            (Quota::concurrent(1), "concurrent"),
        ] {
            assert_eq!(quota.default_name(), name);
            assert!(quota.check().is_ok(), "{quota:?}");
        }
    }

    #[test]
    fn what_could_never_work_is_refused_and_says_what_to_do() {
        for quota in [
            Quota::per(1, Duration::ZERO),
            Quota::per(1, Duration::from_secs(400 * 86_400)),
            Quota::per_minute(MOST + 1),
            Quota::per_minute(1).algorithm(Algorithm::Strict { buckets: 0 }),
            Quota::per_minute(1).algorithm(Algorithm::Strict { buckets: 5000 }),
        ] {
            let error = quota.check().expect_err("a refusal");
            assert!(error.to_string().contains("take"), "{error}");
        }
    }
}
