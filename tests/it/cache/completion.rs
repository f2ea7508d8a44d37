//! What is missing behind a part, asked for to have the whole (RFC 9111 §3.4).

use larder::clock::ManualClock;
use tower::Layer as _;

use super::{
    SECOND, http,
    parts::{DIGITS, FRESH, TAG, asked, digits, range_of, ranged},
};
use crate::support::{Origin, ask, begun, channel, data, field, full, get, heard, reply, said, text};

#[tokio::test]
async fn a_request_for_the_whole_asks_for_what_is_missing_and_sends_the_part_at_once() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let part = begun(ask(&cache, get("http://a/", &[("range", "bytes=0-3")])));
    calls.next().await.answer(digits(Some("bytes=0-3"), &[TAG]));
    text(part.await).await;

    let whole = begun(ask(&cache, get("http://a/", &[("accept", "text/plain")])));
    let rest = calls.next().await;
    let sent = rest.request.headers();
    assert_eq!([&sent["range"], &sent["if-range"], &sent["accept"]], ["bytes=4-", "\"a\"", "text/plain"]);
    let (feed, body) = channel();
    rest.answer(reply(206, &[FRESH, TAG, ("content-range", "bytes 4-9/10")], body));
    let mut whole = whole.await;
    assert_eq!((whole.status().as_u16(), field(&whole, "content-length")), (200, Some("10")));
    assert!(!whole.headers().contains_key("content-range"));
    assert!(said(&whole).starts_with("larder; fwd=partial; fwd-status="));
    assert_eq!(data(&mut whole).await, "0123", "it need not wait for the rest");
    feed.data("456789");
    drop(feed);
    assert_eq!(text(whole).await, "456789");
    assert_eq!(heard(ask(&cache, get("http://a/", &[])).await).await, ("larder; hit; ttl=60", DIGITS));
}

#[tokio::test]
async fn a_whole_made_with_a_206_is_said_to_be_so() {
    let cache = asked(&ManualClock::default(), &ranged(&[TAG]), &["bytes=0-3"]).await;
    let whole = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(whole).await, ("larder; fwd=partial; fwd-status=206; stored", DIGITS));
}

#[tokio::test]
async fn a_part_that_is_stale_is_completed_too() {
    let clock = ManualClock::default();
    let origin = ranged(&[TAG]);
    let cache = asked(&clock, &origin, &["bytes=0-3"]).await;
    clock.advance(70 * SECOND);
    let whole = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(text(whole).await, DIGITS);
    assert_eq!(heard(ask(&cache, get("http://a/", &[])).await).await, ("larder; hit; ttl=60", DIGITS));
}

#[tokio::test]
async fn what_does_not_complete_a_part_is_replaced_by_one_plain_request() {
    const NEW: (&str, &str) = ("etag", "\"b\"");
    type Case = (u16, &'static [(&'static str, &'static str)], &'static str);
    let cases: [Case; 6] = [
        (416, &[("content-range", "bytes */4")], ""),
        (206, &[NEW, ("content-range", "bytes 4-9/10")], "efghij"),
        (206, &[("etag", "W/\"a\""), ("content-range", "bytes 4-9/10")], "efghij"),
        (206, &[("content-range", "bytes 4-9/10")], "efghij"),
        (206, &[TAG, ("content-range", "bytes 5-9/10")], "fghij"),
        (206, &[TAG, ("content-range", "bytes 4-9/11")], "efghij"),
    ];
    for (status, fields, body) in cases {
        let origin = Origin::new(move |call| {
            std::future::ready(Ok(match call.number {
                0 => digits(Some("bytes=0-3"), &[TAG]),
                1 => reply(status, &[&[FRESH], fields].concat(), full(body)),
                _ => {
                    let sent = call.request.headers();
                    assert!(!sent.contains_key("range") && !sent.contains_key("if-range"), "{status} {fields:?}");
                    reply(200, &[FRESH, NEW], full("abcdefghij"))
                }
            }))
        });
        let cache = asked(&ManualClock::default(), &origin, &["bytes=0-3"]).await;
        let whole = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(whole.status(), 200, "{status} {fields:?}");
        let expected = ("larder; fwd=partial; fwd-status=200; stored", "abcdefghij");
        assert_eq!(heard(whole).await, expected, "{status} {fields:?}");
        let again = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(heard(again).await, ("larder; hit; ttl=60", "abcdefghij"), "{status} {fields:?}");
        assert_eq!(origin.calls(), 3, "{status} {fields:?}");
    }
}

