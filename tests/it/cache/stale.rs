//! Stale answers: while they are refreshed, and in place of an error.

use larder::{
    clock::ManualClock,
    entry::StaleEntry,
    policy::{Rfc9111, Ttl},
};
use tower::{Layer as _, Service as _, ServiceExt as _};

use super::{MINUTE, SECOND, http, minute};
use crate::support::{Origin, Refused, ask, begun, field, full, get, heard, post, reply, said, settle, text};

const WINDOWS: &str = "max-age=60, stale-while-revalidate=30, stale-if-error=300";

#[tokio::test]
async fn a_stale_answer_is_served_at_once_and_refreshed_once_behind() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).build();
    let cache = layer.layer(origin.clone());
    let first = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, &[("cache-control", WINDOWS)], full("old")));
    assert_eq!(text(first.await).await, "old");

    clock.advance(70 * SECOND);
    for _ in 0..5 {
        let stale = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(said(&stale), "larder; hit; ttl=-10; detail=stale-while-revalidate");
        assert_eq!(stale.headers()["age"], "70");
        assert_eq!(text(stale).await, "old", "the client does not wait for the refresh");
    }
    let refresh = calls.next().await;
    settle().await;
    assert!(calls.try_next().is_none(), "one refresh for all");
    refresh.answer(reply(200, &[("cache-control", WINDOWS)], full("new")));
    settle().await;
    let fresh = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(fresh).await, ("larder; hit; ttl=60", "new"));
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_refresh_behind_is_not_counted_as_a_request() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[("cache-control", WINDOWS)], full("x")));
    let layer = http(&clock).build();
    let cache = layer.layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    text(ask(&cache, get("http://a/", &[])).await).await;
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((origin.calls(), stats.stale_hits, stats.stored), (2, 1, 2));
    assert_eq!((stats.misses, stats.requests()), (1, 2), "each request counts once");
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_entry_and_is_tried_again() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        1 => reply(503, &[], full("down")),
        n => reply(200, &[("cache-control", WINDOWS)], full(n.to_string())),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "0");
    settle().await;
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "0", "the failed refresh took nothing away");
    settle().await;
    let fresh = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(fresh).await, ("larder; hit; ttl=60", "2"));
}

#[tokio::test]
async fn what_a_refresh_found_gone_is_not_served_on() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", WINDOWS)], full("old")),
        _ => reply(404, &[("cache-control", "no-store")], full("gone")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "old");
    settle().await;
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "gone");
}

#[tokio::test]
async fn a_refresh_of_a_post_sends_the_body_again() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let policy = Ttl::new(MINUTE).stale_while_revalidate(MINUTE);
    let cache = minute(&clock).policy(policy).build().layer(origin);
    let request = || post("http://a/", &[("content-type", "application/json")], r#"{ "b":1, "a":2 }"#);
    let first = begun(ask(&cache, request()));
    calls.next().await.answer(reply(200, &[], full("old")));
    text(first.await).await;
    clock.advance(MINUTE + SECOND);
    assert_eq!(text(ask(&cache, request()).await).await, "old");
    let refresh = calls.next().await;
    let sent = http_body_util::BodyExt::collect(refresh.request.into_body()).await.expect("whole").to_bytes();
    assert_eq!(sent, r#"{ "b":1, "a":2 }"#);
}

#[tokio::test]
async fn the_refresh_asks_without_the_conditions_of_the_client() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let first = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, &[("cache-control", WINDOWS)], full("x")));
    text(first.await).await;
    clock.advance(70 * SECOND);
    let stale = ask(&cache, get("http://a/", &[("if-none-match", "\"client's\"")])).await;
    assert_eq!((stale.status().as_u16(), text(stale).await.as_str()), (200, "x"));
    assert!(!calls.next().await.request.headers().contains_key("if-none-match"));
}

/// tower-http-cache had a stale entry in hand and passed the error on.
#[tokio::test]
async fn a_stale_answer_stands_in_for_an_error_status() {
    for status in [500, 502, 503, 504] {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |number| match number {
            0 => reply(200, &[("cache-control", "max-age=60, stale-if-error=300")], full("kept")),
            _ => reply(status, &[("retry-after", "1")], full("down")),
        });
        let layer = http(&clock).build();
        let cache = layer.layer(origin);
        text(ask(&cache, get("http://a/", &[])).await).await;
        clock.advance(100 * SECOND);
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(said(&answer), format!("larder; fwd=stale; fwd-status={status}; ttl=-40; detail=stale-if-error"));
        assert_eq!(answer.headers()["age"], "100");
        assert_eq!(text(answer).await, "kept");
        assert_eq!(layer.handle().stats().stale_on_error, 1);
    }
}

