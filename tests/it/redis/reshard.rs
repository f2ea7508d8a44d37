//! While slots of a Cluster move from one master to another.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use larder::{
    key::Key,
    store::{Redis, Store},
    tag::Selector,
};
use tower::Layer as _;

use super::samples::{client, entry, has, hits, key, key_of, layer, name, paths, store, tagged, until};
use crate::support::redis::Cluster;

#[tokio::test]
async fn requests_are_hits_all_the_while_a_slot_moves() {
    let cluster = Cluster::start().await;
    let layer = layer(store(&cluster.url())).show_key(true).build();
    let origin = paths();
    let cache = layer.layer(origin.clone());
    let path = |number: usize| format!("/{number}");
    for number in 0..20 {
        until("a hit", async || hits(&cache, &path(number)).await).await;
    }
    let (ended, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic: Vec<_> = (0..3)
        .map(|task| {
            let (cache, ended, asked) = (cache.clone(), ended.clone(), asked.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    assert!(hits(&cache, &path((number * (task + 1)) % 20)).await, "it is there all the while");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in 0..6 {
        let named = name(&key_of(&cache, &path(number)).await);
        let (slot, from) = (cluster.slot_of(&named).await, cluster.master_of(&named).await);
        let before = asked.load(Ordering::Relaxed);
        let migration = cluster.begin_migration(slot, (from + 1) % 3).await;
        // ASK: the entry is there already, and the slot isn't.
        assert!(hits(&cache, &path(number)).await);
        cluster.finish_migration(migration).await;
        // MOVED.
        assert!(hits(&cache, &path(number)).await);
        cluster.reshard(slot, from).await;
        until("requests meanwhile", async || asked.load(Ordering::Relaxed) > before + 20).await;
    }
    ended.store(true, Ordering::Relaxed);
    for traffic in traffic {
        traffic.await.expect("every request was a hit");
    }
    assert_eq!(origin.calls(), 20);
}

/// CRC16 as Redis has it, for names without a hash tag.
fn slot_of(name: &str) -> u16 {
    let crc = name.bytes().fold(0u16, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % 16_384
}

/// So many keys of one slot, which belongs to node 2.
fn of_one_slot(count: usize) -> (u16, Vec<Key>) {
    let all = (0..).map(|number: u32| key("slot:x", &number.to_string()));
    let wanted = 16_000;
    (wanted, all.filter(|key| slot_of(&name(key)) == wanted).take(count).collect())
}

async fn put_all(store: &Redis, keys: &[Key]) {
    for key in keys {
        store.put(key, entry("x", &["t"])).await.expect("a write");
    }
}

async fn found(store: &Redis, keys: &[Key]) -> usize {
    let mut found = 0;
    for key in keys {
        found += usize::from(has(store, key).await);
    }
    found
}

/// Half of the slot's keys lie with its old master, half with its new one.
#[tokio::test]
async fn entries_are_written_found_and_removed_while_their_slot_moves() {
    let cluster = Cluster::start().await;
    let store = store(&cluster.url());
    let (slot, keys) = of_one_slot(6);
    assert_eq!(cluster.slot_of(&name(&keys[0])).await, slot);
    put_all(&store, &keys[..4]).await;
    let migration = cluster.begin_migration(slot, 0).await;
    assert_eq!(found(&store, &keys).await, 4);
    // Replaced where they lie, and new ones where the slot goes.
    put_all(&store, &keys).await;
    assert_eq!(found(&store, &keys).await, 6);
    assert!(store.remove(&keys[0]).await.expect("an answer") && store.remove(&keys[4]).await.expect("an answer"));
    assert_eq!(found(&store, &keys).await, 4);
    cluster.finish_migration(migration).await;
    assert_eq!(found(&store, &keys).await, 4);
}

#[tokio::test]
async fn a_purge_while_a_slot_moves_removes_and_counts_what_is_meant() {
    let cluster = Cluster::start().await;
    let store = store(&cluster.url());
    let (slot, keys) = of_one_slot(8);
    let others: Vec<_> = (0..20).map(|number| key("other:x", &number.to_string())).collect();
    let mut owner = 2;
    for (selector, left) in [(tagged("t"), 0), (Selector::label("slot*"), 20), (Selector::All, 0)] {
        put_all(&store, &keys).await;
        put_all(&store, &others).await;
        let to = (owner + 1) % 3;
        let migration = cluster.begin_migration(slot, to).await;
        assert_eq!(store.purge(&selector).await.expect("a purge"), 28 - left, "{selector:?}");
        assert_eq!((found(&store, &keys).await, found(&store, &others).await), (0, left as usize), "{selector:?}");
        cluster.finish_migration(migration).await;
        assert_eq!((found(&store, &keys).await, found(&store, &others).await), (0, left as usize), "{selector:?}");
        owner = to;
    }
}

/// From a master that is yet to be gone through to one that has been.
#[tokio::test]
async fn a_purge_finds_what_moves_behind_its_back() {
    let cluster = Cluster::start().await;
    // In a space whose log does not lie with the master that is held up.
    assert!(slot_of("larder:moves!purges") > 10_922);
    let store = Redis::builder(client(&cluster.url())).space("moves").build().expect("a store");
    let of = |node: usize| {
        let keys = (0..).map(|number: u32| key("label", &number.to_string()));
        keys.map(|key| (format!("larder:moves:{key}"), key))
            .find(|(name, _)| usize::from(slot_of(name)) / 5461 == node)
            .expect("there is always another key")
    };
    let ((moving, key), (_, between)) = (of(2), of(1));
    store.put(&key, entry("x", &[])).await.expect("a write");
    store.put(&between, entry("x", &[])).await.expect("a write");
    let scanned = async || cluster.nodes()[1].commandstats().await.get("scan").copied().unwrap_or_default();
    cluster.nodes()[1].command(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let purging = store.clone();
    let purging = tokio::spawn(async move { purging.purge(&Selector::label("*")).await });
    until("the purge to come to the second master", async || scanned().await > 0).await;
    let migration = cluster.begin_migration(slot_of(&moving), 0).await;
    assert!(cluster.nodes()[0].keys("larder:moves:*").await == [moving], "it was moved");
    cluster.nodes()[1].command(&["CLIENT", "UNPAUSE"]).await;
    assert_eq!(purging.await.expect("no panic").expect("a purge"), 2);
    cluster.finish_migration(migration).await;
    assert!(!has(&store, &key).await);
}
