//! Statistics, limits and metrics.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use http::{Request, StatusCode};
use larder::{
    RateLimitLayer, RetryFallbackLayer, admin,
    rate_limit::{Address, Limit, Quota, limiter::Local},
    retry::Backoff,
    store::Memory,
};
use tower::{Layer as _, ServiceExt as _};

use super::{Served, hits, site};
use crate::support::{Origin, empty, full, reply, text};

/// A router over a cache, a retry layer and a limit that have had something to do.
pub(super) async fn used() -> Served {
    let (site, handle) = site(Memory::new(64 << 20)).await;
    let retry = RetryFallbackLayer::builder().backoff(Backoff::constant(Duration::from_millis(1))).build();
    let limit = RateLimitLayer::new(Quota::per_day(2));
    let router = admin::router(handle).retry("provider", retry.handle()).rate_limit("clients", limit.handle());
    let served = Served::new(router.insecure().build()).await;
    for path in ["/a", "/a", "/a", "/b"] {
        hits(&site, path).await;
    }
    let origin = Origin::replies(|number| reply(if number == 0 { 503 } else { 200 }, &[], full("hello")));
    let request = Request::get("http://upstream.example/").body(empty()).expect("a request");
    assert_eq!(retry.layer(origin).oneshot(request).await.expect("an answer").status(), StatusCode::OK);
    let limited = limit.layer(Origin::replies(|_| reply(200, &[], full("hello"))));
    for _ in 0..3 {
        let request = Request::get("http://h/").body(empty()).expect("a request");
        limited.clone().oneshot(request).await.expect("an answer");
    }
    served
}

#[tokio::test]
async fn the_figures_are_those_of_the_layers() {
    let served = used().await;
    let stats = served.get("/api/cache/stats").await.json();
    let cache = &stats["caches"][0];
    assert_eq!((&cache["space"], &cache["requests"], &cache["hits"]), (&"default".into(), &4.into(), &2.into()));
    assert_eq!((&cache["misses"], &cache["hit_ratio"]), (&2.into(), &0.5.into()));
    assert_eq!(cache["tiers"][0]["name"], "memory");
    assert_eq!(
        (&cache["tiers"][0]["usage"]["entries"], &cache["tiers"][0]["usage"]["evictions"]),
        (&2.into(), &0.into())
    );
    assert_eq!((&cache["latency"]["hit"]["count"], &cache["latency"]["miss"]["count"]), (&2.into(), &2.into()));
    assert!(cache["latency"]["hit"]["p999"].as_f64().is_some_and(|seconds| seconds > 0.0), "{cache}");
    assert_eq!((&cache["latency"]["bypass"]["p50"], &cache["fetches"]["count"]), (&serde_json::Value::Null, &2.into()));
    let retry = &stats["retries"][0];
    assert_eq!((&retry["retry_success_ratio"], &retry["errors_server"]), (&1.0.into(), &1.into()));
    assert_eq!((&retry["name"], &retry["attempts"], &retry["retries"]), (&"provider".into(), &2.into(), &1.into()));
    assert_eq!(retry["upstreams"][0]["breaker"]["state"], "closed", "{retry}");
    let limit = &stats["rate_limits"][0];
    assert_eq!((&limit["name"], &limit["allowed"], &limit["denied"]), (&"clients".into(), &2.into(), &1.into()));

    let answer = served.get("/metrics").await;
    assert_eq!((answer.status, &*answer.kind), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let metrics = samples(&answer.text);
    for (sample, value) in [
        ("larder_cache_requests_total{space=\"default\",outcome=\"hit\"}", 2.0),
        ("larder_cache_requests_total{space=\"default\",outcome=\"miss\"}", 2.0),
        ("larder_cache_responses_total{space=\"default\",outcome=\"stored\"}", 2.0),
        ("larder_cache_request_duration_seconds_bucket{space=\"default\",outcome=\"hit\",le=\"+Inf\"}", 2.0),
        ("larder_cache_request_duration_seconds_bucket{space=\"default\",outcome=\"hit\",le=\"500\"}", 2.0),
        ("larder_cache_request_duration_seconds_count{space=\"default\",outcome=\"miss\"}", 2.0),
        ("larder_cache_fetch_duration_seconds_count{space=\"default\"}", 2.0),
        ("larder_cache_stored_bytes_total{space=\"default\"}", 28.0),
        ("larder_cache_served_bytes_total{space=\"default\"}", 28.0),
        ("larder_retry_errors_total{layer=\"provider\",kind=\"server\"}", 1.0),
        ("larder_tier_entries{space=\"default\",tier=\"memory\",place=\"0\"}", 2.0),
        ("larder_tier_capacity_bytes{space=\"default\",tier=\"memory\",place=\"0\"}", f64::from(64 << 20)),
        ("larder_tier_breaker_state{space=\"default\",tier=\"memory\",place=\"0\",state=\"closed\"}", 1.0),
        ("larder_retry_recovered_total{layer=\"provider\"}", 1.0),
        ("larder_breaker_state{layer=\"provider\",upstream=\"upstream.example\",state=\"closed\"}", 1.0),
        ("larder_breaker_failures_total{layer=\"provider\",upstream=\"upstream.example\"}", 1.0),
        ("larder_rate_limit_requests_total{layer=\"clients\",outcome=\"denied\"}", 1.0),
        ("larder_rate_limit_policy_decisions_total{layer=\"clients\",policy=\"rpd\",decision=\"allowed\"}", 2.0),
    ] {
        assert_eq!(metrics.get(sample), Some(&value), "{sample} in {}", answer.text);
    }
}

/// The samples of a text, which has to be well-formed: each metric announced once, before its samples.
pub(super) fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut announced, mut current) = (BTreeMap::new(), Vec::new(), "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            current = help.split(' ').next().expect("a name");
            assert!(!announced.contains(&current), "{current} twice");
            announced.push(current);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let kind = kind.strip_prefix(current).expect("of the same metric");
            assert!([" counter", " gauge", " histogram"].contains(&kind), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            let name = sample.split('{').next().expect("a name");
            let part = name.strip_prefix(current).expect("of the same metric");
            assert!(["", "_bucket", "_sum", "_count"].contains(&part), "{line}");
            let earlier = samples.insert(sample.to_owned(), value.parse().expect("a number"));
            assert_eq!(earlier, None, "{sample} twice");
        }
    }
    samples
}

