//! For how long a value is fresh, and what is served after that.

use std::time::Duration;

use larder::{
    cached::{Builder, Cached},
    clock::ManualClock,
};

use super::{Db, Gate, KINDS, Kept, Place, Row, row, serialised, until, version};
use crate::support::{Far, Fault, begun, memory, poll_once, settle};

const SECOND: Duration = Duration::from_secs(1);

/// Redis goes by a clock of its own, from which this must not be far.
fn clock() -> ManualClock {
    ManualClock::new(std::time::SystemTime::now())
}

async fn refused() -> Result<Row, &'static str> {
    Err("the database is down")
}

async fn rows(place: &Place, clock: &ManualClock, set: fn(Builder<str, Row>) -> Builder<str, Row>) -> Cached<str, Row> {
    place.with(|builder| set(builder.ttl(60 * SECOND).clock(clock.clone()))).await
}

#[tokio::test]
async fn a_value_is_fresh_for_its_time_and_then_loaded_again() {
    for kept in KINDS {
        let (place, clock, db) = (Place::new(kept).await, clock(), Db::default());
        let cached = rows(&place, &clock, |builder| builder).await;
        assert_eq!(version(&cached, "key", &db).await, 0);
        place.has_it().await;
        db.write();
        clock.advance(59 * SECOND);
        assert_eq!(version(&cached, "key", &db).await, 0, "{kept:?}");
        assert_eq!(cached.get("key").await.map(|row| row.version), Some(0));
        clock.advance(SECOND);
        assert!(cached.get("key").await.is_none());
        assert_eq!((version(&cached, "key", &db).await, db.loads()), (1, 2), "{kept:?}");
    }
}

#[tokio::test]
async fn a_value_may_say_itself_how_long_it_is_fresh() {
    let (clock, db) = (clock(), Db::default());
    let own = |row: &Row| (row.version == 1).then_some(5 * SECOND);
    let cached =
        Cached::<str, Row>::builder("rows").jitter(0.0).ttl(60 * SECOND).ttl_of(own).clock(clock.clone()).build();
    version(&cached, "usual", &db).await;
    db.write();
    version(&cached, "short", &db).await;
    clock.advance(5 * SECOND);
    assert!(cached.get("usual").await.is_some() && cached.get("short").await.is_none());
}

#[tokio::test]
async fn jitter_takes_away_a_part_at_most() {
    let clock = clock();
    let cached = Cached::<u32, Row>::builder("rows").jitter(0.5).ttl(100 * SECOND).clock(clock.clone()).build();
    for key in 0..200 {
        cached.insert(&key, row(0)).await.expect("memory");
    }
    let fresh = async || {
        let mut fresh = 0;
        for key in 0..200 {
            fresh += usize::from(cached.get(&key).await.is_some());
        }
        fresh
    };
    clock.advance(49 * SECOND);
    assert_eq!(fresh().await, 200);
    clock.advance(26 * SECOND);
    assert!((40..160).contains(&fresh().await), "about half of them");
    clock.advance(25 * SECOND);
    assert_eq!(fresh().await, 0);
}

#[tokio::test]
async fn that_there_is_no_value_is_kept_for_its_own_time() {
    for kept in KINDS {
        let (place, clock) = (Place::new(kept).await, clock());
        let cached = rows(&place, &clock, |builder| builder.negative_ttl(10 * SECOND)).await;
        let none = || async { Ok::<Option<Row>, &str>(None) };
        assert_eq!(cached.get_or_try_find("key", none).await, Ok(None));
        settle().await;
        until("it is kept", async || cached.get_or_try_find("key", || async { Err("again") }).await == Ok(None)).await;
        // Who needs a value isn't content with that.
        let load = || async { Ok::<_, &str>(row(7)) };
        assert!(cached.get_or_try_insert("other", load).await.is_ok());
        clock.advance(10 * SECOND);
        let some = || async { Ok::<_, &str>(Some(row(1))) };
        let found = cached.get_or_try_find("key", some).await.expect("loaded").expect("a row");
        assert_eq!((found.version, cached.stats().load_errors), (1, 0), "{kept:?}");
    }
}

#[tokio::test]
async fn a_caller_who_needs_a_value_loads_though_there_is_known_to_be_none() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let cached = place.cached().await;
        let none = || async { Ok::<Option<Row>, &str>(None) };
        assert_eq!(cached.get_or_try_find("key", none).await, Ok(None));
        let some = || async { Ok::<_, &str>(row(1)) };
        assert_eq!(cached.get_or_try_insert("key", some).await.expect("loaded").version, 1, "{kept:?}");
        until("it is kept", async || cached.get("key").await.is_some()).await;
        let found = cached.get_or_try_find("key", none).await.expect("kept").expect("a row");
        assert_eq!(found.version, 1);
    }
}