#[tokio::test]
async fn an_entry_that_is_stale_is_named_as_the_reason_to_forward() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[("cache-control", "max-age=60, stale-if-error=300")], full("x")));
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(100 * SECOND);
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; fwd=stale; fwd-status=200; stored");
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_the_inner_services_error() {
    let clock = ManualClock::default();
    let origin = Origin::new(|call| async move {
        match call.number {
            0 => Ok(reply(200, &[("cache-control", "max-age=60, stale-if-error=300")], full("kept"))),
            _ => Err(Refused("no route")),
        }
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(100 * SECOND);
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(said(&answer), "larder; fwd=stale; ttl=-40; detail=stale-if-error");
    assert_eq!(text(answer).await, "kept");
    clock.advance(260 * SECOND);
    let error = cache.clone().oneshot(get("http://a/", &[])).await.expect_err("the window is over");
    assert_eq!(error, Refused("no route"), "the error is the inner service's own");
}

/// Browsers send `If-None-Match` with every reload; the window is for them as well.
#[tokio::test]
async fn a_conditional_request_gets_the_stale_answer_in_place_of_an_error_too() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=60, stale-if-error=300"), ("etag", "\"a\"")], full("kept")),
        _ => reply(503, &[], full("down")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(100 * SECOND);
    let other = ask(&cache, get("http://a/", &[("if-none-match", "\"b\"")])).await;
    assert_eq!((other.status().as_u16(), text(other).await.as_str()), (200, "kept"));
    let same = ask(&cache, get("http://a/", &[("if-none-match", "\"a\"")])).await;
    assert!(matches!(same.status().as_u16(), 200 | 304), "{}", same.status());
}

/// http-cache served stale on 503 only *when* `must-revalidate` was set.
#[tokio::test]
async fn must_revalidate_forbids_stale_answers_of_any_kind() {
    for restriction in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"] {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |number| match number {
            0 => {
                reply(200, &[("cache-control", &format!("{WINDOWS}, {restriction}")), ("etag", "\"a\"")], full("kept"))
            }
            _ => reply(503, &[], full("down")),
        });
        let cache = http(&clock).build().layer(origin.clone());
        text(ask(&cache, get("http://a/", &[])).await).await;
        clock.advance(70 * SECOND);
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!((answer.status().as_u16(), text(answer).await.as_str()), (503, "down"), "{restriction}");
        assert_eq!(origin.calls(), 2, "{restriction}");
    }
}

/// RFC 9111 §5.2.2.2: where the origin can't be asked, and nothing stale may stand in, 504 is the answer.
#[tokio::test]
async fn an_inner_service_that_fails_is_a_504_where_the_entry_has_to_be_validated() {
    for (restriction, expected) in [
        ("must-revalidate", "larder; fwd=stale; detail=must-revalidate"),
        ("proxy-revalidate", "larder; fwd=stale; detail=must-revalidate"),
        ("s-maxage=60", "larder; fwd=stale; detail=must-revalidate"),
        ("public", ""),
    ] {
        let clock = ManualClock::default();
        let origin = Origin::new(move |call| async move {
            let value = format!("max-age=60, {restriction}");
            match call.number {
                0 => Ok(reply(200, &[("cache-control", &value), ("etag", "\"a\"")], full("kept"))),
                _ => Err(Refused("no route")),
            }
        });
        let cache = http(&clock).build().layer(origin);
        text(ask(&cache, get("http://a/", &[])).await).await;
        clock.advance(70 * SECOND);
        let answer = cache.clone().oneshot(get("http://a/", &[])).await;
        if expected.is_empty() {
            assert_eq!(answer.expect_err("refused"), Refused("no route"), "{restriction}");
            continue;
        }
        let answer = answer.expect("an answer of the cache's own");
        assert_eq!((answer.status().as_u16(), field(&answer, "cache-control")), (504, Some("no-store")));
        assert_eq!(heard(answer).await, (expected, ""), "{restriction}");
    }
}

#[tokio::test]
async fn stale_if_error_alone_is_a_reason_to_keep_an_answer() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=0, stale-if-error=60")], full("kept")),
        _ => reply(503, &[], full("down")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    for (seconds, expected) in [(59, "kept"), (1, "down")] {
        clock.advance(seconds * SECOND);
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, expected);
    }
}

#[tokio::test]
async fn no_window_outlasts_its_end() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=60, stale-while-revalidate=30, stale-if-error=40")], full("kept")),
        _ => reply(503, &[], full("down")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    for (seconds, status) in [(89, 200), (9, 200), (1, 200), (1, 503)] {
        clock.advance(seconds * SECOND);
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(answer.status(), status, "after {seconds} s more: {}", said(&answer));
        text(answer).await;
        settle().await;
    }
}

#[tokio::test]
async fn windows_of_the_policy_hold_where_the_origin_names_none() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=60")], full("kept")),
        _ => reply(503, &[], full("down")),
    });
    let policy = Rfc9111::shared().stale_if_error(MINUTE);
    let cache = http(&clock).policy(policy).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(100 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "kept");
    clock.advance(20 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "down");
}

#[tokio::test]
async fn a_layer_inside_sees_the_stale_entry_in_hand() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.extensions().get::<StaleEntry>() {
        None => reply(200, &[("cache-control", "max-age=60, stale-if-error=300")], full("first")),
        Some(StaleEntry(entry)) => {
            let kept = String::from_utf8_lossy(entry.body().data()).into_owned();
            reply(200, &[("x-fallback", "1")], full(format!("in hand: {kept}")))
        }
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(100 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "in hand: first");
}

#[tokio::test]
async fn the_extensions_of_a_request_reach_the_inner_service() {
    #[derive(Clone)]
    struct Mark(u32);
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let mark = request.extensions().get::<Mark>().map_or(0, |mark| mark.0);
        reply(200, &[], full(mark.to_string()))
    });
    let mut cache = http(&clock).build().layer(origin);
    let mut request = get("http://a/", &[]);
    request.extensions_mut().insert(Mark(7));
    assert_eq!(text(cache.call(request).await.expect("answer")).await, "7");
}
