//! Slots of concurrent requests: leased, renewed while they are held, and given back.

use std::{slice::from_ref, time::Duration};

use larder::{
    RateLimitLayer,
    rate_limit::{Charge, Limit, Limiter as _, Quota, Room, Subject, limiter::Redis},
    redis::Client,
};
use redis::Value;
use tower::{Layer as _, ServiceExt as _};

use super::{builder, is_allowed, limiter, member::Member, one, policy, take, until, used};
use crate::support::{
    Act, Script, ask, channel, get,
    redis::{Fault, Relay, Server},
    reply,
};

/// No slot of it runs out in a test.
const LONG: Duration = Duration::from_secs(3600);

fn leasing(url: &str, lease: Duration) -> Redis {
    builder(url).lease(lease).build().expect("a limiter")
}

fn slot(amount: u64) -> Charge {
    Charge::new(policy("concurrent", Quota::concurrent(amount)), Subject::everyone(), 1)
}

/// Waits until all slots are free: their key is gone.
async fn all_free(server: &Server) {
    until("all slots are free", async || server.keys("*").await.is_empty()).await;
}

async fn calls(server: &Server, name: &str) -> u64 {
    server.commandstats().await.get(name).copied().unwrap_or_default()
}

#[tokio::test]
async fn as_many_slots_are_held_as_there_are_and_each_comes_back_when_it_is_dropped() {
    let server = Server::start().await;
    let [redis, other] = [(); 2].map(|()| leasing(&server.url(), LONG));
    let charge = [slot(3)];
    let mut held = Vec::new();
    for redis in [&redis, &other, &redis] {
        held.push(take(redis, &charge).await);
    }
    for redis in [&redis, &other] {
        let denied = take(redis, &charge).await;
        let standing = &denied.standings[0];
        assert_eq!((standing.room, standing.used, denied.retry_after()), (Room::Unknown, 3, None));
        assert!(denied.slots.is_empty());
    }
    drop(held.pop());
    // Nothing of the denial is remembered.
    until("a slot is free", async || {
        let taken = take(&other, &charge).await;
        let is_allowed = taken.is_allowed();
        held.push(taken);
        is_allowed
    })
    .await;
    assert_eq!(used(&redis, &charge[0]).await, 3);
    held.clear();
    all_free(&server).await;
}

#[tokio::test]
async fn a_crowd_takes_exactly_as_many_slots_as_there_are() {
    let server = Server::start().await;
    let charge = [slot(7)];
    let redis: Vec<_> = (0..10).map(|_| leasing(&server.url(), LONG)).collect();
    let takes = redis.iter().flat_map(|redis| (0..40).map(|_| take(redis, &charge)));
    let taken = futures_util::future::join_all(takes).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_allowed()).count(), 7);
    assert_eq!(taken.iter().filter(|taken| !taken.slots.is_empty()).count(), 7);
    assert_eq!(used(&redis[0], &charge[0]).await, 7);
    drop(taken);
    all_free(&server).await;
}

#[tokio::test]
async fn a_slot_is_held_for_many_times_its_lease() {
    let server = Server::start().await;
    let redis = leasing(&server.url(), Duration::from_millis(300));
    let charge = [slot(1)];
    let held = take(&redis, &charge).await;
    let other = limiter(&server.url());
    // By every third of a lease.
    until("it was renewed often", async || {
        assert!(!is_allowed(&other, &charge).await);
        calls(&server, "zadd").await > 12
    })
    .await;
    drop(held);
    until("it is free", async || is_allowed(&other, &charge).await).await;
}

/// As while another lease is rolled out.
#[tokio::test]
async fn a_shorter_lease_of_another_process_ends_no_slot_early() {
    let server = Server::start().await;
    let (long, short) = (leasing(&server.url(), LONG), leasing(&server.url(), Duration::from_millis(300)));
    let charge = [slot(2)];
    let held = take(&long, &charge).await;
    let other = take(&short, &charge).await;
    assert!(held.is_allowed() && other.is_allowed());
    let key = server.keys("*").await.remove(0);
    until("it was renewed", async || calls(&server, "zadd").await > 3).await;
    assert!(server.pttl(&key).await > 3_000_000, "the key would be gone with the slots of both");
    drop((held, other));
    all_free(&server).await;
}

