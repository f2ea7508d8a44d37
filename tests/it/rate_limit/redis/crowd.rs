//! Many requests of one subject at once.

use std::{collections::BTreeSet, slice::from_ref, thread, time::Duration};

use futures_util::future::join_all;
use larder::rate_limit::{Charge, Limiter as _, Quota, Taken, Unit, limiter::Redis};
use tokio::{runtime::Builder, task::JoinHandle, time::timeout};

use super::{at_cost, client, is_allowed, limiter, one, policy, runs, take, used};
use crate::support::{
    poll_once,
    redis::{Fault, Relay, Server},
};

const CROWD: usize = 500;

fn taking(redis: &Redis, charge: &Charge) -> JoinHandle<Taken> {
    let (redis, charge) = (redis.clone(), charge.clone());
    tokio::spawn(async move { take(&redis, &[charge]).await })
}

/// Everybody's answer, in less time than a call may take.
async fn answers(asked: Vec<JoinHandle<Taken>>) -> Vec<Taken> {
    let all = timeout(super::PATIENT / 2, join_all(asked)).await.expect("nobody is left waiting");
    all.into_iter().map(|taken| taken.expect("no panic")).collect()
}

async fn crowd(charge: Charge, fits: u64) {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    used(&redis, &charge).await;
    let (before, _) = runs(&server).await;
    let taken = answers((0..CROWD).map(|_| taking(&redis, &charge)).collect()).await;
    let calls = runs(&server).await.0 - before;
    assert!(calls <= 20, "{calls} calls for {CROWD} requests");
    let admitted: Vec<_> = taken.iter().filter(|taken| taken.is_allowed()).collect();
    assert_eq!(admitted.len() as u64, fits);
    // Each is told its own place.
    let places: BTreeSet<_> = admitted.iter().map(|taken| taken.standings[0].used).collect();
    assert_eq!(places, (1..=fits).map(|place| place * charge.cost).collect());
    for denied in taken.iter().filter(|taken| !taken.is_allowed()) {
        assert!(denied.standings[0].used <= charge.amount && denied.retry_after().is_some(), "{denied:?}");
    }
    assert_eq!(used(&redis, &charge).await, fits * charge.cost);
}

#[tokio::test]
async fn five_hundred_requests_of_one_subject_make_few_calls_and_exactly_the_quota_passes() {
    crowd(one(&policy("rph", Quota::per_hour(70)), "alice"), 70).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_on_several_threads_are_charged_together_too() {
    crowd(one(&policy("rph", Quota::per_hour(70)), "alice"), 70).await;
}

#[tokio::test]
async fn requests_that_cost_more_than_one_fill_the_quota_as_far_as_whole_ones_fit() {
    let policy = policy("tph", Quota::per_hour(100).of(Unit::Tokens));
    crowd(at_cost(&one(&policy, "alice"), 7), 14).await;
}

/// They could not be charged by one call: each is alone in what it asks.
#[tokio::test]
async fn requests_of_different_costs_and_amounts_are_not_mixed_up() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let charge = one(&policy("tph", Quota::per_hour(1000).of(Unit::Tokens)), "alice");
    let asked = (1..=40).map(|cost| taking(&redis, &at_cost(&charge, cost))).collect();
    let taken = answers(asked).await;
    assert!(taken.iter().all(Taken::is_allowed));
    assert_eq!(used(&redis, &charge).await, (1..=40).sum::<u64>());
}

/// Whoever comes while a call is under way waits for what is left of it, and for the next.
#[tokio::test]
async fn a_request_that_waits_for_another_has_a_calls_time_of_its_own() {
    let timeout = Duration::from_secs(3);
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let redis = Redis::builder(client(&relay.url())).timeout(timeout).build().expect("a limiter");
    let charge = one(&policy("rph", Quota::per_hour(20)), "alice");
    used(&redis, &charge).await;
    let (before, _) = runs(&server).await;
    relay.set(Fault::Delay(timeout.mul_f32(0.6)));
    let both = [taking(&redis, &charge), taking(&redis, &charge)];
    let places = join_all(both).await.into_iter().map(|taken| taken.expect("Redis decides").standings[0].used);
    assert_eq!(places.collect::<Vec<_>>(), [1, 2]);
    assert_eq!(runs(&server).await.0, before + 2, "one after the other");
    relay.set(Fault::Pass);
    assert_eq!(used(&redis, &charge).await, 2);
}

/// Redis doesn't answer for a while, and the one who asked for all goes away.
#[tokio::test]
async fn a_leader_that_goes_away_leaves_nobody_waiting() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let redis = limiter(&relay.url());
    let charge = one(&policy("rph", Quota::per_hour(20)), "alice");
    used(&redis, &charge).await;
    relay.set(Fault::Hold);
    let leader = taking(&redis, &charge);
    crate::support::settle().await;
    let mut others: Vec<_> = (0..50).map(|_| taking(&redis, &charge)).collect();
    crate::support::settle().await;
    leader.abort();
    // Whoever has left when it is their turn is charged nothing.
    others.split_off(40).iter().for_each(JoinHandle::abort);
    crate::support::settle().await;
    relay.set(Fault::Pass);
    let admitted = answers(others).await.iter().filter(|taken| taken.is_allowed()).count();
    // The leader's own charge was under way.
    assert!((19..=20).contains(&admitted), "{admitted}");
    assert_eq!(used(&redis, &charge).await, 20);
    assert!(!is_allowed(&redis, from_ref(&charge)).await);
}

/// The program has several runtimes, and that of the leader ends.
#[test]
fn a_leader_whose_runtime_ends_leaves_nobody_waiting_and_the_next_are_served() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let server = servers.block_on(Server::start());
    let relay = servers.block_on(Relay::to(server.port()));
    let charge = one(&policy("rph", Quota::per_hour(20)), "alice");
    let redis = Redis::new(client(&relay.url()));
    servers.block_on(used(&redis, &charge));
    relay.set(Fault::Hold);
    let first = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let leader = first.spawn({
        let (redis, charge) = (redis.clone(), charge.clone());
        async move { redis.take(&[charge]).await.map(drop) }
    });
    first.block_on(crate::support::settle());
    let charges = [charge.clone()];
    let mut asked = Box::pin(redis.take(&charges));
    servers.block_on(async { assert!(poll_once(&mut asked).is_pending()) });
    // Its tasks end with it.
    thread::spawn(move || drop(first)).join().expect("no panic");
    assert!(servers.block_on(leader).expect_err("it ended").is_cancelled());
    servers.block_on(async {
        relay.set(Fault::Pass);
        // Served by another, or told that there is no answer.
        let _ = timeout(super::PATIENT / 2, asked).await.expect("nobody is left waiting");
        for _ in 0..3 {
            let next = timeout(super::PATIENT / 2, is_allowed(&redis, from_ref(&charge)));
            assert!(next.await.expect("the next are served"));
        }
    });
}