#[tokio::test]
async fn a_whole_that_came_in_place_of_the_rest_is_the_answer_and_ends_the_part() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => {
            let fields = [("cache-control", "max-age=600"), TAG, ("content-range", "bytes 0-3/10")];
            reply(206, &fields, full("0123"))
        }
        _ => reply(200, &[FRESH], full("abcdefghij")),
    });
    let cache = asked(&clock, &origin, &["bytes=0-3"]).await;
    let whole = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(whole).await, ("larder; fwd=partial; fwd-status=200; stored", "abcdefghij"));
    let range = ask(&cache, get("http://a/", &[("range", "bytes=0-3")])).await;
    assert_eq!(heard(range).await, ("larder; hit; ttl=60", "abcd"));
    assert_eq!(origin.calls(), 2);
    // A whole without a validator is of no use after twice its time.
    clock.advance(130 * SECOND);
    let late = ask(&cache, get("http://a/", &[("range", "bytes=0-3")])).await;
    assert!(!said(&late).contains("hit"), "the part would still be fresh, but is older: {}", said(&late));
}

#[tokio::test]
async fn the_rest_is_not_asked_for_where_it_could_not_be_told_to_belong() {
    type Case = (&'static [(&'static str, &'static str)], &'static str, &'static [(&'static str, &'static str)]);
    let cases: [Case; 5] = [
        (&[TAG, ("content-range", "bytes 2-5/10")], "2345", &[]),
        (&[TAG, ("content-range", "bytes 0-3/*")], "0123", &[]),
        (&[("etag", "W/\"a\""), ("content-range", "bytes 0-3/10")], "0123", &[]),
        (&[("content-range", "bytes 0-3/10")], "0123", &[]),
        // The client's own condition would be answered with 304 by what it has.
        (&[TAG, ("content-range", "bytes 0-3/10")], "0123", &[("if-none-match", "\"x\"")]),
    ];
    for (part, body, fields) in cases {
        let origin = Origin::new(move |call| {
            std::future::ready(Ok(match call.number {
                0 => reply(206, &[&[FRESH], part].concat(), full(body)),
                _ => {
                    assert_eq!(range_of(&call.request), None, "{part:?}");
                    digits(None, &[TAG])
                }
            }))
        });
        let cache = asked(&ManualClock::default(), &origin, &["bytes=0-3"]).await;
        let whole = ask(&cache, get("http://a/", fields)).await;
        assert_eq!(heard(whole).await, ("larder; fwd=partial; fwd-status=200; stored", DIGITS), "{part:?}");
    }
}

#[tokio::test]
async fn what_completes_a_part_brings_its_age_and_no_field_for_the_next_hop() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match range_of(request) {
        Some("bytes=0-3") => digits(Some("bytes=0-3"), &[TAG]),
        range => digits(range, &[TAG, ("age", "50"), ("connection", "x-hop"), ("x-hop", "1")]),
    });
    let cache = asked(&clock, &origin, &["bytes=0-3"]).await;
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, DIGITS);
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert!(!hit.headers().contains_key("connection") && !hit.headers().contains_key("x-hop"));
    assert_eq!((said(&hit), field(&hit, "age")), ("larder; hit; ttl=10", Some("50")));
}

#[tokio::test]
async fn a_whole_made_of_parts_varies_by_what_the_later_one_names() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match range_of(request) {
        Some("bytes=0-3") => digits(Some("bytes=0-3"), &[TAG]),
        Some(range) => digits(Some(range), &[TAG, ("vary", "v")]),
        None => reply(200, &[FRESH, ("vary", "v")], full("other")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[("range", "bytes=0-3"), ("v", "1")])).await).await;
    for (value, expected) in [("1", DIGITS), ("2", "other"), ("1", DIGITS)] {
        assert_eq!(text(ask(&cache, get("http://a/", &[("v", value)])).await).await, expected);
    }
}
