//! In a Cluster: what a dead master takes along, and what it doesn't.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
use tower::Layer as _;

use super::samples::{entry, fence_of, has, hits, key, key_of, name, paths, store, tagged, until};
use crate::support::redis::Cluster;

/// A cluster whose nodes serve what they have also when others are gone.
async fn cluster() -> Cluster {
    let cluster = Cluster::start().await;
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    cluster
}

fn path(number: usize) -> String {
    format!("/{number}")
}

/// What happens to a master.
#[derive(Clone, Copy, PartialEq)]
enum Harm {
    /// It dies.
    Kill,
    /// It accepts connections, and never answers.
    Stop,
}

/// The others go on hitting, and the harmed master's keys cost no more than the deadline, until its replica has its place.
async fn harm_a_master(harm: Harm) {
    let mut cluster = cluster().await;
    let deadline = Duration::from_millis(500);
    let client = Client::builder(&cluster.url()).response_timeout(deadline).build().expect("a URL");
    let store = Redis::builder(client).build().expect("a store");
    let layer = CacheLayer::builder(store).lookup_timeout(deadline).show_key(true).build();
    let cache = layer.layer(paths());
    let mut owners = Vec::new();
    for number in 0..30 {
        until("a hit", async || hits(&cache, &path(number)).await).await;
        owners.push(cluster.master_of(&name(&key_of(&cache, &path(number)).await)).await);
    }
    // The one that has the log, which writes need.
    let harmed = cluster.master_of("larder:default!purges").await;
    assert!((0..3).all(|node| owners.iter().filter(|owner| **owner == node).count() > 2), "{owners:?}");
    cluster.nodes()[harmed].replicated().await;
    match harm {
        Harm::Kill => cluster.kill_master(harmed),
        Harm::Stop => cluster.nodes()[harmed].stop(),
    }

    for round in 0..if harm == Harm::Kill { 3 } else { 1 } {
        for (number, owner) in owners.iter().enumerate() {
            let begin = Instant::now();
            let is_hit = hits(&cache, &path(number)).await;
            // A look-up and a claim.
            assert!(begin.elapsed() < Duration::from_secs(3), "round {round}: {:?}", begin.elapsed());
            let is_lost = *owner == harmed;
            if harm == Harm::Stop && !is_hit && !is_lost {
                // While a node that hangs is given up, the client may hold up all requests for a moment.
                until("the others to be reached again", async || hits(&cache, &path(number)).await).await;
            } else {
                assert!(is_hit || is_lost, "{number} in round {round}: the others have nothing to do with it");
            }
        }
    }

    cluster.await_ok().await;
    let begin = Instant::now();
    for number in 0..30 {
        until("hits from the new master", async || hits(&cache, &path(number)).await).await;
    }
    // Not only when an old connection is given up.
    assert!(begin.elapsed() < Duration::from_secs(10), "it took {:?} to find it", begin.elapsed());
    until("writes to the new master", async || hits(&cache, "/new").await).await;
    assert!(layer.handle().health().await.is_up());
    match harm {
        Harm::Kill => cluster.restart(harmed).await,
        Harm::Stop => cluster.nodes()[harmed].cont(),
    }
    cluster.await_ok().await;
    for number in 0..30 {
        until("hits with all of them there", async || hits(&cache, &path(number)).await).await;
    }
}

#[tokio::test]
async fn a_master_that_dies_takes_along_its_own_keys_until_there_is_another() {
    harm_a_master(Harm::Kill).await;
}

#[tokio::test]
async fn a_master_that_hangs_takes_along_its_own_keys_until_there_is_another() {
    harm_a_master(Harm::Stop).await;
}

/// Keys by the master that they and their tag belong to.
async fn spread(cluster: &Cluster, count: usize) -> BTreeMap<usize, Vec<Key>> {
    let mut spread = BTreeMap::<_, Vec<_>>::new();
    for number in 0..count {
        let key = key(if number % 2 == 0 { "even:x" } else { "odd:x" }, &number.to_string());
        spread.entry(cluster.master_of(&name(&key)).await).or_default().push(key);
    }
    assert_eq!(spread.len(), 3, "each master has some");
    spread
}

