//! HEAD: answered from what is stored for GET, and never the other way round (RFC 9111 §4, §4.3.5).

use http::Response;
use larder::clock::ManualClock;
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{
    Body, Origin, ask, begun, empty, field, full, get, heard, pieces, reply, request, said, settle, text,
};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const TAG: (&str, &str) = ("etag", "\"a\"");

fn head(fields: &[(&str, &str)]) -> http::Request<Body> {
    request("HEAD", "http://a/", fields)
}

/// Answers HEAD and GET by two closures.
fn both(
    head: impl Fn() -> Response<Body> + Send + Sync + 'static,
    get: impl Fn() -> Response<Body> + Send + Sync + 'static,
) -> Origin {
    Origin::by_request(move |request| if request.method() == "HEAD" { head() } else { get() })
}

#[tokio::test]
async fn a_stored_get_answers_a_head_with_its_length_even_if_the_origin_sent_none() {
    for body in [|| full("hello"), || pieces(["he", "llo"])] {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |_| reply(200, &[FRESH, TAG], body()));
        let cache = http(&clock).build().layer(origin.clone());
        text(ask(&cache, get("http://a/", &[])).await).await;
        let answer = ask(&cache, head(&[])).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "content-length")), (200, Some("5")));
        assert_eq!(answer.headers()["etag"], "\"a\"");
        assert_eq!(heard(answer).await, ("larder; hit; ttl=60", ""));
        let same = ask(&cache, head(&[("if-none-match", "\"a\"")])).await;
        assert_eq!((same.status().as_u16(), said(&same), origin.calls()), (304, "larder; hit; ttl=60", 1));
    }
}

#[tokio::test]
async fn an_answer_to_head_is_kept_for_head_alone() {
    let clock = ManualClock::default();
    let origin = both(
        || reply(200, &[FRESH, ("x-of", "head"), ("content-length", "5")], empty()),
        || reply(200, &[FRESH, ("x-of", "get")], full("hello")),
    );
    let cache = http(&clock).build().layer(origin.clone());
    for expected in ["larder; fwd=uri-miss; fwd-status=200; stored", "larder; hit; ttl=60"] {
        let answer = ask(&cache, head(&[])).await;
        assert_eq!([&answer.headers()["content-length"], &answer.headers()["x-of"]], ["5", "head"]);
        assert_eq!(heard(answer).await, (expected, ""));
    }
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(heard(answer).await, ("larder; fwd=uri-miss; fwd-status=200; stored", "hello"));
    assert_eq!(ask(&cache, head(&[])).await.headers()["x-of"], "get", "the answer to GET has more to say");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn nothing_is_said_of_a_length_that_an_answer_to_head_did_not_tell() {
    let clock = ManualClock::default();
    let cache = http(&clock).build().layer(Origin::replies(|_| reply(200, &[FRESH], empty())));
    for expected in ["larder; fwd=uri-miss; fwd-status=200; stored", "larder; hit; ttl=60"] {
        let answer = ask(&cache, head(&[])).await;
        assert!(!answer.headers().contains_key("content-length"), "zero would be wrong");
        assert_eq!(said(&answer), expected);
        text(answer).await;
    }
}

#[tokio::test]
async fn answers_to_head_vary_as_those_to_get_do() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let value = request.headers()["v"].to_str().expect("text");
        reply(200, &[FRESH, ("vary", "v"), ("x-of", value)], empty())
    });
    let cache = http(&clock).build().layer(origin.clone());
    for (value, calls) in [("1", 1), ("2", 2), ("1", 2), ("2", 2)] {
        let answer = ask(&cache, head(&[("v", value)])).await;
        assert_eq!((field(&answer, "x-of"), origin.calls()), (Some(value), calls));
        text(answer).await;
    }
}

#[tokio::test]
async fn a_304_to_a_head_makes_the_stored_get_fresh() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("if-none-match") {
        true => reply(304, &[FRESH, TAG], empty()),
        false => reply(200, &[FRESH, TAG], full("hello")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    assert_eq!(heard(ask(&cache, head(&[])).await).await, ("larder; fwd=stale; fwd-status=304; stored", ""));
    assert_eq!(heard(ask(&cache, get("http://a/", &[])).await).await, ("larder; hit; ttl=60", "hello"));
}

/// RFC 9111 §4.3.5. An answer that says nothing of the content leaves the stored one as it is: stale.
#[tokio::test]
async fn a_200_to_a_head_freshens_the_stored_get_or_takes_it_away() {
    let cases: [(&[(&str, &str)], bool, bool); 6] = [
        (&[FRESH, TAG], true, true),
        (&[FRESH, TAG, ("content-length", "5")], true, true),
        (&[FRESH, TAG, ("content-length", "6")], false, false),
        (&[FRESH, ("etag", "\"b\"")], false, false),
        (&[FRESH, ("content-length", "5")], false, true),
        (&[FRESH], false, true),
    ];
    for (fields, freshens, leaves) in cases {
        let clock = ManualClock::default();
        let origin = both(
            move || reply(200, &[fields, &[("x-version", "2")]].concat(), empty()),
            || reply(200, &[FRESH, TAG, ("x-version", "1")], full("hello")),
        );
        let cache = http(&clock).build().layer(origin);
        text(ask(&cache, get("http://a/", &[])).await).await;
        clock.advance(70 * SECOND);
        let answer = ask(&cache, head(&[])).await;
        assert_eq!((answer.status().as_u16(), field(&answer, "x-version")), (200, Some("2")), "{fields:?}");
        text(answer).await;
        let stale = ask(&cache, get("http://a/", &[("cache-control", "max-stale, only-if-cached")])).await;
        let expected = if freshens { "larder; hit; ttl=60" } else { "larder; hit; ttl=-10" };
        assert_eq!(said(&stale) == expected, leaves, "{fields:?}: {}", said(&stale));
        if freshens {
            assert_eq!(stale.headers()["x-version"], "2", "{fields:?}");
        }
    }
}

/// A body would stay fresh for ever that nobody looked at.
#[tokio::test]
async fn heads_without_a_validator_do_not_keep_a_body_fresh() {
    let clock = ManualClock::default();
    let origin = both(|| reply(200, &[FRESH], empty()), || reply(200, &[FRESH], full("old")));
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    for _ in 0..3 {
        clock.advance(70 * SECOND);
        text(ask(&cache, head(&[])).await).await;
    }
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert!(!said(&answer).contains("hit"), "{}", said(&answer));
}

#[tokio::test]
async fn a_get_and_a_head_of_what_is_stale_refresh_it_once() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let first = begun(ask(&cache, get("http://a/", &[])));
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=60"), TAG];
    calls.next().await.answer(reply(200, &fields, full("old")));
    text(first.await).await;
    clock.advance(70 * SECOND);
    for method in ["HEAD", "GET", "HEAD"] {
        let stale = ask(&cache, request(method, "http://a/", &[])).await;
        assert_eq!(said(&stale), "larder; hit; ttl=-10; detail=stale-while-revalidate");
    }
    settle().await;
    let refresh = calls.try_next().expect("a refresh");
    assert_eq!(refresh.request.method(), "GET", "what is refreshed has a body");
    assert!(calls.try_next().is_none(), "one for all");
    refresh.answer(reply(200, &fields, full("new")));
    settle().await;
    assert_eq!(heard(ask(&cache, get("http://a/", &[])).await).await, ("larder; hit; ttl=60", "new"));
}