#[tokio::test]
async fn a_stale_value_is_served_while_one_refresh_is_behind_it() {
    for kept in KINDS {
        let (place, clock, db) = (Place::new(kept).await, clock(), Db::default());
        let cached = rows(&place, &clock, |builder| builder.stale_while_revalidate(30 * SECOND)).await;
        version(&cached, "key", &db).await;
        place.has_it().await;
        db.write();
        clock.advance(70 * SECOND);
        let gate = Gate::new();
        for _ in 0..20 {
            let load = || db.load_behind(&gate);
            assert_eq!(cached.get_or_try_insert("key", load).await.expect("stale").version, 0, "{kept:?}");
        }
        until("it refreshes", async || db.loads() == 2).await;
        gate.open();
        until("it is refreshed", async || cached.get("key").await.is_some_and(|row| row.version == 1)).await;
        assert_eq!((db.loads(), cached.stats().stale_hits), (2, 20), "{kept:?}");
        // After that it isn't served.
        db.write();
        clock.advance(90 * SECOND);
        assert_eq!(version(&cached, "key", &db).await, 2, "{kept:?}");
    }
}

#[tokio::test]
async fn a_refresh_that_fails_is_tried_again_after_a_second_and_not_by_everyone() {
    let (clock, db) = (clock(), Db::default());
    let builder = Cached::<str, Row>::builder("rows").jitter(0.0).ttl(60 * SECOND).clock(clock.clone());
    let cached = builder.stale_while_revalidate(30 * SECOND).build();
    version(&cached, "key", &db).await;
    clock.advance(61 * SECOND);
    for tried in 1..5 {
        for _ in 0..20 {
            assert_eq!(cached.get_or_try_insert("key", refused).await.expect("stale").version, 0);
            settle().await;
        }
        assert_eq!(cached.stats().load_errors, tried);
        clock.advance(SECOND);
    }
}

/// Nobody waits for it who could lose patience.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_keeps_others_from_refreshing_no_longer_than_the_patience() {
    let (clock, db) = (clock(), Db::default());
    let builder = Cached::<str, Row>::builder("rows").jitter(0.0).ttl(60 * SECOND).clock(clock.clone());
    let cached = builder.stale_while_revalidate(3600 * SECOND).patience(10 * SECOND).build();
    version(&cached, "key", &db).await;
    db.write();
    clock.advance(61 * SECOND);
    let gate = Gate::new();
    assert_eq!(cached.get_or_try_insert("key", || db.load_behind(&gate)).await.expect("stale").version, 0);
    settle().await;
    clock.advance(9 * SECOND);
    tokio::time::sleep(9 * SECOND).await;
    assert_eq!((version(&cached, "key", &db).await, db.loads()), (0, 2), "it may be slow");
    clock.advance(2 * SECOND);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(version(&cached, "key", &db).await, 0);
    settle().await;
    assert_eq!((version(&cached, "key", &db).await, db.loads()), (1, 3));
}

#[tokio::test]
async fn a_stale_value_stands_in_for_an_error_within_its_window() {
    for kept in KINDS {
        let (place, clock, db) = (Place::new(kept).await, clock(), Db::default());
        let cached = rows(&place, &clock, |builder| builder.stale_if_error(30 * SECOND)).await;
        version(&cached, "key", &db).await;
        place.has_it().await;
        clock.advance(70 * SECOND);
        for _ in 0..20 {
            assert_eq!(cached.get_or_try_insert("key", refused).await.expect("stale").version, 0, "{kept:?}");
        }
        let stats = cached.stats();
        assert_eq!(
            (stats.stale_on_error, stats.misses, stats.lookups()),
            (20, 1, 21),
            "{kept:?}: each is counted once"
        );
        if kept != Kept::Redis {
            assert_eq!(stats.load_errors, 1, "{kept:?}: not everybody waits for a database that is down");
        }
        clock.advance(20 * SECOND);
        assert_eq!(cached.get_or_try_insert("key", refused).await, Err("the database is down"), "{kept:?}");
    }
}

#[tokio::test]
async fn a_refresh_on_demand_loads_what_is_fresh_and_keeps_it_if_that_fails() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let (cached, db) = (place.cached().await, Db::default());
        // Also as the first that a process does.
        db.write();
        assert_eq!(cached.refresh("key", || db.load()).await.expect("a row").version, 1);
        until("it is kept", async || cached.get("key").await.is_some()).await;
        assert_eq!(cached.refresh("key", refused).await, Err("the database is down"));
        assert_eq!(version(&cached, "key", &db).await, 1);
        db.write();
        assert_eq!(cached.refresh("key", || db.load()).await.expect("a row").version, 2);
        assert_eq!((version(&cached, "key", &db).await, db.loads()), (2, 2), "{kept:?}");
    }
}

