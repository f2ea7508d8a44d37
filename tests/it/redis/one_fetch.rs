//! Identical requests in flight over several instances make one call.

use std::time::Duration;

use larder::{
    clock::ManualClock,
    store::{Change, Store as _},
};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::instance::{FRESH, Instance, Joining, Kept, SOON, answered, asking, next, until, waits};
use crate::support::{
    Origin, Refused, ask, channel, data, empty, full, get, redis::Server, reply, request, said, settle, text,
};

const KINDS: [Kept; 2] = [Kept::InRedis, Kept::InTiers];

const EACH: usize = 250;

async fn two(server: &Server, kept: Kept, origin: &Origin) -> [Instance; 2] {
    let join = async || Joining::new(server.url(), kept).join(origin).await;
    [join().await, join().await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_requests_over_two_instances_make_one_call() {
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, kept, &origin).await;
        let asked: Vec<_> = (0..EACH)
            .flat_map(|_| instances.each_ref().map(|instance| asking(&instance.cache, get("http://a/", &[]))))
            .collect();
        let held = next(&mut calls).await;
        // Each looks for itself before it follows another.
        until("all are in flight", async || server.commandstats().await["get"] >= 2 * EACH as u64).await;
        waits(&server, 1).await;
        let body = "0123456789".repeat(10_000);
        held.answer(reply(200, FRESH, full(body.clone())));
        for asked in asked {
            assert!(answered(asked).await == body, "{kept:?}: a wrong body");
        }
        assert_eq!(origin.calls(), 1, "{kept:?}");
        let stats = instances.each_ref().map(|instance| instance.layer.handle().stats());
        assert_eq!(stats.iter().map(|stats| stats.misses).sum::<u64>(), 1);
        assert_eq!(stats.iter().map(|stats| stats.stored).sum::<u64>(), 1);
        until("the lease is given back", async || server.keys("*!lease").await.is_empty()).await;
    }
}

/// A large entry takes a while to be written, compressed as it is; the lease is given back after that.
#[tokio::test]
async fn an_answer_lies_in_redis_before_others_are_told_to_look_for_it() {
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, kept, &origin).await;
        let first = asking(&instances[0].cache, get("http://a/", &[]));
        let held = next(&mut calls).await;
        let second = asking(&instances[1].cache, get("http://a/", &[]));
        waits(&server, 1).await;
        let body: String = (0..500_000).map(|number: u64| format!("{number:08x}")).collect();
        held.answer(reply(200, FRESH, full(body.clone())));
        assert!(answered(first).await == body && answered(second).await == body, "{kept:?}: a wrong body");
        assert_eq!(origin.calls(), 1, "{kept:?}");
    }
}

#[tokio::test]
async fn a_variant_is_fetched_once_too() {
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, kept, &origin).await;
        let vary = &[FRESH[0], ("vary", "accept-language")];
        let speaking =
            |instance: &Instance, language| asking(&instance.cache, get("http://a/", &[("accept-language", language)]));
        let german: Vec<_> = (0..10).map(|_| speaking(&instances[0], "de")).collect();
        let first = next(&mut calls).await;
        let french: Vec<_> = (0..20).map(|number| speaking(&instances[number % 2], "fr")).collect();
        waits(&server, 1).await;
        first.answer(reply(200, vary, full("hallo")));
        let second = next(&mut calls).await;
        waits(&server, 1).await;
        second.answer(reply(200, vary, full("bonjour")));
        for asked in german {
            assert_eq!(answered(asked).await, "hallo");
        }
        for asked in french {
            assert_eq!(answered(asked).await, "bonjour");
        }
        assert_eq!(origin.calls(), 2, "{kept:?}");
    }
}

