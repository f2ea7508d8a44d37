//! With TLS.

use std::time::{Duration, Instant};

use larder::{CacheLayer, redis::Client, store::Redis};
use tower::Layer as _;

use super::samples::{hits, paths, until};
use crate::support::redis::Tls;

#[tokio::test]
async fn an_unknown_authority_costs_hits_and_health_says_so() {
    let server = Tls::start().await;
    let client = || Client::builder(&server.url()).response_timeout(Duration::from_millis(250));
    // Of another authority by the same name, and of those that the system trusts.
    for client in [client().root_certificates(server.another_ca_pem()), client()] {
        let store = Redis::builder(client.build().expect("a URL")).build().expect("a store");
        let layer = CacheLayer::new(store);
        let cache = layer.layer(paths());
        for number in 0..30 {
            let begin = Instant::now();
            assert!(!hits(&cache, &format!("/{}", number % 2)).await);
            assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
            // Also when the breaker has opened.
            if number == 0 || number == 29 {
                let health = format!("{:?}", layer.handle().health().await);
                assert!(health.contains("certificate"), "{health}");
            }
        }
        assert!(layer.handle().tiers()[0].opened > 0);
    }
    assert!(server.server.keys("*").await.is_empty());
}

#[tokio::test]
async fn the_authority_that_is_given_is_trusted_also_after_a_restart() {
    let mut server = Tls::start().await;
    let client = Client::builder(&server.url()).response_timeout(Duration::from_millis(250));
    let client = client.root_certificates(server.ca_pem()).build().expect("a URL");
    let layer = CacheLayer::new(Redis::builder(client).build().expect("a store"));
    let cache = layer.layer(paths());
    until("a hit", async || hits(&cache, "/0").await).await;
    assert!(layer.handle().health().await.is_up());
    server.server.restart().await;
    until("a hit after the restart", async || hits(&cache, "/0").await).await;
}
