//! What is not stored, and which fields are not.

use std::time::Duration;

use http::{HeaderName, StatusCode};
use larder::{
    clock::ManualClock,
    policy::{Rfc9111, Ttl},
};
use tower::Layer as _;

use super::{MINUTE, http, minute};
use crate::support::{Origin, ask, full, get, post, reply, said, text};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[tokio::test]
async fn what_the_origin_forbids_to_store_is_not_stored() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("cache-control", "no-store, max-age=60")], "forbidden"),
        (&[("cache-control", "private, max-age=60")], "forbidden"),
        (&[("cache-control", "max-age=60"), ("vary", "*")], "forbidden"),
        (&[("cache-control", "max-age=60"), ("vary", "accept, *")], "forbidden"),
        (&[("cache-control", "max-age=0")], "no-lifetime"),
        (&[("set-cookie", "a=1"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], "no-lifetime"),
        (&[], "no-lifetime"),
    ];
    for &(fields, why) in cases {
        let clock = ManualClock::default();
        let origin = Origin::replies(|_| reply(200, fields, full("x")));
        let layer = http(&clock).build();
        let cache = layer.layer(origin.clone());
        for _ in 0..2 {
            let answer = ask(&cache, get("http://a/", &[])).await;
            assert_eq!(said(&answer), format!("larder; fwd=uri-miss; fwd-status=200; detail={why}"), "{fields:?}");
            assert_eq!(text(answer).await, "x");
        }
        let stats = layer.handle().stats();
        assert_eq!((origin.calls(), stats.not_storable, stats.stored), (2, 2, 0), "{fields:?}");
    }
}

#[tokio::test]
async fn an_answer_to_a_credential_is_kept_only_if_the_origin_lets_it_be_shared() {
    for (value, calls) in [("max-age=60", 2), ("public, max-age=60", 1), ("s-maxage=60", 1)] {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |_| reply(200, &[("cache-control", value)], full("x")));
        let cache = http(&clock).build().layer(origin.clone());
        for _ in 0..2 {
            text(ask(&cache, get("http://a/", &[("authorization", "Bearer a")])).await).await;
        }
        assert_eq!(origin.calls(), calls, "{value}");
    }
}

/// Portkey stored errors and replayed them as 200.
#[tokio::test]
async fn an_error_is_not_stored_unless_told() {
    for status in [400, 401, 404, 429, 500, 503, 529] {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |_| reply(status, &[], full("oops")));
        let cache = minute(&clock).build().layer(origin.clone());
        for _ in 0..2 {
            let answer = ask(&cache, post("http://a/", JSON, "{}")).await;
            assert_eq!(answer.status(), status);
            assert_eq!(said(&answer), format!("larder; fwd=uri-miss; fwd-status={status}; detail=status"));
        }
        assert_eq!(origin.calls(), 2, "{status}");
    }
}

#[tokio::test]
async fn an_error_that_is_to_be_stored_stays_an_error() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(404, &[], full("oops")));
    let policy = Ttl::new(MINUTE).status(StatusCode::NOT_FOUND, Duration::from_secs(5));
    let cache = minute(&clock).policy(policy).build().layer(origin.clone());
    for expected in ["larder; fwd=uri-miss; fwd-status=404; stored", "larder; hit; ttl=5"] {
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!((answer.status().as_u16(), said(&answer)), (404, expected));
        assert_eq!(text(answer).await, "oops");
    }
}

#[tokio::test]
async fn a_cookie_and_a_credential_are_for_the_first_client_alone() {
    let clock = ManualClock::default();
    let origin =
        Origin::replies(|_| reply(200, &[("set-cookie", "a=1"), ("authorization", "b"), ("x-kept", "c")], full("x")));
    let cache = minute(&clock).build().layer(origin);
    let first = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(first.headers()["set-cookie"], "a=1");
    text(first).await;
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert!(said(&hit).starts_with("larder; hit"));
    assert!(!hit.headers().contains_key("set-cookie") && !hit.headers().contains_key("authorization"));
    assert_eq!(hit.headers()["x-kept"], "c");
}

