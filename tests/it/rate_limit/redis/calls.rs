//! What Redis is asked, and how often.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use larder::{
    RateLimitLayer,
    clock::ManualClock,
    rate_limit::{Algorithm, Correction, Limit, Limiter as _, Quota, Room, Subject, Unit},
};
use tower::Layer as _;

use super::{at_cost, builder, is_allowed, limiter, of_amount, one, policy, runs, take, used};
use crate::support::{Script, ask, get, redis::Server};

#[tokio::test]
async fn a_request_with_many_limits_costs_one_round_trip() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let quotas = [
        Quota::per_second(100),
        Quota::per_minute(1000).of(Unit::Tokens),
        Quota::per_hour(1000).algorithm(Algorithm::Approximate),
        Quota::per_day(1000).algorithm(Algorithm::Log),
        Quota::concurrent(10),
    ];
    let mut charges = Vec::new();
    for (number, quota) in quotas.into_iter().enumerate() {
        let policy = policy(&format!("limit-{number}"), quota);
        charges.extend(["alice", "acme"].map(|name| one(&policy, name)));
    }
    // The first call connects, and finds that Redis has no script.
    let first = take(&redis, &charges).await;
    assert!(first.is_allowed());
    let before = runs(&server).await;
    let taken = take(&redis, &charges).await;
    assert!(taken.is_allowed());
    assert_eq!(taken.standings.iter().map(|standing| standing.index).collect::<Vec<_>>(), Vec::from_iter(0..10));
    assert_eq!(runs(&server).await, (before.0 + 1, before.1));
}

#[tokio::test]
async fn a_request_that_one_limit_denies_is_charged_to_none() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let policies = [
        policy("strict", Quota::per_hour(10)),
        policy("weighted", Quota::per_hour(10).algorithm(Algorithm::Approximate)),
        policy("log", Quota::per_hour(10).algorithm(Algorithm::Log)),
        policy("slots", Quota::concurrent(10)),
    ];
    for tight in 0..policies.len() {
        let name = format!("user-{tight}");
        let mut charges: Vec<_> = policies.iter().map(|policy| one(policy, &name)).collect();
        charges[tight] = of_amount(&charges[tight], 1);
        let held = take(&redis, &charges).await;
        assert!(held.is_allowed());
        // Each by a limiter that knows of no denial.
        for _ in 0..3 {
            let other = limiter(&server.url());
            let denied = take(&other, &charges).await;
            let denying: Vec<_> = denied.standings.iter().filter(|standing| standing.denies()).collect();
            assert_eq!(denying.iter().map(|standing| standing.index).collect::<Vec<_>>(), [tight]);
            assert!(denied.slots.is_empty());
            for charge in &charges {
                assert_eq!(used(&other, charge).await, 1, "{charge:?}");
            }
        }
        drop(held);
    }
}

#[tokio::test]
async fn scripts_that_redis_forgets_all_the_time_are_sent_again_and_charge_once() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let charge = one(&policy("rph", Quota::per_hour(150)), "alice");
    let ended = AtomicBool::new(false);
    let flush = async {
        while !ended.load(Ordering::Relaxed) {
            server.command(&["SCRIPT", "FLUSH"]).await;
        }
    };
    let takes = async {
        let mut admitted = 0;
        for _ in 0..200 {
            admitted += usize::from(is_allowed(&redis, std::slice::from_ref(&charge)).await);
        }
        ended.store(true, Ordering::Relaxed);
        admitted
    };
    let ((), admitted) = tokio::join!(flush, takes);
    assert_eq!((admitted, used(&redis, &charge).await), (150, 150));
    assert!(runs(&server).await.1 > 1, "scripts were sent again");
}

#[tokio::test]
async fn settling_and_slots_work_after_redis_has_forgotten_the_scripts() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let tokens = at_cost(&one(&policy("tph", Quota::per_hour(100).of(Unit::Tokens)), "alice"), 60);
    let slot = one(&policy("slots", Quota::concurrent(1)), "alice");
    let taken = take(&redis, &[tokens.clone(), slot.clone()]).await;
    server.command(&["SCRIPT", "FLUSH"]).await;
    redis.settle(&[Correction::new(&tokens, taken.standings[0].bucket, 25)]).await.expect("an answer");
    assert_eq!(used(&redis, &tokens).await, 25);
    server.command(&["SCRIPT", "FLUSH"]).await;
    drop(taken);
    super::until("the slot is given back", async || used(&redis, &slot).await == 0).await;
}

/// Layers whose clocks are days apart, and wrong, share one window: that of Redis's clock.
#[tokio::test]
async fn a_wrong_clock_of_a_client_admits_nothing_twice() {
    let server = Server::start().await;
    let inner = Script::statuses([200]);
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    let mut statuses = Vec::new();
    for clock in [SystemTime::UNIX_EPOCH, now - day, now, now + 400 * day] {
        let limit = Limit::new(Quota::per_hour(10)).named("rph");
        let layer = RateLimitLayer::builder(limiter(&server.url())).limit(limit).clock(ManualClock::new(clock));
        let service = layer.build().layer(inner.clone());
        for _ in 0..5 {
            statuses.push(ask(&service, get("http://a/", &[])).await.status().as_u16());
        }
    }
    assert_eq!(statuses[..10], [200; 10]);
    assert_eq!(statuses[10..], [429; 10]);
    let keys = server.keys("*").await;
    assert!(keys.len() == 1 && server.pttl(&keys[0]).await <= 3_721_000, "{keys:?}");
}

#[tokio::test]
async fn limiters_with_different_prefixes_count_apart() {
    let server = Server::start().await;
    let charge = [one(&policy("rph", Quota::per_hour(1)), "alice")];
    for prefix in ["one", "other"] {
        let redis = builder(&server.url()).prefix(prefix).build().expect("a limiter");
        assert!(is_allowed(&redis, &charge).await);
        assert!(!is_allowed(&redis, &charge).await);
    }
    let keys = server.keys("*").await;
    assert_eq!(keys, ["one:limit:{user:alice}:rph:120000000x30", "other:limit:{user:alice}:rph:120000000x30"]);
}

#[tokio::test]
async fn what_is_more_than_the_whole_quota_is_never_promised_a_time() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    for quota in [Quota::per_hour(10), Quota::per_hour(10).algorithm(Algorithm::Approximate), Quota::per_hour(0)] {
        let charge = at_cost(&one(&policy("limit", quota.of(Unit::Tokens)), "alice"), 11);
        for _ in 0..2 {
            let taken = take(&redis, std::slice::from_ref(&charge)).await;
            assert_eq!((taken.standings[0].room, taken.retry_after()), (Room::Never, None));
        }
    }
    let nothing = larder::rate_limit::Charge::new(policy("none", Quota::concurrent(0)), Subject::everyone(), 1);
    assert_eq!(take(&redis, &[nothing]).await.standings[0].room, Room::Never);
    assert!(server.keys("*").await.is_empty());
}
