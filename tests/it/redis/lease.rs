//! Leases: held while a fetch lasts, given back at its end, and waited for with patience and no longer.

use std::{thread, time::Duration};

use larder::store::{Claim, Ended, Store as _};
use redis::Value;
use tokio::time::timeout;

use super::instance::{FRESH, Instance, Joining, Kept, SOON, answered, asking, next, until, waits};
use crate::support::{
    Calls, Held, Origin, full, get,
    redis::{Fault, Relay, Server},
    reply,
};

async fn leases(server: &Server) -> Vec<String> {
    server.keys("*!lease").await
}

/// How often a lease was claimed: each claim tries to set its token.
async fn claims(server: &Server) -> u64 {
    server.commandstats().await.get("hsetnx").copied().unwrap_or_default()
}

fn key() -> larder::key::Key {
    larder::key::KeyBuilder::new("test").label("a:b").finish()
}

/// A fetch through one instance that another waits for.
async fn fetched(server: &Server, one: &Instance, calls: &mut Calls) -> (Held, tokio::task::JoinHandle<String>) {
    let first = asking(&one.cache, get("http://a/", &[]));
    let held = next(calls).await;
    assert_eq!(leases(server).await.len(), 1);
    (held, first)
}

#[tokio::test]
async fn a_fetch_that_takes_longer_than_its_lease_keeps_it() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let lease = Duration::from_secs(1);
    let one = Joining::new(server.url(), Kept::InRedis).lease(lease).join(&origin).await;
    let other = Joining::new(server.url(), Kept::InRedis).lease(lease).join(&origin).await;
    let (held, first) = fetched(&server, &one, &mut calls).await;
    let token = server.command(&["HGET", &leases(&server).await[0], "token"]).await;
    let second = asking(&other.cache, get("http://a/", &[]));
    tokio::time::sleep(3 * lease).await;
    assert_eq!(server.command(&["HGET", &leases(&server).await[0], "token"]).await, token, "it is the first one's");
    held.answer(reply(200, FRESH, full("x")));
    assert_eq!((answered(first).await.as_str(), answered(second).await.as_str()), ("x", "x"));
    assert_eq!(origin.calls(), 1);
    until("it is given back", async || leases(&server).await.is_empty()).await;
}

#[tokio::test]
async fn an_instance_that_dies_holds_the_other_up_for_a_lease_and_no_longer() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let lease = Duration::from_secs(2);
    let other = Joining::new(server.url(), Kept::InTiers).lease(lease).join(&origin).await;
    let (url, dying) = (server.url(), origin.clone());
    let (die, dies) = tokio::sync::oneshot::channel::<()>();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let one = Joining::new(url, Kept::InTiers).lease(lease).join(&dying).await;
            let _first = asking(&one.cache, get("http://a/", &[]));
            let _ = dies.await;
        });
        // All that runs in it ends with it: nothing is given back.
        runtime.shutdown_background();
    });
    let held = next(&mut calls).await;
    let second = asking(&other.cache, get("http://a/", &[]));
    waits(&server, 1).await;
    die.send(()).expect("it lives");
    thread.join().expect("no panic");
    assert_eq!(leases(&server).await.len(), 1, "it was not given back");
    next(&mut calls).await.answer(reply(200, FRESH, full("x")));
    assert_eq!(answered(second).await, "x");
    drop(held);
}

#[tokio::test]
async fn an_instance_that_is_cut_off_holds_the_other_up_for_a_lease_and_no_longer() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let (origin, mut calls) = Origin::held();
    let lease = Duration::from_secs(1);
    let one = Joining::new(relay.url(), Kept::InRedis).lease(lease).join(&origin).await;
    let other = Joining::new(server.url(), Kept::InRedis).lease(lease).join(&origin).await;
    let (held, first) = fetched(&server, &one, &mut calls).await;
    let second = asking(&other.cache, get("http://a/", &[]));
    waits(&server, 1).await;
    relay.set(Fault::Hold);
    next(&mut calls).await.answer(reply(200, FRESH, full("second")));
    assert_eq!(answered(second).await, "second");
    held.answer(reply(200, FRESH, full("first")));
    assert_eq!(answered(first).await, "first", "who was cut off has its answer too");
}

#[tokio::test]
async fn another_instance_is_waited_for_as_long_as_told() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let one = Joining::new(server.url(), Kept::InRedis).join(&origin).await;
    let short = Duration::from_millis(200);
    let other = Joining::new(server.url(), Kept::InRedis).set(|layer| layer.coalesce_across(short)).join(&origin).await;
    let (held, first) = fetched(&server, &one, &mut calls).await;
    let second = asking(&other.cache, get("http://a/", &[]));
    next(&mut calls).await.answer(reply(200, FRESH, full("second")));
    assert_eq!(answered(second).await, "second");
    assert_eq!(leases(&server).await.len(), 1, "the first one's is its own");
    held.answer(reply(200, FRESH, full("first")));
    assert_eq!(answered(first).await, "first");
}

