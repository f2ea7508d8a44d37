//! The end of the chain: what a client is told, and what it is not.

use http::Response;
use larder::{
    breaker::Breaker,
    retry::{Cause, Credentials, FailureKind, Fallback, FallbackKind, Problem, Upstream},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt as _};

use super::stack::{SECOND, quick, sent, took};
use crate::support::{Body, Origin, Refused, channel, empty, field, full, get, post, read, reply, text};

/// What no client is to see.
const SECRET: &str = "s3cret";

/// All that a client sees of a response.
async fn seen(answer: Response<larder::retry::RetryBody<Body>>) -> (String, Value) {
    let head = format!("{:?} {:?}", answer.status(), answer.headers());
    let body = text(answer).await;
    assert!(!head.contains(SECRET) && !body.contains(SECRET), "{head} {body}");
    (head, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test(start_paused = true)]
async fn the_last_word_has_these_members_and_no_others() {
    let origin = Origin::replies(|_| {
        let fields = [("x-served-by", "s3cret.internal"), ("retry-after", "90"), ("set-cookie", "s3cret=1")];
        reply(503, &fields, full("panic at s3cret.rs:17"))
    });
    let layer = quick().build();
    let answer =
        sent(&layer.layer(origin), get("http://s3cret.internal/", &[("authorization", "Bearer s3cret")])).await;
    assert_eq!((answer.status().as_u16(), took(&answer)), (503, (1, Some(FallbackKind::Problem))), "too long to wait");
    for (name, expected) in [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("retry-after", "90"),
        ("larder-attempts", "1"),
        ("larder-fallback", "problem"),
    ] {
        assert_eq!(field(&answer, name), Some(expected));
    }
    assert_eq!(answer.headers().len(), 5);
    let expected = json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The upstream failed, and nothing could stand in for its answer.",
        "attempts": 1,
        "last_status": 503,
        "retry_after_ms": 90_000,
        "suggestions": ["Try again in 90 seconds."],
    });
    assert_eq!(seen(answer).await.1, expected);
    assert_eq!(layer.handle().stats().problems, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_inner_leaks_whatever_failed() {
    let error = Origin::new(|_| std::future::ready(Err(Refused("s3cret.internal:5432 refused"))));
    let hangs = Origin::new(|_| std::future::pending());
    let breaks = Origin::replies(|_| {
        let (feed, body) = channel();
        feed.fail("s3cret.internal cut");
        reply(200, &[], body)
    });
    let refuses = Origin::replies(|_| reply(401, &[("x-own", SECRET)], full("wrong key s3cret")));
    let keys = || Credentials::bearer([SECRET, "s3cret-2"]).expect("keys");
    let cases = [
        (error, 502, "The upstream could not be asked.", None),
        (hangs, 504, "The upstream did not answer in time.", None),
        (breaks, 502, "The upstream's answer broke off before it began.", Some(200)),
        (refuses, 401, "The upstream refuses the credential, or what was paid for is used up.", Some(401)),
    ];
    for (origin, status, detail, last) in cases {
        let layer = quick().attempt_timeout(SECOND).credentials(keys()).build();
        let answer = sent(&layer.layer(origin), get("http://s3cret.internal/", &[])).await;
        assert_eq!(answer.status(), status);
        let (_, problem) = seen(answer).await;
        assert_eq!((&problem["detail"], &problem["status"]), (&json!(detail), &json!(status)));
        assert_eq!(problem.get("last_status"), last.map(|last| json!(last)).as_ref());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_asked_is_said_to_be_unavailable_for_as_long_as_it_is() {
    let layer = quick().breaker(Breaker::builder().open_for(20 * SECOND).jitter(0.0)).build();
    let service = layer.layer(Origin::replies(|_| reply(200, &[], empty())));
    sent(&service, get("http://s3cret.internal/", &[])).await;
    layer.handle().breaker("s3cret.internal").expect("a breaker").trip(Instant::now().into_std());
    let answer = sent(&service, get("http://s3cret.internal/", &[])).await;
    assert_eq!((answer.status().as_u16(), took(&answer).0, field(&answer, "retry-after")), (503, 0, Some("20")));
    let (_, problem) = seen(answer).await;
    assert_eq!((&problem["attempts"], &problem["retry_after_ms"]), (&json!(0), &json!(20_000)));
    assert_eq!(problem.get("last_status"), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_tells_more_than_what_was_not() {
    let origin = Origin::by_request(|request| match request.uri().host() {
        Some("b") => reply(200, &[], empty()),
        _ => reply(429, &[], empty()),
    });
    let upstream = || Upstream::to(http::Uri::from_static("http://b"));
    let layer = quick().breaker(Breaker::builder()).fallback(upstream()).build();
    let service = layer.layer(origin);
    sent(&service, get("http://b/", &[])).await;
    layer.handle().breaker("b").expect("a breaker").trip(Instant::now().into_std());
    let answer = sent(&service, get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), took(&answer).0), (429, 3), "that b isn't asked is not what is wrong");
}

#[tokio::test(start_paused = true)]
async fn a_provider_s_client_finds_its_error_member() {
    let cases = [
        (
            429,
            json!({"message": "The upstream has no room for more requests now.", "type": "rate_limit_error",
            "code": "rate_limit_exceeded"}),
        ),
        (
            500,
            json!({"message": "The upstream failed, and nothing could stand in for its answer.", "type": "api_error",
            "code": "upstream_failed"}),
        ),
    ];
    for (status, expected) in cases {
        let origin = Origin::replies(move |_| reply(status, &[], full(SECRET)));
        let layer = quick().repeatable(|_| true).problem(Problem::new().error_member(true)).build();
        let answer = sent(&layer.layer(origin), post("http://a/", &[], "{}")).await;
        assert_eq!(answer.status(), status);
        let (_, problem) = seen(answer).await;
        assert_eq!((&problem["error"], &problem["attempts"]), (&expected, &json!(3)));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_problem_the_last_failure_is_handed_on_as_it_came() {
    let origin = Origin::replies(|number| reply(503, &[("x-number", &number.to_string())], full("down")));
    let layer = quick().problem(None).build();
    let answer = sent(&layer.layer(origin), get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "x-number")), (503, Some("2")));
    assert_eq!((took(&answer), field(&answer, "larder-fallback")), ((3, None), None));
    assert_eq!(text(answer).await, "down");
    assert_eq!(layer.handle().stats().handed_on, 1);

    let refuses = Origin::new(|_| std::future::ready(Err(Refused("no route"))));
    let error = layer.layer(refuses).oneshot(get("http://a/", &[])).await.expect_err("an error");
    assert_eq!(error, Refused("no route"), "the error is the inner service's own");

    let hangs = Origin::new(|_| std::future::pending());
    let layer = quick().attempt_timeout(SECOND).problem(None).build();
    let answer = sent(&layer.layer(hangs), get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), took(&answer).1), (504, Some(FallbackKind::Problem)), "nothing came");
}

#[tokio::test(start_paused = true)]
async fn a_4xx_that_could_have_been_retried_and_was_not_is_handed_on() {
    let origin = Origin::replies(|_| reply(429, &[("retry-after", "3600")], full("slow down")));
    let layer = quick().build();
    let answer = sent(&layer.layer(origin.clone()), get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "retry-after"), origin.calls()), (429, Some("3600"), 1));
    assert_eq!(text(answer).await, "slow down");

    let throttled = Origin::replies(|_| reply(429, &[], full("slow down")));
    let answer = sent(&layer.layer(throttled), get("http://a/", &[])).await;
    assert_eq!(took(&answer), (3, Some(FallbackKind::Problem)), "that one was retried");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_attempts_and_leaves_the_steps_that_take_no_time() {
    let hangs = Origin::new(|_| std::future::pending());
    let other = Upstream::to(http::Uri::from_static("http://b"));
    let sorry = Fallback::answer_with(|_, failure| {
        assert_eq!((failure.kind, failure.cause), (FailureKind::DeadlineExceeded, Cause::Failed));
        Some(Response::new("sorry".into()))
    });
    let layer = quick().deadline(5 * SECOND).fallback(other).fallback(sorry).build();
    let begun = Instant::now();
    let answer = sent(&layer.layer(hangs.clone()), get("http://a/", &[])).await;
    assert_eq!((begun.elapsed(), hangs.calls()), (5 * SECOND, 1));
    assert_eq!(text(answer).await, "sorry");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_handed_on_has_the_whole_of_its_body() {
    let (feed, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let origin = Origin::replies(move |_| reply(503, &[], body.lock().expect("no panic").take().expect("one call")));
    let layer = quick().attempts(1).problem(None).build();
    let answer = sent(&layer.layer(origin), get("http://a/", &[])).await;
    feed.data("do");
    feed.data("wn");
    drop(feed);
    assert_eq!(read(answer).await.expect("whole"), "down");
}
