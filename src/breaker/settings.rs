//! The settings of a [`Breaker`].

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use super::{
    Breaker, State,
    circuit::Circuit,
    window::{Counts, Window},
};
use crate::ConfigError;

const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

const OPEN: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

/// Settings of a [`Breaker`], made by [`Breaker::builder`].
///
/// The defaults suit a store that is asked often and answers fast. For an HTTP upstream, slower and longer ones do, as
/// in [`retry::default_breaker`](crate::retry::default_breaker):
///
/// ```
/// # use larder::breaker::Breaker;
/// # use std::time::Duration;
/// let upstream = Breaker::builder()
///     .consecutive_failures(None)
///     .window(Duration::from_secs(30))
///     .open_for(Duration::from_secs(5))
///     .max_open_for(Duration::from_secs(60))
///     .probes(3)
///     .build();
/// # let _ = upstream;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(Settings);

#[derive(Clone)]
pub(super) struct Settings {
    consecutive_failures: Option<u32>,
    failure_ratio: Option<f64>,
    window: Duration,
    min_calls: u32,
    slow_call: Option<Duration>,
    slow_ratio: f64,
    open_for: Duration,
    max_open_for: Duration,
    jitter: f64,
    probes: u32,
    on_change: Option<Arc<dyn Fn(State) + Send + Sync>>,
    random: fn() -> u64,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self(Settings {
            consecutive_failures: Some(5),
            failure_ratio: Some(0.5),
            window: Duration::from_secs(10),
            min_calls: 20,
            slow_call: None,
            slow_ratio: 1.0,
            open_for: Duration::from_secs(1),
            max_open_for: Duration::from_secs(30),
            jitter: 0.2,
            probes: 1,
            on_change: None,
            random: || RandomState::new().hash_one(0),
        })
    }

    /// How many failures without a success between them open the breaker. `None` or 0: no number does. Default: 5.
    pub fn consecutive_failures(mut self, count: impl Into<Option<u32>>) -> Self {
        self.0.consecutive_failures = count.into().filter(|count| *count > 0);
        self
    }

    /// Which part of the calls of the [`window`](Self::window) must have failed to open the breaker, above 0 and up to 1. It is
    /// looked at when a call fails. `None`: no part does. Default: 0.5.
    pub fn failure_ratio(mut self, ratio: impl Into<Option<f64>>) -> Self {
        self.0.failure_ratio = ratio.into();
        self
    }

    /// For how long a call counts in the ratios, from 1 s to 1 h. It is counted in tenths: a call is forgotten after nine to ten
    /// of them. Default: 10 s.
    pub fn window(mut self, time: Duration) -> Self {
        self.0.window = time;
        self
    }

    /// How many calls the window must hold before a ratio can open the breaker. Default: 20.
    pub fn min_calls(mut self, count: u32) -> Self {
        self.0.min_calls = count;
        self
    }

    /// A call that takes longer than this, from its admission to its record, is a slow one. A slow probe counts as failed.
    /// `None`: none is slow. Default: `None`.
    pub fn slow_call(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.0.slow_call = time.into();
        self
    }

    /// Which part of the calls of the [`window`](Self::window) must have been slow to open the breaker, above 0 and up to 1. It
    /// is looked at when a call was slow, failed ones included. Default: 1.0.
    pub fn slow_ratio(mut self, ratio: f64) -> Self {
        self.0.slow_ratio = ratio;
        self
    }

    /// For how long the breaker opens the first time. Each time that a probe fails, and each time that it opens again before it
    /// was closed for [`max_open_for`](Self::max_open_for), this doubles. Default: 1 s.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.0.open_for = time;
        self
    }

    /// The longest that the breaker opens for, but for the jitter. Default: 30 s.
    pub fn max_open_for(mut self, time: Duration) -> Self {
        self.0.max_open_for = time;
        self
    }

    /// How much longer than it should the breaker may stay open, as a part of that time from 0 to 1: each open time is multiplied
    /// by a random factor from 1 to 1 + `jitter`, so that many processes don't probe at once. Default: 0.2.
    pub fn jitter(mut self, part: f64) -> Self {
        self.0.jitter = part;
        self
    }

    /// How many calls a half-open breaker lets out at a time, and how many of them must succeed, with none failing, to close it.
    /// Default: 1.
    pub fn probes(mut self, count: u32) -> Self {
        self.0.probes = count;
        self
    }

    /// Calls a function with each state that the breaker enters, once and in order, and under no lock: it may use the breaker.
    /// It runs in the call that changed the state, or in one that is already running it. Default: none.
    pub fn on_change(mut self, call: impl Fn(State) + Send + Sync + 'static) -> Self {
        self.0.on_change = Some(Arc::new(call));
        self
    }

    /// Sets where the jitter comes from.
    #[cfg(test)]
    pub(super) fn random(mut self, random: fn() -> u64) -> Self {
        self.0.random = random;
        self
    }

    /// Makes the breaker.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) fails: a setting makes no sense.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> Breaker {
        match self.try_build() {
            Ok(breaker) => breaker,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the breaker.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a ratio is not above 0 and up to 1, the jitter is not from 0 to 1, the window is not from 1 s to 1 h,
    /// `open_for` is not from 1 ms to 24 h, `max_open_for` is not from `open_for` to 24 h, or `min_calls`, `probes` or
    /// `slow_call` is zero.
    pub fn try_build(self) -> Result<Breaker, ConfigError> {
        self.0.validate()?;
        Ok(Breaker(Arc::new(Circuit::new(self.0))))
    }
}

