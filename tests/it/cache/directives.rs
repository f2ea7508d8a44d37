//! What a request asks of the cache (RFC 9111 §5.2.1).

use larder::{clock::ManualClock, policy::Ttl};
use tower::Layer as _;

use super::{MINUTE, SECOND, http, minute};
use crate::support::{Origin, ask, begun, full, get, heard, post, reply, said, settle, text};

fn numbered() -> Origin {
    Origin::replies(|number| reply(200, &[("cache-control", "max-age=60")], full(number.to_string())))
}

#[tokio::test]
async fn no_store_keeps_the_answer_out_of_the_store() {
    let clock = ManualClock::default();
    let origin = numbered();
    let cache = http(&clock).build().layer(origin.clone());
    let answer = ask(&cache, get("http://a/", &[("cache-control", "no-store")])).await;
    assert_eq!(heard(answer).await, ("larder; fwd=request", "0"));
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(text(answer).await, "1", "nothing was stored");
    let answer = ask(&cache, get("http://a/", &[("cache-control", "no-store")])).await;
    assert_eq!(text(answer).await, "2", "nothing stored is served");
}

#[tokio::test]
async fn no_cache_fetches_anew_and_the_new_answer_is_kept() {
    for field in [("cache-control", "no-cache"), ("pragma", "no-cache")] {
        let clock = ManualClock::default();
        let cache = http(&clock).build().layer(numbered());
        text(ask(&cache, get("http://a/", &[])).await).await;
        let answer = ask(&cache, get("http://a/", &[field])).await;
        assert_eq!(said(&answer), "larder; fwd=request; fwd-status=200; stored");
        assert_eq!(text(answer).await, "1");
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "1", "{field:?}");
    }
}

#[tokio::test]
async fn what_no_cache_found_replaced_is_not_served_on_even_if_the_new_answer_is_not_kept() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=60")], full("old")),
        _ => reply(200, &[("cache-control", "no-store")], full("new")),
    });
    let cache = http(&clock).build().layer(origin);
    for (fields, expected) in [(&[][..], "old"), (&[("cache-control", "no-cache")], "new"), (&[], "new")] {
        assert_eq!(text(ask(&cache, get("http://a/", fields)).await).await, expected);
    }
}

#[tokio::test]
async fn no_cache_works_for_a_post_with_a_body() {
    let clock = ManualClock::default();
    let cache = minute(&clock).build().layer(numbered());
    let request =
        |fields: &[(&str, &str)]| post("http://a/", &[&[("content-type", "application/json")], fields].concat(), "{}");
    assert_eq!(text(ask(&cache, request(&[])).await).await, "0");
    assert_eq!(text(ask(&cache, request(&[("cache-control", "no-cache")])).await).await, "1");
    assert_eq!(text(ask(&cache, request(&[])).await).await, "1");
}

/// What is being fetched since before a request can't be the new answer that it asks for, so why wait for it?
#[tokio::test]
async fn no_cache_does_not_wait_for_a_fetch_under_way() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let first = begun(ask(&cache, get("http://a/", &[])));
    let older = calls.next().await;
    let second = begun(ask(&cache, get("http://a/", &[("cache-control", "no-cache")])));
    let newer = calls.try_next().expect("a fetch of its own");
    newer.answer(reply(200, &[], full("new")));
    assert_eq!(text(second.await).await, "new");
    older.answer(reply(200, &[], full("old")));
    assert_eq!(text(first.await).await, "old");
}

#[tokio::test]
async fn max_age_and_min_fresh_bound_what_is_served() {
    // An entry that is fresh for 60 s, 30 s old.
    let cases = [
        ("max-age=30", "larder; hit; ttl=30"),
        ("max-age=29", "larder; fwd=request; fwd-status=200; stored"),
        ("max-age=0", "larder; fwd=request; fwd-status=200; stored"),
        ("min-fresh=30", "larder; hit; ttl=30"),
        ("min-fresh=31", "larder; fwd=request; fwd-status=200; stored"),
        ("max-age=nonsense", "larder; fwd=request; fwd-status=200; stored"),
    ];
    for (directive, expected) in cases {
        let clock = ManualClock::default();
        let cache = http(&clock).build().layer(numbered());
        text(ask(&cache, get("http://a/", &[])).await).await;
        clock.advance(30 * SECOND);
        let answer = ask(&cache, get("http://a/", &[("cache-control", directive)])).await;
        assert_eq!(said(&answer), expected, "{directive}");
    }
}

#[tokio::test]
async fn max_stale_takes_what_is_stale_within_its_bound() {
    // An entry that is fresh for 60 s, 70 s old, and kept because it can be validated.
    let cases = [
        ("max-stale", true),
        ("max-stale=10", true),
        ("max-stale=9", false),
        ("max-stale=99, max-age=60", false),
        ("max-stale=99, min-fresh=1", false),
    ];
    for (directive, served) in cases {
        for restriction in ["", ", must-revalidate", ", proxy-revalidate"] {
            let clock = ManualClock::default();
            let origin = Origin::replies(move |_| {
                reply(200, &[("cache-control", &format!("max-age=60{restriction}")), ("etag", "\"a\"")], full("x"))
            });
            let cache = http(&clock).build().layer(origin);
            text(ask(&cache, get("http://a/", &[])).await).await;
            clock.advance(70 * SECOND);
            let answer = ask(&cache, get("http://a/", &[("cache-control", directive)])).await;
            let expected = served && restriction.is_empty();
            assert_eq!(
                said(&answer) == "larder; hit; ttl=-10",
                expected,
                "{directive}{restriction}: {}",
                said(&answer)
            );
        }
    }
}

#[tokio::test]
async fn only_if_cached_never_reaches_the_origin() {
    let clock = ManualClock::default();
    let origin = numbered();
    let layer = http(&clock).build();
    let cache = layer.layer(origin.clone());
    let only = || get("http://a/", &[("cache-control", "only-if-cached")]);
    let answer = ask(&cache, only()).await;
    assert_eq!((answer.status().as_u16(), said(&answer)), (504, "larder; fwd=uri-miss"));
    assert_eq!((answer.headers()["cache-control"].to_str().ok(), origin.calls()), (Some("no-store"), 0));
    text(ask(&cache, get("http://a/", &[])).await).await;
    let answer = ask(&cache, only()).await;
    assert_eq!((answer.status().as_u16(), said(&answer)), (200, "larder; hit; ttl=60"));
    clock.advance(61 * SECOND);
    assert_eq!(ask(&cache, only()).await.status(), 504);
    assert_eq!((origin.calls(), layer.handle().stats().only_if_cached), (1, 2));
}

#[tokio::test]
async fn only_if_cached_does_not_wait_for_a_fetch_under_way() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let fetch = begun(ask(&cache, get("http://a/", &[])));
    let held = calls.next().await;
    assert_eq!(ask(&cache, get("http://a/", &[("cache-control", "only-if-cached")])).await.status(), 504);
    held.answer(reply(200, &[], full("x")));
    fetch.await;
    settle().await;
}

#[tokio::test]
async fn a_request_can_ask_for_a_stale_answer_in_place_of_an_error() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[], full("x")),
        _ => reply(503, &[], full("down")),
    });
    let policy = Ttl::new(MINUTE).stale_if_error(MINUTE / 2);
    let cache = minute(&clock).policy(policy).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(MINUTE + SECOND);
    let answer = ask(&cache, get("http://a/", &[("cache-control", "stale-if-error=10")])).await;
    assert_eq!((answer.status().as_u16(), text(answer).await.as_str()), (200, "x"));
}
