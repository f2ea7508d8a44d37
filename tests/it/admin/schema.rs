//! Whether answers are what the OpenAPI document says: no member is missing, and none is there that isn't documented.

use std::{sync::LazyLock, time::Duration};

use larder::{
    CacheLayer, RateLimitLayer, RetryFallbackLayer, admin,
    cached::Cached,
    llm::{EmbeddingsLayer, Ledger, Prices},
    rate_limit::Quota,
    store::Memory,
};
use serde_json::Value;

use super::{Served, hits, site};
use crate::support::{Origin, ask, full, get, reply, text};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../src/admin/openapi.json")).expect("JSON"));

/// Checks what a successful GET answered.
#[track_caller]
pub(super) fn check(path: &str, answer: &Value) {
    let said = &DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert!(!said.is_null(), "{path} isn't documented");
    if let Err(problem) = matches(said, answer, path) {
        panic!("{problem}");
    }
}

fn matches(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(to) = schema["$ref"].as_str() {
        let schema = DOCUMENT.pointer(to.trim_start_matches('#')).ok_or_else(|| format!("{to} isn't there"))?;
        return matches(schema, value, at);
    }
    if let Some(one_of) = schema["oneOf"].as_array() {
        let fitting = one_of.iter().filter(|schema| matches(schema, value, at).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { Err(format!("{at}: {fitting} schemas fit {value}")) };
    }
    kind(schema, value).then_some(()).ok_or_else(|| format!("{at}: {value} is no {}", schema["type"]))?;
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        return Err(format!("{at}: {value} is none of {allowed:?}"));
    }
    if let (Some(items), Some(elements)) = (schema.get("items"), value.as_array()) {
        elements.iter().enumerate().try_for_each(|(index, value)| matches(items, value, &format!("{at}[{index}]")))?;
    }
    match value.as_object() {
        Some(members) => object(schema, members, at),
        None => Ok(()),
    }
}

fn object(schema: &Value, members: &serde_json::Map<String, Value>, at: &str) -> Result<(), String> {
    let parts = parts(schema);
    let required = parts.iter().flat_map(|part| part["required"].as_array().into_iter().flatten());
    if let Some(missing) = required.filter_map(Value::as_str).find(|name| !members.contains_key(*name)) {
        return Err(format!("{at}.{missing} is missing"));
    }
    let is_open =
        parts.iter().all(|part| part.get("properties").is_none() && part.get("additionalProperties").is_none());
    for (name, value) in members {
        let place = format!("{at}.{name}");
        let said = parts.iter().find_map(|part| part["properties"].get(name));
        match said.or_else(|| parts.iter().find_map(|part| part.get("additionalProperties"))) {
            Some(schema) => matches(schema, value, &place)?,
            None if is_open => {}
            None => return Err(format!("{place} isn't documented")),
        }
    }
    Ok(())
}

/// A schema, and those that it is made up of.
fn parts(schema: &Value) -> Vec<&Value> {
    if let Some(to) = schema["$ref"].as_str() {
        return DOCUMENT.pointer(to.trim_start_matches('#')).map_or_else(Vec::new, parts);
    }
    let all = schema["allOf"].as_array().into_iter().flatten();
    all.flat_map(parts).chain([schema]).collect()
}

fn kind(schema: &Value, value: &Value) -> bool {
    let said = &schema["type"];
    let mut kinds = said.as_array().into_iter().flatten().chain([said]).filter_map(Value::as_str);
    said.is_null()
        || kinds.any(|kind| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            _ => false,
        })
}

#[tokio::test]
async fn what_is_answered_is_what_is_documented() {
    let (site, handle) = site(Memory::new(64 << 20)).await;
    let (limit, retry) = (RateLimitLayer::new(Quota::per_day(2)), RetryFallbackLayer::new());
    let other = CacheLayer::new(Memory::new(1 << 20));
    let router = admin::router(handle).cache("other", other.handle()).ledger(Ledger::new(Prices::builtin()));
    let router = router.retry("upstream", retry.handle()).rate_limit("clients", limit.handle());
    let router =
        router.embeddings("texts", EmbeddingsLayer::new(Memory::new(1 << 20), Duration::from_secs(60)).handle());
    let router = router.lookups("users", Cached::<str, u32>::builder("users").build().handle());
    let served = Served::new(router.insecure().build()).await;
    hits(&site, "/a").await;
    let limited = tower::Layer::layer(&limit, Origin::replies(|_| reply(200, &[], full("hello"))));
    text(ask(&limited, get("http://h/", &[])).await).await;
    for path in
        ["/health", "/health/cache", "/api/cache/stats", "/api/cache/costs", "/api/cache/entries", "/api/limits"]
    {
        check(path, &served.get(path).await.json());
    }
}
