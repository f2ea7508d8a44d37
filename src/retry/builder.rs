//! The settings of a [`RetryFallbackLayer`].

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tower::util::rng::{HasherRng, Rng as _};

use super::{
    Asked, Backoff, Credentials, Fallback, Hedge, Hold, Problem, RetryFallbackLayer, Transient,
    fallback::Step,
    shared::{Known, Settings, Shared},
    stats::Stats,
    upstreams::{BudgetSettings, Upstreams},
};
use crate::{
    ConfigError,
    breaker::{self, Breaker},
    clock::{Clock, SystemClock},
};

/// The breaker that each upstream gets if nothing else is [said](Builder::breaker), to be set further: it opens when
/// half of at least 20 calls within 30 s failed, for 5 s, doubling up to 60 s; then three probes must succeed.
///
/// ```
/// use std::time::Duration;
///
/// use larder::{RetryFallbackLayer, retry};
///
/// let breaker = retry::default_breaker().slow_call(Duration::from_secs(20));
/// let layer = RetryFallbackLayer::builder().breaker(breaker).build();
/// # let _ = layer;
/// ```
pub fn default_breaker() -> breaker::Builder {
    Breaker::builder()
        .consecutive_failures(None)
        .failure_ratio(0.5)
        .min_calls(20)
        .window(Duration::from_secs(30))
        .open_for(Duration::from_secs(5))
        .max_open_for(Duration::from_secs(60))
        .probes(3)
}

/// Settings of a [`RetryFallbackLayer`], made by [`RetryFallbackLayer::builder`].
#[must_use]
pub struct Builder<C = Transient> {
    classify: C,
    settings: Settings,
    breaker: Option<breaker::Builder>,
    budget: Option<BudgetSettings>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            classify: Transient,
            settings: Settings {
                attempts: 3,
                backoff: Backoff::default(),
                attempt_timeout: None,
                deadline: None,
                idle_timeout: None,
                max_hint: Duration::from_secs(60),
                max_body: 64 * 1024,
                hold: Hold::FirstByte,
                repeatable: None,
                idempotency_key: false,
                label: None,
                credentials: None,
                hedge: None,
                chain: Vec::new(),
                problem: Some(Problem::new()),
                clock: Arc::new(SystemClock),
                random: || HasherRng::default().next_f64(),
            },
            breaker: Some(default_breaker()),
            budget: Some(BudgetSettings { ratio: 0.2, floor: 10 }),
        }
    }
}

impl<C> Builder<C> {
    /// What is worth another attempt: a [`Classify`](super::Classify), which a closure is, too. Default: [`Transient`].
    pub fn classify<D>(self, classify: D) -> Builder<D> {
        Builder { classify, settings: self.settings, breaker: self.breaker, budget: self.budget }
    }

