//! Parts of answers (RFC 9111 §3.3, §3.4): kept, served within themselves, and put together.

use larder::{CacheLayer, cache::Cache, clock::ManualClock, store::Memory};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{
    Body, Far, Origin, ask, field, full, get, heard, memory, pieces, reply, request, said, settle, text,
};

pub(super) const DIGITS: &str = "0123456789";
pub(super) const FRESH: (&str, &str) = ("cache-control", "max-age=60");
pub(super) const TAG: (&str, &str) = ("etag", "\"a\"");
/// Digests of what one message has for content (RFC 9530 §2, RFC 1864).
pub(super) const DIGESTS: [(&str, &str); 2] = [("content-digest", "sha-256=:AAAA:"), ("content-md5", "AAAA")];

/// The range that a request asks for, if it asks for one.
pub(super) fn range_of<B>(request: &http::Request<B>) -> Option<&str> {
    request.headers().get("range").map(|range| range.to_str().expect("text"))
}

/// The digits that a request asks for: all, or those of one range.
pub(super) fn digits(range: Option<&str>, fields: &[(&str, &str)]) -> http::Response<Body> {
    let Some(range) = range else { return reply(200, &[&[FRESH], fields].concat(), full(DIGITS)) };
    let (first, last) = range.trim_start_matches("bytes=").split_once('-').expect("first-last");
    let first: usize = first.parse().expect("a number");
    let last = if last.is_empty() { DIGITS.len() - 1 } else { last.parse().expect("a number") };
    let content = format!("bytes {first}-{last}/{}", DIGITS.len());
    reply(206, &[&[FRESH, ("content-range", content.as_str())], fields].concat(), full(&DIGITS[first..=last]))
}

/// Answers ranges, each with these fields.
pub(super) fn ranged(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::by_request(move |request| digits(range_of(request), fields))
}

/// A cache that was asked for these ranges.
pub(super) async fn asked(clock: &ManualClock, origin: &Origin, ranges: &[&str]) -> Cache<Origin, Memory> {
    let cache = http(clock).build().layer(origin.clone());
    for range in ranges {
        let answer = ask(&cache, get("http://a/", &[("range", *range)])).await;
        assert!(said(&answer).ends_with("; fwd-status=206; stored"), "{range}: {}", said(&answer));
        text(answer).await;
    }
    cache
}

#[tokio::test]
async fn a_part_is_served_for_the_ranges_within_it() {
    // What is stored; what is asked for; what is answered from the cache.
    for (part, range, within) in [
        ("bytes=2-5", "bytes=2-5", Some(("bytes 2-5/10", "2345"))),
        ("bytes=2-5", "bytes=3-4", Some(("bytes 3-4/10", "34"))),
        ("bytes=2-5", "bytes=5-5", Some(("bytes 5-5/10", "5"))),
        ("bytes=2-5", "bytes=1-5", None),
        ("bytes=2-5", "bytes=2-6", None),
        ("bytes=2-5", "bytes=3-", None),
        ("bytes=2-5", "bytes=0-1", None),
        ("bytes=6-", "bytes=7-", Some(("bytes 7-9/10", "789"))),
        ("bytes=6-", "bytes=-2", Some(("bytes 8-9/10", "89"))),
        ("bytes=6-", "bytes=8-99", Some(("bytes 8-9/10", "89"))),
    ] {
        let origin = Origin::replies(move |number| digits(Some(if number == 0 { part } else { "bytes=0-9" }), &[TAG]));
        let cache = asked(&ManualClock::default(), &origin, &[part]).await;
        let answer = ask(&cache, get("http://a/", &[("range", range)])).await;
        let Some((content, expected)) = within else {
            assert!(said(&answer).starts_with("larder; fwd=partial; fwd-status=206"), "{range} of {part}");
            continue;
        };
        assert_eq!(
            (answer.status().as_u16(), field(&answer, "content-range")),
            (206, Some(content)),
            "{range} of {part}"
        );
        assert_eq!(field(&answer, "content-length"), Some(expected.len().to_string().as_str()), "{range} of {part}");
        assert_eq!(heard(answer).await, ("larder; hit; ttl=60", expected), "{range} of {part}");
        assert_eq!(origin.calls(), 1, "{range} of {part}");
    }
}

#[tokio::test]
async fn a_part_of_unknown_length_is_served_for_ranges_with_both_ends() {
    for (range, expected) in [
        ("bytes=3-4", "larder; hit; ttl=60"),
        ("bytes=3-6", "larder; fwd=partial; fwd-status=206; stored"),
        ("bytes=3-", "larder; fwd=partial; fwd-status=206; stored"),
        ("bytes=-1", "larder; fwd=partial; fwd-status=206; stored"),
    ] {
        let origin = Origin::replies(|_| reply(206, &[FRESH, TAG, ("content-range", "bytes 2-5/*")], full("2345")));
        let cache = asked(&ManualClock::default(), &origin, &["bytes=2-5"]).await;
        let answer = ask(&cache, get("http://a/", &[("range", range)])).await;
        assert_eq!(said(&answer), expected, "{range}");
        if expected.contains("hit") {
            assert_eq!(answer.headers()["content-range"], "bytes 3-4/*");
            assert_eq!(text(answer).await, "34");
        }
    }
}

