//! One load for all who look up the same at once.

use std::{convert::Infallible, time::Duration};

use larder::cached::Cached;
use tokio::time::Instant;

use super::{Db, Gate, KINDS, Kept, Place, Row, SOON, row, until};
use crate::support::{begun, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stampede_of_10_000_on_one_cold_key_makes_one_load() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let (cached, db) = (place.cached().await, Db::default());
        let gate = Gate::new();
        let mut asked = Vec::with_capacity(10_000);
        for _ in 0..10_000 {
            let (cached, db, gate) = (cached.clone(), db.clone(), gate.clone());
            asked.push(tokio::spawn(async move {
                cached.get_or_try_insert("key", || db.load_behind(&gate)).await.expect("a row").version
            }));
        }
        until("it loads", async || db.loads() > 0).await;
        gate.open();
        for asked in asked {
            assert_eq!(tokio::time::timeout(SOON, asked).await.expect("in time").expect("no panic"), 0);
        }
        let stats = cached.stats();
        assert_eq!((db.loads(), stats.loads, stats.misses), (1, 1, 1), "{kept:?}");
        assert_eq!(stats.collapsed + stats.hits + stats.far_hits, 9_999, "{kept:?}: {stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_make_one_load() {
    for kept in [Kept::Redis, Kept::Both] {
        let place = Place::new(kept).await;
        let (instances, db) = ([place.cached().await, place.cached().await], Db::default());
        let gate = Gate::new();
        let asked: Vec<_> = (0..200)
            .map(|number| {
                let (cached, db) = (instances[number % 2].clone(), db.clone());
                let gate = gate.clone();
                tokio::spawn(async move {
                    cached.get_or_try_insert("key", || db.load_behind(&gate)).await.expect("a row").version
                })
            })
            .collect();
        until("it loads", async || db.loads() > 0).await;
        until("the other waits", async || {
            let mut waits = false;
            for lease in place.server().keys("*!lease").await {
                waits |= place.server().command(&["HGET", &lease, "waited"]).await != redis::Value::Nil;
            }
            waits
        })
        .await;
        gate.open();
        for asked in asked {
            assert_eq!(tokio::time::timeout(SOON, asked).await.expect("in time").expect("no panic"), 0);
        }
        assert_eq!(db.loads(), 1, "{kept:?}");
    }
}

#[tokio::test]
async fn a_load_whose_caller_goes_away_goes_on_for_those_who_wait() {
    let (cached, db) = (Cached::<str, Row>::builder("rows").build(), Db::default());
    let gate = Gate::new();
    let first = begun(cached.get_or_try_insert("key", || db.load_behind(&gate)));
    let second = tokio::spawn({
        let (cached, db) = (cached.clone(), db.clone());
        async move { cached.get_or_try_insert("key", || db.load()).await }
    });
    settle().await;
    drop(first);
    settle().await;
    gate.open();
    assert_eq!(second.await.expect("no panic").expect("a row").version, 0);
    assert_eq!((db.loads(), cached.stats().loads_unfinished), (1, 0));
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_is_given_up_and_holds_up_nobody() {
    let (cached, db) = (Cached::<str, Row>::builder("rows").build(), Db::default());
    let gate = Gate::new();
    drop(begun(cached.get_or_try_insert("key", || db.load_behind(&gate))));
    settle().await;
    assert_eq!(cached.stats().loads_unfinished, 1);
    let load = || db.load();
    assert_eq!(begun_is_done(cached.get_or_try_insert("key", load)).await, 0);
}

async fn begun_is_done(asked: impl Future<Output = Result<std::sync::Arc<Row>, Infallible>>) -> u64 {
    tokio::time::timeout(SOON, asked).await.expect("at once").expect("a row").version
}

#[tokio::test]
async fn a_load_that_panics_passes_its_turn_on() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let (cached, db) = (place.cached().await, Db::default());
        let gate = Gate::new();
        let first = tokio::spawn({
            let (cached, gate) = (cached.clone(), gate.clone());
            async move {
                let load = || async move {
                    gate.opened().await;
                    if true {
                        panic!("told to");
                    }
                    Ok::<_, Infallible>(row(9))
                };
                cached.get_or_try_insert("key", load).await
            }
        });
        until("it loads", async || cached.stats().loads == 1).await;
        let others: Vec<_> = (0..10)
            .map(|_| {
                let (cached, db) = (cached.clone(), db.clone());
                tokio::spawn(async move { cached.get_or_try_insert("key", || db.load()).await })
            })
            .collect();
        settle().await;
        gate.open();
        assert!(first.await.expect_err("it panics").is_panic());
        for other in others {
            let other = tokio::time::timeout(SOON, other).await.expect("in time");
            assert_eq!(other.expect("no panic").expect("a row").version, 0, "{kept:?}");
        }
        assert_eq!((db.loads(), cached.stats().loads_unfinished), (1, 1), "{kept:?}");
    }
}

/// Those who wait are as patient as they are told; then one of them loads for all.
#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_is_waited_for_no_longer_than_the_patience() {
    let cached = Cached::<str, Row>::builder("rows").patience(Duration::from_secs(10)).build();
    let db = Db::default();
    let begin = Instant::now();
    let gate = Gate::new();
    let hung = begun(cached.get_or_try_insert("key", || db.load_behind(&gate)));
    let asked = (0..50).map(|_| async { cached.get_or_try_insert("key", || db.load()).await });
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.expect("a row").version, 0);
    }
    assert_eq!((begin.elapsed().as_secs(), db.loads()), (10, 2));
    drop(hung);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_altogether_holds_up_nobody_but_by_their_own_loads() {
    let cached = Cached::<str, Row>::builder("rows").patience(Duration::from_secs(10)).build();
    let begin = Instant::now();
    let load = || async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Ok::<_, Infallible>(row(0))
    };
    let asked = (0..50).map(|_| cached.get_or_try_insert("key", load));
    for answer in futures_util::future::join_all(asked).await {
        answer.expect("a row");
    }
    assert_eq!(begin.elapsed().as_secs(), 120, "twice the patience, and a load");
}
