//! `Fallback::stale_from`: a look-up in a cache that isn't outside of the layer.

use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use larder::{
    cache::{Cache, Handle},
    clock::ManualClock,
    policy::{Ttl, completeness::Verdict},
    retry::{Fallback, FallbackKind, RetryBody, RetryFallback},
    tag::Selector,
};
use tower::Layer as _;

use super::stack::{SECOND, http, quick, sent, took};
use crate::support::{
    Body, Origin, Refused, ask, begun, channel, empty, field, full, get, heard, post, reply, request, settle, text,
};

const WINDOW: &[(&str, &str)] = &[("cache-control", "max-age=60, stale-if-error=300")];

/// What a cache keeps of what an origin says, asked by these requests.
async fn keep(clock: &ManualClock, origin: Origin, requests: impl IntoIterator<Item = Request<Body>>) -> Handle {
    let layer = http(clock).build();
    let cache = layer.layer(origin);
    for request in requests {
        text(ask(&cache, request).await).await;
        settle().await;
    }
    layer.handle()
}

/// A layer over an upstream that is down, and looks there.
fn down(clock: &ManualClock, handle: &Handle) -> RetryFallback<Origin> {
    let layer = quick().clock(clock.clone()).fallback(Fallback::stale_from(handle.clone())).build();
    layer.layer(Origin::replies(|_| reply(503, &[], full("down"))))
}

async fn status(service: &RetryFallback<Origin>, request: Request<Body>) -> u16 {
    sent(service, request).await.status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_found_without_a_cache_outside() {
    let clock = ManualClock::default();
    let fields = [WINDOW[0], ("etag", "\"1\""), ("content-type", "text/plain")];
    let origin = Origin::replies(move |_| reply(200, &fields, full("kept")));
    let handle = keep(&clock, origin, [get("http://a/", &[])]).await;
    clock.advance(100 * SECOND);
    let service = down(&clock, &handle);
    let answer = sent(&service, get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), took(&answer)), (200, (3, Some(FallbackKind::Stale))));
    for (name, expected) in [
        ("age", "100"),
        ("etag", "\"1\""),
        ("content-type", "text/plain"),
        ("larder-fallback", "stale"),
        ("larder-attempts", "3"),
    ] {
        assert_eq!(field(&answer, name), Some(expected));
    }
    assert_eq!(answer.headers().get_all("cache-status").iter().count(), 1);
    assert_eq!(heard(answer).await, ("larder; fwd=stale; fwd-status=503; ttl=-40; detail=stale-if-error", "kept"));
    assert_eq!(handle.stats().stale_on_error, 1);

    let head = sent(&service, request("HEAD", "http://a/", &[])).await;
    assert_eq!((head.status().as_u16(), field(&head, "etag")), (200, Some("\"1\"")));
    assert_eq!(text(head).await, "", "an answer to HEAD has no body");
    assert_eq!(status(&service, get("http://a/other", &[])).await, 503);
    assert_eq!(status(&service, get("http://b/", &[])).await, 503);
}

#[tokio::test(start_paused = true)]
async fn a_variant_is_found_for_the_request_that_it_answers() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let language = request.headers()["accept-language"].to_str().expect("text").to_owned();
        reply(200, &[WINDOW[0], ("vary", "accept-language")], full(language))
    });
    let asks = |language| get("http://a/", &[("accept-language", language)]);
    let handle = keep(&clock, origin, [asks("de"), asks("fr")]).await;
    clock.advance(100 * SECOND);
    let service = down(&clock, &handle);
    for language in ["de", "fr"] {
        assert_eq!(text(sent(&service, asks(language)).await).await, language);
    }
    assert_eq!(status(&service, asks("it")).await, 503);
    assert_eq!(status(&service, get("http://a/", &[])).await, 503);
}

