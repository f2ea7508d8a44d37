//! The snapshots of all layers as metrics.
//!
//! The names stand in `names.md`, which is a part of the documentation; what isn't named there can't be said.

mod costs;
mod fields;
mod names;
#[cfg(feature = "admin")]
mod text;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

#[cfg(feature = "metrics")]
pub(crate) use self::names::METRICS;
pub(crate) use self::names::Metric;
#[cfg(feature = "admin")]
pub(crate) use self::text::Text;
use self::{
    costs::add_costs,
    fields::{CACHE, EMBEDDINGS, Field, LOOKUPS, POLICY, RATE_LIMIT, RETRY, TIER, UPSTREAM},
};
use crate::{
    breaker, cache, cached,
    llm::{Balance, NanoDollars, embeddings},
    rate_limit, retry,
    stats::{self, Latency},
    store::{Checkup, Tier, TierState},
};

/// How long a store is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The bounds that histograms are shown with, in seconds.
pub(crate) const BOUNDS: &[f64] = &[
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0,
];

/// Who takes metrics.
pub(crate) trait Sink {
    /// Takes a sample. The labels are those that are documented.
    fn take(&mut self, metric: &'static Metric, labels: &[(&str, &str)], value: Value<'_>);

    /// Adds a sample of a metric that is documented, with labels that are.
    fn add<'a>(&mut self, metric: &'static str, labels: &[(&str, &str)], value: impl Into<Value<'a>>) {
        let known = Metric::find(metric, labels);
        debug_assert!(known.is_some(), "{metric} with {labels:?} isn't in names.md");
        if let Some(known) = known {
            self.take(known, labels, value.into());
        }
    }
}

/// What a sample says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Whole(u64),
    Real(f64),
    Dollars(NanoDollars),
    Times(&'a Latency),
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl<'a> From<&'a Latency> for Value<'a> {
    fn from(latency: &'a Latency) -> Self {
        Self::Times(latency)
    }
}

/// What is known of all layers at one time, by the names that they were given.
pub(crate) struct Figures<'a> {
    pub(crate) uptime: Duration,
    pub(crate) caches: Vec<OfCache<'a>>,
    pub(crate) retries: Vec<(&'a str, retry::Snapshot)>,
    pub(crate) limits: Vec<(&'a str, rate_limit::Snapshot)>,
    pub(crate) embeddings: Vec<(&'a str, embeddings::Snapshot)>,
    pub(crate) lookups: Vec<OfLookups<'a>>,
    /// Of the ledger, if there is one.
    pub(crate) costs: Option<Balance>,
}

/// What has tiers that can be asked how they are.
pub(crate) trait Tiers {
    fn tiers(&self) -> Vec<Tier>;
    fn checkup(&self) -> impl Future<Output = Vec<Checkup>> + Send;
}

impl Tiers for cache::Handle {
    fn tiers(&self) -> Vec<Tier> {
        self.tiers()
    }

    fn checkup(&self) -> impl Future<Output = Vec<Checkup>> + Send {
        self.checkup()
    }
}

impl Tiers for cached::Handle {
    fn tiers(&self) -> Vec<Tier> {
        self.tiers()
    }

    fn checkup(&self) -> impl Future<Output = Vec<Checkup>> + Send {
        self.checkup()
    }
}

/// What is known of a cache.
pub(crate) struct OfCache<'a> {
    space: &'a str,
    stats: stats::Snapshot,
    tiers: OfTiers,
}

/// What is known of a cache of look-ups.
pub(crate) struct OfLookups<'a> {
    space: &'a str,
    stats: cached::Snapshot,
    tiers: OfTiers,
}

/// What the tiers of a cache went through, and how they are.
struct OfTiers {
    known: Vec<Tier>,
    checked: Vec<(&'static str, Option<Checkup>)>,
}

impl<'a> OfCache<'a> {
    /// Its figures, and how its tiers are, asked now.
    pub(crate) async fn ask(space: &'a str, cache: &cache::Handle) -> Self {
        Self { space, stats: cache.stats(), tiers: OfTiers::ask(cache).await }
    }

    /// The same of several, at once: one that hangs doesn't make a scraper wait for the next one, too.
    pub(crate) async fn ask_all(caches: &'a [(String, cache::Handle)]) -> Vec<Self> {
        join_all(caches.iter().map(|(space, cache)| Self::ask(space, cache))).await
    }

    fn tell(&self, sink: &mut impl Sink) {
        let space = self.space;
        add_fields(sink, CACHE, &self.stats, &[("space", space)]);
        for (outcome, latency) in self.stats.latency.iter() {
            sink.add("larder_cache_request_duration_seconds", &[("space", space), ("outcome", outcome)], latency);
        }
        sink.add("larder_cache_fetch_duration_seconds", &[("space", space)], &self.stats.fetches);
        self.tiers.tell(space, sink);
    }
}

impl<'a> OfLookups<'a> {
    /// As [`OfCache::ask_all`].
    pub(crate) async fn ask_all(lookups: &'a [(String, cached::Handle)]) -> Vec<Self> {
        let ask = async |space, handle: &cached::Handle| Self {
            space,
            stats: handle.stats(),
            tiers: OfTiers::ask(handle).await,
        };
        join_all(lookups.iter().map(|(space, handle)| ask(space.as_str(), handle))).await
    }