#[tokio::test]
async fn limits_are_shown_with_how_they_stand_for_a_request() {
    let limit = RateLimitLayer::builder(Local::new())
        .limit(Limit::new(Quota::per_minute(10)).named("everyone"))
        .limit(Limit::new(Quota::per_hour(5)).named("address").per(Address::new()))
        .limit(Limit::new(Quota::concurrent(3)).named("chat").on_path("/v1/chat").shadow(true))
        .build();
    let served = Served::new(admin::Builder::new().rate_limit("clients", limit.handle()).insecure().build()).await;
    let limited = limit.layer(Origin::replies(|_| reply(200, &[], full("hello"))));
    for _ in 0..4 {
        let mut request = Request::get("http://h/").body(empty()).expect("a request");
        request.extensions_mut().insert(SocketAddr::from(([192, 0, 2, 7], 4711)));
        text(limited.clone().oneshot(request).await.expect("an answer")).await;
    }
    let layer = served.get("/api/limits").await.json()["limits"][0].clone();
    assert_eq!(layer["name"], "clients");
    let policies = layer["policies"].as_array().expect("a list");
    let shown: Vec<_> = policies
        .iter()
        .map(|policy| (policy["name"].as_str(), policy["amount"].as_u64(), policy["window"].as_f64()))
        .collect();
    let expected = [
        (Some("everyone"), Some(10), Some(60.0)),
        (Some("address"), Some(5), Some(3600.0)),
        (Some("chat"), Some(3), None),
    ];
    assert_eq!(shown, expected);
    assert_eq!(
        (&policies[0]["allowed"], &policies[2]["shadow"], &policies[2]["unit"]),
        (&4.into(), &true.into(), &"concurrent".into())
    );
    let standings = |layer: &serde_json::Value| -> Vec<(String, u64, u64)> {
        let standings = layer["standings"].as_array().expect("a list").iter();
        standings
            .map(|one| {
                let number = |name: &str| one[name].as_u64().expect("a number");
                (one["policy"].as_str().expect("a text").to_owned(), number("used"), number("remaining"))
            })
            .collect()
    };
    // Those whose address isn't known are one.
    assert_eq!(standings(&layer), [("everyone".into(), 4, 6), ("address".into(), 0, 5)]);
    for _ in 0..2 {
        let path = "/api/limits?method=POST&path=/v1/chat/completions&address=192.0.2.7";
        let layer = served.get(path).await.json()["limits"][0].clone();
        let expected = [("everyone".into(), 4, 6), ("address".into(), 4, 1), ("chat".into(), 0, 3)];
        assert_eq!(standings(&layer), expected, "looking at it charges nothing");
    }
    for (query, advice) in [
        ("method=%20", "POST"),
        ("path=a%20b", "path"),
        ("path=h:1", "path"),
        ("address=h", "openapi.json"),
        ("authorization=x", "authorization"),
    ] {
        let said = served.get(&format!("/api/limits?{query}")).await.problem(400);
        assert!(said.contains(advice), "{query}: {said}");
    }
}

#[tokio::test]
async fn a_router_over_nothing_answers_all_the_same() {
    let served = Served::new(admin::Builder::new().insecure().build()).await;
    for path in ["/health", "/health/cache", "/api/cache/stats", "/api/cache/entries", "/api/limits"] {
        served.get(path).await.json();
    }
    assert_eq!(served.delete("/api/cache?all=true").await.json()["purged"], 0);
    assert!(served.get("/metrics").await.text.contains("larder_build_info{version="));
    let document = served.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
}
