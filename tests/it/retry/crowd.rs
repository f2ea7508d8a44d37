//! Many that wait for the same answer, when the one that fetches it gets something that only stands in.

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use larder::{
    clock::ManualClock,
    retry::{Backoff, Fallback},
};
use tokio::time::timeout;
use tower::Layer as _;

use super::stack::{SECOND, http, quick, sent, within};
use crate::support::{Origin, ask, begun, field, full, get, reply, said, settle, text};

const WINDOW: &[(&str, &str)] = &[("cache-control", "max-age=60, stale-if-error=300")];

#[tokio::test(start_paused = true)]
async fn all_that_wait_get_what_stands_in_and_nobody_hangs() {
    let sorry = || Response::new(Bytes::from_static(b"sorry"));
    let chains = [(Some(Fallback::answer(sorry())), 200, "sorry"), (None, 503, "suggestions")];
    for (step, status, expected) in chains {
        let clock = ManualClock::default();
        let origin = Origin::replies(|_| reply(503, &[], full("down")));
        let builder = quick().clock(clock.clone()).backoff(Backoff::constant(SECOND));
        let retry = step.into_iter().fold(builder, |builder, step| builder.fallback(step)).build();
        let layer = http(&clock).build();
        let cache = layer.layer(retry.layer(within(&origin)));
        let requests: Vec<_> = (0..50).map(|_| begun(ask(&cache, get("http://a/", &[])))).collect();
        for answer in timeout(300 * SECOND, join_all(requests)).await.expect("nobody hangs") {
            assert_eq!(answer.status(), status);
            assert!(said(&answer).ends_with("detail=stand-in"), "{}", said(&answer));
            assert!(text(answer).await.contains(expected));
        }
        let stats = layer.handle().stats();
        assert_eq!((stats.requests(), stats.stored, stats.stale_on_error), (50, 0, 0));
        assert_eq!(retry.handle().stats().requests, 50, "each asks for itself");
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_get_the_stale_answer() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, WINDOW, full("kept")),
        _ => reply(503, &[], full("down")),
    });
    let retry = quick().clock(clock.clone()).backoff(Backoff::constant(SECOND)).build();
    let layer = http(&clock).build();
    let cache = layer.layer(retry.layer(within(&origin)));
    text(sent(&cache, get("http://a/", &[])).await).await;
    settle().await;
    clock.advance(100 * SECOND);
    let requests: Vec<_> = (0..50).map(|_| begun(ask(&cache, get("http://a/", &[])))).collect();
    for answer in timeout(300 * SECOND, join_all(requests)).await.expect("nobody hangs") {
        assert!(said(&answer).contains("detail=stale-if-error"), "{}", said(&answer));
        assert_eq!(text(answer).await, "kept");
    }
    assert_eq!(layer.handle().stats().stale_on_error, 50);
}

/// When the upstream is well again while they wait, one fetch is enough for those that are left.
#[tokio::test(start_paused = true)]
async fn who_comes_after_a_stand_in_shares_the_fetch_that_succeeds() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let sorry = Response::new(Bytes::from_static(b"sorry"));
    let retry = quick().attempts(1).clock(clock.clone()).fallback(Fallback::answer(sorry)).build();
    let layer = http(&clock).build();
    let cache = layer.layer(retry.layer(within(&origin)));
    let first = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(503, &[], full("down")));
    assert_eq!(field(&first.await, "larder-fallback"), Some("default"));
    let rest: Vec<_> = (0..20).map(|_| begun(ask(&cache, get("http://a/", &[])))).collect();
    calls.next().await.answer(reply(200, WINDOW, full("up")));
    let texts = join_all(rest).await.into_iter().map(text);
    assert!(join_all(texts).await.iter().all(|text| text == "up"));
    assert!(calls.try_next().is_none(), "one fetch for all");
    assert_eq!((layer.handle().stats().collapsed, layer.handle().stats().stored), (19, 1));
}
