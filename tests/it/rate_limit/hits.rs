//! A cache inside, a cache outside, and what their hits cost.

use http::{request, response};
use larder::{
    CacheLayer,
    cache::Builder as CacheBuilder,
    clock::ManualClock,
    fingerprint::RequestFingerprint,
    policy::Rfc9111,
    rate_limit::{Builder, Gauge, Limit, Meter, Quota, Unit, limiter::Local},
    store::Memory,
};
use tower::Layer as _;

use super::words::{SECOND, head, is_denied, limited, retry_after, told};
use crate::support::{Act, Origin, Script, ask, begun, field, full, get, memory, reply, said, settle, text};

fn cache(clock: &ManualClock) -> CacheBuilder<Memory, RequestFingerprint, Rfc9111> {
    CacheLayer::builder(memory(clock)).clock(clock.clone())
}

/// Reserves 100, and finds that 20 were used if there was a body.
struct Twenty;

impl Meter for Twenty {
    fn reserve(&self, _: &request::Parts, _: &[u8]) -> u64 {
        100
    }

    fn gauge(&self, _: &response::Parts, _: u64) -> Option<Box<dyn Gauge>> {
        Some(Box::new(Read(false)))
    }
}

struct Read(bool);

impl Gauge for Read {
    fn read(&mut self, _: &[u8]) {
        self.0 = true;
    }

    fn cost(&mut self, _: bool) -> Option<u64> {
        self.0.then_some(20)
    }
}

fn requests_and_tokens() -> Builder<Local> {
    limited(Quota::per_minute(10)).limit(Limit::new(Quota::per_minute(1000).of(Unit::Tokens)).meter(Twenty))
}

fn fresh() -> Script {
    Script::new(|_, _| Act::answer(reply(200, &[("cache-control", "max-age=60")], full("x"))))
}

#[tokio::test(start_paused = true)]
async fn hits_cost_what_they_say_unless_they_are_free_but_for_their_request() {
    for (free, tokens) in [(false, 80), (true, 20)] {
        let (clock, script) = (ManualClock::default(), fresh());
        let layer = requests_and_tokens().free_hits(free).build();
        let service = layer.layer(cache(&clock).build().layer(script.clone()));
        for number in 0..4 {
            let response = ask(&service, get("http://a/", &[])).await;
            assert_eq!(said(&response).contains("; hit"), number > 0);
            if number == 3 {
                // Nobody reads it.
                drop(response);
            } else {
                text(response).await;
            }
            settle().await;
        }
        let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
        // What nobody read of a hit that isn't free is not known.
        let unread = if free { 0 } else { 80 };
        assert_eq!(standings.iter().map(|(_, standing)| standing.used).collect::<Vec<_>>(), [4, tokens + unread]);
        assert_eq!(script.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn hits_of_a_cache_inside_are_limited_and_told_of_the_limits_as_they_are_now() {
    let clock = ManualClock::default();
    let layer = limited(Quota::per_minute(3)).build();
    let service = layer.layer(cache(&clock).build().layer(fresh()));
    for left in [2, 1, 0] {
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!(
            (told(&response, "rpm", "r"), field(&response, "x-ratelimit-remaining")),
            (Some(left), Some(&*left.to_string()))
        );
        text(response).await;
        settle().await;
    }
    assert!(is_denied(&ask(&service, get("http://a/", &[])).await));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_a_free_hit() {
    let clock = ManualClock::default();
    let layer = requests_and_tokens().free_hits(true).build();
    let service = layer.layer(cache(&clock).build().layer(fresh()));
    let response = ask(&service, get("http://a/", &[("cache-control", "only-if-cached")])).await;
    assert_eq!(response.status(), 504);
    drop(response);
    let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
    assert_eq!(standings.iter().map(|(_, standing)| standing.used).collect::<Vec<_>>(), [1, 100]);
}

#[tokio::test(start_paused = true)]
async fn hits_of_a_cache_outside_are_not_limited() {
    let (clock, script) = (ManualClock::default(), fresh());
    let layer = limited(Quota::per_minute(1)).build();
    let service = cache(&clock).build().layer(layer.layer(script.clone()));
    for _ in 0..5 {
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "x"));
        settle().await;
    }
    assert_eq!((script.calls(), layer.handle().stats().allowed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_not_stored_by_a_cache_outside() {
    let (clock, script) = (ManualClock::default(), fresh());
    let layer = limited(Quota::per_minute(1)).build();
    let service = cache(&clock).build().layer(layer.layer(script.clone()));
    text(ask(&service, get("http://a/1", &[])).await).await;
    for _ in 0..3 {
        let denied = ask(&service, get("http://a/2", &[])).await;
        assert_eq!((denied.status().as_u16(), retry_after(&denied)), (429, Some(62)));
        assert!(!said(&denied).contains("stored") && !said(&denied).contains("; hit"), "{}", said(&denied));
        text(denied).await;
        settle().await;
    }
    tokio::time::advance(62 * SECOND).await;
    assert_eq!(text(ask(&service, get("http://a/2", &[])).await).await, "x");
    assert_eq!((script.calls(), layer.handle().stats().denied), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_stands_in_for_no_denial_that_it_may_not() {
    let clock = ManualClock::default();
    let script = Script::new(|_, _| Act::answer(reply(200, &[("cache-control", "max-age=1")], full("x"))));
    let service = cache(&clock).build().layer(limited(Quota::per_minute(1)).build().layer(script.clone()));
    text(ask(&service, get("http://a/", &[])).await).await;
    settle().await;
    clock.advance(5 * SECOND);
    let denied = ask(&service, get("http://a/", &[])).await;
    assert_eq!(denied.status(), 429);
    text(denied).await;
    settle().await;
    tokio::time::advance(62 * SECOND).await;
    assert_eq!(text(ask(&service, get("http://a/", &[])).await).await, "x");
    assert_eq!(script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_those_who_share_a_fetch_only_the_one_that_goes_upstream_is_charged() {
    let (clock, (origin, mut calls)) = (ManualClock::default(), Origin::held());
    let layer = limited(Quota::per_minute(1)).build();
    let inner = layer.layer(super::words::Flat(origin.clone()));
    let service = cache(&clock).build().layer(inner);
    let waiting: Vec<_> =
        (0..5).map(|_| begun(tower::ServiceExt::oneshot(service.clone(), get("http://a/", &[])))).collect();
    let answers = tokio::spawn(async move {
        calls.next().await.answer(reply(200, &[("cache-control", "max-age=60")], full("x")));
    });
    for waiting in waiting {
        let response = waiting.await.expect("a response");
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "x"));
    }
    answers.await.expect("no panic");
    assert_eq!((origin.calls(), layer.handle().stats().allowed, layer.handle().stats().denied), (1, 1, 0));
}