#[tokio::test]
async fn a_purge_reaches_all_masters_and_counts_what_they_had() {
    let cluster = Cluster::start().await;
    let store = store(&cluster.url());
    let spread = spread(&cluster, 60).await;
    let keys: Vec<_> = spread.values().flatten().cloned().collect();
    let even = keys.iter().filter(|key| key.label() == "even:x").count() as u64;
    let cases = [
        (Selector::Key(keys[0].clone()), 1, 59),
        (tagged("even:x"), even, 60 - even),
        (tagged("absent"), 0, 60),
        (Selector::label("odd*"), 60 - even, even),
        (Selector::All, 60, 0),
    ];
    for (selector, count, left) in cases {
        for key in &keys {
            store.put(key, entry("x", &[key.label(), "all"])).await.expect("a write");
        }
        assert_eq!(store.purge(&selector).await.expect("a purge"), count, "{selector:?}");
        let mut found = 0;
        for key in &keys {
            found += u64::from(has(&store, key).await);
        }
        assert_eq!(found, left, "{selector:?}");
    }
    for node in &cluster.nodes()[..3] {
        let stats = node.commandstats().await;
        assert!(["keys", "flushdb", "flushall", "del"].iter().all(|held| !stats.contains_key(*held)), "{stats:?}");
    }
    for node in cluster.nodes() {
        assert_eq!(node.keys("larder:default:*").await, [""; 0]);
    }
}

/// A Cluster without the master that has `lost`, and whose replica does not take its place.
async fn without(lost: &str) -> (Cluster, usize) {
    let mut cluster = cluster().await;
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-replica-no-failover", "yes"]).await;
    }
    let dead = cluster.master_of(lost).await;
    cluster.kill_master(dead);
    (cluster, dead)
}

/// Whether an entry is there, asked of its own master.
async fn lies_in(cluster: &Cluster, key: &Key) -> bool {
    let owner = cluster.master_of(&name(key)).await;
    cluster.nodes()[owner].get(&name(key)).await.is_some()
}

/// What can't be compared with the log may have been purged.
#[tokio::test]
async fn an_entry_is_not_kept_if_the_log_of_purges_cannot_be_read() {
    let mut cluster = cluster().await;
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-replica-no-failover", "yes"]).await;
    }
    let (one, other) = (store(&cluster.url()), store(&cluster.url()));
    let dead = cluster.master_of("larder:default!purges").await;
    let spread = spread(&cluster, 30).await;
    let key =
        spread.iter().find(|(owner, _)| **owner != dead).map(|(_, keys)| keys[0].clone()).expect("a key elsewhere");
    let before = fence_of(&one).await;
    other.purge(&Selector::Key(key.clone())).await.expect("a purge");
    cluster.kill_master(dead);
    let kept = one.put_fenced(&key, entry("x", &[]), before).await;
    assert!(!matches!(kept, Ok(true)), "it was purged");
    until("it to be gone", async || !lies_in(&cluster, &key).await).await;
}

/// A purge by the tag would miss it.
#[tokio::test]
async fn an_entry_is_not_kept_if_its_tags_index_cannot_be_written() {
    let (cluster, dead) = without("larder:default!tag:t").await;
    let store = store(&cluster.url());
    let log = cluster.master_of("larder:default!purges").await;
    assert_ne!(log, dead, "the tag is chosen so");
    for key in spread(&cluster, 30).await.into_iter().filter(|(owner, _)| *owner != dead).flat_map(|(_, keys)| keys) {
        store.put(&key, entry("x", &["t"])).await.expect_err("a tag without an index");
        until("it to be gone", async || !lies_in(&cluster, &key).await).await;
    }
}

/// It accepts connections, and never answers.
#[tokio::test]
async fn a_node_that_hangs_does_not_keep_a_process_from_joining() {
    let cluster = cluster().await;
    for hung in 3..6 {
        cluster.nodes()[hung].stop();
    }
    let client = Client::builder(&cluster.url()).response_timeout(Duration::from_secs(1)).build().expect("a URL");
    let store = Redis::builder(client).build().expect("a store");
    let key = key("label", "a");
    until("a write", async || store.put(&key, entry("a", &[])).await.is_ok()).await;
    assert!(has(&store, &key).await);
}

/// Changes are told by any node; the first in the URL is one that hangs.
#[tokio::test]
async fn purges_are_heard_although_a_node_hangs() {
    let cluster = cluster().await;
    let urls = [5, 0, 1, 2].map(|node| format!("127.0.0.1:{}", cluster.nodes()[node].port())).join(",");
    cluster.nodes()[5].stop();
    let url = format!("redis://{urls}?cluster_enabled=true");
    let client = Client::builder(&url).response_timeout(Duration::from_secs(1)).build().expect("a URL");
    let store = Redis::builder(client).build().expect("a store");
    let heard = Arc::new(AtomicBool::new(false));
    let hears = heard.clone();
    store.listen(Arc::new(move |change| {
        if matches!(change, Change::Hearing) {
            hears.store(true, Ordering::Relaxed);
        }
    }));
    until("changes to be heard", async || heard.load(Ordering::Relaxed)).await;
}
