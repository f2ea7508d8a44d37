//! An axum server with limits for each key, and different ones for each class of route.
//!
//! ```text
//! cargo run --example axum_limits
//! ```
//!
//! A key has 20 requests a minute for generation, 10 for what is expensive and 100 for all else; an address has 150, whatever its
//! keys. The server asks itself more often than that. What is printed says how many were let through, and who denied the rest.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::ConnectInfo,
    routing::{get, post},
};
use bytes::Bytes;
use http::{Request, request::Parts, response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::{
    RateLimitLayer,
    rate_limit::{Address, ApiKey, Limit, Quota, limiter::Local},
};
use serde_json::Value;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Of a key nothing is kept but a hash, made with a secret: at random, and the same in all processes that count together.
    let key = ApiKey::try_new("not at random, for this is an example")?;
    // axum has the peer's address in an extension of its own. Behind a proxy of yours: `.trusted_proxies(…)`.
    let address = Address::new().peer(|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
    let is_standard = |head: &Parts| !["/v1/chat/", "/v1/reports"].iter().any(|path| head.uri.path().starts_with(path));
    let limits = RateLimitLayer::builder(Local::new())
        .limit(Limit::new(Quota::per_minute(20)).named("generation").per(key.clone()).on_path("/v1/chat"))
        .limit(Limit::new(Quota::per_minute(10)).named("expensive").per(key.clone()).on_path("/v1/reports"))
        .limit(Limit::new(Quota::per_minute(100)).named("standard").per(key).on(is_standard))
        // Keys can be made up: what one client can do is bounded by this one alone.
        .limit(Limit::new(Quota::per_minute(150)).named("address").per(address))
        .try_build()?;
    let figures = limits.handle();
    let app = Router::new()
        .route("/v1/chat/completions", post(|| async { "an answer" }))
        .route("/v1/reports", post(|| async { "a report" }))
        .route("/v1/models", get(|| async { "a list" }))
        .layer(limits);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let site = Site { address: listener.local_addr()?, client: Client::builder(TokioExecutor::new()).build_http() };
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let chat = site.ask(25, "POST", "/v1/chat/completions", "one").await?;
    assert_eq!((chat.passed, chat.denied_by()), (20, vec!["generation".to_owned()]));
    assert_eq!(chat.field("ratelimit-policy"), r#""generation";q=20;w=60, "address";q=150;w=60"#);
    let wait: u64 = chat.field("retry-after").parse()?;
    assert!((1..=62).contains(&wait), "{wait} s");

    let chat = site.ask(1, "POST", "/v1/chat/completions", "two").await?;
    assert_eq!(chat.passed, 1);
    let (generation, address) = chat.field("ratelimit").split_once(", ").unwrap_or_default();
    assert!(generation.starts_with(r#""generation";r=19;t="#), "another key, another quota: {generation}");
    assert!(address.starts_with(r#""address";r=129;t="#), "the same address: {address}");

    let reports = site.ask(12, "POST", "/v1/reports", "one").await?;
    assert_eq!((reports.passed, reports.denied_by()), (10, vec!["expensive".to_owned()]));

    let models = site.ask(105, "GET", "/v1/models", "one").await?;
    assert_eq!((models.passed, models.denied_by()), (100, vec!["standard".to_owned()]));

    // What was denied was charged to no limit, so the address has used 20 + 1 + 10 + 100 of its 150.
    let models = site.ask(25, "GET", "/v1/models", "three").await?;
    assert_eq!((models.passed, models.denied_by()), (19, vec!["address".to_owned()]));

    let stats = figures.stats();
    println!("{} allowed, {} denied", stats.allowed, stats.denied);
    assert_eq!((stats.allowed, stats.denied), (150, 18));
    for policy in stats.policies {
        println!("  {:<10} denied {}", policy.name, policy.denied);
    }
    Ok(())
}

struct Site {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What became of some requests.
struct Asked {
    passed: usize,
    /// The last response.
    head: response::Parts,
    body: Bytes,
}

impl Site {
    async fn ask(&self, times: usize, method: &str, path: &str, key: &str) -> anyhow::Result<Asked> {
        let (mut passed, mut last) = (0, None);
        for _ in 0..times {
            let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
            let request = request.header("authorization", format!("Bearer {key}")).body(Empty::new())?;
            let (head, body) = self.client.request(request).await?.into_parts();
            passed += usize::from(head.status.is_success());
            last = Some((head, body.collect().await?.to_bytes()));
        }
        let (head, body) = last.ok_or_else(|| anyhow::anyhow!("nothing was asked"))?;
        println!("{path}, key {key}: {passed} of {times} passed");
        if head.status == 429 {
            println!("  429  retry-after: {}  {}", head.headers["retry-after"].to_str()?, str::from_utf8(&body)?);
        }
        Ok(Asked { passed, head, body })
    }
}

impl Asked {
    fn field(&self, name: &str) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The limits that denied the last request.
    fn denied_by(&self) -> Vec<String> {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let names = problem["violated-policies"].as_array().cloned().unwrap_or_default();
        names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}
