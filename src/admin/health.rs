//! `GET /health` and `GET /health/cache`.

use std::sync::Arc;

use axum::{extract::State as Shared, response::Response};
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;

use super::{
    params::{json, json_with},
    problem::told,
    state::State,
};
use crate::{
    figures::{PATIENCE, Tiers, checkup},
    store::{Checkup, Health, TierState, Usage},
};

#[derive(Serialize)]
struct Process {
    status: &'static str,
    version: &'static str,
    uptime: f64,
}

/// The process answers.
pub(super) async fn process(Shared(state): Shared<Arc<State>>) -> Response {
    json(&Process { status: "ok", version: env!("CARGO_PKG_VERSION"), uptime: state.started.elapsed().as_secs_f64() })
}

#[derive(Serialize)]
struct Stores {
    status: Status,
    spaces: Vec<Space>,
}

#[derive(Serialize)]
struct Space {
    space: String,
    status: Status,
    tiers: Vec<TierHealth>,
}

/// The worst is the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// Every tier answers.
    Ok,
    /// One doesn't; the others go on without it.
    Degraded,
    /// None does; requests go on without the cache.
    Down,
}

/// How a tier is, as it is shown.
#[derive(Serialize)]
pub(super) struct TierHealth {
    pub(super) name: &'static str,
    #[serde(rename = "status", serialize_with = "up_or_down")]
    pub(super) is_up: bool,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// Of its breaker, if the store tells.
    pub(super) state: Option<TierState>,
    /// In seconds.
    pub(super) latency: Option<f64>,
    #[serde(serialize_with = "figures")]
    pub(super) usage: Option<Usage>,
    pub(super) version: Option<String>,
}

/// Each tier of each store is asked. While any works, requests are served from it, so that no orchestrator should end the process
/// for the sake of another.
pub(super) async fn stores(Shared(state): Shared<Arc<State>>) -> Response {
    let mut stores = Stores { status: Status::Ok, spaces: Vec::new() };
    let caches = join_all(state.caches.iter().map(|(_, cache)| tiers(cache)));
    let lookups = join_all(state.lookups.iter().map(|(_, lookups)| tiers(lookups)));
    let (caches, lookups) = tokio::join!(caches, lookups);
    let spaces = state.caches.iter().map(|(space, _)| space).chain(state.lookups.iter().map(|(space, _)| space));
    for (space, tiers) in spaces.zip(caches.into_iter().chain(lookups)) {
        let up = tiers.iter().filter(|tier| tier.is_up).count();
        let status = match up {
            _ if up == tiers.len() => Status::Ok,
            0 => Status::Down,
            _ => Status::Degraded,
        };
        stores.status = stores.status.max(status);
        stores.spaces.push(Space { space: space.clone(), status, tiers });
    }
    let code = if stores.status == Status::Down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    json_with(code, &stores)
}

/// How the tiers of a cache are, asked now.
pub(super) async fn tiers(cache: &impl Tiers) -> Vec<TierHealth> {
    let known = cache.tiers();
    let state = |at: usize, name| known.get(at).filter(|tier| tier.name == name).map(|tier| tier.state);
    let shown = |(at, (name, checkup)): (usize, (&'static str, Option<Checkup>))| match checkup {
        Some(checkup) => TierHealth::of(state(at, name), checkup),
        None => TierHealth {
            name,
            is_up: false,
            error: Some(format!("the store did not answer in {} s; check its load", PATIENCE.as_secs())),
            state: state(at, name),
            latency: None,
            usage: None,
            version: None,
        },
    };
    checkup(cache).await.into_iter().enumerate().map(shown).collect()
}

impl TierHealth {
    fn of(state: Option<TierState>, checkup: Checkup) -> Self {
        let error = match &checkup.health {
            Health::Up => None,
            Health::Down(error) => Some(told(error)),
        };
        Self {
            name: checkup.name,
            is_up: error.is_none(),
            error,
            state,
            latency: Some(checkup.latency.as_secs_f64()),
            usage: checkup.usage,
            version: checkup.version,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn up_or_down<S: serde::Serializer>(is_up: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *is_up { "up" } else { "down" })
}

#[expect(clippy::ref_option, reason = "serde asks for it")]
pub(super) fn figures<S: serde::Serializer>(usage: &Option<Usage>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Figures {
        entries: u64,
        bytes: u64,
        /// Absent if it isn't known.
        capacity: Option<u64>,
        evictions: u64,
    }
    let figures = usage.map(|usage| Figures {
        entries: usage.entries,
        bytes: usage.bytes,
        capacity: Some(usage.capacity).filter(|capacity| *capacity > 0),
        evictions: usage.evictions,
    });
    figures.serialize(serializer)
}