#[tokio::test]
async fn an_instance_that_opts_out_asks_for_no_lease() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let join = async || {
        let joining = Joining::new(server.url(), Kept::InTiers).set(|layer| layer.coalesce_across(None));
        joining.join(&origin).await
    };
    let instances = [join().await, join().await];
    let asked: Vec<_> = (0..4).map(|number| asking(&instances[number % 2].cache, get("http://a/", &[]))).collect();
    let held = [next(&mut calls).await, next(&mut calls).await];
    assert_eq!((leases(&server).await.len(), claims(&server).await), (0, 0));
    held.into_iter().for_each(|held| held.answer(reply(200, FRESH, full("x"))));
    for asked in asked {
        assert_eq!(answered(asked).await, "x");
    }
    assert_eq!((origin.calls(), claims(&server).await), (2, 0));
}

#[tokio::test]
async fn a_lease_that_went_to_another_is_not_given_back() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let one = Joining::new(server.url(), Kept::InRedis).join(&origin).await;
    let (held, first) = fetched(&server, &one, &mut calls).await;
    let lease = leases(&server).await.remove(0);
    server.command(&["HSET", &lease, "token", "another"]).await;
    held.answer(reply(200, FRESH, full("x")));
    assert_eq!(answered(first).await, "x");
    // It looks whose the lease is before it gives it back.
    until("it is done with it", async || server.commandstats().await.contains_key("hmget")).await;
    assert_eq!(server.command(&["HGET", &lease, "token"]).await, Value::BulkString(b"another".to_vec()));
}

/// A lease is waited for by listening. Asking again and again would load Redis, and be late besides.
#[tokio::test]
async fn who_waits_is_told_and_does_not_ask_again_and_again() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let one = Joining::new(server.url(), Kept::InTiers).join(&origin).await;
    let other = Joining::new(server.url(), Kept::InTiers).join(&origin).await;
    let (held, first) = fetched(&server, &one, &mut calls).await;
    let others: Vec<_> = (0..50).map(|_| asking(&other.cache, get("http://a/", &[]))).collect();
    waits(&server, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(claims(&server).await, 2, "one by each instance");
    held.answer(reply(200, FRESH, full("x")));
    assert_eq!(answered(first).await, "x");
    for asked in others {
        // Long before the lease would have ended, or their patience, which are LONG.
        assert_eq!(answered(asked).await, "x");
    }
    assert_eq!(origin.calls(), 1);
}

/// Its client left while it was asking. Redis may have given it the lease all the same.
#[tokio::test]
async fn a_claim_that_nobody_waits_for_any_more_leaves_no_lease_behind() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let (origin, _calls) = Origin::held();
    let one = Joining::new(relay.url(), Kept::InRedis).join(&origin).await;
    let key = key();
    // Redis knows the script from then on.
    drop(one.far.claim(&key, None).await);
    until("it is given back", async || leases(&server).await.is_empty()).await;
    relay.set(Fault::Delay(Duration::from_secs(2)));
    let mut claim = Box::pin(one.far.claim(&key, None));
    let early = timeout(Duration::from_millis(50), claim.as_mut()).await;
    assert!(early.is_err(), "the answer is on its way");
    until("Redis gave the lease", async || leases(&server).await.len() == 1).await;
    drop(claim);
    until("it is given back", async || leases(&server).await.is_empty()).await;
}

#[tokio::test]
async fn a_claim_says_how_things_are() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let one = Joining::new(server.url(), Kept::InRedis).join(&origin).await;
    let other = Joining::new(server.url(), Kept::InRedis).join(&origin).await;
    let key = key();
    let Claim::Held(lease) = one.far.claim(&key, None).await else { panic!("nobody has it") };
    let Claim::Taken(waiting) = other.far.claim(&key, None).await else { panic!("another has it") };
    let Claim::Taken(again) = one.far.claim(&key, None).await else { panic!("the same instance has it") };
    lease.settle();
    for waiting in [waiting, again] {
        assert_eq!(timeout(SOON, waiting.ended()).await.expect("it is told"), Ended::Released);
    }
    let Claim::Held(lease) = other.far.claim(&key, None).await else { panic!("it was given back") };
    let Claim::Taken(waiting) = one.far.claim(&key, None).await else { panic!("another has it") };
    drop(lease);
    assert_eq!(timeout(SOON, waiting.ended()).await.expect("it is told"), Ended::Lapsed, "it was given up");
    // With an entry there, only who has seen that one is to fetch.
    let asked = asking(&one.cache, get("http://a/", &[]));
    next(&mut calls).await.answer(reply(200, FRESH, full("x")));
    answered(asked).await;
    until("it is stored", async || server.keys("larder:default:*").await.len() == 1).await;
    until("its lease is given back", async || leases(&server).await.is_empty()).await;
    let name = server.keys("larder:default:*").await.remove(0);
    let stored = name.trim_start_matches("larder:default:").parse().expect("a key");
    let entry = one.far.get(&stored).await.expect("an answer");
    assert!(matches!(other.far.claim(&stored, None).await, Claim::Changed));
    assert!(matches!(other.far.claim(&stored, entry.as_ref()).await, Claim::Held(_)));
}
