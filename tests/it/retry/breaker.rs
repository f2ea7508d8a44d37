//! An upstream that isn't well is left alone for a while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use larder::{
    RetryFallbackLayer,
    breaker::{self, Breaker, State},
    retry::{self, Backoff, Builder, FailureKind, Handle, RetryFallback, Upstream},
};
use tower::Layer as _;

use super::words::{SECOND, default_answer, half, noted, problem};
use crate::support::{Act, Script, ask, begun, full, get, post, text};

/// Opens when half of at least four calls failed, for 5 s and up to 20; without jitter.
fn breaker() -> breaker::Builder {
    let by_ratio = Breaker::builder().consecutive_failures(None).failure_ratio(0.5).min_calls(4);
    by_ratio.window(30 * SECOND).open_for(5 * SECOND).max_open_for(20 * SECOND).probes(3).jitter(0.0)
}

/// One attempt for each request.
fn once() -> Builder {
    half().attempts(1).breaker(breaker())
}

/// An upstream whose status the test sets.
fn moody() -> (Arc<AtomicU16>, Script) {
    let mood = Arc::new(AtomicU16::new(200));
    let status = mood.clone();
    (mood, Script::new(move |_, _| Act::status(status.load(Ordering::SeqCst))))
}

async fn asked(service: &RetryFallback<Script>, times: u32) {
    for _ in 0..times {
        ask(service, get("http://a/", &[])).await;
    }
}

fn state(handle: &Handle, name: &str) -> State {
    let upstreams = handle.stats().upstreams;
    let upstream = upstreams.iter().find(|upstream| upstream.name == name).expect("an upstream that was asked");
    upstream.breaker.expect("a breaker").state
}

/// A layer over the script whose upstream `a` has just failed four times.
async fn opened(builder: Builder, script: &Script) -> (RetryFallbackLayer, RetryFallback<Script>) {
    let layer = builder.build();
    let service = layer.layer(script.clone());
    asked(&service, 4).await;
    assert_eq!(state(&layer.handle(), "a"), State::Open);
    (layer, service)
}

/// After how many seconds the upstream is asked again.
async fn refused_for(service: &RetryFallback<Script>, script: &Script) -> u32 {
    let calls = script.calls();
    for seconds in 0..10_000 {
        asked(service, 1).await;
        if script.calls() > calls {
            return seconds;
        }
        tokio::time::advance(SECOND).await;
    }
    panic!("it is never asked again")
}