/// The answer never comes to anybody who would give it back.
#[tokio::test]
async fn a_slot_of_a_caller_that_goes_away_while_it_is_taken_is_given_back() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let redis = leasing(&relay.url(), LONG);
    let charge = slot(1);
    used(&redis, &charge).await;
    relay.set(Fault::Hold);
    let caller = tokio::spawn({
        let (redis, charge) = (redis.clone(), charge.clone());
        async move { redis.take(&[charge]).await }
    });
    crate::support::settle().await;
    caller.abort();
    crate::support::settle().await;
    relay.set(Fault::Pass);
    until("it was taken and given back", async || calls(&server, "zrem").await == 1).await;
    assert_eq!(calls(&server, "zadd").await, 1);
    assert!(server.keys("*").await.is_empty());
}

/// It may be that the slot is given back before it is taken: what is asked by several connections has no order.
#[tokio::test]
async fn a_slot_is_given_back_whichever_connection_it_was_taken_by() {
    // By each connection others are given back than were taken by it.
    const CALLERS: u64 = 21;
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let client = Client::builder(&relay.url()).response_timeout(super::PATIENT).connections(4);
    let redis = Redis::builder(client.build().expect("a URL")).lease(LONG).build().expect("a limiter");
    let charge = slot(CALLERS);
    // Redis knows the scripts, and so each is one call.
    drop(take(&redis, from_ref(&charge)).await);
    until("it was taken and given back", async || calls(&server, "zrem").await == 1).await;
    relay.set(Fault::Hold);
    let callers = (0..CALLERS).map(|_| {
        let (redis, charge) = (redis.clone(), charge.clone());
        tokio::spawn(async move { redis.take(&[charge]).await })
    });
    let callers: Vec<_> = callers.collect();
    crate::support::settle().await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    crate::support::settle().await;
    relay.set(Fault::Pass);
    until("all were taken", async || calls(&server, "zadd").await == CALLERS + 1).await;
    all_free(&server).await;
}

/// When it was to be given back, Redis was known to be stopped and not asked.
#[tokio::test]
async fn a_slot_whose_request_ended_in_an_outage_is_given_back_after_it() {
    let server = Server::start().await;
    let client = Client::builder(&server.url()).response_timeout(Duration::from_millis(200));
    let redis = Redis::builder(client.build().expect("a URL")).lease(LONG).build().expect("a limiter");
    let charge = [slot(1000)];
    let mut held = None;
    until("it answers", async || {
        held = redis.take(&charge).await.ok();
        held.is_some()
    })
    .await;
    server.stop();
    while !redis.take(&charge).await.expect_err("it is stopped").is_refused() {}
    drop(held);
    crate::support::settle().await;
    server.cont();
    all_free(&server).await;
}

#[tokio::test]
async fn a_slot_whose_taking_was_answered_too_late_is_given_back() {
    let server = Server::start().await;
    let client = Client::builder(&server.url()).response_timeout(Duration::from_millis(300));
    let redis = Redis::builder(client.build().expect("a URL")).lease(LONG).build().expect("a limiter");
    let charge = slot(1);
    until("it answers", async || redis.take(&[super::at_cost(&charge, 0)]).await.is_ok()).await;
    server.stop();
    let late = redis.take(from_ref(&charge)).await.expect_err("it is stopped");
    assert!(late.is_late(), "{late}");
    server.cont();
    until("it was taken and given back", async || calls(&server, "zrem").await == 1).await;
    assert_eq!(calls(&server, "zadd").await, 1);
    assert!(server.keys("*").await.is_empty());
}

#[tokio::test]
async fn the_slots_of_a_process_that_is_killed_run_out() {
    let server = Server::start().await;
    let mut member = Member::start(&format!("hold {}", server.url())).await;
    member.go().await;
    assert_eq!(member.said().await, "held");
    let redis = limiter(&server.url());
    // It is alive, and renews.
    until("they were renewed", async || {
        assert!(!is_allowed(&redis, &[slot(1)]).await);
        calls(&server, "zadd").await > 4
    })
    .await;
    member.kill().await;
    until("they have run out", async || is_allowed(&redis, &[slot(1)]).await).await;
}

