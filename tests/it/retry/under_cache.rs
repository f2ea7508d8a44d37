//! A cache over the layer over an upstream: what stands in, what is kept, and what comes after an outage.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU16, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use larder::{
    clock::ManualClock,
    policy::{Ttl, completeness::Verdict},
    retry::{Fallback, Hold, Upstream},
};
use tower::{Layer as _, Service};

use super::stack::{SECOND, http, quick, sent, within};
use crate::support::{
    Body, Origin, Refused, channel, empty, field, full, get, heard, pieces, post, reply, request, said, settle, text,
};

const WINDOW: &[(&str, &str)] = &[("cache-control", "max-age=60, stale-if-error=300")];

fn sorry() -> Response<Bytes> {
    Response::builder().header("cache-control", "max-age=600").body(Bytes::from_static(b"sorry")).expect("a response")
}

/// An upstream that can be ill: it says this status, or nothing if that is 0.
fn moody(fields: &'static [(&'static str, &'static str)]) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let says = status.clone();
    let origin = Origin::new(move |call| {
        let status = says.load(Ordering::SeqCst);
        std::future::ready(match status {
            0 => Err(Refused("no route")),
            200 => Ok(reply(200, fields, full(format!("answer {}", call.number)))),
            _ => Ok(reply(status, &[], full("down"))),
        })
    });
    (origin, status)
}

async fn seen<S, B>(cache: &S, request: Request<Body>) -> (u16, String)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let answer = sent(cache, request).await;
    let status = answer.status().as_u16();
    let text = text(answer).await;
    settle().await;
    (status, text)
}