impl Settings {
    fn validate(&self) -> Result<(), ConfigError> {
        let ratios = [("Breaker failure_ratio", self.failure_ratio), ("Breaker slow_ratio", Some(self.slow_ratio))];
        for (setting, ratio) in ratios {
            if let Some(ratio) = ratio
                && !(ratio > 0.0 && ratio <= 1.0)
            {
                let problem = format!("{ratio} is no part of the calls; take more than 0 and up to 1");
                return Err(ConfigError::new(setting, problem));
            }
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            let problem = format!("{} makes no sense; take 0 to 1, for example 0.2", self.jitter);
            return Err(ConfigError::new("Breaker jitter", problem));
        }
        let longer = self.open_for..=*OPEN.end();
        let times = [
            ("Breaker window", self.window, WINDOW),
            ("Breaker open_for", self.open_for, OPEN),
            ("Breaker max_open_for", self.max_open_for, longer),
        ];
        for (setting, time, range) in times {
            if !range.contains(&time) {
                let problem = format!("{time:?} makes no sense; take {:?} to {:?}", range.start(), range.end());
                return Err(ConfigError::new(setting, problem));
            }
        }
        for (setting, count) in [("Breaker min_calls", self.min_calls), ("Breaker probes", self.probes)] {
            if count == 0 {
                return Err(ConfigError::new(setting, "zero makes no sense; take at least 1"));
            }
        }
        if self.slow_call.is_some_and(|time| time.is_zero()) {
            let problem = "zero would make all calls slow; take the time of a call that is too slow, or None";
            return Err(ConfigError::new("Breaker slow_call", problem));
        }
        Ok(())
    }

    /// A window, if any ratio needs one.
    pub(super) fn window(&self) -> Option<Window> {
        (self.failure_ratio.is_some() || self.slow_call.is_some()).then(|| Window::new(self.window))
    }