    /// How many attempts a request is given, the first included. Default: 3.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.settings.attempts = attempts;
        self
    }

    /// How long to wait between attempts, if the server doesn't say. Default: [`Backoff::default`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// The longest wait that a server may ask for. Over it, and where the [deadline](Self::deadline) would come first, the request
    /// isn't retried but falls back at once. Default: 60 s.
    pub fn max_retry_after(mut self, time: Duration) -> Self {
        self.settings.max_hint = time;
        self
    }

    /// How long an attempt may take until it is [released](Self::hold). Default: `None`, as long as it takes.
    pub fn attempt_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.attempt_timeout = time.into();
        self
    }

    /// How long a request may take until it is released: all attempts, waits and other upstreams together. Default: `None`, as long
    /// as it takes.
    pub fn deadline(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.deadline = time.into();
        self
    }

    /// How long a body that was released may go without a frame before it is taken to be broken. Default: `None`, for ever.
    pub fn idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = time.into();
        self
    }

    /// How much of a response is held back until it can't be retried any more. Default: [`Hold::FirstByte`].
    pub fn hold(mut self, hold: Hold) -> Self {
        self.settings.hold = hold;
        self
    }

    /// How large the body of a request may be to be kept for further attempts, in bytes. A larger one is sent once; one that is
    /// not yet there is read before it is sent, up to this size. Default: 64 KiB.
    pub fn max_request_body(mut self, bytes: usize) -> Self {
        self.settings.max_body = bytes;
        self
    }

    /// Which requests may be sent again although their method isn't idempotent ([RFC 9110 §9.2.2]) and the first attempt may have
    /// been acted upon. Default: those with an `Idempotency-Key`; no others.
    ///
    /// Whatever provably was not sent, or was refused for its credential, is sent again in any case.
    ///
    /// [RFC 9110 §9.2.2]: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
    pub fn repeatable(mut self, repeatable: impl Fn(&Asked) -> bool + Send + Sync + 'static) -> Self {
        self.settings.repeatable = Some(Box::new(repeatable));
        self
    }

    /// Whether to give a request that isn't idempotent an `Idempotency-Key`, the same for all its attempts, so that it may be sent
    /// again. For upstreams that heed it. Default: `false`.
    pub fn idempotency_key(mut self, generate: bool) -> Self {
        self.settings.idempotency_key = generate;
        self
    }

    /// How much retries, hedges and tries with another of the [credentials](Self::credentials) may add to the load of an upstream:
    /// so many of them for each request of the last ten seconds, and `floor` a second besides. It is a
    /// [`TpsBudget`](tower::retry::budget::TpsBudget) for each upstream, which counts in whole tokens: a ratio below 1 is rounded
    /// down to one of 1/2, 1/3, 1/4 and so on. It is from 0 to 1000. Default: 0.2 and 10.
    pub fn budget(mut self, ratio: f32, floor: u32) -> Self {
        self.budget = Some(BudgetSettings { ratio, floor });
        self
    }

    /// Retries and hedges without a bound.
    pub fn no_budget(mut self) -> Self {
        self.budget = None;
        self
    }

    /// The breaker that each upstream gets. What counts as a failure is what is judged to have [failed](super::Cause::Failed), but
    /// never a 4xx. An attempt that the [deadline](Self::deadline) cuts short counts as nothing, so an upstream that hangs is found
    /// out by the [attempt's time](Self::attempt_timeout) alone. Its `on_change` is the layer's, which logs it. A failure with a
    /// `Retry-After` keeps it open for as long as that says, up to an hour. Default: [`default_breaker`], from which
    /// one of your own best begins; [`Breaker::builder`] begins with what suits a store, such as to open after five
    /// failures in a row.
    pub fn breaker(mut self, breaker: breaker::Builder) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// No breakers.
    pub fn no_breaker(mut self) -> Self {
        self.breaker = None;
        self
    }

    /// Tells apart what one host serves, such as models, by a closure of the request and its body: each has a breaker and a budget
    /// of its own. For another [upstream](super::Upstream) it is shown the body that goes there, with that upstream's model. There
    /// are 4096 upstreams at most, with names of up to 1024 bytes; the rest share one. Default: a host is one upstream.
    pub fn label(mut self, label: impl Fn(&Asked, &Bytes) -> Option<String> + Send + Sync + 'static) -> Self {
        self.settings.label = Some(Box::new(label));
        self
    }

    /// Credentials for the upstream, in place of the client's. Default: the client's own.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.settings.credentials = Some(Arc::new(credentials));
        self
    }

    /// Sends a second request when the first takes long. Default: `None`.
    pub fn hedge(mut self, hedge: impl Into<Option<Hedge>>) -> Self {
        self.settings.hedge = hedge.into();
        self
    }

    /// Adds a step to the fallback chain. Default: a [stale](Fallback::stale) answer, if one was handed down.
    pub fn fallback(mut self, step: impl Into<Fallback>) -> Self {
        self.settings.chain.push(step.into());
        self
    }

    /// What is answered at the end of the chain. `None`: the last failure of the upstream that was meant as it came, be it a response
    /// or an error; if nothing came of it, as when its breaker is open, a problem still. Default: a [`Problem`].
    ///
    /// A response with a 4xx that was not retried is handed on as it came in any case.
    pub fn problem(mut self, problem: impl Into<Option<Problem>>) -> Self {
        self.settings.problem = problem.into();
        self
    }

    /// The clock by which dates in responses are read. Default: the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Where jitter comes from: a function that gives numbers from 0 to 1, and not 1. Default: random ones.
    pub fn random(mut self, random: fn() -> f64) -> Self {
        self.settings.random = random;
        self
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) fails: a setting makes no sense.
    #[track_caller]
    pub fn build(self) -> RetryFallbackLayer<C> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there are no attempts, a time is zero, or a backoff, budget, hedge, breaker or upstream makes no sense.
    pub fn try_build(mut self) -> Result<RetryFallbackLayer<C>, ConfigError> {
        self.check()?;
        let chain = &mut self.settings.chain;
        if !chain.iter().any(|step| matches!(step.step, Step::Stale | Step::StaleFrom(_))) {
            chain.insert(0, Fallback::stale());
        }
        if let Some(credentials) = &self.settings.credentials {
            for step in chain {
                if let Step::Upstream(upstream) = &mut step.step {
                    upstream.drop_credential(credentials.name());
                }
            }
        }
        let known = Known { upstreams: Upstreams::new(self.breaker, self.budget), stats: Stats::default() };
        let shared = Shared { classify: self.classify, settings: self.settings, known: Arc::new(known) };
        Ok(RetryFallbackLayer { shared: Arc::new(shared) })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        if settings.attempts == 0 {
            return Err(ConfigError::new("attempts", "0; takes one or more, the first included"));
        }
        let times = [
            ("attempt_timeout", settings.attempt_timeout),
            ("deadline", settings.deadline),
            ("idle_timeout", settings.idle_timeout),
        ];
        for (name, time) in times {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(ConfigError::new(name, "0s, in which nothing can be had; takes more, or None"));
            }
        }
        if let Some(BudgetSettings { ratio, floor }) = self.budget
            && (!(0.0..=1000.0).contains(&ratio) || floor >= i32::MAX as u32 / 60)
        {
            let problem = format!(
                "{ratio} and {floor}; takes a ratio from 0 to 1000, and a floor of less than 35 million a second"
            );
            return Err(ConfigError::new("budget", problem));
        }
        settings.backoff.check()?;
        settings.hedge.map_or(Ok(()), Hedge::check)?;
        if let Some(breaker) = &self.breaker {
            breaker.clone().try_build()?;
        }
        settings.chain.iter().try_for_each(|step| match &step.step {
            Step::Upstream(upstream) => upstream.check(),
            Step::Stale | Step::StaleFrom(_) | Step::Answer(_) => Ok(()),
        })
    }
}

