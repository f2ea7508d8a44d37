//! What was asked of a Cluster, and may have been done, is not asked again.

use std::{slice::from_ref, time::Duration};

use larder::rate_limit::{
    Charge, Correction, Limiter as _, Quota, Unit,
    limiter::{LimiterError, Redis},
};

use super::{at_cost, is_allowed, limiter, one, policy, runs, take, until};
use crate::support::redis::{Cluster, Fault, Relay, Server};

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A Cluster, and the way to the master of alice's counters.
struct Site {
    cluster: Cluster,
    node: usize,
    relay: Relay,
    redis: Redis,
}

/// What breaks while an answer is on its way.
#[derive(Clone, Copy, Debug)]
enum Breaks {
    /// The connection.
    Connection,
    /// The client's own patience: it gives up the call by itself.
    Patience,
}

const BREAKS: [Breaks; 2] = [Breaks::Connection, Breaks::Patience];

impl Site {
    /// Where the scripts are known, so that each call is one of them.
    async fn new() -> Self {
        let mut cluster = Cluster::start().await;
        let node = cluster.master_of("{user:alice}").await;
        let relay = cluster.relayed(node).await;
        let redis = limiter(&cluster.url());
        let site = Self { cluster, node, relay, redis };
        let charge = at_cost(&tokens(), 2);
        let bucket = take(&site.redis, from_ref(&charge)).await.standings[0].bucket;
        site.redis.settle(&[Correction::new(&charge, bucket, 1)]).await.expect("an answer");
        site.server().command(&["FLUSHALL"]).await;
        assert!(site.relay.reply_bytes() > 0, "there is no other way");
        site
    }

    fn server(&self) -> &Server {
        &self.cluster.nodes()[self.node]
    }

    /// Asks, and the answer is lost after the script has run: what the one who asked is told, and how often scripts ran.
    async fn lose<T: Send + 'static>(
        &self,
        breaks: Breaks,
        ask: impl Future<Output = Result<T, LimiterError>> + Send + 'static,
    ) -> (Result<T, LimiterError>, u64) {
        let (ran, delayed) = (runs(self.server()).await.0, self.relay.delayed_bytes());
        self.relay.set(Fault::Delay(FOR_EVER));
        let asked = tokio::spawn(ask);
        until("the answer is on its way", async || {
            runs(self.server()).await.0 > ran && self.relay.delayed_bytes() > delayed
        })
        .await;
        match breaks {
            Breaks::Connection => {
                self.relay.set(Fault::Pass);
                self.relay.cut_all();
            }
            Breaks::Patience => {}
        }
        let answer = asked.await.expect("no panic");
        let ran = runs(self.server()).await.0 - ran;
        self.relay.set(Fault::Pass);
        self.relay.cut_all();
        (answer, ran)
    }

    /// How much is used, as soon as the connection is there again.
    async fn used(&self, charge: &Charge) -> u64 {
        let mut used = None;
        until("Redis answers again", async || {
            let taken = self.redis.take(&[at_cost(charge, 0)]).await;
            used = taken.ok().map(|taken| taken.standings[0].used);
            used.is_some()
        })
        .await;
        used.expect("it was told")
    }
}

fn tokens() -> Charge {
    one(&policy("tph", Quota::per_hour(1000).of(Unit::Tokens)), "alice")
}

#[tokio::test]
async fn a_charge_whose_answer_is_lost_is_made_once() {
    let site = Site::new().await;
    let charge = at_cost(&tokens(), 40);
    for (number, breaks) in (1..).zip(BREAKS) {
        let (redis, charges) = (site.redis.clone(), [charge.clone()]);
        let (answer, ran) = site.lose(breaks, async move { redis.take(&charges).await }).await;
        assert_eq!(ran, 1, "{breaks:?}: it was repeated");
        answer.expect_err("nobody knows whether it was charged");
        assert_eq!(site.used(&charge).await, number * 40, "{breaks:?}");
    }
}

/// Given back twice, more would be admitted than the quota has.
#[tokio::test]
async fn a_correction_whose_answer_is_lost_is_made_once() {
    let site = Site::new().await;
    let charge = at_cost(&tokens(), 100);
    let taken = take(&site.redis, from_ref(&charge)).await;
    for (number, breaks) in (1..).zip(BREAKS) {
        let (redis, correction) = (site.redis.clone(), Correction::new(&charge, taken.standings[0].bucket, 80));
        let (answer, ran) = site.lose(breaks, async move { redis.settle(&[correction]).await }).await;
        assert_eq!(ran, 1, "{breaks:?}: it was repeated");
        answer.expect_err("nobody knows whether it was corrected");
        assert_eq!(site.used(&charge).await, 100 - number * 20, "{breaks:?}");
    }
}

/// Asked again, it would find itself in the only place, be told that there is none, and never give it back.
#[tokio::test]
async fn a_slot_whose_answer_is_lost_is_free_again() {
    let site = Site::new().await;
    let slot = one(&policy("slots", Quota::concurrent(1)), "alice");
    for breaks in BREAKS {
        let (redis, charges) = (site.redis.clone(), [slot.clone()]);
        let (answer, _) = site.lose(breaks, async move { redis.take(&charges).await }).await;
        answer.expect_err("nobody knows whether it was taken");
        until("it is given back", async || site.used(&slot).await == 0).await;
        let held = take(&site.redis, from_ref(&slot)).await;
        assert!(held.is_allowed() && !is_allowed(&site.redis, from_ref(&slot)).await, "{breaks:?}");
        drop(held);
        until("it is free", async || site.used(&slot).await == 0).await;
    }
}