#[tokio::test(start_paused = true)]
async fn half_of_enough_calls_open_it_and_nothing_is_sent() {
    let (mood, script) = moody();
    let layer = once().build();
    let service = layer.layer(script.clone());
    asked(&service, 2).await;
    mood.store(503, Ordering::SeqCst);
    asked(&service, 1).await;
    assert_eq!(state(&layer.handle(), "a"), State::Closed);
    asked(&service, 1).await;
    assert_eq!(state(&layer.handle(), "a"), State::Open);
    let response = ask(&service, get("http://a/", &[])).await;
    assert_eq!((script.calls(), response.headers()["retry-after"].to_str().expect("text")), (4, "5"));
    let (status, problem) = problem(response).await;
    assert_eq!(
        (status.as_u16(), problem["attempts"].as_u64(), problem["retry_after_ms"].as_u64()),
        (503, Some(0), Some(5000))
    );
    let stats = layer.handle().stats();
    let snapshot = stats.upstreams[0].breaker.expect("a breaker");
    assert_eq!((stats.circuit_open, snapshot.opened, snapshot.failures, snapshot.refused), (1, 1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_stops_when_its_failure_opens_the_breaker() {
    let script = Script::statuses([503]);
    let (failures, note) = noted();
    let layer = half().breaker(breaker().min_calls(2)).fallback(note).build();
    ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!(script.calls(), 2);
    let failure = failures.lock().expect("no panic")[0];
    assert_eq!(
        (failure.kind, failure.last_status.map(|status| status.as_u16())),
        (FailureKind::CircuitOpen, Some(503))
    );
}

#[tokio::test(start_paused = true)]
async fn the_open_time_doubles_with_each_failed_probe_up_to_its_cap() {
    let script = Script::statuses([503]);
    let (_, service) = opened(once(), &script).await;
    for expected in [5, 10, 20, 20] {
        assert_eq!(refused_for(&service, &script).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn all_probes_have_to_succeed() {
    let (mood, script) = moody();
    mood.store(503, Ordering::SeqCst);
    let (layer, service) = opened(once(), &script).await;
    mood.store(200, Ordering::SeqCst);
    assert_eq!(refused_for(&service, &script).await, 5);
    asked(&service, 1).await;
    assert_eq!(state(&layer.handle(), "a"), State::HalfOpen);
    mood.store(503, Ordering::SeqCst);
    asked(&service, 1).await;
    assert_eq!(state(&layer.handle(), "a"), State::Open);
    mood.store(200, Ordering::SeqCst);
    assert_eq!(refused_for(&service, &script).await, 10);
    asked(&service, 2).await;
    assert_eq!(state(&layer.handle(), "a"), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn slow_answers_open_it() {
    let script = Script::new(|_, _| Act::status(200).after(1001));
    let slow = breaker().failure_ratio(None).slow_call(SECOND).slow_ratio(0.5);
    let (layer, service) = opened(once().breaker(slow), &script).await;
    asked(&service, 1).await;
    assert_eq!(script.calls(), 4);
    assert_eq!(layer.handle().stats().upstreams[0].breaker.expect("a breaker").slow, 4);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_says_when_to_come_back_keeps_it_open_until_then() {
    for (hint, expected) in [("3", 5), ("30", 30), ("999999", 3600)] {
        let script = Script::new(
            move |number, _| {
                if number == 3 { Act::with(503, &[("retry-after", hint)]) } else { Act::status(503) }
            },
        );
        let (_, service) = opened(once(), &script).await;
        assert_eq!(refused_for(&service, &script).await, expected, "{hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_the_client_s_fault_opens_nothing() {
    for status in [400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 499] {
        let script = Script::statuses([status]);
        let layer = once().build();
        asked(&layer.layer(script.clone()), 8).await;
        assert_eq!((state(&layer.handle(), "a"), script.calls()), (State::Closed, 8), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_timeouts_and_outages_are_failures() {
    let acts: [fn() -> Act; 7] = [
        || Act::status(500),
        || Act::status(502),
        || Act::status(504),
        || Act::status(529),
        Act::refused,
        Act::reset,
        Act::hang,
    ];
    for (number, act) in acts.into_iter().enumerate() {
        let script = Script::new(move |_, _| act());
        let layer = once().attempt_timeout(SECOND).build();
        asked(&layer.layer(script.clone()), 8).await;
        assert_eq!((state(&layer.handle(), "a"), script.calls()), (State::Open, 4), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_the_deadline_or_the_client_ends_says_nothing() {
    let script = Script::new(|_, _| Act::hang());
    let layer = once().attempt_timeout(SECOND).deadline(SECOND / 2).build();
    let service = layer.layer(script.clone());
    asked(&service, 4).await;
    for _ in 0..4 {
        drop(begun(ask(&service, get("http://a/", &[]))));
    }
    let snapshot = layer.handle().stats().upstreams[0].breaker.expect("a breaker");
    assert_eq!((snapshot.state, snapshot.failures, script.calls()), (State::Closed, 0, 8));
}

#[tokio::test(start_paused = true)]
async fn each_host_and_each_label_has_its_own() {
    let script = Script::new(|_, seen| Act::status(if seen.host() == "a" { 503 } else { 200 }));
    let (layer, service) = opened(once(), &script).await;
    ask(&service, get("http://b:8080/", &[])).await;
    ask(&service, get("/", &[("host", "c")])).await;
    assert_eq!(script.calls(), 6);
    let names: Vec<_> = layer.handle().stats().upstreams.into_iter().map(|upstream| upstream.name).collect();
    assert_eq!(names, ["a", "b:8080", "c"]);
    // It is the same host, however it is written.
    for (uri, host) in [("http://A:80/", "A"), ("https://a:443/", "a"), ("/", "A")] {
        ask(&service, get(uri, &[("host", host)])).await;
    }
    assert_eq!((script.calls(), layer.handle().stats().upstreams.len()), (6, 3));

    let script = Script::new(|_, seen| Act::status(if seen.text() == "large" { 503 } else { 200 }));
    let layer = once().label(|_, body| Some(String::from_utf8_lossy(body).into_owned())).build();
    let service = layer.layer(script.clone());
    for _ in 0..5 {
        ask(&service, post("http://a/", &[], "large")).await;
        ask(&service, post("http://a/", &[], "small")).await;
    }
    assert_eq!(script.calls(), 4 + 5);
    let states = ["a large", "a small"].map(|name| state(&layer.handle(), name));
    assert_eq!(states, [State::Open, State::Closed]);
}

/// A label may be what a client sent, and megabytes long.
#[tokio::test(start_paused = true)]
async fn no_label_is_kept_that_is_longer_than_a_name() {
    let layer = once().label(|_, body| Some(String::from_utf8_lossy(body).into_owned())).build();
    let service = layer.layer(Script::statuses([200]));
    for label in ["x".repeat(10_000), "y".repeat(10_000)] {
        ask(&service, post("http://a/", &[], "").map(|_| full(label))).await;
    }
    let names: Vec<_> = layer.handle().stats().upstreams.into_iter().map(|upstream| upstream.name).collect();
    assert!(names == ["*"], "{} names", names.len());
}

#[tokio::test(start_paused = true)]
async fn another_model_at_the_same_host_is_not_shut_out_with_the_one_that_failed() {
    let script = Script::new(|_, seen| Act::status(if seen.text().contains("large") { 503 } else { 200 }));
    let small = Upstream::to("http://a".parse().expect("a URI")).model("small");
    let builder = once().repeatable(|_| true).label(|_, body| Some(String::from_utf8_lossy(body).into_owned()));
    let layer = builder.fallback(small).build();
    let service = layer.layer(script.clone());
    for _ in 0..6 {
        let response = ask(&service, post("http://a/", &[], r#"{"model":"large"}"#)).await;
        assert_eq!(response.status(), 200);
    }
    let states = [r#"a {"model":"large"}"#, r#"a {"model":"small"}"#].map(|name| state(&layer.handle(), name));
    assert_eq!((states, script.calls()), ([State::Open, State::Closed], 4 + 6));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_open_at_the_start_sends_nothing_and_the_chain_is_taken() {
    let (_, script) = moody();
    let other = Upstream::to("http://b".parse().expect("a URI"));
    let (failures, note) = noted();
    let layer = once().fallback(note).fallback(other).fallback(default_answer()).build();
    let (service, handle) = (layer.layer(script.clone()), layer.handle());
    assert!(handle.breaker("a").is_none() && handle.breaker("b").is_none());
    asked(&service, 1).await;
    let trip = |name| handle.breaker(name).expect("it was asked").trip(tokio::time::Instant::now().into_std());
    trip("a");
    for request in [get("http://a/", &[]), post("http://a/", &[], "x")] {
        assert_eq!(text(ask(&service, request).await).await, "200");
        assert_eq!(script.last().host(), "b");
    }
    let failure = failures.lock().expect("no panic")[0];
    assert_eq!((failure.kind, failure.attempts, failure.retry_after), (FailureKind::CircuitOpen, 0, Some(5 * SECOND)));
    trip("b");
    assert_eq!(text(ask(&service, get("http://a/", &[])).await).await, "default");
    assert_eq!((script.calls(), handle.stats().circuit_open), (3, 4));
    tokio::time::advance(5 * SECOND).await;
    asked(&service, 1).await;
    assert_eq!(script.last().host(), "a");
}

#[tokio::test(start_paused = true)]
async fn without_breakers_all_is_sent() {
    let script = Script::statuses([503]);
    let layer = half().attempts(1).no_breaker().build();
    asked(&layer.layer(script.clone()), 50).await;
    assert_eq!((script.calls(), layer.handle().stats().upstreams[0].breaker), (50, None));
    assert!(layer.handle().breaker("a").is_none());
}

#[tokio::test(start_paused = true)]
async fn the_default_needs_twenty_calls_and_opens_for_five_seconds_also_if_it_is_set_further() {
    let half = || half().attempts(1).backoff(Backoff::constant(Duration::ZERO));
    for builder in [half(), half().breaker(retry::default_breaker().slow_call(SECOND))] {
        let script = Script::statuses([503]);
        let layer = builder.build();
        let service = layer.layer(script.clone());
        asked(&service, 30).await;
        assert_eq!(script.calls(), 20);
        let left = layer.handle().breaker("a").expect("a breaker");
        let left = left.admit(tokio::time::Instant::now().into_std()).expect_err("open").retry_in;
        assert!((5 * SECOND..=Duration::from_secs(6)).contains(&left), "{left:?}");
    }
}
