//! The settings of a [`RateLimitLayer`].

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use quick_cache::sync::Cache;

use super::{
    Fields, Limit, Limiter, OnFailure, Problem, RateLimitLayer, SubjectOf,
    limiter::Local,
    line::Lines,
    nearest::Nearest,
    shared::{Settings, Shared},
    stats::Stats,
};
use crate::{
    ConfigError,
    clock::{Clock, SystemClock},
};

/// Of how many subjects it is remembered that a provider has no room for them.
const LEARNED: usize = 10_000;

/// Settings of a [`RateLimitLayer`], made by [`RateLimitLayer::builder`].
#[must_use]
pub struct Builder<L> {
    limiter: L,
    limits: Vec<Limit>,
    settings: Settings,
    max_local: usize,
}

impl<L: Limiter> Builder<L> {
    pub(super) fn new(limiter: L) -> Self {
        let settings = Settings {
            group: None,
            on_failure: OnFailure::default(),
            wait: Duration::ZERO,
            learns: false,
            hits_are_free: false,
            max_body: 4 << 20,
            fields: Fields::new(),
            problem: Problem::new(),
            clock: Arc::new(SystemClock),
        };
        Self { limiter, limits: Vec::new(), settings, max_local: 100_000 }
    }

    /// Adds a limit. A request needs room in all that are for it, and is charged to all of them or to none. Their names have to differ.
    pub fn limit(mut self, limit: impl Into<Limit>) -> Self {
        self.limits.push(limit.into());
        self
    }

    /// What a Redis Cluster keeps the counters of a request together by, such as the organisation, so that one call charges limits of
    /// different subjects. Default: those of one subject lie together.
    ///
    /// In Redis it is a part of every counter's name, Cluster or not: a subject counts anew in each group, and so do
    /// [`Everyone`](super::Everyone) and addresses. So take what each subject has but one of, and what clients can't make up.
    pub fn group(mut self, group: impl SubjectOf) -> Self {
        self.settings.group = Some(Box::new(group));
        self
    }

    /// What is done if the limiter does not answer. Default: [`OnFailure::local(1)`](OnFailure::local).
    pub fn on_failure(mut self, policy: OnFailure) -> Self {
        self.settings.on_failure = policy;
        self
    }

    /// How many subjects this process counts by itself while the limiter does not answer. Default: 100,000.
    pub fn max_local_subjects(mut self, count: usize) -> Self {
        self.max_local = count;
        self
    }

    /// How long a request may wait for room before it is denied: for clients that rather wait than fail. It is denied at once if there
    /// won't be room in time; but those of the same limits and subjects are served in the order in which they came, and who stands behind
    /// others is told only when it is their turn, or their time is over. Default: not at all.
    ///
    /// The inner service has said that it is ready before: whatever it keeps for the request, such as a permit, it keeps for as long.
    pub fn wait(mut self, max: Duration) -> Self {
        self.settings.wait = max;
        self
    }

    /// Whether what a provider says of its limits is believed: if a response says that there is no room (429 with a time, or a limit of
    /// which nothing remains), requests of the same limits and subjects find none until then. For clients. Default: `false`.
    pub fn learn(mut self, learns: bool) -> Self {
        self.settings.learns = learns;
        self
    }

    /// Whether the hits of a cache inside cost nothing but their request: no tokens, no bytes, no money. Default: `false`, a hit costs what
    /// its response says. Around a cache hits count, inside of one they don't: it's a matter of the layers' order.
    ///
    /// That it is a hit is known when it has been answered: until then a request needs room for all that it may cost, and is denied
    /// without, though it might have been a hit.
    pub fn free_hits(mut self, are_free: bool) -> Self {
        self.settings.hits_are_free = are_free;
        self
    }

    /// The largest request body that is read for a [`Meter`](super::Meter), in bytes. Default: 4 MiB.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.settings.max_body = bytes;
        self
    }

    /// Which fields the responses bear. Default: [`Fields::new`].
    pub fn fields(mut self, fields: Fields) -> Self {
        self.settings.fields = fields;
        self
    }

    /// The body of a denial. Default: [`Problem::new`].
    pub fn problem(mut self, problem: Problem) -> Self {
        self.settings.problem = problem;
        self
    }

    /// Sets the clock for times that responses say as dates. Use is counted by the limiter's own. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting makes no sense; [`try_build`](Self::try_build) returns it.
    pub fn build(self) -> RateLimitLayer<L> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is no limit, two have one name, a quota could never work, or a limit of tokens or cost has no meter.
    pub fn try_build(self) -> Result<RateLimitLayer<L>, ConfigError> {
        if self.limits.is_empty() {
            return Err(ConfigError::new("RateLimitLayer limit", "there is none; take one or more"));
        }
        let limits = self.limits.into_iter().map(Limit::prepare).collect::<Result<Vec<_>, _>>()?;
        let mut names = HashSet::new();
        for limit in &limits {
            let name = limit.policy.name();
            if !names.insert(name) {
                let problem = format!("two limits are called {name:?}; give them names of their own with Limit::named");
                return Err(ConfigError::new("RateLimitLayer limit", problem));
            }
        }
        let stats = Stats::new(limits.iter().map(|limit| &limit.policy));
        let nearest = Nearest::new(limits.len());
        let fallback = Local::builder().max_subjects(self.max_local).build();
        let learned = Cache::new(LEARNED);
        let limiter = Arc::new(self.limiter);
        Ok(RateLimitLayer {
            shared: Arc::new(Shared {
                limiter,
                fallback,
                limits,
                settings: self.settings,
                stats,
                nearest,
                learned,
                lines: Lines::default(),
                freed: Arc::default(),
            }),
        })
    }
}

impl<L> fmt::Debug for Builder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