#[tokio::test]
async fn a_part_is_served_while_it_is_fresh_and_nothing_speaks_against_it() {
    let cases: [(u32, &[(&str, &str)], bool); 9] = [
        (59, &[], true),
        (60, &[], false),
        (0, &[("cache-control", "no-cache")], false),
        (10, &[("cache-control", "max-age=5")], false),
        (0, &[("if-none-match", "\"a\"")], false),
        (0, &[("if-range", "\"a\"")], true),
        (0, &[("if-range", "W/\"a\"")], false),
        (0, &[("if-range", "\"b\"")], false),
        (0, &[("cache-control", "only-if-cached")], true),
    ];
    for (seconds, fields, hits) in cases {
        let clock = ManualClock::default();
        let origin = ranged(&[TAG]);
        let cache = asked(&clock, &origin, &["bytes=2-5"]).await;
        clock.advance(seconds * SECOND);
        let fields = [&[("range", "bytes=2-5")], fields].concat();
        let answer = ask(&cache, get("http://a/", &fields)).await;
        assert_eq!(said(&answer).starts_with("larder; hit"), hits, "{seconds} s, {fields:?}: {}", said(&answer));
        assert_eq!(origin.calls(), if hits { 1 } else { 2 }, "{seconds} s, {fields:?}");
    }
}

#[tokio::test]
async fn parts_that_touch_become_the_whole() {
    for ranges in [
        &["bytes=0-3", "bytes=4-9"][..],
        &["bytes=4-9", "bytes=0-3"],
        &["bytes=0-5", "bytes=3-9"],
        &["bytes=3-9", "bytes=0-5"],
        &["bytes=3-5", "bytes=0-9"],
        &["bytes=3-5", "bytes=6-9", "bytes=0-2"],
    ] {
        let origin = ranged(&[TAG]);
        let cache = asked(&ManualClock::default(), &origin, ranges).await;
        let whole = ask(&cache, get("http://a/", &[])).await;
        assert_eq!((whole.status().as_u16(), field(&whole, "content-length")), (200, Some("10")), "{ranges:?}");
        assert!(!whole.headers().contains_key("content-range"), "{ranges:?}");
        assert_eq!(heard(whole).await, ("larder; hit; ttl=60", DIGITS), "{ranges:?}");
        let head = ask(&cache, request("HEAD", "http://a/", &[])).await;
        assert_eq!((said(&head), origin.calls()), ("larder; hit; ttl=60", ranges.len()), "{ranges:?}");
    }
}

