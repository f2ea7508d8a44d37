//! Behind Sentinels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use larder::rate_limit::{OnFailure, Outcome};
use tokio::task::JoinHandle;

use super::{faults::Site, until};
use crate::support::redis::Sentinels;

/// Requests all the time, until it is told to end; each is answered, whoever decides.
fn traffic(site: &Arc<Site>, ended: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (site, ended) = (site.clone(), ended.clone());
    tokio::spawn(async move {
        while !ended.load(Ordering::Relaxed) {
            site.ask().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
}

async fn failover(on_failure: OnFailure, fails: impl AsyncFn(&mut Sentinels)) {
    let mut sentinels = Sentinels::start().await;
    let site = Arc::new(Site::new(&sentinels.url(), on_failure));
    let mut used = 0;
    until("ten are counted", async || {
        let (outcome, counted) = site.ask().await;
        used = counted.filter(|_| outcome == Outcome::Allowed).unwrap_or(used);
        used >= 10
    })
    .await;
    sentinels.master().replicated().await;
    let ended = Arc::default();
    let traffic = traffic(&site, &ended);
    fails(&mut sentinels).await;
    sentinels.await_failover().await;
    let mut counted = None;
    until("the new master counts", async || {
        let (outcome, used) = site.ask().await;
        counted = used.filter(|_| outcome == Outcome::Allowed);
        counted.is_some() && !sentinels.master().keys("larder:limit:*").await.is_empty()
    })
    .await;
    assert!(counted.is_some_and(|counted| counted > used), "what was copied to it counts: {counted:?} after {used}");
    ended.store(true, Ordering::Relaxed);
    traffic.await.expect("every request was answered");
}

#[tokio::test]
async fn a_killed_master_is_left_for_the_new_one_which_counts_on() {
    for on_failure in [OnFailure::Open, OnFailure::Closed, OnFailure::local(2)] {
        failover(on_failure, async |sentinels| sentinels.kill_master()).await;
    }
}

#[tokio::test]
async fn a_stopped_master_is_left_for_the_new_one_which_counts_on() {
    failover(OnFailure::default(), async |sentinels| sentinels.master().stop()).await;
}

/// The connection stays open, and the server on it refuses to write.
#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left_for_the_new_one() {
    let demote = async |sentinels: &mut Sentinels| {
        // The others might make it a replica again before they hear of it.
        sentinels.sentinel(1).kill();
        sentinels.sentinel(2).kill();
        sentinels.sentinel(0).command(&["SENTINEL", "FAILOVER", "mymaster"]).await;
    };
    failover(OnFailure::default(), demote).await;
}
