//! The fallback chain: its steps in the user's order, and when each is taken.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use http::{Response, StatusCode, Uri};
use larder::{
    breaker::Breaker,
    clock::ManualClock,
    entry::StaleEntry,
    retry::{Asked, Cause, FailureKind, Fallback, FallbackKind, Outcome, Upstream, Verdict},
};
use tower::Layer as _;

use super::stack::{SECOND, http, quick, sent, took};
use crate::support::{Body, Origin, Refused, ask, empty, field, full, get, heard, post, reply, request, settle, text};

fn sorry(text: &'static str) -> Response<Bytes> {
    Response::new(Bytes::from_static(text.as_bytes()))
}

fn mirror() -> Upstream {
    Upstream::to(Uri::from_static("http://mirror.test"))
}

/// Down at `a`, and at the mirror what it is told.
fn down_but(mirror: fn() -> Response<Body>) -> Origin {
    Origin::by_request(move |request| match request.uri().host() {
        Some("mirror.test") => mirror(),
        _ => reply(503, &[], full("down")),
    })
}

/// An entry such as a cache hands down.
async fn kept(clock: &ManualClock) -> StaleEntry {
    let taken = Arc::new(Mutex::new(None));
    let takes = taken.clone();
    let origin = Origin::new(move |call| {
        if let Some(entry) = call.request.extensions().get::<StaleEntry>() {
            *takes.lock().expect("no panic") = Some(entry.clone());
        }
        std::future::ready(Ok(reply(200, &[("cache-control", "max-age=60, stale-if-error=300")], full("kept"))))
    });
    let cache = http(clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    settle().await;
    clock.advance(100 * SECOND);
    text(ask(&cache, get("http://a/", &[])).await).await;
    let mut taken = taken.lock().expect("no panic");
    taken.take().expect("an entry")
}

#[tokio::test(start_paused = true)]
async fn the_first_step_that_has_an_answer_gives_it_in_the_user_s_order() {
    let clock = ManualClock::default();
    let entry = kept(&clock).await;
    let step = |name: char| match name {
        's' => Fallback::stale(),
        'u' => mirror().into(),
        _ => Fallback::answer(sorry("sorry")),
    };
    let cases = [
        ("sud", "kept", FallbackKind::Stale),
        ("usd", "mirrored", FallbackKind::Upstream),
        ("dus", "sorry", FallbackKind::Default),
        ("ds", "sorry", FallbackKind::Default),
        // A chain that doesn't name it begins with it.
        ("ud", "kept", FallbackKind::Stale),
        ("", "kept", FallbackKind::Stale),
    ];
    for (order, expected, kind) in cases {
        let builder = order.chars().fold(quick().clock(clock.clone()), |builder, name| builder.fallback(step(name)));
        let service = builder.build().layer(down_but(|| reply(200, &[], full("mirrored"))));
        let mut request = get("http://a/", &[]);
        request.extensions_mut().insert(entry.clone());
        let answer = sent(&service, request).await;
        assert_eq!((answer.status().as_u16(), took(&answer).1), (200, Some(kind)), "{order}");
        assert_eq!(field(&answer, "larder-fallback"), Some(kind.as_str()), "{order}");
        assert_eq!(text(answer).await, expected, "{order}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_has_nothing_is_passed_over() {
    let layer = quick()
        .fallback(Fallback::stale())
        .fallback(mirror())
        .fallback(Fallback::answer_with(|_, _| None))
        .fallback(Fallback::answer(sorry("at last")))
        .fallback(Fallback::answer_with(|_, _| unreachable!("the one before has an answer")))
        .build();
    let service = layer.layer(down_but(|| reply(500, &[], full("down, too"))));
    let answer = sent(&service, get("http://a/", &[])).await;
    assert_eq!(took(&answer), (4, Some(FallbackKind::Default)), "three attempts here, one there");
    assert_eq!(text(answer).await, "at last");
    let stats = layer.handle().stats();
    assert_eq!((stats.fallback_stale, stats.fallback_upstream, stats.fallback_default, stats.problems), (0, 0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_step_is_taken_only_when_its_condition_holds() {
    for (status, expected) in [(503, "for 503"), (500, "for all else"), (429, "for the throttled")] {
        let origin = Origin::replies(move |_| reply(status, &[], empty()));
        let layer = quick()
            .fallback(
                Fallback::answer(sorry("for 503"))
                    .when(|failure| failure.last_status == Some(StatusCode::SERVICE_UNAVAILABLE)),
            )
            .fallback(Fallback::answer(sorry("for the throttled")).when(|failure| failure.cause == Cause::Throttled))
            .fallback(Fallback::answer(sorry("for all else")))
            .build();
        assert_eq!(text(sent(&layer.layer(origin), get("http://a/", &[])).await).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_keeps_a_stale_answer_and_an_upstream_out_as_well() {
    let clock = ManualClock::default();
    let entry = kept(&clock).await;
    let layer = quick().fallback(Fallback::stale().when(|_| false)).fallback(Fallback::from(mirror()).when(|_| false));
    let origin = down_but(|| reply(200, &[], full("mirrored")));
    let mut request = get("http://a/", &[]);
    request.extensions_mut().insert(entry);
    let answer = sent(&layer.build().layer(origin.clone()), request).await;
    assert_eq!((answer.status().as_u16(), took(&answer), origin.calls()), (503, (3, Some(FallbackKind::Problem)), 3));
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_told_what_was_asked_and_why_nothing_came_of_it() {
    let origin = Origin::new(|call| async move {
        match call.number {
            0 => Ok(reply(429, &[], empty())),
            _ => Err(Refused("no route")),
        }
    });
    let layer = quick()
        .fallback(Fallback::answer_with(|asked, failure| {
            let (attempts, status) = (failure.attempts, failure.last_status.map(|status| status.as_u16()));
            assert_eq!((failure.kind, failure.cause), (FailureKind::Error, Cause::Failed));
            let text = format!("{} {} {attempts} {status:?}", asked.method(), asked.uri());
            Some(Response::builder().status(203).header("x-own", "1").body(text.into()).expect("a response"))
        }))
        .build();
    let answer = sent(&layer.layer(origin), get("http://a/x?y", &[])).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "x-own")), (203, Some("1")));
    assert_eq!(text(answer).await, "GET http://a/x?y 3 Some(429)");
}

#[tokio::test(start_paused = true)]
async fn a_closure_counts_the_attempts_at_other_upstreams_too() {
    let seen = Arc::new(AtomicU32::new(0));
    let sees = seen.clone();
    let layer = quick()
        .fallback(mirror().attempts(2))
        .fallback(Fallback::answer_with(move |_, failure| {
            sees.store(failure.attempts, Ordering::Relaxed);
            None
        }))
        .build();
    sent(&layer.layer(down_but(|| reply(500, &[], empty()))), get("http://a/", &[])).await;
    assert_eq!(seen.load(Ordering::Relaxed), 5);
}

/// What the breaker refuses tells nothing new, but what was asked before it did counts.
#[tokio::test(start_paused = true)]
async fn a_closure_counts_the_attempts_before_a_breaker_opened() {
    let layer = quick()
        .breaker(Breaker::builder().consecutive_failures(4))
        .fallback(mirror().attempts(9))
        .fallback(Fallback::answer_with(|_, failure| {
            assert_eq!((failure.attempts, failure.kind), (3 + 4, FailureKind::Response));
            Some(sorry("sorry"))
        }))
        .build();
    let answer = sent(&layer.layer(down_but(|| reply(500, &[], empty()))), get("http://a/", &[])).await;
    assert_eq!(text(answer).await, "sorry");
}

#[tokio::test(start_paused = true)]
async fn a_default_answer_says_what_it_is_and_forbids_every_cache_to_keep_it() {
    let given = Response::builder().header("cache-control", "public, max-age=60").header("etag", "\"1\"");
    let given = given.body(Bytes::from_static(b"sorry")).expect("a response");
    for fallback in [Fallback::answer(given.clone()), Fallback::answer_with(move |_, _| Some(given.clone()))] {
        let origin = Origin::replies(|_| reply(503, &[], empty()));
        let answer = sent(&quick().fallback(fallback).build().layer(origin), get("http://a/", &[])).await;
        assert_eq!(field(&answer, "larder-fallback"), Some("default"));
        assert_eq!(field(&answer, "larder-attempts"), Some("3"));
        assert_eq!(answer.headers().get_all("cache-control").iter().collect::<Vec<_>>(), ["no-store"]);
    }
}

#[tokio::test]
async fn a_plain_4xx_is_the_client_s_and_takes_no_step() {
    let clock = ManualClock::default();
    let entry = kept(&clock).await;
    for status in [400, 401, 402, 403, 404, 409, 410, 422, 451] {
        let origin = Origin::replies(move |_| reply(status, &[("x-own", "1")], full("see your request")));
        let layer = quick().fallback(Fallback::stale()).fallback(mirror()).fallback(Fallback::answer(sorry("never")));
        let mut request = get("http://a/", &[]);
        request.extensions_mut().insert(entry.clone());
        let answer = sent(&layer.build().layer(origin.clone()), request).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "x-own"), origin.calls()), (status, Some("1"), 1));
        assert_eq!((field(&answer, "larder-attempts"), field(&answer, "larder-fallback")), (None, None));
        assert_eq!(text(answer).await, "see your request");
    }
}

/// A stale answer is for outages, whatever else is judged to need a fallback.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_stands_in_for_an_outage_only() {
    let clock = ManualClock::default();
    let entry = kept(&clock).await;
    for (status, stands_in) in
        [(500, true), (502, true), (503, true), (504, true), (529, true), (429, true), (404, false), (410, false)]
    {
        let judge = |_: &Asked, outcome: Outcome<'_, Refused>| {
            let is_well = matches!(outcome, Outcome::Response { head, .. } if head.status == StatusCode::OK);
            if is_well { Verdict::Accept } else { Verdict::Retry(Cause::Failed) }
        };
        let layer = quick().attempts(2).classify(judge);
        let origin = Origin::replies(move |_| reply(status, &[], full("as it came")));
        let mut request = get("http://a/", &[]);
        request.extensions_mut().insert(entry.clone());
        let answer = sent(&layer.build().layer(origin), request).await;
        assert_eq!((answer.status() == 200, took(&answer).0), (stands_in, 2), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_stands_in_for_errors_timeouts_and_an_open_breaker() {
    let clock = ManualClock::default();
    let entry = kept(&clock).await;
    let refuses = Origin::new(|_| std::future::ready(Err(Refused("no route"))));
    let hangs = Origin::new(|_| std::future::pending());
    let unasked = Origin::replies(|_| panic!("the breaker is open"));
    let broken = quick().breaker(Breaker::builder().open_for(30 * SECOND)).clock(clock.clone()).build();
    sent(&broken.layer(Origin::replies(|_| reply(200, &[], empty()))), get("http://a/", &[])).await;
    broken.handle().breaker("a").expect("a breaker").trip(tokio::time::Instant::now().into_std());
    let layer = || quick().clock(clock.clone());
    let layers = [(layer().build(), refuses), (layer().attempt_timeout(SECOND).build(), hangs), (broken, unasked)];
    for (layer, origin) in layers {
        let mut request = get("http://a/", &[]);
        request.extensions_mut().insert(entry.clone());
        let answer = sent(&layer.layer(origin), request).await;
        assert_eq!((answer.status().as_u16(), took(&answer).1), (200, Some(FallbackKind::Stale)));
        // No response came, so there is no status to tell.
        assert_eq!(heard(answer).await, ("larder; fwd=stale; ttl=-40; detail=stale-if-error", "kept"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_stands_in_behind_a_mirror_that_turns_the_request_away() {
    let clock = ManualClock::default();
    let mut request = get("http://a/", &[]);
    request.extensions_mut().insert(kept(&clock).await);
    let layer = quick().clock(clock).fallback(mirror()).fallback(Fallback::stale()).build();
    let answer = sent(&layer.layer(down_but(|| reply(404, &[], full("what?")))), request).await;
    assert_eq!(took(&answer), (4, Some(FallbackKind::Stale)));
    let said = "larder; fwd=stale; fwd-status=503; ttl=-40; detail=stale-if-error";
    assert_eq!(heard(answer).await, (said, "kept"));
}

#[tokio::test]
async fn what_can_t_be_sent_again_goes_to_no_other_upstream() {
    let origin = down_but(|| reply(200, &[], full("mirrored")));
    let layer = quick().fallback(mirror()).fallback(Fallback::answer(sorry("sorry"))).build();
    let answer = sent(&layer.layer(origin.clone()), post("http://a/", &[], "order")).await;
    assert_eq!((text(answer).await.as_str(), origin.calls()), ("sorry", 1), "it may have been acted upon");
    let answer = sent(&layer.layer(origin.clone()), request("PUT", "http://a/", &[])).await;
    assert_eq!(text(answer).await, "mirrored");
}
