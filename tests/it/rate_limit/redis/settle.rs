//! Charges that are corrected when it is known what a request did cost.

use std::{slice::from_ref, time::Duration};

use bytes::Bytes;
use http::{request, response};
use larder::{
    RateLimitLayer,
    rate_limit::{Algorithm, Charge, Correction, Gauge, Limit, Limiter as _, Meter, Quota, Unit, limiter::Redis},
};
use tower::Layer as _;

use super::{at_cost, is_allowed, limiter, one, policy, runs, take, until, used};
use crate::support::{Act, Script, ask, channel, get, pieces, read, redis::Server, reply};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Strict { buckets: 30 }, Algorithm::Approximate, Algorithm::Log];

async fn correct(redis: &Redis, charge: &Charge, bucket: u64, real: u64) {
    redis.settle(&[Correction::new(charge, bucket, real)]).await.expect("an answer");
}

#[tokio::test]
async fn a_charge_becomes_what_the_request_did_cost_be_it_less_or_more() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    for algorithm in ALGORITHMS {
        server.command(&["FLUSHALL"]).await;
        let policy = policy("tph", Quota::per_hour(100).of(Unit::Tokens).algorithm(algorithm));
        let charge = at_cost(&one(&policy, "alice"), 40);
        let (first, second) = (take(&redis, from_ref(&charge)).await, take(&redis, from_ref(&charge)).await);
        assert_eq!(used(&redis, &charge).await, 80, "{algorithm:?}");
        correct(&redis, &charge, first.standings[0].bucket, 25).await;
        assert_eq!(used(&redis, &charge).await, 65, "{algorithm:?}");
        correct(&redis, &charge, second.standings[0].bucket, 90).await;
        assert_eq!(used(&redis, &charge).await, 115, "{algorithm:?}");
        assert!(!is_allowed(&redis, &[at_cost(&charge, 1)]).await, "{algorithm:?}");
    }
}

/// It could be that Redis forgot the charge, or that somebody settles twice.
#[tokio::test]
async fn nothing_falls_below_zero() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    for algorithm in ALGORITHMS {
        server.command(&["FLUSHALL"]).await;
        let policy = policy("tph", Quota::per_hour(100).of(Unit::Tokens).algorithm(algorithm));
        let charge = at_cost(&one(&policy, "alice"), 40);
        let taken = take(&redis, from_ref(&charge)).await;
        for _ in 0..3 {
            correct(&redis, &charge, taken.standings[0].bucket, 0).await;
            assert_eq!(used(&redis, &charge).await, 0, "{algorithm:?}");
        }
        assert!(server.keys("*").await.is_empty(), "{algorithm:?}");
        assert!(is_allowed(&redis, &[at_cost(&charge, 100)]).await, "{algorithm:?}");
        assert!(!is_allowed(&redis, &[at_cost(&charge, 1)]).await, "{algorithm:?}");
    }
}

#[tokio::test]
async fn what_was_charged_in_a_window_that_is_over_is_left_alone() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    for algorithm in ALGORITHMS {
        let quota = Quota::per(100, Duration::from_millis(200)).of(Unit::Tokens).algorithm(algorithm);
        let charge = at_cost(&one(&policy("limit", quota), "alice"), 40);
        let taken = take(&redis, from_ref(&charge)).await;
        until("the window is over", async || server.keys("*").await.is_empty()).await;
        correct(&redis, &charge, taken.standings[0].bucket, 90).await;
        correct(&redis, &charge, taken.standings[0].bucket, 10).await;
        assert!(server.keys("*").await.is_empty(), "{algorithm:?}");
    }
}

#[tokio::test]
async fn corrections_of_several_limits_cost_one_call_and_of_none_no_call() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let [tokens, cost] = [("tph", Unit::Tokens), ("cph", Unit::Cost)]
        .map(|(name, unit)| at_cost(&one(&policy(name, Quota::per_hour(100).of(unit)), "alice"), 40));
    let slot = one(&policy("slots", Quota::concurrent(3)), "alice");
    let charges = [tokens, cost, slot];
    let taken = take(&redis, &charges).await;
    let corrections = |real: u64| -> Vec<_> {
        let each = charges.iter().zip(&taken.standings);
        each.map(|(charge, standing)| Correction::new(charge, standing.bucket, real)).collect()
    };
    redis.settle(&corrections(30)).await.expect("an answer");
    let before = runs(&server).await;
    redis.settle(&corrections(20)).await.expect("an answer");
    assert_eq!(runs(&server).await, (before.0 + 1, before.1));
    redis.settle(&corrections(40)[..2]).await.expect("nothing to do");
    redis.settle(&[]).await.expect("nothing to do");
    assert_eq!(runs(&server).await, (before.0 + 1, before.1));
    assert_eq!(used(&redis, &charges[2]).await, 1, "slots are not settled");
}

/// Reserves a hundred, and counts the bytes of a whole response.
struct Bodies;

struct Count(u64);

impl Meter for Bodies {
    fn reserve(&self, _: &request::Parts, _: &[u8]) -> u64 {
        100
    }

    fn gauge(&self, _: &response::Parts, _: u64) -> Option<Box<dyn Gauge>> {
        Some(Box::new(Count(0)))
    }
}

impl Gauge for Count {
    fn read(&mut self, data: &[u8]) {
        self.0 += data.len() as u64;
    }

    fn cost(&mut self, is_whole: bool) -> Option<u64> {
        is_whole.then_some(self.0)
    }
}

#[tokio::test]
async fn a_streamed_response_is_settled_once_when_it_ends_and_a_broken_one_never() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let limit = Limit::new(Quota::per_hour(1000).of(Unit::Tokens)).meter(Bodies);
    let layer = RateLimitLayer::builder(redis.clone()).limit(limit).build();
    let charge = at_cost(&Charge::new(policy("tph", Quota::per_hour(1000).of(Unit::Tokens)), everyone(), 1), 1);
    let service = layer.layer(Script::new(|number, _| {
        let (feed, body) = channel();
        feed.data(Bytes::from_static(b"one"));
        if number == 1 {
            feed.fail("broken");
            return Act::answer(reply(200, &[], body));
        }
        Act::answer(reply(200, &[], pieces(["three", "four"])))
    }));
    let whole = ask(&service, get("http://a/", &[])).await;
    assert_eq!(used(&redis, &charge).await, 100, "it is reserved until the end");
    assert_eq!(read(whole).await.expect("a whole body").len(), 9);
    until("it is settled", async || used(&redis, &charge).await == 9).await;
    let before = runs(&server).await.0;
    assert!(read(ask(&service, get("http://a/", &[])).await).await.is_err());
    drop(ask(&service, get("http://a/", &[])).await);
    assert_eq!(used(&redis, &charge).await, 209, "what is unknown stays charged");
    // Two requests and a look; nothing was settled behind them.
    assert_eq!(runs(&server).await.0, before + 3);
    let stats = layer.handle().stats();
    assert_eq!((stats.allowed, stats.settled, stats.unsettled), (3, 1, 2));
}

fn everyone() -> larder::rate_limit::Subject {
    larder::rate_limit::Subject::everyone()
}