    fn tell(&self, sink: &mut impl Sink) {
        add_fields(sink, LOOKUPS, &self.stats, &[("space", self.space)]);
        self.tiers.tell(self.space, sink);
    }
}

impl OfTiers {
    async fn ask(of: &impl Tiers) -> Self {
        Self { known: of.tiers(), checked: checkup(of).await }
    }

    fn tell(&self, space: &str, sink: &mut impl Sink) {
        for (place, tier) in self.known.iter().enumerate() {
            let place = place.to_string();
            let labels = [("space", space), ("tier", tier.name), ("place", &place)];
            add_fields(sink, TIER, tier, &labels);
            let state = match tier.state {
                TierState::Closed => breaker::State::Closed,
                TierState::Open => breaker::State::Open,
                TierState::HalfOpen => breaker::State::HalfOpen,
            };
            add_state(sink, "larder_tier_breaker_state", state, &labels);
        }
        for (place, (tier, checkup)) in self.checked.iter().enumerate() {
            let place = place.to_string();
            add_health(sink, checkup.as_ref(), &[("space", space), ("tier", tier), ("place", &place)]);
        }
    }
}

impl Figures<'_> {
    /// Tells all there is.
    pub(crate) fn tell(&self, sink: &mut impl Sink) {
        sink.add("larder_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
        sink.add("larder_uptime_seconds", &[], self.uptime.as_secs_f64());
        self.caches.iter().for_each(|cache| cache.tell(sink));
        for (layer, stats) in &self.retries {
            add_fields(sink, RETRY, stats, &[("layer", layer)]);
            for upstream in &stats.upstreams {
                let labels = [("layer", *layer), ("upstream", &*upstream.name)];
                if let Some(breaker) = &upstream.breaker {
                    add_fields(sink, UPSTREAM, breaker, &labels);
                    add_state(sink, "larder_breaker_state", breaker.state, &labels);
                }
            }
        }
        for (layer, stats) in &self.limits {
            add_fields(sink, RATE_LIMIT, stats, &[("layer", layer)]);
            for policy in &stats.policies {
                add_fields(sink, POLICY, policy, &[("layer", layer), ("policy", &policy.name)]);
            }
        }
        for (layer, stats) in &self.embeddings {
            add_fields(sink, EMBEDDINGS, stats, &[("layer", layer)]);
        }
        self.lookups.iter().for_each(|lookups| lookups.tell(sink));
        if let Some(balance) = &self.costs {
            add_costs(sink, balance);
        }
    }
}

/// How the tiers of a cache are, asked now; `None` for all if that takes too long.
pub(crate) async fn checkup(cache: &impl Tiers) -> Vec<(&'static str, Option<Checkup>)> {
    match timeout(PATIENCE, cache.checkup()).await {
        Ok(tiers) => tiers.into_iter().map(|tier| (tier.name, Some(tier))).collect(),
        Err(_) => match cache.tiers() {
            known if known.is_empty() => vec![("store", None)],
            known => known.into_iter().map(|tier| (tier.name, None)).collect(),
        },
    }
}

/// The counters of a snapshot, by their names in it.
fn add_fields(sink: &mut impl Sink, fields: &[Field], snapshot: &impl serde::Serialize, labels: &[(&str, &str)]) {
    let Ok(snapshot) = serde_json::to_value(snapshot) else { return };
    for field in fields {
        let Some(count) = snapshot.get(field.name).and_then(serde_json::Value::as_u64) else { continue };
        let labels: Vec<_> = labels.iter().copied().chain(field.label).collect();
        sink.add(field.metric, &labels, count);
    }
}

fn add_state(sink: &mut impl Sink, metric: &'static str, state: breaker::State, labels: &[(&str, &str)]) {
    use breaker::State::{Closed, HalfOpen, Open};
    for (one, name) in [(Closed, "closed"), (Open, "open"), (HalfOpen, "half_open")] {
        let labels: Vec<_> = labels.iter().copied().chain([("state", name)]).collect();
        sink.add(metric, &labels, u64::from(one == state));
    }
}

fn add_health(sink: &mut impl Sink, checkup: Option<&Checkup>, labels: &[(&str, &str)]) {
    sink.add("larder_tier_up", labels, u64::from(checkup.is_some_and(|checkup| checkup.health.is_up())));
    let Some(checkup) = checkup else { return };
    sink.add("larder_tier_latency_seconds", labels, checkup.latency.as_secs_f64());
    let Some(usage) = checkup.usage else { return };
    sink.add("larder_tier_entries", labels, usage.entries);
    sink.add("larder_tier_bytes", labels, usage.bytes);
    if usage.capacity > 0 {
        sink.add("larder_tier_capacity_bytes", labels, usage.capacity);
    }
    sink.add("larder_tier_evictions_total", labels, usage.evictions);
}
