//! Limits that lie on several servers.

use larder::rate_limit::{Charge, Correction, Limiter as _, Quota, Subject, Taken, Unit, limiter::Redis};

use super::{at_cost, is_allowed, limiter, one, policy, runs, take, until, used};
use crate::support::redis::Cluster;

/// Charges of two users whose counters lie on different masters.
async fn apart(cluster: &Cluster, quotas: [Quota; 2]) -> [Charge; 2] {
    let [first, second] = [("first", quotas[0]), ("second", quotas[1])].map(|(name, quota)| policy(name, quota));
    let home = cluster.master_of("{user:alice}").await;
    for number in 0.. {
        let name = format!("user-{number}");
        if cluster.master_of(&format!("{{user:{name}}}")).await != home {
            return [one(&first, "alice"), one(&second, &name)];
        }
    }
    unreachable!("there are three masters");
}

/// Until another has taken the place of one that is gone, no master may answer.
async fn is_used(redis: &Redis, charge: &Charge, count: u64) -> bool {
    redis.take(&[at_cost(charge, 0)]).await.is_ok_and(|taken| taken.standings[0].used == count)
}

async fn all_runs(cluster: &Cluster) -> u64 {
    let mut sum = 0;
    for node in cluster.nodes() {
        let (by_hash, by_code) = runs(node).await;
        sum += by_hash + by_code;
    }
    sum
}

#[tokio::test]
async fn what_was_charged_is_given_back_when_a_limit_elsewhere_denies() {
    let cluster = Cluster::start().await;
    let redis = limiter(&cluster.url());
    let charges = apart(&cluster, [Quota::per_hour(10), Quota::per_hour(1)]).await;
    for charges in [charges.clone(), [charges[1].clone(), charges[0].clone()]] {
        let tight = usize::from(charges[0].policy.name() == "first");
        assert_eq!(is_allowed(&redis, &charges).await, tight == 1, "room for one");
        // Each by a limiter that knows of no denial.
        for _ in 0..3 {
            let denied = take(&limiter(&cluster.url()), &charges).await;
            let denying: Vec<_> = denied.standings.iter().map(|standing| standing.index).collect();
            assert_eq!(denying, [tight], "what was given back is not told");
            assert!(denied.retry_after().is_some());
        }
        for charge in &charges {
            assert_eq!(used(&redis, charge).await, 1);
        }
    }
}

#[tokio::test]
async fn slots_elsewhere_are_given_back_when_a_limit_denies() {
    let cluster = Cluster::start().await;
    let redis = limiter(&cluster.url());
    let charges = apart(&cluster, [Quota::concurrent(5), Quota::per_hour(1)]).await;
    let held = take(&redis, &charges).await;
    assert!(held.is_allowed() && !held.slots.is_empty());
    for _ in 0..3 {
        assert!(take(&limiter(&cluster.url()), &charges).await.slots.is_empty());
    }
    until("the slots are free", async || used(&redis, &charges[0]).await == 1).await;
    drop(held);
    until("the slot is free", async || used(&redis, &charges[0]).await == 0).await;
}

#[tokio::test]
async fn limits_of_one_group_or_subject_cost_one_round_trip() {
    let cluster = Cluster::start().await;
    let redis = limiter(&cluster.url());
    let mut grouped = apart(&cluster, [Quota::per_hour(10), Quota::per_hour(10)]).await;
    for charge in &mut grouped {
        charge.group = Some(Subject::named("org", "acme"));
    }
    let alike = ["a", "b"].map(|name| one(&policy(name, Quota::per_hour(10)), "alice"));
    for charges in [grouped, alike] {
        assert!(is_allowed(&redis, &charges).await);
        let before = all_runs(&cluster).await;
        assert!(is_allowed(&redis, &charges).await);
        assert_eq!(all_runs(&cluster).await, before + 1);
    }
}

/// One of two servers is gone: nobody is charged for what isn't decided.
#[tokio::test]
async fn what_was_charged_is_given_back_when_another_server_does_not_answer() {
    let mut cluster = Cluster::start().await;
    let redis = limiter(&cluster.url());
    let charges = apart(&cluster, [Quota::per_hour(10), Quota::per_hour(10)]).await;
    assert!(is_allowed(&redis, &charges).await);
    let node = cluster.master_of(&format!("{{{}}}", charges[1].subject)).await;
    cluster.kill_master(node);
    redis.take(&charges).await.expect_err("half of it is gone");
    until("it is given back", async || is_used(&redis, &charges[0], 1).await).await;
    cluster.await_ok().await;
    until("another has taken its place", async || redis.take(&charges).await.is_ok_and(|taken| taken.is_allowed()))
        .await;
    assert_eq!(used(&redis, &charges[0]).await, 2);
}

/// Its client has gone, while the second of two servers was being asked.
#[tokio::test]
async fn what_was_charged_is_given_back_when_the_request_goes_away_before_all_are_asked() {
    let cluster = Cluster::start().await;
    let redis = limiter(&cluster.url());
    let charges = apart(&cluster, [Quota::per_hour(10), Quota::per_hour(10)]).await;
    for charge in &charges {
        used(&redis, charge).await;
    }
    let node = cluster.master_of(&format!("{{{}}}", charges[1].subject)).await;
    cluster.nodes()[node].stop();
    let asked = tokio::spawn({
        let (redis, charges) = (redis.clone(), charges.clone());
        async move { redis.take(&charges).await.map(drop) }
    });
    until("the first is charged", async || is_used(&redis, &charges[0], 1).await).await;
    asked.abort();
    until("it is given back", async || is_used(&redis, &charges[0], 0).await).await;
    assert!(asked.await.expect_err("it went away").is_cancelled());
    cluster.nodes()[node].cont();
}

#[tokio::test]
async fn charges_are_settled_on_the_servers_that_are_there() {
    let mut cluster = Cluster::start().await;
    let redis = limiter(&cluster.url());
    let quota = Quota::per_hour(100).of(Unit::Tokens);
    let charges = apart(&cluster, [quota; 2]).await.map(|charge| at_cost(&charge, 40));
    let taken = take(&redis, &charges).await;
    let node = cluster.master_of(&format!("{{{}}}", charges[1].subject)).await;
    cluster.kill_master(node);
    let corrections = [1, 0].map(|at| Correction::new(&charges[at], taken.standings[at].bucket, 25));
    redis.settle(&corrections).await.expect_err("half of it is gone");
    until("it is settled", async || is_used(&redis, &charges[0], 25).await).await;
}

/// Also of those who ask for nothing elsewhere: another may have charged this limit in vain, and be about to give it back.
#[tokio::test]
async fn a_denial_by_what_is_given_back_is_forgotten_within_a_second() {
    let cluster = Cluster::start().await;
    let charges = apart(&cluster, [Quota::per_hour(1), Quota::per_hour(10)]).await;
    for asked in [&charges[..], &charges[..1]] {
        let [redis, other] = [(); 2].map(|()| limiter(&cluster.url()));
        let taken = take(&other, &charges[..1]).await;
        assert!(taken.is_allowed() && !is_allowed(&redis, asked).await);
        let back = Correction::new(&charges[0], taken.standings[0].bucket, 0);
        other.settle(&[back]).await.expect("an answer");
        let mut then = None;
        until("there is room", async || {
            then = Some(take(&redis, asked).await).filter(Taken::is_allowed);
            then.is_some()
        })
        .await;
        assert!(!is_allowed(&redis, asked).await);
        let bucket = then.expect("it was allowed").standings[0].bucket;
        other.settle(&[Correction::new(&charges[0], bucket, 0)]).await.expect("an answer");
    }
}
