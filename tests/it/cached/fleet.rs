//! Instances that share a Redis: what one changes the others know.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use larder::{
    cached::Cached,
    clock::ManualClock,
    entry::Entry,
    key::Key,
    store::{Change, Listener, Memory, Store, StoreError, Usage},
    tag::Selector,
};

use super::{Db, Gate, Kept, Place, Row, SHARED, hears, redis, row, tag, told, until, version};
use crate::support::redis::{Fault, Relay};

#[tokio::test]
async fn what_one_loads_the_other_has() {
    for kept in SHARED {
        let place = Place::new(kept).await;
        let ([one, other], db) = ([place.cached().await, place.cached().await], Db::default());
        version(&one, "key", &db).await;
        until("it is far", async || other.get("key").await.is_some()).await;
        assert_eq!((version(&other, "key", &db).await, db.loads()), (0, 1), "{kept:?}");
        let none = || async { Ok::<Option<Row>, &str>(None) };
        assert_eq!(one.get_or_try_find("nobody", none).await, Ok(None));
        let known = async || other.get_or_try_find("nobody", || async { Err("it isn't known") }).await == Ok(None);
        until("it is known that there is none", known).await;
    }
}

#[tokio::test]
async fn what_one_invalidates_the_other_serves_no_more_once_it_is_told() {
    for kept in SHARED {
        for by_tag in [false, true] {
            let place = Place::new(kept).await;
            let one = place.cached().await;
            let store = redis(&place.server().url());
            let builder = Cached::<str, Row>::builder("rows").label(str::to_owned).tags(|row| vec![tag(&row.group)]);
            let builder = if kept == Kept::Redis { builder.entries(0) } else { builder };
            let other = builder.store(store.clone()).build();
            hears(&store).await;
            let db = Db::default();
            version(&one, "key", &db).await;
            until("it is far", async || other.get("key").await.is_some()).await;
            // The other loads meanwhile, too, and had begun before.
            let gate = Gate::new();
            let loading = tokio::spawn({
                let (other, db, gate) = (other.clone(), db.clone(), gate.clone());
                async move { other.refresh("key", || db.load_behind(&gate)).await }
            });
            until("it loads", async || db.loads() == 2).await;
            db.write();
            let is_told = told(&store, |change| matches!(change, Change::Purged(_)));
            let invalidated = async {
                if by_tag {
                    one.invalidate_tag(&tag("all")).await.expect("an invalidation");
                } else {
                    one.invalidate("key").await.expect("an invalidation");
                }
            };
            tokio::join!(is_told, invalidated);
            gate.open();
            assert_eq!(loading.await.expect("no panic").expect("a row").version, 0);
            for cached in [&other, &one, &other] {
                assert_eq!(version(cached, "key", &db).await, 1, "{kept:?}, by a tag: {by_tag}");
            }
        }
    }
}

#[tokio::test]
async fn what_one_inserts_takes_the_place_of_what_the_other_has() {
    let place = Place::new(Kept::Both).await;
    let [one, other] = [place.cached().await, place.cached().await];
    one.insert("key", row(1)).await.expect("kept");
    assert_eq!(other.get("key").await.map(|row| row.version), Some(1));
    one.insert("key", row(2)).await.expect("kept");
    until("it is told", async || other.get("key").await.is_some_and(|row| row.version == 2)).await;
}

#[tokio::test]
async fn what_is_stale_everywhere_one_instance_refreshes() {
    let place = Place::new(Kept::Both).await;
    let (clock, db) = (ManualClock::new(std::time::SystemTime::now()), Db::default());
    let second = Duration::from_secs(1);
    let set = || async {
        place.with(|builder| builder.ttl(60 * second).stale_while_revalidate(600 * second).clock(clock.clone())).await
    };
    let [one, other] = [set().await, set().await];
    version(&one, "key", &db).await;
    // With its lease given back, which would keep the other from refreshing for a second.
    place.has_it().await;
    assert!(other.get("key").await.is_some());
    db.write();
    clock.advance(61 * second);
    let gate = Gate::new();
    assert_eq!(one.get_or_try_insert("key", || db.load_behind(&gate)).await.expect("stale").version, 0);
    until("it refreshes", async || db.loads() == 2).await;
    for _ in 0..20 {
        assert_eq!(version(&other, "key", &db).await, 0, "stale");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    gate.open();
    for cached in [&one, &other] {
        until("it has the new one", async || version(cached, "key", &db).await == 1).await;
    }
    assert_eq!(db.loads(), 2);
}

/// Redis can be asked all the while; only messages don't come.
#[tokio::test]
async fn what_is_near_is_not_trusted_while_changes_may_be_missed() {
    let place = Place::new(Kept::Both).await;
    let relay = Relay::to(place.server().port()).await;
    let one = place.cached().await;
    let store = redis(&relay.url());
    let other = Cached::<str, Row>::builder("rows").label(str::to_owned).store(store.clone()).build();
    hears(&store).await;
    let db = Db::default();
    version(&one, "key", &db).await;
    until("it is near", async || other.get("key").await.is_some()).await;
    relay.set(Fault::Refuse);
    told(&store, |change| matches!(change, Change::Deaf)).await;
    db.write();
    one.invalidate("key").await.expect("an invalidation");
    assert_eq!(version(&other, "key", &db).await, 0, "without Redis it lives by what is near");
    relay.set(Fault::Pass);
    hears(&store).await;
    assert_eq!(version(&other, "key", &db).await, 1, "what was missed is not served");
}

/// A store that says what it is told to; clones share it.
#[derive(Clone)]
struct Teller(Memory, Arc<Mutex<Vec<Listener>>>);

impl Teller {
    fn tell(&self, change: &Change) {
        self.1.lock().expect("no panic").iter().for_each(|listener| listener(change));
    }
}

impl Store for Teller {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.0.get(key).await
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<(), StoreError> {
        self.0.put(key, entry).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        self.0.remove(key).await
    }

    async fn purge(&self, selector: &Selector) -> Result<u64, StoreError> {
        self.0.purge(selector).await
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        self.0.usage().await
    }

    fn listen(&self, listener: Listener) {
        self.1.lock().expect("no panic").push(listener);
    }
}

#[tokio::test]
async fn the_store_is_asked_first_while_changes_may_be_missed() {
    let (store, db) = (Teller(Memory::new(1 << 20), Arc::default()), Db::default());
    let cached = Cached::<str, Row>::builder("rows").store(store.clone()).build();
    version(&cached, "key", &db).await;
    store.0.purge(&Selector::All).await.expect("memory");
    assert_eq!(version(&cached, "key", &db).await, 0, "nothing was said of it");
    store.tell(&Change::Deaf);
    db.write();
    assert_eq!(version(&cached, "key", &db).await, 1);
    store.0.purge(&Selector::All).await.expect("memory");
    db.write();
    assert_eq!(version(&cached, "key", &db).await, 2, "what is near is asked for by nobody");
    store.tell(&Change::Hearing);
    store.0.purge(&Selector::All).await.expect("memory");
    db.write();
    assert_eq!(version(&cached, "key", &db).await, 3, "it was emptied");
    store.0.purge(&Selector::All).await.expect("memory");
    assert_eq!(version(&cached, "key", &db).await, 3, "and is trusted again");
}
