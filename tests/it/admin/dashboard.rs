//! The page at `/` in a real browser: Debian's Chromium, driven by `tests/clients/dashboard.mjs`.

use std::{process::Stdio, time::Duration};

use http::Request;
use larder::{
    CacheLayer, RateLimitLayer, RetryFallbackLayer, admin,
    rate_limit::{ApiKey, Limit, Quota, limiter::Local},
    store::Memory,
};
use serde_json::json;
use tokio::time::timeout;
use tower::Layer as _;

use super::{Served, costs, embeddings, hits, lookups, site};
use crate::support::{Origin, ask, clients, empty, full, get, program::program, reply, text};

/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

const TOKEN: &str = "a-l0ng.random~s3cret";

/// A page in front of layers that have done something: a cache with three hits and a miss, a ledger with two and one, a key that
/// has used 9 of 10 requests, and an upstream that answered.
async fn look(scene: &str, token: Option<&str>) {
    let (site, handle) = site(Memory::new(64 << 20)).await;
    let (ledger, retry) = (costs::ledger(), RetryFallbackLayer::new());
    let limit = Limit::new(Quota::per_hour(10)).named("keys").per(ApiKey::new("a secret of 16 bytes"));
    let limit = RateLimitLayer::builder(Local::new()).limit(limit).build();
    let other = CacheLayer::new(Memory::new(1 << 20));
    let router = admin::router(handle).ledger(ledger.clone()).retry("provider", retry.handle());
    let router = router.rate_limit("clients", limit.handle()).cache("other", other.handle());
    let texts = embeddings::layer();
    embeddings::embed(&texts, &["a", "b", "c"]).await;
    embeddings::embed(&texts, &["c", "d"]).await;
    let users = lookups::users(&Memory::new(1 << 20));
    for _ in 0..2 {
        lookups::look(&users, "ada", 1).await;
    }
    let router = router.embeddings("texts", texts.handle()).lookups("users", users.handle());
    let router = match token {
        Some(token) => router.token(token),
        None => router.insecure(),
    };
    let served = Served::new(router.build()).await;

    // A name is a client's to choose.
    costs::spend(&ledger, &[("m", "a"), ("m", "a"), ("m", "<img src=x>")]).await;
    if scene == "purges" {
        for path in ["/a", "/b", "/c"] {
            hits(&site, path).await;
        }
    } else {
        for _ in 0..4 {
            hits(&site, "/a").await;
        }
    }
    let origin = || Origin::replies(|_| reply(200, &[], full("hello")));
    let request = Request::get("http://upstream.example/").body(empty()).expect("a request");
    text(ask(&retry.layer(origin()), request).await).await;
    let limited = limit.layer(origin());
    for _ in 0..9 {
        text(ask(&limited, get("http://h/", &[("authorization", "Bearer sk-live-s3cret")])).await).await;
    }
    if scene == "renders" {
        let fields = [("cache-control", "max-age=60")];
        let second = other.layer(Origin::replies(move |_| reply(200, &fields, full("hello"))));
        text(ask(&second, get("http://h/", &[])).await).await;
    }

    let url = |served: &Served| format!("http://{}/", served.address);
    let given = json!({ "url": url(&served), "site": url(&site), "token": token });
    let mut node = clients::node().await;
    node.arg(clients::script("dashboard.mjs")).args([scene, &given.to_string()]).arg(program("chromium", "chromium"));
    let ran = node.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = timeout(PATIENCE, ran).await.expect("it ends in time").expect("node runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"well\n", "{scene}: {said}");
}

#[tokio::test]
async fn the_page_shows_the_figures_of_the_layers() {
    look("renders", None).await;
}

#[tokio::test]
async fn figures_follow_requests_without_a_reload() {
    look("updates", None).await;
}

#[tokio::test]
async fn a_purge_is_confirmed_and_says_how_many_went() {
    look("purges", None).await;
}

#[tokio::test]
async fn the_page_asks_for_the_token_and_keeps_it_in_its_tab() {
    look("token", Some(TOKEN)).await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_said_to_be_and_found_again() {
    look("recovers", None).await;
}

#[tokio::test]
async fn the_page_is_legible_in_light_and_dark_on_a_phone_and_by_keys() {
    look("looks", None).await;
}
