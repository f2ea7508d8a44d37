//! Ranges of what is stored whole (RFC 9110 §14).

use larder::{cache::Cache, clock::ManualClock, policy::Ttl, store::Memory};
use tower::Layer as _;

use super::{MINUTE, SECOND, http, minute, parts::DIGESTS};
use crate::support::{Origin, ask, empty, field, full, get, heard, post, reply, request, said, settle, text};

const DIGITS: &str = "0123456789";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const FIELDS: [(&str, &str); 4] =
    [("cache-control", "max-age=60"), ("etag", "\"a\""), ("last-modified", MODIFIED), ("content-type", "text/plain")];

/// A cache that has the ten digits.
async fn stored(clock: &ManualClock) -> (Origin, Cache<Origin, Memory>) {
    let origin = Origin::replies(|_| reply(200, &FIELDS, full(DIGITS)));
    let cache = http(clock).build().layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    (origin, cache)
}

#[tokio::test]
async fn a_range_is_cut_from_what_is_stored() {
    let (origin, cache) = stored(&ManualClock::default()).await;
    for (range, content, expected) in [
        ("bytes=0-3", "bytes 0-3/10", "0123"),
        ("bytes=4-4", "bytes 4-4/10", "4"),
        ("bytes=4-", "bytes 4-9/10", "456789"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
        ("bytes=-99", "bytes 0-9/10", DIGITS),
        ("Bytes=0-", "bytes 0-9/10", DIGITS),
    ] {
        let answer = ask(&cache, get("http://a/", &[("range", range)])).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "content-range")), (206, Some(content)), "{range}");
        assert_eq!(field(&answer, "content-length"), Some(expected.len().to_string().as_str()), "{range}");
        assert_eq!(
            [field(&answer, "etag"), field(&answer, "content-type")],
            [Some("\"a\""), Some("text/plain")],
            "{range}"
        );
        assert_eq!(heard(answer).await, ("larder; hit; ttl=60", expected), "{range}");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_range_behind_the_end_is_a_416_with_the_length() {
    let (origin, cache) = stored(&ManualClock::default()).await;
    for range in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
        let answer = ask(&cache, get("http://a/", &[("range", range)])).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "content-range")), (416, Some("bytes */10")), "{range}");
        assert_eq!(field(&answer, "content-length"), Some("0"), "{range}");
        assert!(!answer.headers().contains_key("content-type"), "it is not of that type");
        assert_eq!(heard(answer).await, ("larder; hit; ttl=60", ""), "{range}");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn what_is_not_the_whole_has_no_digest_of_it_and_a_416_is_for_nobody_to_keep() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[&FIELDS[..], &DIGESTS].concat(), full(DIGITS)));
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    for (range, status, control) in [("bytes=0-3", 206, "max-age=60"), ("bytes=10-", 416, "no-store")] {
        let answer = ask(&cache, get("http://a/", &[("range", range)])).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "cache-control")), (status, Some(control)), "{range}");
        for (name, _) in DIGESTS {
            assert_eq!(field(&answer, name), None, "{name}, {range}");
        }
    }
    let whole = ask(&cache, get("http://a/", &[])).await;
    for (name, value) in DIGESTS {
        assert_eq!(field(&whole, name), Some(value));
    }
}

#[tokio::test]
async fn several_ranges_get_the_whole() {
    let (origin, cache) = stored(&ManualClock::default()).await;
    for range in ["bytes=0-1,3-4", "bytes=0-1, -1", "bytes=20-,30-"] {
        let answer = ask(&cache, get("http://a/", &[("range", range)])).await;
        assert!(!answer.headers().contains_key("content-range"), "{range}");
        assert_eq!(answer.status(), 200, "{range}");
        assert_eq!(heard(answer).await, ("larder; hit; ttl=60", DIGITS), "{range}");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn if_range_has_to_name_what_is_stored_strongly() {
    let (origin, cache) = stored(&ManualClock::default()).await;
    for (validator, status) in [
        ("\"a\"", 206),
        (MODIFIED, 206),
        ("W/\"a\"", 200),
        ("\"b\"", 200),
        (LATER, 200),
        ("yesterday", 200),
        ("\"a\", \"a\"", 200),
    ] {
        let answer = ask(&cache, get("http://a/", &[("range", "bytes=0-3"), ("if-range", validator)])).await;
        assert_eq!((answer.status().as_u16(), said(&answer)), (status, "larder; hit; ttl=60"), "{validator}");
        assert_eq!(text(answer).await, if status == 206 { "0123" } else { DIGITS }, "{validator}");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn if_range_holds_by_no_validator_that_another_content_could_have() {
    // What is stored, and the If-Range: a weak tag; a date within whose second the content may have changed again.
    let cases: [(&[(&str, &str)], &str); 2] =
        [(&[("etag", "W/\"a\"")], "W/\"a\""), (&[("last-modified", MODIFIED), ("date", MODIFIED)], MODIFIED)];
    for (fields, validator) in cases {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |_| {
            reply(200, &[&[("cache-control", "max-age=999999999")], fields].concat(), full(DIGITS))
        });
        let cache = http(&clock).policy(Ttl::new(MINUTE).override_origin(true)).build().layer(origin.clone());
        text(ask(&cache, get("http://a/", &[])).await).await;
        let answer = ask(&cache, get("http://a/", &[("range", "bytes=0-3"), ("if-range", validator)])).await;
        assert_eq!((answer.status().as_u16(), origin.calls()), (200, 1), "{validator}");
        assert_eq!(text(answer).await, DIGITS, "{validator}");
    }
}

#[tokio::test]
async fn a_condition_of_the_client_goes_before_its_range() {
    let (origin, cache) = stored(&ManualClock::default()).await;
    for (name, value, status, expected) in [
        ("if-none-match", "\"a\"", 304, ""),
        ("if-none-match", "\"b\"", 206, "01"),
        ("if-modified-since", MODIFIED, 304, ""),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 206, "01"),
    ] {
        let answer = ask(&cache, get("http://a/", &[(name, value), ("range", "bytes=0-1")])).await;
        assert_eq!((answer.status().as_u16(), said(&answer)), (status, "larder; hit; ttl=60"), "{name}: {value}");
        assert_eq!(answer.headers().contains_key("content-range"), status == 206, "{name}: {value}");
        assert_eq!(text(answer).await, expected, "{name}: {value}");
    }
    assert_eq!(origin.calls(), 1);
}

/// RFC 9110 §14.2: ranges are for GET.
#[tokio::test]
async fn a_range_of_a_head_is_ignored() {
    let (origin, cache) = stored(&ManualClock::default()).await;
    let answer = ask(&cache, request("HEAD", "http://a/", &[("range", "bytes=0-3")])).await;
    assert!(!answer.headers().contains_key("content-range"));
    assert_eq!((answer.status().as_u16(), field(&answer, "content-length")), (200, Some("10")));
    assert_eq!((said(&answer), origin.calls()), ("larder; hit; ttl=60", 1));
}

/// What the origin makes of it, it alone knows.
#[tokio::test]
async fn a_range_of_a_post_is_the_origins_to_judge() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[], full(DIGITS)));
    let cache = minute(&clock).build().layer(origin);
    const JSON: (&str, &str) = ("content-type", "application/json");
    for (fields, expected) in [
        (&[JSON][..], "larder; fwd=uri-miss; fwd-status=200; stored"),
        (&[JSON, ("range", "bytes=0-3")], "larder; fwd=bypass"),
        (&[JSON], "larder; hit; ttl=60"),
    ] {
        let answer = ask(&cache, post("http://a/", fields, "{}")).await;
        assert_eq!((answer.status().as_u16(), said(&answer)), (200, expected));
        assert_eq!(text(answer).await, DIGITS);
    }
}