#[tokio::test]
async fn heads_and_gets_make_a_call_each() {
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, kept, &origin).await;
        let all = |method: &'static str| {
            let asked = (0..20).map(|number| asking(&instances[number % 2].cache, request(method, "http://a/", &[])));
            asked.collect::<Vec<_>>()
        };
        let (heads, gets) = (all("HEAD"), all("GET"));
        let held = [next(&mut calls).await, next(&mut calls).await];
        waits(&server, 2).await;
        for held in held {
            let body = if held.request.method() == "HEAD" { empty() } else { full("body") };
            held.answer(reply(200, FRESH, body));
        }
        for (asked, expected) in [(heads, ""), (gets, "body")] {
            for asked in asked {
                assert_eq!(answered(asked).await, expected);
            }
        }
        assert_eq!(origin.calls(), 2, "{kept:?}");
    }
}

#[tokio::test]
async fn what_is_stale_everywhere_one_instance_refreshes() {
    for kept in KINDS {
        let server = Server::start().await;
        let clock = ManualClock::default();
        let (origin, mut calls) = Origin::held();
        let join = async || Joining::new(server.url(), kept).clock(clock.clone()).join(&origin).await;
        let instances = [join().await, join().await];
        let stale = &[("cache-control", "max-age=60, stale-while-revalidate=600")];
        let first = asking(&instances[0].cache, get("http://a/", &[]));
        next(&mut calls).await.answer(reply(200, stale, full("0")));
        assert_eq!(answered(first).await, "0");
        until("it is stored", async || instances[0].layer.handle().stats().stored == 1).await;
        assert_eq!(answered(asking(&instances[1].cache, get("http://a/", &[]))).await, "0");
        clock.advance(Duration::from_secs(61));
        for number in 0..20 {
            let answer = ask(&instances[number % 2].cache, get("http://a/", &[])).await;
            assert!(said(&answer).contains("stale-while-revalidate"), "{}", said(&answer));
            assert_eq!(text(answer).await, "0");
        }
        let held = next(&mut calls).await;
        waits(&server, 1).await;
        settle().await;
        assert!(calls.try_next().is_none(), "{kept:?}: the other leaves it to the first");
        held.answer(reply(200, stale, full("1")));
        for instance in &instances {
            until("it has the new one", async || text(ask(&instance.cache, get("http://a/", &[])).await).await == "1")
                .await;
        }
        assert_eq!(origin.calls(), 2, "{kept:?}");
    }
}

/// What it has near is stale, and it has not heard of what another instance fetched since.
#[tokio::test]
async fn what_another_instance_has_fetched_already_is_looked_up_and_not_fetched_again() {
    let server = Server::start().await;
    let clock = ManualClock::default();
    let fields = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];
    let origin = Origin::replies(move |number| reply(200, fields, full(number.to_string())));
    let join = async || Joining::new(server.url(), Kept::InTiers).clock(clock.clone()).join(&origin).await;
    let [one, other] = [join().await, join().await];
    assert_eq!(answered(asking(&one.cache, get("http://a/", &[]))).await, "0");
    until("it is stored", async || one.layer.handle().stats().stored == 1).await;
    let name = server.keys("larder:default:*").await.remove(0);
    let key = name.trim_start_matches("larder:default:").parse().expect("a key");
    let old = one.near.get(&key).await.expect("memory").expect("it is near");
    clock.advance(Duration::from_secs(61));
    assert_eq!(answered(asking(&other.cache, get("http://a/", &[]))).await, "1");
    until("it is stored", async || other.layer.handle().stats().stored == 1).await;
    until("the first dropped its own", async || one.nearby().await == 0).await;
    one.near.put(&key, old).await.expect("memory");
    assert_eq!(answered(asking(&one.cache, get("http://a/", &[]))).await, "1");
    assert_eq!(origin.calls(), 2);
}