impl<C> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("attempts", &self.settings.attempts)
            .field("chain", &self.settings.chain)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;
    use crate::retry::Upstream;

    #[test]
    fn what_makes_no_sense_is_refused_by_its_name() {
        let builder = RetryFallbackLayer::builder;
        let cases = [
            (builder().attempts(0), "attempts"),
            (builder().attempt_timeout(Duration::ZERO), "attempt_timeout"),
            (builder().deadline(Duration::ZERO), "deadline"),
            (builder().idle_timeout(Duration::ZERO), "idle_timeout"),
            (builder().budget(-0.1, 1), "budget"),
            (builder().budget(f32::NAN, 1), "budget"),
            (builder().budget(0.1, u32::MAX), "budget"),
            (builder().backoff(Backoff::exponential(Duration::ZERO, Duration::ZERO)), "backoff"),
            (builder().hedge(Hedge::percentile(95.0)), "hedge"),
            (builder().breaker(Breaker::builder().probes(0)), "Breaker probes"),
            (builder().fallback(Upstream::to(Uri::from_static("/path"))), "fallback upstream"),
        ];
        for (builder, setting) in cases {
            assert_eq!(builder.try_build().expect_err(setting).setting(), setting);
        }
        assert!(builder().no_breaker().no_budget().problem(None).hedge(None).try_build().is_ok());
    }
}