#[tokio::test(start_paused = true)]
async fn stale_beats_default_default_beats_error_and_what_is_well_again_beats_all() {
    let clock = ManualClock::default();
    let (origin, status) = moody(WINDOW);
    let layer = http(&clock).build();
    let retry = quick().clock(clock.clone()).fallback(Fallback::answer(sorry())).build();
    let cache = layer.layer(retry.layer(within(&origin)));
    let asks = || get("http://a/", &[]);
    assert_eq!(seen(&cache, asks()).await, (200, "answer 0".into()));

    for ill in [503, 429, 0] {
        status.store(ill, Ordering::SeqCst);
        clock.advance(61 * SECOND);
        assert_eq!(seen(&cache, asks()).await, (200, "answer 0".into()), "{ill}");
    }
    assert_eq!(layer.handle().stats().stale_on_error, 3);
    assert_eq!(seen(&cache, get("http://a/new", &[])).await, (200, "sorry".into()));
    clock.advance(300 * SECOND);
    let default = sent(&cache, asks()).await;
    assert_eq!(field(&default, "larder-fallback"), Some("default"));
    assert_eq!(text(default).await, "sorry", "the window is over");
    settle().await;

    status.store(200, Ordering::SeqCst);
    let (code, fresh) = seen(&cache, asks()).await;
    assert_eq!((code, fresh.starts_with("answer ")), (200, true), "{fresh}");
    let calls = origin.calls();
    let hit = sent(&cache, asks()).await;
    assert_eq!(heard(hit).await, ("larder; hit; ttl=60", fresh.as_str()));
    assert_eq!(origin.calls(), calls, "it is kept");
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_says_for_what_it_stands_in() {
    for (ill, expected) in [
        (503, "larder; fwd=stale; fwd-status=503; ttl=-40; detail=stale-if-error"),
        (429, "larder; fwd=stale; fwd-status=429; ttl=-40; detail=stale-if-error"),
        (529, "larder; fwd=stale; fwd-status=529; ttl=-40; detail=stale-if-error"),
        (0, "larder; fwd=stale; ttl=-40; detail=stale-if-error"),
    ] {
        let clock = ManualClock::default();
        let (origin, status) = moody(WINDOW);
        let layer = http(&clock).build();
        let cache = layer.layer(quick().clock(clock.clone()).build().layer(within(&origin)));
        seen(&cache, get("http://a/", &[])).await;
        clock.advance(100 * SECOND);
        status.store(ill, Ordering::SeqCst);
        let answer = sent(&cache, get("http://a/", &[])).await;
        assert_eq!((field(&answer, "age"), origin.calls()), (Some("100"), 4));
        assert_eq!(answer.headers().get_all("cache-status").iter().count(), 1);
        assert_eq!(heard(answer).await, (expected, "answer 0"));
        let stats = layer.handle().stats();
        assert_eq!((stats.stale_on_error, stats.misses, stats.stored, stats.requests()), (1, 1, 1, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn no_stale_answer_stands_in_for_a_plain_4xx() {
    let clock = ManualClock::default();
    let (origin, status) = moody(WINDOW);
    let retry = quick().clock(clock.clone()).fallback(Fallback::stale()).fallback(Fallback::answer(sorry()));
    let cache = http(&clock).build().layer(retry.build().layer(within(&origin)));
    seen(&cache, get("http://a/", &[])).await;
    clock.advance(100 * SECOND);
    for plain in [400, 403, 409] {
        status.store(plain, Ordering::SeqCst);
        assert_eq!(seen(&cache, get("http://a/", &[])).await, (plain, "down".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_be_validated_does_not_stand_in() {
    let clock = ManualClock::default();
    let (origin, status) =
        moody(&[("cache-control", "max-age=60, stale-if-error=300, must-revalidate"), ("etag", "\"1\"")]);
    let cache = http(&clock).build().layer(quick().clock(clock.clone()).build().layer(within(&origin)));
    seen(&cache, get("http://a/", &[])).await;
    clock.advance(100 * SECOND);
    for ill in [503, 0] {
        status.store(ill, Ordering::SeqCst);
        let (code, text) = seen(&cache, get("http://a/", &[])).await;
        assert!(code >= 500 && !text.contains("answer 0"), "{code} {text}");
    }
}

/// The entry was handed down before; that it can't be used any more is for the cache to say.
#[tokio::test(start_paused = true)]
async fn what_was_changed_or_grew_too_old_during_the_attempts_does_not_stand_in() {
    for is_changed in [true, false] {
        let clock = ManualClock::default();
        let (origin, mut calls) = Origin::held();
        let layer = http(&clock).build();
        let cache = layer.layer(quick().attempts(1).clock(clock.clone()).build().layer(within(&origin)));
        let first = sent(&cache, get("http://a/", &[]));
        let (first, ()) = tokio::join!(first, async { calls.next().await.answer(reply(200, WINDOW, full("old"))) });
        text(first).await;
        settle().await;
        clock.advance(100 * SECOND);
        let second = sent(&cache, get("http://a/", &[]));
        let meanwhile = async {
            let asked = calls.next().await;
            if is_changed {
                let change = sent(&cache, request("DELETE", "http://a/", &[]));
                tokio::join!(async { calls.next().await.answer(reply(204, &[], empty())) }, change);
            } else {
                clock.advance(300 * SECOND);
            }
            asked.answer(reply(503, &[], full("down")));
        };
        let (second, ()) = tokio::join!(second, meanwhile);
        assert_eq!((second.status().as_u16(), said(&second)), (504, "larder; fwd=stale; detail=unanswered"));
        assert_eq!(text(second).await, "");
        assert_eq!(layer.handle().stats().stale_on_error, 0);
    }
}

/// A policy that keeps everything still keeps none of it.
#[tokio::test(start_paused = true)]
async fn nothing_that_stands_in_is_kept_whatever_the_policy() {
    let not_found = Response::builder().status(404).body(Bytes::from_static(b"nothing")).expect("a response");
    let other_model = || Upstream::to(Uri::from_static("http://b")).model("small");
    let greedy = || {
        let policy = Ttl::new(60 * SECOND).override_origin(true).stale_if_error(60 * SECOND);
        [502, 503, 404]
            .into_iter()
            .fold(policy, |policy, status| policy.status(StatusCode::from_u16(status).expect("a status"), 60 * SECOND))
    };
    let chains = [
        ("default", Some(Fallback::answer(sorry())), "sorry"),
        ("default with an error status", Some(Fallback::answer(not_found)), "nothing"),
        ("another model", Some(other_model().into()), "from b"),
        ("not storable", Some(Upstream::to(Uri::from_static("http://b")).storable(false).into()), "from b"),
        ("problem", None, "suggestions"),
    ];
    for (name, step, expected) in chains {
        let clock = ManualClock::default();
        let up = Arc::new(AtomicBool::new(false));
        let is_up = up.clone();
        let origin = Origin::by_request(move |request| match request.uri().host() {
            Some("b") => reply(200, &[("cache-control", "max-age=60")], full("from b")),
            _ if is_up.load(Ordering::SeqCst) => reply(200, &[], full("from a")),
            _ => reply(503, &[], full("down")),
        });
        let fingerprint = larder::fingerprint::RequestFingerprint::new().json_body(1 << 20);
        let layer = http(&clock).fingerprint(fingerprint).policy(greedy()).build();
        let builder = quick().clock(clock.clone()).repeatable(|_| true);
        let builder = step.into_iter().fold(builder, |builder, step| builder.fallback(step));
        let cache = layer.layer(builder.build().layer(within(&origin)));
        let asks = || post("http://a/", &[("content-type", "application/json")], r#"{"model":"large"}"#);
        for _ in 0..2 {
            let answer = sent(&cache, asks()).await;
            assert!(said(&answer).contains("detail=stand-in"), "{name}: {}", said(&answer));
            let text = text(answer).await;
            settle().await;
            assert!(text.contains(expected), "{name}: {text}");
        }
        assert_eq!(layer.handle().stats().stored, 0, "{name}");
        up.store(true, Ordering::SeqCst);
        assert_eq!(seen(&cache, asks()).await, (200, "from a".into()), "{name}");
        assert_eq!(heard(sent(&cache, asks()).await).await, ("larder; hit; ttl=60", "from a"), "{name}");
    }
}

/// Its extension doesn't get that far.
#[tokio::test(start_paused = true)]
async fn what_stands_in_is_not_kept_by_a_cache_in_another_process() {
    for (kind, stored) in [("default", 0), ("problem", 0), ("stale", 0), ("upstream", 1)] {
        let clock = ManualClock::default();
        let fields = [("larder-fallback", kind), ("cache-control", "no-store")];
        let origin = Origin::by_request(move |_| reply(200, &fields, full("stands in")));
        let layer = http(&clock).policy(Ttl::new(60 * SECOND).override_origin(true)).build();
        let (status, text) = seen(&layer.layer(origin), get("http://a/", &[])).await;
        assert_eq!((status, text.as_str(), layer.handle().stats().stored), (200, "stands in", stored), "{kind}");

        // Nor if that process is another upstream's.
        let origin = Origin::by_request(move |request| match request.uri().host() {
            Some("b") => reply(200, &fields, full("stands in")),
            _ => reply(503, &[], full("down")),
        });
        let layer = http(&clock).policy(Ttl::new(60 * SECOND).override_origin(true)).build();
        let retry = quick().clock(clock.clone()).fallback(Upstream::to(Uri::from_static("http://b"))).build();
        let (status, text) = seen(&layer.layer(retry.layer(within(&origin))), get("http://a/", &[])).await;
        assert_eq!((status, text.as_str(), layer.handle().stats().stored), (200, "stands in", stored), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_s_answer_is_kept_and_a_hit_says_nothing_of_attempts() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.uri().host() {
        Some("b") => reply(200, WINDOW, full("from b")),
        _ => reply(503, &[], full("down")),
    });
    let retry = quick().clock(clock.clone()).fallback(Upstream::to(Uri::from_static("http://b"))).build();
    let cache = http(&clock).build().layer(retry.layer(within(&origin)));
    let first = sent(&cache, get("http://a/", &[])).await;
    assert_eq!((field(&first, "larder-fallback"), field(&first, "larder-attempts")), (Some("upstream"), Some("4")));
    assert_eq!(heard(first).await, ("larder; fwd=uri-miss; fwd-status=200; stored", "from b"));
    settle().await;
    let hit = sent(&cache, get("http://a/", &[])).await;
    assert_eq!((field(&hit, "larder-fallback"), field(&hit, "larder-attempts")), (None, None), "none were made");
    assert_eq!(heard(hit).await, ("larder; hit; ttl=60", "from b"));
    assert_eq!(origin.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn all_upstreams_dead_is_a_problem_with_nothing_kept_and_a_stale_answer_with_something() {
    let clock = ManualClock::default();
    let up = Arc::new(AtomicBool::new(true));
    let is_up = up.clone();
    let origin = Origin::new(move |_| {
        let up = is_up.load(Ordering::SeqCst);
        std::future::ready(if up { Ok(reply(200, WINDOW, full("kept"))) } else { Err(Refused("no route")) })
    });
    let to = |uri| Upstream::to(Uri::from_static(uri)).attempts(2);
    let retry =
        quick().clock(clock.clone()).fallback(to("http://b")).fallback(Fallback::stale()).fallback(to("http://c"));
    let layer = http(&clock).build();
    let retry = retry.build();
    let cache = layer.layer(retry.layer(within(&origin)));
    seen(&cache, get("http://a/", &[])).await;
    clock.advance(100 * SECOND);
    up.store(false, Ordering::SeqCst);
    assert_eq!(seen(&cache, get("http://a/", &[])).await, (200, "kept".into()));
    assert_eq!(origin.calls(), 1 + 3 + 2, "c comes after the stale answer");
    let (code, problem) = seen(&cache, get("http://a/new", &[])).await;
    assert_eq!(code, 502);
    assert!(problem.contains("\"attempts\":7"), "{problem}");
    let stats = retry.handle().stats();
    assert_eq!((stats.fallback_stale, stats.problems), (1, 1));
}

/// Takes the framing's word for it.
fn trusting(_: StatusCode, _: &HeaderMap, _: &[u8]) -> Verdict {
    Verdict::Complete
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_broke_is_not_kept_for_all_its_whole_events() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).completeness(trusting).build();
    let cache = layer.layer(quick().clock(clock.clone()).hold(Hold::FirstEvent).build().layer(within(&origin)));
    let fields: &[_] = &[("cache-control", "max-age=60"), ("content-type", "text/event-stream")];
    let first = sent(&cache, get("http://a/", &[]));
    let (feed, body) = channel();
    let (first, ()) = tokio::join!(first, async {
        calls.next().await.answer(reply(200, fields, body));
        feed.data("data: 1\n\ndata: 2");
    });
    feed.fail("cut");
    let broken = text(first).await;
    assert!(broken.starts_with("data: 1\n\nevent: error\n"), "{broken}");
    settle().await;
    assert_eq!(layer.handle().stats().stored, 0);
    let again = sent(&cache, get("http://a/", &[]));
    let body = pieces(["data: 1\n\n", "data: 2\n\n"]);
    let (again, ()) = tokio::join!(again, async { calls.next().await.answer(reply(200, fields, body)) });
    assert_eq!(text(again).await, "data: 1\n\ndata: 2\n\n");
    settle().await;
    assert_eq!(layer.handle().stats().stored, 1, "one that came to its end is");
}