#[tokio::test]
async fn what_has_no_bytes_to_choose_from_is_sent_as_it_is() {
    for (status, body) in [(404, "not here"), (200, "")] {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |_| reply(status, &FIELDS, full(body)));
        let cache = http(&clock).build().layer(origin);
        text(ask(&cache, get("http://a/", &[])).await).await;
        let answer = ask(&cache, get("http://a/", &[("range", "bytes=0-3")])).await;
        assert_eq!((answer.status().as_u16(), said(&answer)), (status, "larder; hit; ttl=60"));
        assert_eq!(text(answer).await, body);
    }
}

#[tokio::test]
async fn a_range_of_what_is_stale_is_cut_once_the_origin_has_confirmed_it() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("if-none-match") {
        true => reply(304, &FIELDS, empty()),
        false => reply(200, &FIELDS, full(DIGITS)),
    });
    let cache = http(&clock).build().layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    let answer = ask(&cache, get("http://a/", &[("range", "bytes=2-3")])).await;
    assert_eq!((answer.status().as_u16(), field(&answer, "content-range")), (206, Some("bytes 2-3/10")));
    assert_eq!(heard(answer).await, ("larder; fwd=stale; fwd-status=304; stored", "23"));
    assert_eq!(heard(ask(&cache, get("http://a/", &[])).await).await, ("larder; hit; ttl=60", DIGITS));
}

#[tokio::test]
async fn behind_a_stale_range_the_whole_is_refreshed() {
    let clock = ManualClock::default();
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=60"), ("etag", "\"a\"")];
    let origin = Origin::by_request(move |request| match request.headers().contains_key("range") {
        true => reply(206, &[("content-range", "bytes 0-1/10")], full("01")),
        false => reply(200, &fields, full(DIGITS)),
    });
    let cache = http(&clock).build().layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    let stale = ask(&cache, get("http://a/", &[("range", "bytes=0-1"), ("if-range", "\"a\"")])).await;
    assert_eq!(heard(stale).await, ("larder; hit; ttl=-10; detail=stale-while-revalidate", "01"));
    settle().await;
    assert_eq!(heard(ask(&cache, get("http://a/", &[])).await).await, ("larder; hit; ttl=60", DIGITS));
    assert_eq!(origin.calls(), 2);
}

/// A part of another content, with `stale-if-error` to bring the old one back.
#[tokio::test]
async fn a_part_of_another_content_takes_what_is_stored_away() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"a\"")], full("oldoldold")),
        1 => {
            let fields = [("cache-control", "max-age=60"), ("etag", "\"b\""), ("content-range", "bytes 0-2/9")];
            reply(206, &fields, full("new"))
        }
        _ => reply(503, &[], full("down")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    for expected in ["larder; fwd=stale; fwd-status=206; stored", "larder; hit; ttl=60"] {
        let answer = ask(&cache, get("http://a/", &[("range", "bytes=0-2")])).await;
        assert_eq!(heard(answer).await, (expected, "new"));
    }
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "down");
}

#[tokio::test]
async fn what_only_answers_a_range_is_not_kept_for_the_whole() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("range") {
        true => reply(416, &[("cache-control", "max-age=60"), ("content-range", "bytes */10")], empty()),
        false => reply(200, &FIELDS, full(DIGITS)),
    });
    let cache = http(&clock).build().layer(origin);
    let answer = ask(&cache, get("http://a/", &[("range", "bytes=100-")])).await;
    assert_eq!(
        (answer.status().as_u16(), said(&answer)),
        (416, "larder; fwd=uri-miss; fwd-status=416; detail=partial")
    );
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, DIGITS);
}
