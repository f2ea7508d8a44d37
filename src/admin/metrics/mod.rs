//! `GET /metrics`: the snapshots of all layers, as Prometheus reads them.
//!
//! The names stand in `names.md`, which is a part of the documentation; what isn't named there can't be said.

mod fields;
mod text;

use std::sync::Arc;

use axum::{
    extract::State as Shared,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header::CONTENT_TYPE};

use self::{
    fields::{CACHE, Field, POLICY, RATE_LIMIT, RETRY, TIER, UPSTREAM},
    text::Text,
};
use super::{health, state::State};
use crate::{breaker, store::TierState};

/// The format, by its own name.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let mut text = Text::new();
    text.add("larder_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.add("larder_uptime_seconds", &[], state.started.elapsed().as_secs_f64());
    for (space, cache) in &state.caches {
        add_fields(&mut text, CACHE, &cache.stats(), &[("space", space)]);
        for (place, tier) in cache.tiers().iter().enumerate() {
            let place = place.to_string();
            let labels = [("space", space.as_str()), ("tier", tier.name), ("place", &place)];
            add_fields(&mut text, TIER, tier, &labels);
            let state = match tier.state {
                TierState::Closed => breaker::State::Closed,
                TierState::Open => breaker::State::Open,
                TierState::HalfOpen => breaker::State::HalfOpen,
            };
            add_state(&mut text, "larder_tier_breaker_state", state, &labels);
        }
        for (place, tier) in health::tiers(cache).await.iter().enumerate() {
            let place = place.to_string();
            add_health(&mut text, tier, &[("space", space), ("tier", tier.name), ("place", &place)]);
        }
    }
    for (layer, retry) in &state.retries {
        let stats = retry.stats();
        add_fields(&mut text, RETRY, &stats, &[("layer", layer)]);
        for upstream in &stats.upstreams {
            let labels = [("layer", layer.as_str()), ("upstream", &upstream.name)];
            if let Some(breaker) = &upstream.breaker {
                add_fields(&mut text, UPSTREAM, breaker, &labels);
                add_state(&mut text, "larder_breaker_state", breaker.state, &labels);
            }
        }
    }
    for (layer, limit) in &state.limits {
        let stats = limit.stats();
        add_fields(&mut text, RATE_LIMIT, &stats, &[("layer", layer)]);
        for policy in &stats.policies {
            add_fields(&mut text, POLICY, policy, &[("layer", layer), ("policy", &policy.name)]);
        }
    }
    ([(CONTENT_TYPE, HeaderValue::from_static(FORMAT))], text.finish()).into_response()
}

/// The counters of a snapshot, by their names in it.
fn add_fields(text: &mut Text, fields: &[Field], snapshot: &impl serde::Serialize, labels: &[(&str, &str)]) {
    let Ok(snapshot) = serde_json::to_value(snapshot) else { return };
    for field in fields {
        let Some(count) = snapshot.get(field.name).and_then(serde_json::Value::as_u64) else { continue };
        let labels: Vec<_> = labels.iter().copied().chain(field.label).collect();
        text.add(field.metric, &labels, count);
    }
}

fn add_state(text: &mut Text, metric: &'static str, state: breaker::State, labels: &[(&str, &str)]) {
    use breaker::State::{Closed, HalfOpen, Open};
    for (one, name) in [(Closed, "closed"), (Open, "open"), (HalfOpen, "half_open")] {
        let labels: Vec<_> = labels.iter().copied().chain([("state", name)]).collect();
        text.add(metric, &labels, u64::from(one == state));
    }
}

fn add_health(text: &mut Text, tier: &health::TierHealth, labels: &[(&str, &str)]) {
    text.add("larder_tier_up", labels, u64::from(tier.is_up));
    if let Some(latency) = tier.latency {
        text.add("larder_tier_latency_seconds", labels, latency);
    }
    let Some(usage) = tier.usage else { return };
    text.add("larder_tier_entries", labels, usage.entries);
    text.add("larder_tier_bytes", labels, usage.bytes);
    if usage.capacity > 0 {
        text.add("larder_tier_capacity_bytes", labels, usage.capacity);
    }
    text.add("larder_tier_evictions_total", labels, usage.evictions);
}
