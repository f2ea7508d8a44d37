//! `GET /v1/models` and `GET /v1/models/{id}`: answers that come at once and may be kept for a minute.

use std::time::Duration;

use axum::{
    extract::{Path, Request},
    response::{IntoResponse, Response},
};
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::{
    call::Call,
    failure::Failure,
    fault::{Fault, Wish},
    playback,
};

/// The names are for show: every endpoint answers to any model's name.
const MODELS: [&str; 6] =
    ["demo", "demo-embedding", "gpt-4o-mini", "gpt-5-mini", "claude-sonnet-4-5", "text-embedding-3-small"];

/// 2025-01-01, in seconds since the epoch.
const CREATED: u64 = 1_735_689_600;

pub(super) async fn list(request: Request) -> Result<Response, Failure> {
    let faults = Fault::ALL.map(|(name, _)| format!("demo-{name}"));
    let names = MODELS.into_iter().chain(faults.iter().map(String::as_str));
    let data: Vec<Value> = names.map(describe).collect();
    reply(request, "", &json!({ "object": "list", "data": data })).await
}

pub(super) async fn retrieve(Path(id): Path<String>, request: Request) -> Result<Response, Failure> {
    let response = reply(request, &id, &describe(&id)).await?;
    if MODELS.contains(&id.as_str()) || Wish::of_model(&id).is_ok_and(|wish| wish.is_some()) {
        Ok(response)
    } else {
        Err(Failure::unknown_model(&id))
    }
}

async fn reply(request: Request, model: &str, value: &Value) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let call = Call::new(&parts, model, &[])?;
    call.wait(Duration::ZERO).await;
    let response = playback::json(&call, Duration::ZERO, value);
    Ok(([(CACHE_CONTROL, "max-age=60")], response).into_response())
}

fn describe(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "larder-demo" })
}
