//! Conditions: the cache's own to the origin, and the client's to the cache.

use larder::{
    clock::ManualClock,
    fingerprint::{RequestFingerprint, Scope},
};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{Origin, ask, empty, full, get, heard, reply, said, text};

/// 200 with this ETag to a plain request; 304 to one that has it.
fn validated(etag: &'static str, not_modified: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::by_request(move |request| match request.headers().get("if-none-match") {
        Some(value) if value == etag => reply(304, not_modified, empty()),
        _ => {
            let fields =
                [("cache-control", "max-age=60"), ("etag", etag), ("x-version", "1"), ("content-type", "text/plain")];
            reply(200, &fields, full("kept"))
        }
    })
}

#[tokio::test]
async fn a_304_updates_the_fields_and_serves_the_stored_body() {
    let clock = ManualClock::default();
    let update = &[
        ("cache-control", "max-age=120"),
        ("etag", "\"a\""),
        ("x-version", "2"),
        ("x-new", "3"),
        ("content-type", "x/y"),
    ];
    let origin = validated("\"a\"", update);
    let layer = http(&clock).build();
    let cache = layer.layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;

    clock.advance(70 * SECOND);
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), said(&answer)), (200, "larder; fwd=stale; fwd-status=304; stored"));
    assert_eq!([&answer.headers()["x-version"], &answer.headers()["x-new"]], ["2", "3"]);
    assert_eq!([&answer.headers()["content-type"], &answer.headers()["age"]], ["x/y", "0"]);
    assert_eq!(text(answer).await, "kept");

    clock.advance(100 * SECOND);
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(
        (said(&hit), &hit.headers()["x-version"]),
        ("larder; hit; ttl=20", &http::HeaderValue::from_static("2"))
    );
    assert_eq!(text(hit).await, "kept");
    assert_eq!((origin.calls(), layer.handle().stats().revalidated), (2, 1));
}

/// RFC 9110 §6.6.1 lets the recipient say when a response without a Date came.
#[tokio::test]
async fn a_304_without_a_date_makes_the_entry_fresh_all_the_same() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("if-none-match") {
        true => reply(304, &[("cache-control", "max-age=60")], empty()),
        false => {
            let date = "Thu, 28 May 2026 20:26:40 GMT";
            reply(200, &[("cache-control", "max-age=60"), ("etag", "\"a\""), ("date", date)], full("kept"))
        }
    });
    let cache = http(&clock).build().layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; hit; ttl=60", "the date is the clock's");
    clock.advance(70 * SECOND);
    text(ask(&cache, get("http://a/", &[])).await).await;
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; hit; ttl=60");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn an_answer_with_no_cache_is_validated_each_time() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("if-none-match") {
        true => reply(304, &[], empty()),
        false => reply(200, &[("cache-control", "no-cache"), ("etag", "\"a\"")], full("kept")),
    });
    let cache = http(&clock).build().layer(origin.clone());
    for calls in 1..=3 {
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "kept");
        assert_eq!(origin.calls(), calls);
    }
}

#[tokio::test]
async fn a_validator_that_no_longer_holds_replaces_the_entry() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| {
        let etag = format!("\"{number}\"");
        reply(200, &[("cache-control", "max-age=60"), ("etag", &etag)], full(number.to_string()))
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(answer).await, ("larder; fwd=stale; fwd-status=200; stored", "1"));
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "1");
}

#[tokio::test]
async fn a_304_with_another_tag_is_not_answered_with_what_is_stored() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("if-none-match") {
        true => reply(304, &[("cache-control", "max-age=60"), ("etag", "\"b\"")], empty()),
        false => reply(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], full("kept")),
    });
    let cache = http(&clock).build().layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(answer).await, ("larder; fwd=stale; fwd-status=200; stored", "kept"));
    assert_eq!(origin.calls(), 3, "asked once more, without a condition");
}

