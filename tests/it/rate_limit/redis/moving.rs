//! While the slots of a Cluster, in which counters lie, move from one master to another.

use std::{
    slice::from_ref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use larder::rate_limit::{Limiter as _, Quota};

use super::{is_allowed, limiter, of_amount, one, policy, take, until, used};
use crate::support::redis::Cluster;

/// Redirected, a charge is made where it is sent, and not where it was refused.
#[tokio::test]
async fn every_request_is_decided_and_charged_once_while_its_slot_moves() {
    let cluster = Cluster::start().await;
    let charge = one(&policy("rph", Quota::per_hour(1_000_000)), "alice");
    let redis = limiter(&cluster.url());
    let (ended, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let traffic: Vec<_> = (0..3)
        .map(|_| {
            // Each a connection of its own, which knows nothing of what the others were told.
            let (redis, charge, ended, asked) = (limiter(&cluster.url()), charge.clone(), ended.clone(), asked.clone());
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    let taken = redis.take(from_ref(&charge)).await;
                    assert!(taken.expect("it is there all the while").is_allowed());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more = async || {
        let before = asked.load(Ordering::Relaxed);
        until("requests meanwhile", async || asked.load(Ordering::Relaxed) > before + 20).await;
    };
    more().await;
    let slot = cluster.slot_of("{user:alice}").await;
    for _ in 0..6 {
        let from = cluster.master_of("{user:alice}").await;
        // ASK: the counter is there already, and the slot isn't.
        let migration = cluster.begin_migration(slot, (from + 1) % 3).await;
        more().await;
        cluster.finish_migration(migration).await;
        // MOVED.
        more().await;
    }
    ended.store(true, Ordering::Relaxed);
    for traffic in traffic {
        traffic.await.expect("every request was decided");
    }
    let asked = asked.load(Ordering::Relaxed);
    assert_eq!(used(&redis, &charge).await, asked);
    assert!(!is_allowed(&redis, &[of_amount(&charge, asked)]).await);
}

/// Redis runs no script whose keys lie in two places.
#[tokio::test]
async fn limits_of_which_one_has_moved_already_are_counted_as_before_when_all_have() {
    let cluster = Cluster::start().await;
    let redis = limiter(&cluster.url());
    let both = [("rph", Quota::per_hour(100)), ("rpd", Quota::per_day(100))]
        .map(|(name, quota)| one(&policy(name, quota), "alice"));
    assert!(is_allowed(&redis, &both).await);
    let (slot, from) = (cluster.slot_of("{user:alice}").await, cluster.master_of("{user:alice}").await);
    let migration = cluster.begin_migration(slot, (from + 1) % 3).await;
    let refused = async || {
        let mut sum = 0;
        for node in cluster.nodes() {
            sum += node.errors("TRYAGAIN").await;
        }
        sum
    };
    let before = refused().await;
    redis.take(&both).await.expect_err("they lie apart");
    let times = refused().await - before;
    assert!((2..=10).contains(&times), "asked {times} times");
    cluster.finish_migration(migration).await;
    let taken = take(&redis, &both).await;
    assert!(taken.is_allowed());
    assert!(taken.standings.iter().all(|standing| standing.used == 2), "{taken:?}");
}