    /// Whether so many failures in a row open the breaker; `None` if no number does.
    pub(super) fn consecutive_failures(&self) -> Option<u32> {
        self.consecutive_failures
    }

    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.slow_call.is_some_and(|limit| took > limit)
    }

    /// Whether a failed or a slow call, with these counts, opens the breaker.
    pub(super) fn too_many(&self, counts: Counts, failed: bool, slow: bool) -> bool {
        // Divided, and not multiplied: the nearest number to 7/100 is 0.07, while 0.07 * 100 is more than 7.
        let reaches = |part: u64, ratio: f64| part as f64 / counts.calls as f64 >= ratio;
        counts.calls >= u64::from(self.min_calls)
            && (failed && self.failure_ratio.is_some_and(|ratio| reaches(counts.failures, ratio))
                || slow && reaches(counts.slow, self.slow_ratio))
    }

    pub(super) fn probes(&self) -> u32 {
        self.probes
    }

    pub(super) fn open_for(&self) -> Duration {
        self.open_for
    }

    pub(super) fn max_open_for(&self) -> Duration {
        self.max_open_for
    }

    /// How long to stay open after so many doublings.
    pub(super) fn open_time(&self, doublings: u32) -> Duration {
        let times = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let time = self.open_for.saturating_mul(times).min(self.max_open_for);
        let part = f64::from(((self.random)() >> 32) as u32) / f64::from(u32::MAX);
        time.mul_f64(1.0 + self.jitter * part)
    }

    pub(super) fn on_change(&self) -> Option<&(dyn Fn(State) + Send + Sync)> {
        self.on_change.as_deref()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("consecutive_failures", &self.consecutive_failures)
            .field("failure_ratio", &self.failure_ratio)
            .field("window", &self.window)
            .field("min_calls", &self.min_calls)
            .field("slow_call", &self.slow_call)
            .field("slow_ratio", &self.slow_ratio)
            .field("open_for", &self.open_for)
            .field("max_open_for", &self.max_open_for)
            .field("jitter", &self.jitter)
            .field("probes", &self.probes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nonsense_settings_say_what_to_take() {
        let builder = Breaker::builder;
        let day = OPEN.end();
        let cases = [
            (builder().failure_ratio(0.0), "failure_ratio"),
            (builder().failure_ratio(1.1), "failure_ratio"),
            (builder().failure_ratio(f64::NAN), "failure_ratio"),
            (builder().slow_ratio(-0.5), "slow_ratio"),
            (builder().slow_ratio(f64::INFINITY), "slow_ratio"),
            (builder().jitter(-0.1), "jitter"),
            (builder().jitter(1.1), "jitter"),
            (builder().jitter(f64::NAN), "jitter"),
            (builder().window(Duration::ZERO), "window"),
            (builder().window(SECOND / 2), "window"),
            (builder().window(SECOND * 3601), "window"),
            (builder().open_for(Duration::ZERO), "open_for"),
            (builder().open_for(*day + SECOND), "open_for"),
            (builder().open_for(SECOND * 31), "max_open_for"),
            (builder().max_open_for(*day + SECOND), "max_open_for"),
            (builder().min_calls(0), "min_calls"),
            (builder().probes(0), "probes"),
            (builder().slow_call(Duration::ZERO), "slow_call"),
        ];
        for (builder, setting) in cases {
            let error = builder.clone().try_build().expect_err("nonsense");
            let named = error.setting() == format!("Breaker {setting}");
            assert!(named && error.to_string().contains("take"), "{error} for {builder:?}");
        }
        let widest = builder().consecutive_failures(None).failure_ratio(None).jitter(0.0).open_for(*day);
        assert!(widest.max_open_for(*day).try_build().is_ok());
    }

    #[test]
    fn an_open_time_doubles_up_to_its_cap_and_is_then_jittered() {
        let settings = |random| Breaker::builder().random(random).0;
        for (doublings, expected) in [(0, 1), (1, 2), (2, 4), (4, 16), (5, 30), (31, 30), (32, 30), (u32::MAX, 30)] {
            let least = SECOND * expected;
            assert_eq!(settings(|| 0).open_time(doublings), least, "{doublings}");
            assert_eq!(settings(|| u64::MAX).open_time(doublings), least.mul_f64(1.2), "{doublings}");
        }
        let times: Vec<_> = (0..100).map(|_| Breaker::builder().0.open_time(0)).collect();
        assert!(times.iter().all(|time| (SECOND..=SECOND.mul_f64(1.2)).contains(time)), "{times:?}");
        assert!(times.iter().any(|time| *time != times[0]), "not random: {times:?}");
    }

    #[test]
    fn a_ratio_is_reached_exactly() {
        let Builder(settings) = Breaker::builder().failure_ratio(0.07).slow_ratio(0.07);
        for (calls, bad, expected) in [(100, 6, false), (100, 7, true), (19, 19, false), (20, 20, true)] {
            let failures = Counts { calls, failures: bad, slow: 0 };
            let slow = Counts { calls, failures: 0, slow: bad };
            assert_eq!(settings.too_many(failures, true, false), expected, "{bad} of {calls}");
            assert_eq!(settings.too_many(slow, false, true), expected, "{bad} of {calls}");
            assert!(!settings.too_many(failures, false, false) && !settings.too_many(slow, true, false));
        }
    }
}
