//! `GET /api/limits`.

use std::{net::IpAddr, net::SocketAddr, sync::Arc};

use axum::{extract::State as Shared, response::Response};
use http::{Method, Request, Uri, request::Parts};
use serde::{Deserialize, Serialize};

use super::{
    params::{Params, json},
    problem::Problem,
    state::{Limits, State},
};
use crate::rate_limit::{Near, Policy, PolicySnapshot, Standing, Unit};

/// How many subjects are shown of each layer that have used most.
const NEAREST: usize = 20;

/// A request that is made up, to ask which limits are for it and how they stand. There is no place for a credential, which would
/// be in logs then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsParams {
    method: Option<String>,
    path: Option<String>,
    address: Option<IpAddr>,
}

#[derive(Serialize)]
struct Answer<'a> {
    limits: Vec<Layer<'a>>,
}

#[derive(Serialize)]
struct Layer<'a> {
    name: &'a str,
    policies: Vec<ShownPolicy>,
    /// Those of the limits that are for the request; none if the limiter doesn't answer.
    standings: Vec<ShownStanding>,
    /// The subjects that have used most.
    nearest: Vec<ShownNear>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct ShownPolicy {
    unit: &'static str,
    amount: u64,
    /// In seconds; absent for what is used at the same time.
    window: Option<f64>,
    shadow: bool,
    #[serde(flatten)]
    counters: PolicySnapshot,
}

#[derive(Serialize)]
struct ShownStanding {
    policy: String,
    amount: u64,
    used: u64,
    remaining: u64,
    /// Seconds until more is free.
    refill: f64,
    /// Seconds until all is free.
    reset: f64,
    shadow: bool,
}

/// A subject that has used much.
#[derive(Serialize)]
struct ShownNear {
    /// Of credentials, a keyed hash.
    subject: String,
    /// Seconds since the limiter said so.
    age: f64,
    #[serde(flatten)]
    standing: ShownStanding,
}

pub(super) async fn limits(
    Shared(state): Shared<Arc<State>>,
    Params(params): Params<LimitsParams>,
) -> Result<Response, Problem> {
    let head = made_up(&params)?;
    let mut limits = Vec::new();
    for (name, limit) in &state.limits {
        limits.push(Layer::of(name, &**limit, &head).await);
    }
    Ok(json(&Answer { limits }))
}

fn made_up(params: &LimitsParams) -> Result<Parts, Problem> {
    let method = params.method.as_deref().unwrap_or("GET").parse::<Method>();
    let method = method.map_err(|_| Problem::bad_request("method takes one of HTTP, such as POST"))?;
    let uri = params.path.as_deref().unwrap_or("/").parse::<Uri>().ok().filter(|uri| uri.path().starts_with('/'));
    let uri = uri.ok_or_else(|| Problem::bad_request("path takes a path, such as /v1/chat/completions"))?;
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    if let Some(address) = params.address {
        request.extensions_mut().insert(SocketAddr::new(address, 0));
    }
    Ok(request.into_parts().0)
}

impl<'a> Layer<'a> {
    async fn of(name: &'a str, limit: &dyn Limits, head: &Parts) -> Self {
        let policies = limit.policies().iter().zip(limit.stats().policies).map(ShownPolicy::of).collect();
        let (standings, error) = match limit.standings(head).await {
            Ok(standings) => {
                (standings.iter().map(|(policy, standing)| ShownStanding::of(policy.name(), standing)).collect(), None)
            }
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let nearest = limit.nearest(NEAREST).await.iter().map(ShownNear::of).collect();
        Self { name, policies, standings, nearest, error }
    }
}

impl ShownPolicy {
    fn of((policy, counters): (&Policy, PolicySnapshot)) -> Self {
        let quota = policy.quota();
        Self {
            unit: match quota.unit() {
                Unit::Requests => "requests",
                Unit::Tokens => "tokens",
                Unit::Bytes => "bytes",
                Unit::Cost => "cost",
                Unit::Concurrent => "concurrent",
            },
            amount: quota.amount(),
            window: Some(quota.window()).filter(|window| !window.is_zero()).map(|window| window.as_secs_f64()),
            shadow: policy.is_shadow(),
            counters,
        }
    }
}

impl ShownStanding {
    fn of(policy: &str, standing: &Standing) -> Self {
        Self {
            policy: policy.to_owned(),
            amount: standing.amount,
            used: standing.used,
            remaining: standing.remaining(),
            refill: standing.refill.as_secs_f64(),
            reset: standing.reset.as_secs_f64(),
            shadow: standing.is_shadow,
        }
    }
}

impl ShownNear {
    fn of(near: &Near) -> Self {
        let standing = ShownStanding::of(&near.policy, &near.standing);
        Self { subject: near.subject.to_string(), age: near.age.as_secs_f64(), standing }
    }
}