#[tokio::test]
async fn a_304_that_forbids_to_store_takes_the_entry_away() {
    let clock = ManualClock::default();
    let origin = validated("\"a\"", &[("cache-control", "no-store")]);
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "kept");
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 0);
}

#[tokio::test]
async fn a_clients_condition_that_holds_is_answered_with_304_from_the_cache() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| {
        let fields = [
            ("cache-control", "max-age=60"),
            ("etag", "\"a\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("content-length", "4"),
        ];
        reply(200, &fields, full("kept"))
    });
    let cache = http(&clock).build().layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    let cases = [
        ("if-none-match", "\"a\"", 304),
        ("if-none-match", "W/\"a\"", 304),
        ("if-none-match", "\"x\", \"a\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"b\"", 200),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
        ("if-modified-since", "yesterday", 200),
    ];
    for (name, value, status) in cases {
        let answer = ask(&cache, get("http://a/", &[(name, value)])).await;
        assert_eq!((answer.status().as_u16(), said(&answer)), (status, "larder; hit; ttl=60"), "{name}: {value}");
        assert_eq!(answer.headers()["etag"], "\"a\"");
        assert_eq!(answer.headers().contains_key("content-length"), status == 200);
        assert_eq!(text(answer).await, if status == 304 { "" } else { "kept" });
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_304_to_a_clients_own_condition_is_passed_on_and_never_stored() {
    let clock = ManualClock::default();
    let origin = validated("\"a\"", &[("cache-control", "max-age=60")]);
    let cache = http(&clock).build().layer(origin.clone());
    let answer = ask(&cache, get("http://a/", &[("if-none-match", "\"a\"")])).await;
    assert_eq!(
        (answer.status().as_u16(), said(&answer)),
        (304, "larder; fwd=uri-miss; fwd-status=304; detail=partial")
    );
    let whole = ask(&cache, get("http://a/", &[])).await;
    assert_eq!((whole.status().as_u16(), text(whole).await.as_str(), origin.calls()), (200, "kept", 2));
}

/// A file that was away and comes back is as old as it was before.
#[tokio::test]
async fn a_404_is_not_confirmed_by_the_time_of_what_is_there_now() {
    const FIELDS: [(&str, &str); 2] =
        [("cache-control", "max-age=60"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
    let clock = ManualClock::default();
    let origin = Origin::new(|call| {
        let conditional = call.request.headers().contains_key("if-modified-since");
        std::future::ready(Ok(match call.number {
            0 => reply(404, &FIELDS, full("away")),
            _ if conditional => reply(304, &FIELDS, empty()),
            _ => reply(200, &FIELDS, full("here")),
        }))
    });
    let cache = http(&clock).build().layer(origin);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "away");
    clock.advance(70 * SECOND);
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), text(answer).await.as_str()), (200, "here"));
}

/// An answer to one credential may not be kept for all; what is kept for them is as good as it was.
#[tokio::test]
async fn an_answer_to_a_credential_leaves_the_public_one() {
    const FIELDS: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("etag", "\"a\"")];
    for (status, expected) in [(304, "kept"), (200, "mine")] {
        let clock = ManualClock::default();
        let origin = Origin::by_request(move |request| match request.headers().contains_key("authorization") {
            true => reply(status, &FIELDS, if status == 304 { empty() } else { full("mine") }),
            false => reply(200, &FIELDS, full("kept")),
        });
        let everybody = RequestFingerprint::new().scope(Scope::shared());
        let cache = http(&clock).fingerprint(everybody).build().layer(origin.clone());
        text(ask(&cache, get("http://a/", &[])).await).await;
        let mine = ask(&cache, get("http://a/", &[("authorization", "Bearer a"), ("cache-control", "no-cache")])).await;
        assert!(said(&mine).starts_with(&format!("larder; fwd=request; fwd-status={status}")), "{}", said(&mine));
        assert_eq!((text(mine).await.as_str(), origin.calls()), (expected, 2));
        let public = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(heard(public).await, ("larder; hit; ttl=60", "kept"), "after a {status}");
    }
}