/// In the process that is killed.
pub(super) async fn hold(url: &str) -> larder::rate_limit::Taken {
    take(&leasing(url, Duration::from_millis(600)), &[slot(1)]).await
}

#[tokio::test]
async fn a_slot_whose_runtime_ends_runs_out() {
    let server = Server::start().await;
    let url = server.url();
    let held = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { take(&leasing(&url, Duration::from_millis(300)), &[slot(1)]).await })
    })
    .join()
    .expect("no panic");
    assert!(held.is_allowed());
    let redis = limiter(&server.url());
    until("it has run out", async || is_allowed(&redis, &[slot(1)]).await).await;
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_learns_of_the_slots_that_are_held() {
    let mut server = Server::start().await;
    let redis = leasing(&server.url(), Duration::from_millis(900));
    let charge = slot(2);
    let held = [take(&redis, from_ref(&charge)).await, take(&redis, from_ref(&charge)).await];
    server.restart().await;
    let other = limiter(&server.url());
    until("both are there again", async || used(&other, &charge).await == 2).await;
    assert!(!is_allowed(&other, from_ref(&charge)).await);
    drop(held);
    all_free(&server).await;
}

#[tokio::test]
async fn slots_of_two_limits_are_taken_together_or_not_at_all() {
    let server = Server::start().await;
    let redis = leasing(&server.url(), LONG);
    let [narrow, wide] = [("narrow", 1), ("wide", 5)].map(|(name, amount)| policy(name, Quota::concurrent(amount)));
    let charges = [one(&wide, "alice"), one(&narrow, "alice"), one(&policy("rph", Quota::per_hour(10)), "alice")];
    let held = take(&redis, &charges).await;
    assert!(held.is_allowed() && !held.slots.is_empty());
    for _ in 0..3 {
        assert!(!is_allowed(&redis, &charges).await);
    }
    for charge in &charges {
        assert_eq!(used(&redis, charge).await, 1);
    }
    drop(held);
    until("both are free", async || used(&redis, &charges[0]).await == 0 && used(&redis, &charges[1]).await == 0).await;
}

/// To the end of the body, however it ends; and when there is none.
#[tokio::test]
async fn a_layers_slot_is_held_until_its_response_has_ended() {
    let server = Server::start().await;
    let limit = Limit::new(Quota::concurrent(1));
    let layer = RateLimitLayer::builder(leasing(&server.url(), LONG)).limit(limit).build();
    let feeds = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let inner = Script::new({
        let feeds = feeds.clone();
        move |_, seen| {
            if seen.head.uri.path() == "/refused" {
                return Act::refused();
            }
            let (feed, body) = channel();
            feeds.lock().expect("no panic").push(feed);
            Act::answer(reply(200, &[], body))
        }
    });
    let service = layer.layer(inner);
    let feed = || feeds.lock().expect("no panic").pop().expect("a body");
    for ends in ["read", "dropped", "broken"] {
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!((response.status().as_u16(), ends), (200, ends));
        let denied = ask(&service, get("http://a/", &[])).await;
        assert_eq!(denied.status(), 429);
        assert_eq!(denied.headers().get("retry-after"), None, "nobody knows");
        match ends {
            "read" => {
                drop(feed());
                crate::support::read(response).await.expect("a whole body");
            }
            "broken" => {
                feed().fail("broken");
                crate::support::read(response).await.expect_err("a broken body");
            }
            _ => drop((response, feed())),
        }
        all_free(&server).await;
    }
    service.clone().oneshot(get("http://a/refused", &[])).await.expect_err("the inner service's error");
    all_free(&server).await;
    let stats = layer.handle().stats();
    assert_eq!((stats.allowed, stats.denied), (4, 3));
}

#[tokio::test]
async fn slots_that_others_have_spoilt_are_free_and_taken_as_ever() {
    let server = Server::start().await;
    let redis = leasing(&server.url(), LONG);
    let charge = [slot(1)];
    let held = take(&redis, &charge).await;
    let key = server.keys("*").await.remove(0);
    server.set(&key, b"text").await;
    let again = take(&redis, &charge).await;
    assert!(again.is_allowed());
    assert_eq!(server.command(&["ZCARD", &key]).await, Value::Int(1));
    drop((held, again));
    all_free(&server).await;
}
