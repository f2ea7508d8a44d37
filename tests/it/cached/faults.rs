//! A store that fails, hangs or goes away, and what it has when it is back.

use std::{convert::Infallible, time::Duration};

use larder::{
    cached::Cached,
    clock::ManualClock,
    redis::Client,
    store::{Redis, Store as _},
};
use tokio::time::Instant;

use super::{Db, Gate, Row, hears, row, tag, until, version};
use crate::support::{
    Far, Fault, memory,
    redis::{Relay, Server},
    settle,
};

fn over(url: &str) -> (Redis, Cached<str, Row>) {
    let client = Client::builder(url).response_timeout(Duration::from_millis(300)).build().expect("a URL");
    let store = Redis::builder(client).build().expect("a store");
    let builder = Cached::<str, Row>::builder("rows").tags(|row| vec![tag(&row.group)]);
    let cached = builder.lookup_timeout(Duration::from_secs(5)).store(store.clone()).build();
    (store, cached)
}

#[tokio::test]
async fn loads_go_on_together_while_redis_is_down() {
    let mut server = Server::start().await;
    let (store, cached) = over(&server.url());
    hears(&store).await;
    let db = Db::default();
    version(&cached, "before", &db).await;
    server.kill();
    until("it notices", async || !store.health().await.is_up()).await;
    assert_eq!((version(&cached, "before", &db).await, db.loads()), (0, 1), "what is near is still there");
    let gate = Gate::new();
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let (cached, db, gate) = (cached.clone(), db.clone(), gate.clone());
            tokio::spawn(async move {
                cached.get_or_try_insert("key", || db.load_behind(&gate)).await.expect("a row").version
            })
        })
        .collect();
    until("it loads", async || db.loads() == 2).await;
    settle().await;
    gate.open();
    for asked in asked {
        assert_eq!(asked.await.expect("no panic"), 0);
    }
    assert_eq!(db.loads(), 2);
    assert_eq!((version(&cached, "key", &db).await, db.loads()), (0, 2), "and is kept near");
}

/// The old value lies in Redis while it is stopped, and when it goes on; by then this process has been told that it is gone.
#[tokio::test]
async fn what_was_invalidated_while_redis_was_away_is_not_served_when_it_is_back() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let (store, cached) = over(&relay.url());
    hears(&store).await;
    let db = Db::default();
    version(&cached, "key", &db).await;
    until("it is far", async || !server.keys("larder:default:rows:*").await.is_empty()).await;
    relay.set(crate::support::redis::Fault::Refuse);
    db.write();
    for _ in 0..2 {
        cached.invalidate("key").await.expect_err("Redis can't be told");
    }
    assert_eq!(version(&cached, "key", &db).await, 1);
    relay.set(crate::support::redis::Fault::Pass);
    until("Redis answers", async || store.health().await.is_up()).await;
    let mut was_there = false;
    let end = async || {
        was_there |= !server.keys("larder:default:rows:*").await.is_empty();
        assert_eq!(version(&cached, "key", &db).await, 1, "whatever Redis has");
        cached.stats().store_write_errors > 0 && store.get(&key(&server).await).await.is_ok()
    };
    until("it was asked", end).await;
    assert!(was_there, "the old value was in Redis when it came back");
    // And it is made good for without a word.
    let fresh: (_, Cached<str, Row>) = over(&server.url());
    until("no other process finds it", async || fresh.1.get("key").await.is_none_or(|row| row.version == 1)).await;
}

async fn key(server: &Server) -> larder::key::Key {
    let names = server.keys("larder:default:rows:*").await;
    let name = names.first().map_or("larder:default:rows:x", String::as_str);
    name.trim_start_matches("larder:default:").parse().unwrap_or_else(|_| larder::key::KeyBuilder::new("x").finish())
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_nobody_up_for_longer_than_its_time() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let cached = Cached::<str, Row>::builder("rows").store(far.clone()).clock(clock).build();
    let db = Db::default();
    far.gets(Fault::Hang);
    far.writes(Fault::Hang);
    let begin = Instant::now();
    assert_eq!(version(&cached, "key", &db).await, 0);
    assert_eq!(begin.elapsed(), Duration::from_millis(250));
    assert_eq!((version(&cached, "key", &db).await, db.loads()), (0, 1), "it is near");
    assert_eq!(begin.elapsed(), Duration::from_millis(250));
    assert_eq!(cached.stats().store_read_errors, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_do_it_is_not_believed_until_it_has() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let builder = || Cached::<str, Row>::builder("rows").tags(|row| vec![tag(&row.group)]).store(far.clone());
    let cached = builder().clock(clock.clone()).build();
    let db = Db::default();
    version(&cached, "key", &db).await;
    settle().await;
    far.writes(Fault::Fail);
    db.write();
    cached.invalidate_tag(&tag("all")).await.expect_err("told to");
    let other = builder().clock(clock.clone()).build();
    assert_eq!(other.get("key").await.map(|row| row.version), Some(0), "it is there");
    assert!(cached.get("key").await.is_none());
    assert_eq!(version(&cached, "key", &db).await, 1);
    // A call that is dropped half-way is made good for as well.
    far.writes(Fault::Hang);
    let load = || async { Ok::<_, Infallible>(row(9)) };
    cached.get_or_try_insert("key2", load).await.expect("a row");
    drop(crate::support::begun(cached.invalidate("key2")));
    far.writes(Fault::None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let third = builder().clock(clock).build();
    assert!(third.get("key").await.is_none(), "it is tried again until it is done");
}

#[tokio::test]
async fn an_insert_that_the_store_fails_leaves_nothing_older() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let cached = Cached::<str, Row>::builder("rows").store(far.clone()).clock(clock).build();
    cached.insert("key", row(1)).await.expect("kept");
    far.writes(Fault::Fail);
    cached.insert("key", row(2)).await.expect_err("told to");
    assert!(cached.get("key").await.is_none(), "neither near nor far");
}
