//! How tiers are, with a real Redis that goes away and comes back.

use std::time::Duration;

use larder::{
    admin,
    store::{Memory, Redis, Store, Tiered},
};

use super::{Served, site};
use crate::support::{Far, Fault, redis::Server};

#[tokio::test]
async fn each_tier_is_asked_and_one_that_works_keeps_the_whole_up() {
    let mut server = Server::start().await;
    let redis = || {
        let client = larder::redis::Client::builder(&server.url()).response_timeout(Duration::from_secs(5));
        Redis::builder(client.build().expect("a URL")).build().expect("a store")
    };
    let ((_one, both), (_other, alone)) = (site(Tiered::new(Memory::new(1 << 20), redis())).await, site(redis()).await);
    let tiered = Served::new(admin::router(both).insecure().build()).await;
    let single = Served::new(admin::router(alone).insecure().build()).await;

    let health = tiered.get("/health/cache").await.json();
    assert_eq!(health["status"], "ok", "{health}");
    let tiers = &health["spaces"][0]["tiers"];
    for (place, name) in ["memory", "redis"].into_iter().enumerate() {
        let tier = &tiers[place];
        assert_eq!((&tier["name"], &tier["status"], &tier["state"]), (&name.into(), &"up".into(), &"closed".into()));
        assert!(tier["latency"].is_f64() && tier["usage"]["entries"].is_u64(), "{tier}");
    }
    assert_eq!((&tiers[0]["usage"]["capacity"], tiers[0]["version"].is_null()), (&(1 << 20).into(), true));
    assert!(tiers[1]["version"].as_str().is_some_and(|version| version.contains('.')), "{tiers}");
    let metrics = tiered.get("/metrics").await.text;
    assert!(metrics.contains("larder_tier_up{space=\"default\",tier=\"redis\",place=\"1\"} 1\n"), "{metrics}");

    server.kill();
    let health = tiered.get("/health/cache").await.json();
    assert_eq!(health["status"], "degraded", "{health}");
    let redis = &health["spaces"][0]["tiers"][1];
    assert_eq!(redis["status"], "down");
    assert!(redis["error"].as_str().is_some_and(|error| error.contains("check that it runs")), "{redis}");
    let down = single.get("/health/cache").await;
    assert_eq!(down.status, 503, "{down:?}");
    assert!(down.text.contains("\"status\":\"down\""));
    assert_eq!(single.get("/health").await.json()["status"], "ok", "the process is well");
    let metrics = tiered.get("/metrics").await.text;
    assert!(metrics.contains("larder_tier_up{space=\"default\",tier=\"redis\",place=\"1\"} 0\n"), "{metrics}");
    assert!(metrics.contains("larder_tier_up{space=\"default\",tier=\"memory\",place=\"0\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_store_that_hangs_is_down_and_holds_nobody_up() {
    struct Hangs(Far);
    impl Store for Hangs {
        async fn get(&self, key: &larder::key::Key) -> larder::store::Result<Option<larder::entry::Entry>> {
            self.0.get(key).await
        }
        async fn put(&self, key: &larder::key::Key, entry: larder::entry::Entry) -> larder::store::Result<()> {
            self.0.put(key, entry).await
        }
        async fn remove(&self, key: &larder::key::Key) -> larder::store::Result<bool> {
            self.0.remove(key).await
        }
        async fn purge(&self, selector: &larder::tag::Selector) -> larder::store::Result<u64> {
            self.0.purge(selector).await
        }
        async fn usage(&self) -> larder::store::Result<larder::store::Usage> {
            self.0.get(&larder::key::KeyBuilder::new("test").finish()).await?;
            self.0.usage().await
        }
    }
    let far = Far::new(Memory::new(1 << 20));
    far.gets(Fault::Hang);
    let (_site, handle) = site(Hangs(far)).await;
    let router = admin::router(handle.clone()).cache("other", handle).insecure().build();
    tokio::time::pause();
    for (path, status, says) in [
        ("/health/cache", 503, "did not answer in 5 s"),
        ("/api/cache/stats", 200, "\"space\":\"other\""),
        ("/metrics", 200, "larder_tier_up{space=\"other\",tier=\"store\",place=\"0\"} 0"),
    ] {
        let begun = tokio::time::Instant::now();
        let request = http::Request::get(path).body(axum::body::Body::empty()).expect("a request");
        let response = tower::ServiceExt::oneshot(router.clone(), request).await.expect("an answer");
        assert_eq!(response.status(), status);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        assert!(String::from_utf8_lossy(&body).contains(says), "{body:?}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{path} waits for one after the other");
    }
}