#[tokio::test(start_paused = true)]
async fn credentials_of_others_find_nothing() {
    let clock = ManualClock::default();
    let fields = [("cache-control", "public, max-age=60, stale-if-error=300")];
    let origin = Origin::replies(move |_| reply(200, &fields, full("mine")));
    let asks = |key| get("http://a/", &[("authorization", key)]);
    let handle = keep(&clock, origin, [asks("Bearer 1")]).await;
    clock.advance(100 * SECOND);
    let service = down(&clock, &handle);
    assert_eq!(text(sent(&service, asks("Bearer 1")).await).await, "mine");
    assert_eq!(status(&service, asks("Bearer 2")).await, 503);
    assert_eq!(status(&service, get("http://a/", &[])).await, 503);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_used_stale_is_not_found() {
    for control in [
        "max-age=60",
        "max-age=60, stale-if-error=30",
        "max-age=60, stale-if-error=300, must-revalidate",
        "max-age=60, stale-if-error=300, proxy-revalidate",
        "s-maxage=60, stale-if-error=300",
        "no-cache, stale-if-error=300",
        "no-store",
        "private, max-age=60, stale-if-error=300",
    ] {
        let clock = ManualClock::default();
        let fields = [("cache-control", control), ("etag", "\"1\"")];
        let origin = Origin::replies(move |_| reply(200, &fields, full("kept")));
        let handle = keep(&clock, origin, [get("http://a/", &[])]).await;
        clock.advance(100 * SECOND);
        assert_eq!(status(&down(&clock, &handle), get("http://a/", &[])).await, 503, "{control}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_answer_is_as_good_as_a_stale_one_and_must_revalidate_doesn_t_forbid_it() {
    let clock = ManualClock::default();
    let fields = [("cache-control", "max-age=60, must-revalidate")];
    let origin = Origin::replies(move |_| reply(200, &fields, full("kept")));
    let handle = keep(&clock, origin, [get("http://a/", &[])]).await;
    clock.advance(59 * SECOND);
    let service = down(&clock, &handle);
    assert_eq!(text(sent(&service, get("http://a/", &[])).await).await, "kept");
    clock.advance(SECOND);
    assert_eq!(status(&service, get("http://a/", &[])).await, 503);
}

#[tokio::test(start_paused = true)]
async fn what_was_purged_or_changed_is_not_found() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, WINDOW, full("kept")));
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    for path in ["http://a/purged", "http://a/changed"] {
        text(ask(&cache, get(path, &[])).await).await;
        settle().await;
    }
    clock.advance(100 * SECOND);
    let handle = layer.handle();
    let service = down(&clock, &handle);
    for path in ["http://a/purged", "http://a/changed"] {
        assert_eq!(status(&service, get(path, &[])).await, 200);
    }
    handle.purge(&Selector::label("get:a/purged")).await.expect("a store");
    text(ask(&cache, request("DELETE", "http://a/changed", &[])).await).await;
    for path in ["http://a/purged", "http://a/changed"] {
        assert_eq!(status(&service, get(path, &[])).await, 503, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_cache_would_not_look_for_finds_nothing() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, WINDOW, full("kept")));
    let handle = keep(&clock, origin, [get("http://a/", &[])]).await;
    clock.advance(100 * SECOND);
    let service = down(&clock, &handle);
    let query = Request::get("http://a/").body(full("a query")).expect("a request");
    let (feed, body) = channel();
    feed.data("longer than what is read of it".repeat(4096));
    drop(feed);
    let long = Request::get("http://a/").body(body).expect("a request");
    for (name, request) in [
        ("no-store", get("http://a/", &[("cache-control", "no-store")])),
        ("another method", request("PUT", "http://a/", &[])),
        ("a condition that is the origin's to judge", get("http://a/", &[("if-match", "\"1\"")])),
        ("a body, which the key doesn't hold", query),
        ("a body too long to be read", long),
    ] {
        assert_eq!(status(&service, request).await, 503, "{name}");
    }
}

