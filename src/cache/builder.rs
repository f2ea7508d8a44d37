//! The settings of a [`CacheLayer`].

use std::{fmt, sync::Arc, time::Duration};

use http::{request, response};

use super::{
    CacheLayer, Observer, Replay,
    shared::{Settings, Shared},
};
use crate::{
    ConfigError,
    clock::Clock,
    fingerprint::{Fingerprint, RequestFingerprint},
    policy::{Policy, Rfc9111, completeness::Completeness},
    store::Store,
    tag::Tag,
};

/// The largest `max_body`: a terabyte. What is larger is a mistake.
const MAX_BODY: u64 = 1 << 40;

/// The most variants: their list is kept beside the first of them.
const MAX_VARIANTS: usize = 10_000;

/// Settings of a [`CacheLayer`], made by [`CacheLayer::builder`].
#[must_use]
pub struct Builder<St, F = RequestFingerprint, P = Rfc9111> {
    store: St,
    fingerprint: F,
    policy: P,
    settings: Settings,
}

impl<St: Store> Builder<St> {
    pub(super) fn new(store: St) -> Self {
        Self {
            store,
            fingerprint: RequestFingerprint::new(),
            policy: Rfc9111::default(),
            settings: Settings::default(),
        }
    }
}

impl<St, F, P> Builder<St, F, P> {
    /// Sets what makes two requests the same. Default: [`RequestFingerprint`], by method, URI and credential.
    pub fn fingerprint<G: Fingerprint>(self, fingerprint: G) -> Builder<St, G, P> {
        let Self { store, policy, settings, .. } = self;
        Builder { store, fingerprint, policy, settings }
    }

    /// Sets what may be kept and served. Default: [`Rfc9111`], as a shared cache.
    pub fn policy<Q: Policy>(self, policy: Q) -> Builder<St, F, Q> {
        let Self { store, fingerprint, settings, .. } = self;
        Builder { store, fingerprint, policy, settings }
    }

    /// Sets what proves that a body is whole. Default: [`EndOfStream`](crate::policy::completeness::EndOfStream), which asks
    /// event streams for the end that OpenAI's or Anthropic's protocol gives them.
    pub fn completeness(mut self, completeness: impl Completeness) -> Self {
        self.settings.completeness = Arc::new(completeness);
        self
    }

    /// Gives responses tags besides those that their `Surrogate-Key` and `Cache-Tag` fields name, by the request and the response's
    /// head. Entries are purged by them, with [`Selector::Tag`](crate::tag::Selector::Tag). Default: none.
    ///
    /// ```
    /// use larder::{CacheLayer, store::Memory, tag::Tag};
    ///
    /// let layer = CacheLayer::builder(Memory::new(64 << 20))
    ///     .tags(|request, _response| {
    ///         let tenant = request.headers.get("x-tenant").and_then(|tenant| tenant.to_str().ok());
    ///         tenant.and_then(|tenant| Tag::new(&format!("tenant:{tenant}")).ok()).into_iter().collect()
    ///     })
    ///     .build();
    /// # let _ = layer;
    /// ```
    pub fn tags(
        mut self,
        tags: impl Fn(&request::Parts, &response::Parts) -> Vec<Tag> + Send + Sync + 'static,
    ) -> Self {
        self.settings.tags = Some(Arc::new(tags));
        self
    }

    /// Sets who hears how requests are answered, and reads what is fetched for them, such as
    /// [`llm::Ledger`](crate::llm::Ledger). Default: nobody.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.settings.observer = Some(Arc::new(observer));
        self
    }

    /// The largest response body that is kept, in bytes; larger ones pass. Each fetch under way takes up to so much memory.
    /// Default: 8 MiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.settings.max_body = bytes;
        self
    }

    /// How many variants of one answer are kept where its `Vary` makes several; the oldest gives way. Default: 100.
    pub fn max_variants(mut self, count: usize) -> Self {
        self.settings.max_variants = count;
        self
    }

    /// How kept event streams are replayed. Default: [`Replay::Instant`].
    pub fn replay(mut self, replay: Replay) -> Self {
        self.settings.replay = replay;
        self
    }

    /// Whether a fetch that nobody waits for any more goes on, to be kept, and for how long at most: for answers that cost
    /// money. `None`: it goes on for as long as anyone wants it. Default: `None`.
    pub fn finish_fetches(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.settings.finish = within.into();
        self
    }

    /// Whether identical requests in flight share one fetch. Default: true.
    pub fn coalesce(mut self, yes: bool) -> Self {
        self.settings.coalesce = yes;
        self
    }

    /// Whether one fetch serves all processes that share the store, and for how long a request waits for another process's
    /// fetch before it makes its own. Only for stores that [know of other processes](Store::claim), such as
    #[cfg_attr(feature = "redis", doc = "[`Redis`](crate::store::Redis).")]
    #[cfg_attr(not(feature = "redis"), doc = "`Redis`.")]
    /// `None`: each process fetches for itself. Default: 30 s.
    pub fn coalesce_across(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.settings.across = within.into();
        self
    }

    /// For how long requests whose answer could not be kept are not held up for each other. Default: 60 s.
    pub fn uncacheable_for(mut self, time: Duration) -> Self {
        self.settings.uncacheable_for = time;
        self
    }

    /// How long a look-up in a store may take before the request goes on without it. Default: 250 ms.
    pub fn lookup_timeout(mut self, time: Duration) -> Self {
        self.settings.lookup_timeout = time;
        self
    }

    /// Whether `Cache-Status` names the key, which shows which requests share an entry. Default: false.
    pub fn show_key(mut self, yes: bool) -> Self {
        self.settings.show_key = yes;
        self
    }

    /// Sets the clock. Default: [`SystemClock`](crate::clock::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }
}

