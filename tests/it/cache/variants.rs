//! Variants together: how many there are, which of them are offered to the origin, and which a 304 speaks of.

use larder::clock::ManualClock;
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{Origin, ask, begun, empty, full, get, heard, reply, said, text};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const VARY: (&str, &str) = ("vary", "v");

/// A request for one variant.
fn variant(value: &str) -> http::Request<crate::support::Body> {
    get("http://a/", &[("v", value)])
}

/// The variant that a request is for.
fn value<B>(request: &http::Request<B>) -> &str {
    request.headers()["v"].to_str().expect("text")
}

#[tokio::test]
async fn of_too_many_variants_the_oldest_gives_way() {
    let clock = ManualClock::default();
    let layer = http(&clock).max_variants(2).build();
    let cache = layer.layer(Origin::by_request(|request| reply(200, &[FRESH, VARY], full(value(request).to_owned()))));
    for asked in ["1", "2", "3"] {
        assert_eq!(text(ask(&cache, variant(asked)).await).await, asked);
    }
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 2);
    for (asked, expected) in [
        ("1", "larder; hit; ttl=60"),
        ("3", "larder; hit; ttl=60"),
        ("2", "larder; fwd=vary-miss; fwd-status=200; stored"),
        ("3", "larder; fwd=vary-miss; fwd-status=200; stored"),
    ] {
        assert_eq!(heard(ask(&cache, variant(asked)).await).await, (expected, asked));
    }
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 2);
}

#[tokio::test]
async fn without_room_for_another_the_first_variant_is_kept() {
    let clock = ManualClock::default();
    let layer = http(&clock).max_variants(1).build();
    let cache = layer.layer(Origin::by_request(|request| reply(200, &[FRESH, VARY], full(value(request).to_owned()))));
    for asked in ["1", "2", "3"] {
        assert_eq!(text(ask(&cache, variant(asked)).await).await, asked);
    }
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 1);
    assert_eq!(said(&ask(&cache, variant("1")).await), "larder; hit; ttl=60");
}

/// RFC 9111 §4.3.4.
#[tokio::test]
async fn a_304_freshens_the_variants_with_the_same_strong_tag_and_no_others() {
    let tag = |value: &str| match value {
        "1" | "2" | "3" => "\"a\"",
        "weak" => "W/\"a\"",
        _ => "\"b\"",
    };
    let all = ["1", "other", "2", "weak", "3"];
    // The first of a key, and two that lie beside it.
    for validated in ["1", "2", "3"] {
        let clock = ManualClock::default();
        let origin = Origin::by_request(move |request| {
            let etag = ("etag", tag(value(request)));
            match request.headers().get("if-none-match") {
                Some(sent) if sent == etag.1 => reply(304, &[FRESH, VARY, etag, ("x-version", "2")], empty()),
                _ => reply(200, &[FRESH, VARY, etag, ("x-version", "1")], full(value(request).to_owned())),
            }
        });
        let cache = http(&clock).build().layer(origin);
        for asked in all {
            text(ask(&cache, variant(asked)).await).await;
        }
        clock.advance(70 * SECOND);
        assert_eq!(said(&ask(&cache, variant(validated)).await), "larder; fwd=stale; fwd-status=304; stored");
        for asked in all {
            let stale =
                ask(&cache, get("http://a/", &[("v", asked), ("cache-control", "max-stale, only-if-cached")])).await;
            let same = tag(asked) == "\"a\"";
            assert_eq!(stale.headers()["x-version"], if same { "2" } else { "1" }, "{asked} by {validated}");
            let expected = if same { "larder; hit; ttl=60" } else { "larder; hit; ttl=-10" };
            assert_eq!(heard(stale).await, (expected, asked), "{asked} by {validated}");
        }
    }
}

/// RFC 9111 §4.3.1: the origin can say that it is one of those.
#[tokio::test]
async fn a_variant_that_is_missing_is_answered_with_the_one_that_the_origin_names() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    for (asked, etag) in [("1", "\"a\""), ("2", "\"b\""), ("3", "W/\"c\""), ("4", "")] {
        let answer = begun(ask(&cache, variant(asked)));
        calls.next().await.answer(reply(200, &[FRESH, VARY, ("etag", etag)], full(asked)));
        text(answer.await).await;
    }
    clock.advance(30 * SECOND);
    let missing = begun(ask(&cache, variant("5")));
    let held = calls.next().await;
    assert_eq!(held.request.headers()["if-none-match"], "\"b\", \"a\"", "those with a strong tag, the newest first");
    held.answer(reply(304, &[FRESH, VARY, ("etag", "\"b\"")], empty()));
    let missing = missing.await;
    assert_eq!(missing.status(), 200);
    assert_eq!(heard(missing).await, ("larder; fwd=vary-miss; fwd-status=304; stored", "2"));
    assert_eq!(heard(ask(&cache, variant("5")).await).await, ("larder; hit; ttl=60", "2"));
    assert_eq!(heard(ask(&cache, variant("2")).await).await, ("larder; hit; ttl=30", "2"));
}

#[tokio::test]
async fn a_304_that_names_none_of_the_offered_variants_is_followed_by_the_plain_request() {
    for named in [&[("etag", "\"x\"")][..], &[("etag", "W/\"a\"")], &[]] {
        let clock = ManualClock::default();
        let origin = Origin::by_request(move |request| match request.headers().contains_key("if-none-match") {
            true => reply(304, named, empty()),
            false => reply(200, &[FRESH, VARY, ("etag", "\"a\"")], full(value(request).to_owned())),
        });
        let cache = http(&clock).build().layer(origin.clone());
        text(ask(&cache, variant("1")).await).await;
        let missing = ask(&cache, variant("2")).await;
        assert_eq!(heard(missing).await, ("larder; fwd=vary-miss; fwd-status=200; stored", "2"), "{named:?}");
        assert_eq!(origin.calls(), 3, "{named:?}");
    }
}

/// nginx with `gzip on; gzip_vary on`: the tag of the compressed form is that of the other made weak, If-None-Match is compared
/// weakly, and the 304 has the tag of what it would have sent.
#[tokio::test]
async fn a_weak_tag_does_not_bring_gzip_to_who_cannot_read_it() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let fields = [FRESH, ("vary", "accept-encoding")];
        let sent = request.headers().get("if-none-match");
        if sent.is_some_and(|tags| tags.to_str().is_ok_and(|tags| tags.contains("\"a\""))) {
            return reply(304, &[&fields[..], &[("etag", "\"a\"")]].concat(), empty());
        }
        match request.headers().contains_key("accept-encoding") {
            true => {
                let own = [("etag", "W/\"a\""), ("content-encoding", "gzip")];
                reply(200, &[fields, own].concat(), full("<gzip>"))
            }
            false => reply(200, &[&fields[..], &[("etag", "\"a\"")]].concat(), full("plain")),
        }
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[("accept-encoding", "gzip")])).await).await;
    let plain = ask(&cache, get("http://a/", &[])).await;
    assert!(!plain.headers().contains_key("content-encoding"));
    assert_eq!(text(plain).await, "plain");
}
