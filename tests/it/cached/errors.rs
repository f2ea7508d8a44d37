//! Errors of loads: whose they are, and what becomes of those who wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use larder::cached::Cached;
use tokio::time::{Instant, sleep};

use super::{Db, KINDS, Place, Row, row};

/// An error that can't be cloned.
#[derive(Debug, PartialEq, Eq)]
struct Broken(u64);

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn errors_come_out_as_they_went_in_and_are_not_kept() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let (cached, db) = (place.cached().await, Db::default());
        for number in 0..3 {
            let failed = cached.get_or_try_insert("key", || async move { Err::<Row, _>(Broken(number)) }).await;
            assert_eq!(failed, Err(Broken(number)), "{kept:?}");
        }
        assert_eq!(super::version(&cached, "key", &db).await, 0);
        let stats = cached.stats();
        assert_eq!((stats.load_errors, stats.loads, stats.sets), (3, 4, 1), "{kept:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_one_caller_of_many_does_not_fail_the_others() {
    let cached = Cached::<str, Row>::builder("rows").build();
    let loads = AtomicU64::new(0);
    let load = || {
        let number = loads.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(SECOND).await;
            if number == 0 { Err(Broken(number)) } else { Ok(row(number)) }
        }
    };
    let answers = join_all((0..100).map(|_| cached.get_or_try_insert("key", load))).await;
    assert_eq!(answers[0], Err(Broken(0)));
    assert!(answers[1..].iter().all(|answer| answer.as_ref().is_ok_and(|row| row.version == 1)));
    assert_eq!(loads.into_inner(), 2);
}

/// Two try in turn, and then each for itself: whoever waits waits for three time-outs at most.
#[tokio::test(start_paused = true)]
async fn a_database_that_is_down_gives_each_its_own_error_after_three_timeouts_at_most() {
    let cached = Cached::<str, Row>::builder("rows").build();
    let loads = AtomicU64::new(0);
    let begin = Instant::now();
    let load = || {
        let number = loads.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(5 * SECOND).await;
            Err::<Row, _>(Broken(number))
        }
    };
    let answers = join_all((0..100).map(|_| cached.get_or_try_insert("key", load))).await;
    let mut numbers: Vec<_> = answers.into_iter().map(|answer| answer.expect_err("it is down").0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "each has its own");
    assert_eq!(begin.elapsed(), 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_can_be_cloned_reaches_all_who_wait_by_one_load() {
    let cached = Cached::<str, Row>::builder("rows").build();
    let loads = AtomicU64::new(0);
    let load = || {
        let number = loads.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(5 * SECOND).await;
            Err::<Row, _>(Arc::new(Broken(number)))
        }
    };
    let answers = join_all((0..100).map(|_| cached.get_or_try_insert_shared("key", load))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| **error == Broken(0))));
    assert_eq!((loads.load(Ordering::SeqCst), cached.stats().misses), (1, 100));
    // Who has errors of another type tries for itself.
    let (one, other) = tokio::join!(
        cached.get_or_try_insert_shared("key", load),
        cached.get_or_try_insert_shared("key", || async { Err::<Row, _>("of another type") }),
    );
    assert_eq!((one.expect_err("it is down").0, other), (1, Err("of another type")));
}
