//! Redis goes away while instances wait for each other: each goes on for itself, and nobody sees an error.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};

use super::instance::{FRESH, Instance, Joining, Kept, LONG, SOON, answered, asking, next, until, waits};
use crate::support::{Calls, Held, Origin, full, get, redis::Server, reply};

const WAITING: usize = 10;

/// One instance fetches, and requests of the other wait for that.
async fn waiting(
    server: &Server,
    [one, other]: [Joining<'_>; 2],
    origin: &Origin,
    calls: &mut Calls,
) -> ([Instance; 2], Held, JoinHandle<String>, Vec<JoinHandle<String>>) {
    let (one, other) = (one.join(origin).await, other.join(origin).await);
    let first = asking(&one.cache, get("http://a/", &[]));
    let held = next(calls).await;
    let others = (0..WAITING).map(|_| asking(&other.cache, get("http://a/", &[]))).collect();
    waits(server, 1).await;
    ([one, other], held, first, others)
}

/// The other's requests are answered while the first one is still under way; then that ends well, too.
async fn go_on(calls: &mut Calls, held: Held, first: JoinHandle<String>, others: Vec<JoinHandle<String>>) {
    let fetched = async {
        // Nothing is kept, so that one which is late makes a call of its own.
        loop {
            calls.next().await.answer(reply(200, FRESH, full("other")));
        }
    };
    let all = async {
        for asked in others {
            assert_eq!(answered(asked).await, "other");
        }
    };
    tokio::select! {
        () = fetched => {}
        () = all => {}
    }
    held.answer(reply(200, FRESH, full("first")));
    assert_eq!(answered(first).await, "first");
}

#[tokio::test]
async fn who_waits_when_redis_is_killed_goes_on() {
    for kept in [Kept::InRedis, Kept::InTiers] {
        let mut server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let joining = [0; 2].map(|_| Joining::new(server.url(), kept));
        let (_instances, held, first, others) = waiting(&server, joining, &origin, &mut calls).await;
        server.kill();
        go_on(&mut calls, held, first, others).await;
    }
}

/// It was stopped: connections stay, and nothing is answered. A lease's end is when that is noticed.
#[tokio::test]
async fn who_waits_when_redis_is_stopped_goes_on_when_the_lease_is_over() {
    for (kept, lease) in [(Kept::InRedis, Duration::from_secs(1)), (Kept::InTiers, LONG)] {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let joining =
            [0; 2].map(|_| Joining::new(server.url(), kept).lease(lease).deadline(Duration::from_millis(500)));
        let (_instances, held, first, others) = waiting(&server, joining, &origin, &mut calls).await;
        server.stop();
        go_on(&mut calls, held, first, others).await;
        server.cont();
    }
}

/// The lease is there still: who waited asks again, and waits on.
#[tokio::test]
async fn who_waits_when_its_subscription_is_cut_waits_on() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let joining = [0; 2].map(|_| Joining::new(server.url(), Kept::InTiers));
    let (instances, held, first, others) = waiting(&server, joining, &origin, &mut calls).await;
    let mut changes = instances[1].changes();
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    let deaf = async { while !matches!(changes.recv().await, Some(larder::store::Change::Deaf)) {} };
    timeout(SOON, deaf).await.expect("it notices");
    instances[1].hears().await;
    until("it claims again", async || server.commandstats().await["hsetnx"] > 2).await;
    held.answer(reply(200, FRESH, full("first")));
    assert_eq!(answered(first).await, "first");
    for asked in others {
        assert_eq!(answered(asked).await, "first");
    }
    assert_eq!(origin.calls(), 1);
}

/// Redis forgot the lease, and who waits was told nothing.
#[tokio::test]
async fn a_lease_that_redis_forgot_ends_the_wait_when_it_would_have_ended() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let joining = [0; 2].map(|_| Joining::new(server.url(), Kept::InRedis).lease(Duration::from_secs(1)));
    let (_instances, held, first, others) = waiting(&server, joining, &origin, &mut calls).await;
    server.command(&["FLUSHALL"]).await;
    go_on(&mut calls, held, first, others).await;
}