/// It lies in Redis still, under keys that the instance which sent the PUT doesn't know.
#[tokio::test]
async fn what_a_put_made_invalid_is_fetched_once_too() {
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, kept, &origin).await;
        let alice =
            |instance: &Instance| asking(&instance.cache, get("http://a/", &[("authorization", "Bearer alice")]));
        let asked = instances.each_ref().map(alice);
        next(&mut calls).await.answer(reply(200, FRESH, full("old")));
        for asked in asked {
            assert_eq!(answered(asked).await, "old");
        }
        let mut changes = instances[1].changes();
        let put = asking(&instances[0].cache, request("PUT", "http://a/", &[]));
        next(&mut calls).await.answer(reply(204, &[], empty()));
        answered(put).await;
        let told = async { while !matches!(changes.recv().await, Some(Change::Invalidated(..))) {} };
        timeout(SOON, told).await.expect("it is told");
        let asked: Vec<_> = (0..20).map(|number| alice(&instances[number % 2])).collect();
        let held = next(&mut calls).await;
        waits(&server, 1).await;
        held.answer(reply(200, FRESH, full("new")));
        for asked in asked {
            assert_eq!(answered(asked).await, "new");
        }
        assert_eq!(origin.calls(), 3, "{kept:?}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_lets_the_other_instance_go_on_at_once() {
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, kept, &origin).await;
        let first = asking(&instances[0].cache, get("http://a/", &[]));
        let held = next(&mut calls).await;
        let others: Vec<_> = (0..10).map(|_| asking(&instances[1].cache, get("http://a/", &[]))).collect();
        waits(&server, 1).await;
        // Its body takes for ever, and nobody has to wait for that.
        let (feed, body) = channel();
        held.answer(reply(200, &[("cache-control", "no-store")], body));
        let mine = &[("cache-control", "no-store")];
        next(&mut calls).await.answer(reply(200, mine, full("other")));
        for _ in 1..10 {
            next(&mut calls).await.answer(reply(200, mine, full("other")));
        }
        for asked in others {
            assert_eq!(answered(asked).await, "other");
        }
        feed.data("first");
        drop(feed);
        assert_eq!(answered(first).await, "first");
        assert_eq!(origin.calls(), 11, "{kept:?}");
        until("the leases are given back", async || server.keys("*!lease").await.is_empty()).await;
    }
}

#[tokio::test]
async fn an_origin_that_fails_one_instance_does_not_fail_the_other() {
    for (number, fails) in [Some(502), None].into_iter().enumerate() {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, KINDS[number], &origin).await;
        let cache = instances[0].cache.clone();
        let first = tokio::spawn(cache.oneshot(get("http://a/", &[])));
        let held = next(&mut calls).await;
        let other = asking(&instances[1].cache, get("http://a/", &[]));
        waits(&server, 1).await;
        match fails {
            Some(status) => held.answer(reply(status, &[], full("bad"))),
            None => held.refuse("no route"),
        }
        match first.await.expect("no panic") {
            Ok(response) => assert_eq!((response.status().as_u16(), fails), (502, Some(502))),
            Err(error) => assert_eq!((error, fails), (Refused("no route"), None)),
        }
        next(&mut calls).await.answer(reply(200, FRESH, full("good")));
        assert_eq!(answered(other).await, "good");
    }
}

#[tokio::test]
async fn a_client_that_leaves_does_not_leave_the_other_instance_waiting() {
    for within_body in [false, true] {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, Kept::InTiers, &origin).await;
        let cache = instances[0].cache.clone();
        let mut first = Box::pin(ask(&cache, get("http://a/", &[])));
        let held = tokio::select! {
            held = next(&mut calls) => held,
            _ = &mut first => panic!("there is no answer yet"),
        };
        let other = asking(&instances[1].cache, get("http://a/", &[]));
        waits(&server, 1).await;
        if within_body {
            let (feed, body) = channel();
            held.answer(reply(200, FRESH, body));
            feed.data("half");
            let mut answer = first.await;
            assert_eq!(data(&mut answer).await, "half");
            drop(answer);
        } else {
            drop(first);
        }
        next(&mut calls).await.answer(reply(200, FRESH, full("whole")));
        assert_eq!(answered(other).await, "whole", "within its body: {within_body}");
    }
}
