//! Writes to a store that has no fence, and is overtaken by what comes after them.

use std::sync::{Arc, Mutex};

use larder::{
    cached::Cached,
    entry::Entry,
    key::Key,
    store::{Change, Listener, Listing, Memory, Store, StoreError, Usage},
    tag::Selector,
};

use super::{Db, Gate, Row, row, version};
use crate::support::settle;

/// A memory whose writes wait to begin, and wait again when they are done; clones share it.
#[derive(Clone)]
struct Slow {
    memory: Memory,
    begin: Gate,
    end: Gate,
    listeners: Arc<Mutex<Vec<Listener>>>,
}

impl Slow {
    fn new() -> Self {
        Self { memory: Memory::new(1 << 20), begin: Gate::new(), end: Gate::new(), listeners: Arc::default() }
    }

    fn tell(&self, change: &Change) {
        self.listeners.lock().expect("no panic").iter().for_each(|listener| listener(change));
    }
}

impl Store for Slow {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.memory.get(key).await
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<(), StoreError> {
        self.begin.opened().await;
        self.memory.put(key, entry).await?;
        self.end.opened().await;
        Ok(())
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        self.memory.remove(key).await
    }

    async fn purge(&self, selector: &Selector) -> Result<u64, StoreError> {
        self.memory.purge(selector).await
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        self.memory.usage().await
    }

    fn listen(&self, listener: Listener) {
        self.listeners.lock().expect("no panic").push(listener);
    }

    fn announce(&self, change: &Change) {
        self.tell(change);
    }
}

fn over(store: impl Store) -> Cached<str, Row> {
    Cached::builder("rows").store(store).build()
}

#[tokio::test(start_paused = true)]
async fn a_write_that_lands_after_an_invalidation_is_not_believed_and_is_removed() {
    for is_given_up in [false, true] {
        for entries in [0, 1000] {
            let (store, db) = (Slow::new(), Db::default());
            let cached = Cached::builder("rows").entries(entries).store(store.clone()).build();
            version(&cached, "key", &db).await;
            db.write();
            cached.invalidate("key").await.expect("memory");
            store.begin.open();
            settle().await;
            assert!(over(store.memory.clone()).get("key").await.is_some(), "it has landed");
            assert!(cached.get("key").await.is_none(), "it was loaded before");
            if is_given_up {
                tokio::time::sleep(std::time::Duration::from_secs(40)).await;
            } else {
                store.end.open();
                settle().await;
            }
            assert!(over(store.memory.clone()).get("key").await.is_none(), "given up: {is_given_up}");
            assert_eq!(version(&cached, "key", &db).await, 1);
        }
    }
}

#[tokio::test]
async fn an_insertion_that_another_process_overtook_is_not_near() {
    let store = Slow::new();
    let (cached, other) = (over(store.clone()), over(store.memory.clone()));
    store.begin.open();
    let inserted = tokio::spawn({
        let cached = cached.clone();
        async move { cached.insert("key", row(1)).await }
    });
    settle().await;
    assert_eq!(other.get("key").await.map(|row| row.version), Some(1), "it has landed");
    other.insert("key", row(2)).await.expect("memory");
    let page = store.memory.list(&Listing::new(Selector::All)).await.expect("a listing");
    store.tell(&Change::Removed(page.entries[0].key.clone()));
    store.end.open();
    inserted.await.expect("no panic").expect("kept");
    assert_eq!(cached.get("key").await.map(|row| row.version), Some(2));
}

/// Nobody invalidates that much at once; a Redis that is down for an hour may be told of as much.
#[tokio::test(start_paused = true)]
async fn invalidations_that_a_store_fails_take_a_bounded_place() {
    let clock = larder::clock::ManualClock::default();
    let far = crate::support::Far::new(crate::support::memory(&clock));
    let cached = Cached::<u32, Row>::builder("rows").clock(clock.clone()).store(far.clone()).build();
    for key in [0, 1, 4999] {
        cached.insert(&key, row(0)).await.expect("kept");
    }
    far.writes(crate::support::Fault::Fail);
    for key in 0..5000 {
        cached.invalidate(&key).await.expect_err("told to");
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks <= 1100, "{tasks}");
    assert!(cached.get(&1).await.is_none() && cached.get(&4999).await.is_none());
    far.writes(crate::support::Fault::None);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let other = Cached::<u32, Row>::builder("rows").clock(clock).store(far).build();
    for key in [0, 1, 4999] {
        assert!(other.get(&key).await.is_none(), "they are made good for");
    }
    cached.insert(&1, row(1)).await.expect("kept");
    assert_eq!(other.get(&1).await.map(|row| row.version), Some(1), "and count for nothing then");
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