impl<St: Store, F: Fingerprint, P: Policy> Builder<St, F, P> {
    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) fails: a setting makes no sense.
    #[track_caller]
    pub fn build(self) -> CacheLayer<St, F, P> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if `max_body` is zero or more than 2⁴⁰ bytes, `max_variants` is zero or more than 10,000, a time is zero
    /// where that makes no sense, or the pace of replays is not a positive number; and what [`Fingerprint::validate`] and [`Policy::validate`] find.
    pub fn try_build(self) -> Result<CacheLayer<St, F, P>, ConfigError> {
        let settings = &self.settings;
        if !(1..=MAX_BODY).contains(&(settings.max_body as u64)) {
            let problem = format!(
                "{} bytes make no sense; take 1 to {MAX_BODY}, for example 8 << 20 for 8 MiB",
                settings.max_body
            );
            return Err(ConfigError::new("CacheLayer max_body", problem));
        }
        if !(1..=MAX_VARIANTS).contains(&settings.max_variants) {
            let problem = format!("{} variants make no sense; take 1 to {MAX_VARIANTS}", settings.max_variants);
            return Err(ConfigError::new("CacheLayer max_variants", problem));
        }
        if settings.lookup_timeout.is_zero() {
            let problem = "zero would never wait for a store; take at least a millisecond";
            return Err(ConfigError::new("CacheLayer lookup_timeout", problem));
        }
        if settings.across.is_some_and(|within| within.is_zero()) {
            let problem = "zero would wait for nobody; take the time that the slowest answer needs, or None";
            return Err(ConfigError::new("CacheLayer coalesce_across", problem));
        }
        if settings.finish.is_some_and(|within| within.is_zero()) {
            let problem = "zero would finish no fetch; take the time that the slowest answer needs, or None";
            return Err(ConfigError::new("CacheLayer finish_fetches", problem));
        }
        if let Replay::Paced(pace) = settings.replay
            && !(pace.is_finite() && (1e-3..=1e6).contains(&pace))
        {
            let problem = format!("{pace} events per second make no sense; take 0.001 to 1000000");
            return Err(ConfigError::new("CacheLayer replay", problem));
        }
        self.fingerprint.validate()?;
        self.policy.validate()?;
        let Self { store, fingerprint, policy, settings } = self;
        let shared = Shared::new(store, fingerprint, policy, settings);
        shared.hear();
        Ok(CacheLayer::from_shared(shared))
    }
}

impl<St: fmt::Debug, F, P> fmt::Debug for Builder<St, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("store", &self.store).field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policy::Ttl, store::Memory};

    #[test]
    fn nonsense_settings_say_what_to_do() {
        let builder = || CacheLayer::builder(Memory::new(1 << 20));
        let cases = [
            (builder().max_body(0), "max_body"),
            (builder().max_body(usize::MAX), "max_body"),
            (builder().max_variants(0), "max_variants"),
            (builder().max_variants(usize::MAX), "max_variants"),
            (builder().lookup_timeout(Duration::ZERO), "lookup_timeout"),
            (builder().finish_fetches(Duration::ZERO), "finish_fetches"),
            (builder().coalesce_across(Duration::ZERO), "coalesce_across"),
            (builder().replay(Replay::Paced(0.0)), "replay"),
            (builder().replay(Replay::Paced(f64::NAN)), "replay"),
            (builder().replay(Replay::Paced(f64::INFINITY)), "replay"),
        ];
        for (builder, setting) in cases {
            let error = builder.try_build().expect_err("nonsense");
            assert!(error.setting().contains(setting) && error.to_string().contains("take"), "{error}");
        }
        let policy = builder().policy(Ttl::new(Duration::ZERO)).try_build().expect_err("nothing is kept");
        assert!(policy.to_string().contains("above zero"), "{policy}");
        for limit in [0, usize::MAX] {
            let fingerprint = RequestFingerprint::new().json_body(limit);
            let error = builder().fingerprint(fingerprint).try_build().expect_err("nonsense");
            assert!(error.to_string().contains("1 << 20"), "{error}");
        }
        assert!(builder().max_body(1).finish_fetches(None).try_build().is_ok());
    }
}