/// What isn't known of a body must not pass for the same as no body.
#[tokio::test(start_paused = true)]
async fn a_body_that_was_not_read_finds_nothing() {
    let clock = ManualClock::default();
    let keyed = larder::fingerprint::RequestFingerprint::new().raw_body(1 << 20);
    let layer = http(&clock).fingerprint(keyed).policy(Ttl::new(60 * SECOND).stale_if_error(300 * SECOND)).build();
    let cache = layer.layer(Origin::replies(|_| reply(200, &[], full("of nothing"))));
    let long = "x".repeat(100);
    for request in [get("http://a/", &[]), post("http://a/", &[], "short")] {
        text(ask(&cache, request).await).await;
        settle().await;
    }
    clock.advance(100 * SECOND);
    let looks = quick().repeatable(|_| true).max_request_body(10).fallback(Fallback::stale_from(layer.handle()));
    let service = looks.build().layer(Origin::replies(|_| reply(503, &[], empty())));
    assert_eq!(status(&service, post("http://a/", &[], "short")).await, 200);
    assert_eq!(status(&service, post("http://a/", &[], "other")).await, 503);
    let long = Request::get("http://a/").body(full(long)).expect("a request");
    assert_eq!(status(&service, long).await, 503);
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_down_is_taken_before_another_is_looked_for() {
    let clock = ManualClock::default();
    let elsewhere =
        keep(&clock, Origin::replies(|_| reply(200, WINDOW, full("elsewhere"))), [get("http://a/", &[])]).await;
    let inner = super::stack::within(&Origin::replies(|number| match number {
        0 => reply(200, WINDOW, full("outside")),
        _ => reply(503, &[], empty()),
    }));
    let retry = quick().clock(clock.clone()).fallback(Fallback::stale_from(elsewhere.clone())).build().layer(inner);
    let cache: Cache<_, _, _, _> = http(&clock).build().layer(retry);
    text(sent(&cache, get("http://a/", &[])).await).await;
    clock.advance(100 * SECOND);
    assert_eq!(text(sent(&cache, get("http://a/", &[])).await).await, "outside");
    assert_eq!(elsewhere.stats().stale_on_error, 0);
}

/// It is no answer of the upstream's, and nothing that the cache outside knows of.
#[tokio::test(start_paused = true)]
async fn what_was_looked_up_elsewhere_passes_a_cache_outside_that_does_not_keep_it() {
    let clock = ManualClock::default();
    let elsewhere =
        keep(&clock, Origin::replies(|_| reply(200, WINDOW, full("elsewhere"))), [get("http://a/", &[])]).await;
    clock.advance(100 * SECOND);
    let inner = super::stack::within(&Origin::replies(|_| reply(503, &[], empty())));
    let retry = quick().clock(clock.clone()).fallback(Fallback::stale_from(elsewhere)).build().layer(inner);
    let layer = http(&clock).build();
    let cache: Cache<_, _, _, _> = layer.layer(retry);
    for _ in 0..2 {
        let answer = sent(&cache, get("http://a/", &[])).await;
        assert_eq!((field(&answer, "larder-fallback"), field(&answer, "age")), (Some("stale"), Some("100")));
        assert_eq!(text(answer).await, "elsewhere");
        settle().await;
    }
    assert_eq!((layer.handle().stats().stored, layer.handle().stats().misses), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stale_event_stream_comes_as_it_was_with_its_trailers() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).completeness(|_: StatusCode, _: &HeaderMap, _: &[u8]| Verdict::Complete).build();
    let cache = layer.layer(origin);
    let first = begun(ask(&cache, get("http://a/", &[])));
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[WINDOW[0], ("content-type", "text/event-stream")], body));
    feed.data("data: 1\n\n");
    feed.data("data: [DONE]\n\n");
    feed.trailers(HeaderMap::from_iter([("x-sum".parse().expect("a name"), "7".parse().expect("a value"))]));
    drop(feed);
    text(first.await).await;
    settle().await;
    clock.advance(100 * SECOND);
    let answer: http::Response<RetryBody<Body>> = sent(&down(&clock, &layer.handle()), get("http://a/", &[])).await;
    assert_eq!(http_body::Body::size_hint(answer.body()).exact(), None, "trailers don't go with a length");
    let whole = answer.into_body().collect().await.expect("whole");
    assert_eq!(whole.trailers().expect("trailers")["x-sum"], "7");
    assert_eq!(whole.to_bytes(), "data: 1\n\ndata: [DONE]\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_plain_4xx_is_not_looked_up() {
    let clock = ManualClock::default();
    let handle = keep(&clock, Origin::replies(|_| reply(200, WINDOW, full("kept"))), [get("http://a/", &[])]).await;
    clock.advance(100 * SECOND);
    for (status, expected) in [(404, 404), (410, 410), (400, 400), (429, 200), (500, 200)] {
        let layer = quick().fallback(Fallback::stale_from(handle.clone())).build();
        let service = layer.layer(Origin::replies(move |_| reply(status, &[], empty())));
        assert_eq!(sent(&service, get("http://a/", &[])).await.status(), expected);
    }
    let refuses = Origin::new(|_| std::future::ready(Err(Refused("no route"))));
    let layer = quick().fallback(Fallback::stale_from(handle)).build();
    assert_eq!(text(sent(&layer.layer(refuses), get("http://a/", &[])).await).await, "kept");
}