/// A part of a changed content, put behind one of the old, is a body that nobody ever sent.
#[tokio::test]
async fn parts_without_one_strong_tag_are_not_put_together_and_the_newer_one_is_kept() {
    let cases: [[&[(&str, &str)]; 2]; 6] = [
        [&[], &[]],
        [&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")]],
        [&[TAG], &[("etag", "W/\"a\"")]],
        [&[TAG], &[("etag", "\"b\"")]],
        [&[TAG], &[]],
        [&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")]],
    ];
    for fields in cases {
        let origin = Origin::new(move |call| {
            std::future::ready(Ok(digits(range_of(&call.request), fields[call.number.min(1)])))
        });
        let cache = asked(&ManualClock::default(), &origin, &["bytes=0-3", "bytes=4-9"]).await;
        let newer = ask(&cache, get("http://a/", &[("range", "bytes=4-9")])).await;
        assert_eq!(heard(newer).await, ("larder; hit; ttl=60", "456789"), "{fields:?}");
        let whole = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(heard(whole).await, ("larder; fwd=partial; fwd-status=200; stored", DIGITS), "{fields:?}");
    }
}

#[tokio::test]
async fn parts_with_a_gap_or_of_other_lengths_are_not_put_together() {
    for (content, body) in [("bytes 6-9/10", "6789"), ("bytes 4-9/11", "456789"), ("bytes 4-9/*", "456789")] {
        let origin = Origin::replies(move |number| match number {
            0 => digits(Some("bytes=0-3"), &[TAG]),
            1 => reply(206, &[FRESH, TAG, ("content-range", content)], full(body)),
            _ => digits(None, &[TAG]),
        });
        let cache = asked(&ManualClock::default(), &origin, &["bytes=0-3", "bytes=4-9"]).await;
        let whole = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(heard(whole).await, ("larder; fwd=partial; fwd-status=200; stored", DIGITS), "{content}");
    }
}

#[tokio::test]
async fn a_part_that_is_not_what_it_says_is_never_kept() {
    type Case = (&'static [(&'static str, &'static str)], fn() -> Body);
    let cases: [Case; 9] = [
        (&[("content-range", "bytes 0-3/10")], || full("012")),
        (&[("content-range", "bytes 0-3/10")], || full("01234")),
        (&[("content-range", "bytes 0-3/10")], || pieces(["01", "2"])),
        (&[("content-range", "bytes 0-3/10")], || pieces(["01", "234"])),
        (&[("content-range", "bytes 0-3/10"), ("content-length", "3")], || pieces(["012"])),
        (&[("content-range", "bytes 0-3/2")], || full("0123")),
        (&[("content-range", "bytes 0-3/10"), ("content-range", "bytes 4-7/10")], || full("0123")),
        (&[("content-type", "multipart/byteranges; boundary=x")], || full("0123")),
        (&[], || full("0123")),
    ];
    for (fields, body) in cases {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |_| reply(206, &[&[FRESH, TAG], fields].concat(), body()));
        let layer = http(&clock).build();
        let cache = layer.layer(origin.clone());
        for calls in 1..=2 {
            let answer = ask(&cache, get("http://a/", &[("range", "bytes=0-3")])).await;
            // A body that breaks its promise may be cut off.
            let _ = crate::support::read(answer).await;
            assert_eq!(origin.calls(), calls, "{fields:?}");
        }
        assert_eq!(layer.handle().usage().await.expect("usage").entries, 0, "{fields:?}");
    }
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_not_kept() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| digits(Some("bytes=0-3"), &[TAG]));
    let cache = http(&clock).build().layer(origin);
    for _ in 0..2 {
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(heard(answer).await, ("larder; fwd=uri-miss; fwd-status=206; detail=partial", "0123"));
    }
}

/// RFC 9211 §2.3: what the next hop said, not what the client hears.
/// The answer of an origin where If-Range doesn't hold.
#[tokio::test]
async fn parts_do_not_grow_over_the_limit() {
    let clock = ManualClock::default();
    let layer = http(&clock).max_body(6).build();
    let cache = layer.layer(ranged(&[TAG]));
    for range in ["bytes=0-4", "bytes=5-9"] {
        text(ask(&cache, get("http://a/", &[("range", range)])).await).await;
    }
    let whole = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(whole).await, ("larder; fwd=partial; fwd-status=200; detail=too-large", DIGITS));
    let too_large = ask(&cache, get("http://a/", &[("range", "bytes=0-6")])).await;
    assert_eq!(heard(too_large).await, ("larder; fwd=partial; fwd-status=206; detail=too-large", "0123456"));
}

/// Only where a part is known to be stored, or a range is asked for, is it worth a look-up.
#[tokio::test]
async fn a_part_of_one_uri_costs_the_others_no_look_up() {
    let clock = ManualClock::default();
    let store = Far::new(memory(&clock));
    let cache = CacheLayer::builder(store.clone()).clock(clock.clone()).build().layer(ranged(&[TAG]));
    text(ask(&cache, get("http://a/", &[("range", "bytes=0-1")])).await).await;
    settle().await;
    for (method, expected) in [("GET", 1), ("HEAD", 2)] {
        let before = store.got();
        ask(&cache, request(method, "http://a/other", &[])).await;
        assert_eq!(store.got() - before, expected, "{method}");
    }
}

#[tokio::test]
async fn a_part_that_is_fetched_again_is_fresh_again() {
    let clock = ManualClock::default();
    let origin = ranged(&[TAG]);
    let cache = asked(&clock, &origin, &["bytes=0-4"]).await;
    clock.advance(61 * SECOND);
    for (range, body, calls) in [("bytes=0-4", "01234", 2), ("bytes=0-4", "01234", 2), ("bytes=1-2", "12", 2)] {
        assert_eq!(text(ask(&cache, get("http://a/", &[("range", range)])).await).await, body);
        assert_eq!(origin.calls(), calls, "{range}");
    }
}

#[tokio::test]
async fn what_is_cut_from_a_part_or_made_of_parts_has_no_digest_of_either() {
    let origin = ranged(&[TAG, DIGESTS[0], DIGESTS[1]]);
    let cache = asked(&ManualClock::default(), &origin, &["bytes=0-5"]).await;
    let cut = ask(&cache, get("http://a/", &[("range", "bytes=1-2")])).await;
    text(ask(&cache, get("http://a/", &[("range", "bytes=6-9")])).await).await;
    let whole = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(said(&whole), "larder; hit; ttl=60");
    for answer in [cut, whole] {
        for (name, _) in DIGESTS {
            assert_eq!(field(&answer, name), None, "{name} of a {}", answer.status());
        }
    }
}