#[tokio::test]
async fn a_cookie_is_kept_with_a_lifetime_unless_told_otherwise() {
    for keeps in [true, false] {
        let clock = ManualClock::default();
        let fields = [("cache-control", "max-age=60"), ("set-cookie", "a=1"), ("set-cookie", "b=2")];
        let policy = Rfc9111::shared().keep_set_cookie(keeps);
        let cache = http(&clock).policy(policy).build().layer(Origin::replies(move |_| reply(200, &fields, full("x"))));
        for (expected, cookies) in
            [("larder; fwd=uri-miss; fwd-status=200; stored", 2), ("larder; hit; ttl=60", if keeps { 2 } else { 0 })]
        {
            let answer = ask(&cache, get("http://a/", &[])).await;
            assert_eq!((said(&answer), answer.headers().get_all("set-cookie").iter().count()), (expected, cookies));
            text(answer).await;
        }
    }
}

/// RFC 9213: the nearest field that is valid counts alone, and all are passed on.
#[tokio::test]
async fn a_field_for_this_kind_of_cache_overrides_cache_control() {
    const MISS: &str = "larder; fwd=uri-miss; fwd-status=200";
    let shared = Rfc9111::shared;
    let own = || Rfc9111::shared().targets([HeaderName::from_static("own-cache-control")]);
    let cases: &[(Rfc9111, &[(&str, &str)], &str)] = &[
        (shared(), &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=10")], "larder; hit; ttl=10"),
        (shared(), &[("cache-control", "max-age=60"), ("cdn-cache-control", "no-store")], MISS),
        (
            shared(),
            &[("cdn-cache-control", "max-age=10"), ("larder-cache-control", "max-age=20")],
            "larder; hit; ttl=20",
        ),
        (shared(), &[("cache-control", "max-age=60"), ("cdn-cache-control", "max-age=\"1\"")], "larder; hit; ttl=60"),
        (shared(), &[("cache-control", "max-age=60"), ("cdn-cache-control", "&")], "larder; hit; ttl=60"),
        (own(), &[("cache-control", "max-age=60"), ("cdn-cache-control", "no-store")], "larder; hit; ttl=60"),
        (own(), &[("cache-control", "no-store"), ("own-cache-control", "max-age=30")], "larder; hit; ttl=30"),
        (
            Rfc9111::private(),
            &[("cache-control", "max-age=60"), ("cdn-cache-control", "no-store")],
            "larder; hit; ttl=60",
        ),
    ];
    for (policy, fields, expected) in cases {
        let clock = ManualClock::default();
        let fields = *fields;
        let origin = Origin::replies(move |_| reply(200, fields, full("x")));
        let cache = http(&clock).policy(policy.clone()).build().layer(origin);
        text(ask(&cache, get("http://a/", &[])).await).await;
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert!(said(&answer).starts_with(expected), "{fields:?}: {}", said(&answer));
        assert!(fields.iter().all(|(name, value)| answer.headers()[*name] == *value), "{fields:?}");
    }
}

#[tokio::test]
async fn fields_that_no_cache_or_private_name_are_not_kept() {
    let clock = ManualClock::default();
    let fields = [
        ("cache-control", "max-age=60, private=\"x-secret\", no-cache=\"x-fresh\""),
        ("x-secret", "1"),
        ("x-fresh", "2"),
        ("x-kept", "3"),
    ];
    let cache = http(&clock).build().layer(Origin::replies(move |_| reply(200, &fields, full("x"))));
    let first = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(first.headers()["x-secret"], "1");
    text(first).await;
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert!(!hit.headers().contains_key("x-secret") && !hit.headers().contains_key("x-fresh"));
    assert_eq!((said(&hit), hit.headers()["x-kept"].to_str().ok()), ("larder; hit; ttl=60", Some("3")));
}

#[tokio::test]
async fn what_only_the_origin_can_judge_passes_by() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let status = if request.headers().contains_key("range") { 206 } else { 200 };
        reply(status, &[("cache-control", "max-age=60")], full("x"))
    });
    let cache = http(&clock).build().layer(origin.clone());
    for (field, value, expected) in [
        ("if-match", "\"a\"", "larder; fwd=bypass"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", "larder; fwd=bypass"),
        ("range", "lines=0-0", "larder; fwd=bypass"),
        ("range", "bytes=0-0", "larder; fwd=uri-miss; fwd-status=206; detail=partial"),
    ] {
        let answer = ask(&cache, get("http://a/", &[(field, value)])).await;
        assert_eq!(said(&answer), expected, "{field}");
        text(answer).await;
    }
    let whole = ask(&cache, get("http://a/", &[])).await;
    assert_eq!((whole.status().as_u16(), said(&whole)), (200, "larder; fwd=uri-miss; fwd-status=200; stored"));
}