/// What was read from the store before the load ended is older than what it brought, whichever comes near first.
#[tokio::test(start_paused = true)]
async fn what_a_refresh_brought_stays_though_an_older_value_is_read_meanwhile() {
    for is_read_later in [false, true] {
        let (far, db) = (Far::new(memory(&ManualClock::default())), Db::default());
        let builder = || Cached::<str, Row>::builder("rows").clock(ManualClock::default()).store(far.clone());
        builder().build().insert("key", row(0)).await.expect("kept");
        db.write();
        let (cached, gate) = (builder().lookup_timeout(60 * SECOND).build(), Gate::new());
        let mut refresh = Box::pin(cached.refresh("key", || db.load_behind(&gate)));
        assert!(poll_once(&mut refresh).is_pending());
        // What it brings is not far for now.
        far.writes(Fault::Hang);
        if is_read_later {
            far.gets(Fault::Slow(SECOND));
            let read = begun(cached.get("key"));
            gate.open();
            assert_eq!(refresh.await.expect("a row").version, 1);
            assert_eq!(read.await.map(|row| row.version), Some(0), "it asked before");
        } else {
            assert_eq!(cached.get("key").await.map(|row| row.version), Some(0), "it asked before");
            gate.open();
            assert_eq!(refresh.await.expect("a row").version, 1);
        }
        assert_eq!(cached.get("key").await.map(|row| row.version), Some(1), "read later: {is_read_later}");
    }
}

#[tokio::test]
async fn memory_keeps_within_its_bound() {
    let few = Cached::<u32, Row>::builder("rows").entries(100).build();
    let heap = |row: &Row| row.group.capacity();
    let small = Cached::<u32, Row>::builder("rows").bytes(1 << 20, heap).build();
    for key in 0..5000 {
        few.insert(&key, row(0)).await.expect("memory");
        small.insert(&key, Row { version: 0, group: "x".repeat(1000) }).await.expect("memory");
    }
    let (few, small) = (few.handle().usage(), small.handle().usage());
    assert!(few.entries <= 100 && few.evictions == 5000 - few.entries, "{few:?}");
    assert!(small.bytes <= 1 << 20 && small.entries <= 1048 && small.entries > 500, "{small:?}");
}

#[tokio::test]
async fn a_value_that_is_replaced_is_not_evicted() {
    let cached = Cached::<u32, Row>::builder("rows").entries(100).build();
    for version in 0..9 {
        cached.refresh(&0, || async move { Ok::<_, &str>(row(version)) }).await.expect("a row");
    }
    let usage = cached.handle().usage();
    assert_eq!((usage.entries, usage.evictions), (1, 0), "{usage:?}");
}

#[tokio::test]
async fn a_hit_in_memory_serialises_nothing() {
    for kept in [Kept::Memory, Kept::Both] {
        let place = Place::new(kept).await;
        let (cached, db) = (place.cached().await, Db::default());
        version(&cached, "key", &db).await;
        settle().await;
        let before = serialised();
        for _ in 0..100 {
            assert_eq!(version(&cached, "key", &db).await, 0);
        }
        assert_eq!((serialised() - before, cached.stats().hits), (0, 100), "{kept:?}");
    }
}

#[tokio::test]
async fn a_hit_in_redis_is_one_round_trip() {
    let place = Place::new(Kept::Redis).await;
    let (cached, db) = (place.cached().await, Db::default());
    version(&cached, "key", &db).await;
    until("it is kept", async || cached.get("key").await.is_some()).await;
    let called = async || {
        let stats = place.server().commandstats().await;
        let get = stats["get"];
        let others = |name: &str| !matches!(name, "get" | "info" | "ping");
        (get, stats.iter().filter(|(name, _)| others(name)).map(|(_, count)| count).sum::<u64>())
    };
    // Whatever was begun before is over.
    let mut before = called().await;
    until("it is quiet", async || {
        let now = called().await;
        std::mem::replace(&mut before, now) == now
    })
    .await;
    for _ in 0..100 {
        assert_eq!(version(&cached, "key", &db).await, 0);
    }
    assert_eq!(called().await, (before.0 + 100, before.1));
}

#[tokio::test]
async fn a_near_value_is_as_old_as_the_far_one_it_was_read_from() {
    let place = Place::new(Kept::Both).await;
    let (clock, db) = (clock(), Db::default());
    let one = rows(&place, &clock, |builder| builder).await;
    let other = rows(&place, &clock, |builder| builder).await;
    version(&one, "key", &db).await;
    clock.advance(50 * SECOND);
    until("it is far", async || other.get("key").await.is_some()).await;
    clock.advance(10 * SECOND);
    assert!(other.get("key").await.is_none(), "not a minute more");
}
