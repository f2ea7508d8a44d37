//! `GET /api/cache/stats`.

use std::sync::Arc;

use axum::{extract::State as Shared, response::Response};
use futures_util::future::join_all;
use serde::Serialize;

use super::{health::figures, params::json, state::State};
use crate::{
    cached,
    figures::{Tiers, checkup},
    llm::embeddings,
    rate_limit, retry, stats,
    store::{Tier, Usage},
};

#[derive(Serialize)]
struct Stats<'a> {
    version: &'static str,
    uptime: f64,
    caches: Vec<OfCache<'a>>,
    retries: Vec<OfRetry<'a>>,
    rate_limits: Vec<Named<'a, rate_limit::Snapshot>>,
    embeddings: Vec<Named<'a, embeddings::Snapshot>>,
    lookups: Vec<OfLookups<'a>>,
}

#[derive(Serialize)]
struct OfCache<'a> {
    space: &'a str,
    requests: u64,
    answered: u64,
    hit_ratio: Option<f64>,
    #[serde(flatten)]
    counters: stats::Snapshot,
    tiers: Vec<OfTier>,
}

#[derive(Serialize)]
struct OfLookups<'a> {
    space: &'a str,
    lookups: u64,
    answered: u64,
    hit_ratio: Option<f64>,
    #[serde(flatten)]
    counters: cached::Snapshot,
    tiers: Vec<OfTier>,
}

#[derive(Serialize)]
struct OfTier {
    #[serde(flatten)]
    counters: Tier,
    /// Asked now.
    #[serde(serialize_with = "figures")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct OfRetry<'a> {
    name: &'a str,
    retry_success_ratio: Option<f64>,
    #[serde(flatten)]
    counters: retry::Snapshot,
}

#[derive(Serialize)]
struct Named<'a, T> {
    name: &'a str,
    #[serde(flatten)]
    counters: T,
}

impl OfTier {
    async fn ask(of: &impl Tiers) -> Vec<Self> {
        let checked = checkup(of).await;
        let usage = |at: usize, tier: &Tier| checked.get(at).filter(|(name, _)| *name == tier.name)?.1.as_ref()?.usage;
        let tiers = of.tiers().into_iter().enumerate();
        tiers.map(|(at, tier)| Self { usage: usage(at, &tier), counters: tier }).collect()
    }
}

pub(super) async fn stats(Shared(state): Shared<Arc<State>>) -> Response {
    let caches = join_all(state.caches.iter().map(async |(space, cache)| {
        let (tiers, counters) = (OfTier::ask(cache).await, cache.stats());
        let (requests, answered) = (counters.requests(), counters.answered());
        OfCache { space, requests, answered, hit_ratio: counters.hit_ratio(), counters, tiers }
    }));
    let lookups = join_all(state.lookups.iter().map(async |(space, cached)| {
        let (tiers, counters) = (OfTier::ask(cached).await, cached.stats());
        let (lookups, answered) = (counters.lookups(), counters.answered());
        OfLookups { space, lookups, answered, hit_ratio: counters.hit_ratio(), counters, tiers }
    }));
    let (caches, lookups) = tokio::join!(caches, lookups);
    let retries = state.retries.iter().map(|(name, retry)| {
        let counters = retry.stats();
        OfRetry { name, retry_success_ratio: counters.retry_success_ratio(), counters }
    });
    json(&Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime: state.started.elapsed().as_secs_f64(),
        caches,
        retries: retries.collect(),
        rate_limits: state.limits.iter().map(|(name, limit)| Named { name, counters: limit.stats() }).collect(),
        lookups,
        embeddings: state.embeddings.iter().map(|(name, kept)| Named { name, counters: kept.stats() }).collect(),
    })
}
