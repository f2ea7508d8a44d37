//! Behind Sentinels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use larder::{
    CacheLayer,
    key::Key,
    redis::Client,
    store::{Change, Redis, Store},
    tag::Selector,
};
use redis::Value;
use tokio::task::JoinHandle;
use tower::Layer as _;

use super::samples::{entry, has, hits, key, name, paths, store, until};
use crate::support::redis::{Sentinels, Server};

/// What one call may take, and one look-up.
const DEADLINE: Duration = Duration::from_millis(250);

/// What a request may take: a look-up, a claim, and a busy machine.
const LONGEST: Duration = Duration::from_secs(3);

/// Requests all the time, until it is told to end; how long the longest took.
fn traffic(layer: &CacheLayer<Redis>, ended: &Arc<AtomicBool>) -> JoinHandle<Duration> {
    let (cache, ended) = (layer.layer(paths()), ended.clone());
    tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        for number in 0.. {
            if ended.load(Ordering::Relaxed) {
                break;
            }
            let begin = Instant::now();
            hits(&cache, &format!("/{}", number % 10)).await;
            longest = longest.max(begin.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        longest
    })
}

fn with_deadline(url: &str) -> Redis {
    let client = Client::builder(url).response_timeout(DEADLINE).build().expect("a URL");
    Redis::builder(client).build().expect("a store")
}

/// Asked past the store; a Sentinel may close the connection.
async fn has_copy(server: &Server, key: &Key) -> bool {
    matches!(server.try_command(&["GET", &name(key)]).await, Ok(Value::BulkString(_)))
}

#[tokio::test]
async fn a_failover_fails_no_request_and_writes_and_hits_come_back() {
    let mut sentinels = Sentinels::start().await;
    let store = with_deadline(&sentinels.url());
    let layer = CacheLayer::new(store.clone());
    let cache = layer.layer(paths());
    until("the first hit", async || hits(&cache, "/0").await).await;
    sentinels.master().replicated().await;
    let ended = Arc::default();
    let traffic = traffic(&layer, &ended);

    sentinels.kill_master();
    sentinels.await_failover().await;
    until("hits after the failover", async || hits(&cache, "/0").await).await;
    until("writes after the failover", async || hits(&cache, "/new").await).await;
    assert!(store.health().await.is_up());

    // The old master comes back with nothing, and is told what it missed.
    let new = key("label", "new");
    store.put(&new, entry("new", &[])).await.expect("a master");
    sentinels.replica().restart().await;
    until("the old master to follow", async || has_copy(sentinels.replica(), &new).await).await;
    assert!(has(&store, &new).await);
    until("writes with the old master there", async || hits(&cache, "/newer").await).await;

    ended.store(true, Ordering::Relaxed);
    let longest = traffic.await.expect("no request failed");
    assert!(longest < LONGEST, "{longest:?}");
}

/// The connection stays open, and the server on it refuses to write.
#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left_for_the_new_one() {
    let mut sentinels = Sentinels::start().await;
    let store = with_deadline(&sentinels.url());
    let layer = CacheLayer::new(store.clone());
    let cache = layer.layer(paths());
    until("the first hit", async || hits(&cache, "/0").await).await;
    sentinels.master().replicated().await;
    let ended = Arc::default();
    let traffic = traffic(&layer, &ended);

    // The others might make it a replica again before they hear of it.
    sentinels.sentinel(1).kill();
    sentinels.sentinel(2).kill();
    sentinels.sentinel(0).command(&["SENTINEL", "FAILOVER", "mymaster"]).await;
    sentinels.await_failover().await;
    until("writes after the failover", async || hits(&cache, "/new").await).await;
    let new = key("label", "new");
    // The old one may take a write before it is told; then that is lost.
    until("a write to the new master", async || {
        store.put(&new, entry("new", &[])).await.is_ok() && has_copy(sentinels.master(), &new).await
    })
    .await;

    ended.store(true, Ordering::Relaxed);
    let longest = traffic.await.expect("no request failed");
    assert!(longest < LONGEST, "{longest:?}");
}

#[tokio::test]
async fn sentinels_that_do_not_know_the_name_cost_hits_and_health_says_so() {
    let sentinels = Sentinels::start().await;
    let store = with_deadline(&sentinels.url().replace("mymaster", "nobody"));
    let layer = CacheLayer::new(store.clone());
    let cache = layer.layer(paths());
    // Also when the breaker has opened.
    for number in 0..30 {
        let begin = Instant::now();
        assert!(!hits(&cache, &format!("/{}", number % 2)).await);
        assert!(begin.elapsed() < LONGEST, "{:?}", begin.elapsed());
        let health = format!("{:?}", layer.handle().health().await);
        if number == 0 || number == 29 {
            assert!(health.contains("not found in sentinel"), "{health}");
        }
    }
    assert!(layer.handle().tiers()[0].opened > 0);
}

/// It accepts connections, and never answers.
#[tokio::test]
async fn a_sentinel_that_hangs_does_not_keep_the_others_from_being_asked() {
    for hung in 0..3 {
        let mut sentinels = Sentinels::start().await;
        sentinels.sentinel(hung).stop();
        let store = with_deadline(&sentinels.url());
        let key = key("label", "a");
        until("a write", async || store.put(&key, entry("a", &[])).await.is_ok()).await;
    }
}

/// The subscription was with the master that died.
#[tokio::test]
async fn purges_are_heard_again_after_a_failover() {
    let mut sentinels = Sentinels::start().await;
    let (one, other) = (store(&sentinels.url()), store(&sentinels.url()));
    let purges = Arc::new(AtomicUsize::new(0));
    let heard = purges.clone();
    other.listen(Arc::new(move |change| {
        if matches!(change, Change::Purged(_)) {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let purge_until = async |count: usize| {
        until("a purge to be heard", async || {
            let _ = one.purge(&Selector::All).await;
            purges.load(Ordering::Relaxed) >= count
        })
        .await;
    };
    purge_until(1).await;
    sentinels.kill_master();
    sentinels.await_failover().await;
    purge_until(purges.load(Ordering::Relaxed) + 1).await;
}
