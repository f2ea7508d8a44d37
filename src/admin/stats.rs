//! `GET /api/cache/stats`.

use std::sync::Arc;

use axum::{extract::State as Shared, response::Response};
use serde::Serialize;

use super::{params::json, state::State};
use crate::{rate_limit, retry, stats, store::Tier};

#[derive(Serialize)]
struct Stats<'a> {
    version: &'static str,
    uptime: f64,
    caches: Vec<OfCache<'a>>,
    retries: Vec<Named<'a, retry::Snapshot>>,
    rate_limits: Vec<Named<'a, rate_limit::Snapshot>>,
}

#[derive(Serialize)]
struct OfCache<'a> {
    space: &'a str,
    requests: u64,
    answered: u64,
    hit_ratio: Option<f64>,
    #[serde(flatten)]
    counters: stats::Snapshot,
    tiers: Vec<Tier>,
}

#[derive(Serialize)]
struct Named<'a, T> {
    name: &'a str,
    #[serde(flatten)]
    counters: T,
}

pub(super) async fn stats(Shared(state): Shared<Arc<State>>) -> Response {
    let caches = state.caches.iter().map(|(space, cache)| {
        let counters = cache.stats();
        OfCache {
            space,
            requests: counters.requests(),
            answered: counters.answered(),
            hit_ratio: counters.hit_ratio(),
            counters,
            tiers: cache.tiers(),
        }
    });
    json(&Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime: state.started.elapsed().as_secs_f64(),
        caches: caches.collect(),
        retries: state.retries.iter().map(|(name, retry)| Named { name, counters: retry.stats() }).collect(),
        rate_limits: state.limits.iter().map(|(name, limit)| Named { name, counters: limit.stats() }).collect(),
    })
}
