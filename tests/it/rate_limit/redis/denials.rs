//! What was denied is denied without asking, until there can be room.

use std::{slice::from_ref, time::Duration};

use larder::rate_limit::{Algorithm, Correction, Limiter as _, Quota, Unit};

use super::{at_cost, builder, is_allowed, limiter, one, policy, runs, take, until, used};
use crate::support::redis::Server;

/// Neither too early, which would cost a call that is denied; nor too late, for the time is Redis's own, to the microsecond.
#[tokio::test]
async fn a_denial_costs_no_call_until_there_is_room_and_the_first_try_then_passes() {
    let server = Server::start().await;
    let algorithms = [Algorithm::default(), Algorithm::Strict { buckets: 1 }, Algorithm::Approximate, Algorithm::Log];
    for algorithm in algorithms {
        for amount in [1, 3] {
            server.command(&["FLUSHALL"]).await;
            let redis = limiter(&server.url());
            let quota = Quota::per(amount, Duration::from_millis(400)).algorithm(algorithm);
            let charge = one(&policy("limit", quota), "alice");
            // The window may slide meanwhile.
            let mut denied = take(&redis, from_ref(&charge)).await;
            while denied.is_allowed() {
                denied = take(&redis, from_ref(&charge)).await;
            }
            let (before, _) = runs(&server).await;
            let (mut denials, mut left) = (0, denied.retry_after().expect("a time"));
            loop {
                let taken = take(&redis, from_ref(&charge)).await;
                if taken.is_allowed() {
                    break;
                }
                denials += 1;
                let now = taken.retry_after().expect("a time");
                assert!(now <= left, "{now:?} after {left:?}");
                left = now;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(runs(&server).await.0 - before, 1, "{algorithm:?} {amount}: after {denials} denials");
        }
    }
}

/// Also without asking: who comes back when the first has room is told to wait again.
#[tokio::test]
async fn the_longest_of_several_waits_is_told_whether_redis_is_asked_or_not() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let quotas = [("rpm", Quota::per_minute(1)), ("rpd", Quota::per_day(1)), ("rph", Quota::per_hour(1))];
    let charges = quotas.map(|(name, quota)| one(&policy(name, quota), "alice"));
    assert!(is_allowed(&redis, &charges).await);
    let asked = take(&redis, &charges).await.retry_after().expect("a time");
    let (before, _) = runs(&server).await;
    for _ in 0..3 {
        let denied = take(&redis, &charges).await;
        let told = denied.retry_after().expect("a time");
        assert!(told <= asked && told > asked - Duration::from_secs(60), "{told:?} after {asked:?}");
        assert_eq!(denied.standings.iter().filter(|standing| standing.denies()).count(), 3);
    }
    assert_eq!(runs(&server).await.0, before);
}

/// What others give back is found within a second, but nobody is told to come back every second.
#[tokio::test]
async fn a_denial_of_tokens_is_believed_for_a_second_and_tells_the_whole_time() {
    let server = Server::start().await;
    let [redis, other] = [(); 2].map(|()| limiter(&server.url()));
    let charge = at_cost(&one(&policy("tph", Quota::per_hour(100).of(Unit::Tokens)), "alice"), 80);
    let taken = take(&other, from_ref(&charge)).await;
    let asked = take(&redis, from_ref(&charge)).await.retry_after().expect("a time");
    let (before, _) = runs(&server).await;
    let told = take(&redis, from_ref(&charge)).await.retry_after().expect("a time");
    assert_eq!(runs(&server).await.0, before, "it is not asked at once");
    assert!(told <= asked && told > asked - Duration::from_secs(60), "{told:?} after {asked:?}");
    other.settle(&[Correction::new(&charge, taken.standings[0].bucket, 10)]).await.expect("an answer");
    until("what was given back is found", async || is_allowed(&redis, from_ref(&charge)).await).await;
    assert_eq!(used(&redis, &charge).await, 90);
}

#[tokio::test]
async fn a_denial_says_nothing_of_requests_that_ask_for_less() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let charge = one(&policy("tph", Quota::per_hour(100).of(Unit::Tokens)), "alice");
    let admitted = [60, 60, 41, 40, 1].map(|cost| at_cost(&charge, cost));
    let mut told = Vec::new();
    for charge in &admitted {
        told.push(is_allowed(&redis, from_ref(charge)).await);
    }
    assert_eq!(told, [true, false, false, true, false]);
    // A look is answered by Redis.
    assert_eq!(used(&redis, &charge).await, 100);
}

/// It is denied either way, but has to wait longer, or need not come back.
#[tokio::test]
async fn a_denial_tells_no_time_to_requests_that_ask_for_more() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let charge = one(&policy("tph", Quota::per_hour(100).of(Unit::Tokens)), "alice");
    assert!(is_allowed(&redis, &[at_cost(&charge, 95)]).await);
    assert!(take(&redis, &[at_cost(&charge, 10)]).await.retry_after().is_some());
    assert_eq!(take(&redis, &[at_cost(&charge, 101)]).await.retry_after(), None, "it never finds room");
}

#[tokio::test]
async fn a_denial_of_one_limit_says_nothing_of_requests_without_it() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let [tight, wide] = [("tight", 1), ("wide", 3)].map(|(name, amount)| policy(name, Quota::per_hour(amount)));
    let both = [one(&wide, "alice"), one(&tight, "alice")];
    assert!(is_allowed(&redis, &both).await);
    for _ in 0..3 {
        assert!(!is_allowed(&redis, &both).await);
    }
    assert!(is_allowed(&redis, &both[..1]).await);
    assert!(is_allowed(&redis, &[one(&wide, "alice"), one(&tight, "bob")]).await);
    assert!(!is_allowed(&redis, &both[..1]).await);
}

#[tokio::test]
async fn as_many_denials_are_remembered_as_is_set_and_no_more() {
    const SUBJECTS: usize = 500;
    let server = Server::start().await;
    let policy = policy("none", Quota::per_hour(1));
    let charges: Vec<_> = (0..SUBJECTS).map(|number| [one(&policy, &format!("user-{number}"))]).collect();
    let first = limiter_of(&server, 0);
    for charge in &charges {
        assert!(is_allowed(&first, charge).await);
    }
    for (most, least, largest) in [(0, SUBJECTS, SUBJECTS), (50, SUBJECTS - 100, SUBJECTS), (10_000, 0, 0)] {
        let redis = limiter_of(&server, most);
        for charge in &charges {
            assert!(!is_allowed(&redis, charge).await);
        }
        let (before, _) = runs(&server).await;
        for charge in &charges {
            assert!(!is_allowed(&redis, charge).await);
        }
        let asked = runs(&server).await.0 - before;
        assert!((least as u64..=largest as u64).contains(&asked), "{asked} of {SUBJECTS} are asked with {most}");
    }
}

fn limiter_of(server: &Server, max_denials: usize) -> larder::rate_limit::limiter::Redis {
    builder(&server.url()).max_denials(max_denials).build().expect("a limiter")
}
