//! Request bodies reach the inner service as they were sent: whole, byte for byte, broken where they broke.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use larder::{clock::ManualClock, fingerprint::RequestFingerprint};
use tower::Layer as _;

use super::{http, minute};
use crate::support::{Body, Origin, ask, channel, empty, full, heard, pieces, post, reply, said, text};

const PIECE: usize = 64 << 10;

/// Sends back how many bytes came, their sum, and how the body ended.
fn counting() -> Origin {
    Origin::new(|call| async move {
        let mut body = call.request.into_body();
        let (mut bytes, mut sum, mut end) = (0u64, 0u64, String::from("end"));
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => {
                    bytes += data.len() as u64;
                    sum = data.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
                }
                Ok(Err(_)) => end = "trailers".into(),
                Err(error) => {
                    end = error.to_string();
                    break;
                }
            }
        }
        Ok(reply(200, &[], full(format!("{bytes} {sum} {end}"))))
    })
}

fn sent(body: Body) -> Request<Body> {
    Request::post("http://a/").header("content-type", "application/json").body(body).expect("request")
}

/// 100 MB of which only what is being read exists; `made` counts the pieces.
fn huge(made: &Arc<AtomicUsize>) -> (Body, u64) {
    let made = made.clone();
    let count = 100_000_000 / PIECE;
    let parts = stream::iter(0..count).map(move |number| {
        made.fetch_add(1, Ordering::SeqCst);
        Ok(Frame::data(Bytes::from(vec![number as u8; PIECE])))
    });
    let sum = (0..count).fold(0u64, |sum, number| {
        (0..PIECE).fold(sum, |sum, _| sum.wrapping_mul(31).wrapping_add(u64::from(number as u8)))
    });
    (StreamBody::new(parts).boxed_unsync(), sum)
}

#[tokio::test]
async fn a_hundred_megabytes_pass_whole_and_are_not_collected() {
    let clock = ManualClock::default();
    let made = Arc::new(AtomicUsize::new(0));
    let seen = made.clone();
    let origin = Origin::new(move |call| {
        let before = seen.load(Ordering::SeqCst);
        async move {
            assert!(before <= 32, "{before} pieces were read before the origin was asked");
            let mut body = call.request.into_body();
            let (mut bytes, mut sum) = (0, 0u64);
            while let Some(frame) = body.frame().await {
                let data = frame.expect("whole").into_data().expect("data");
                bytes += data.len();
                sum = data.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            }
            Ok(reply(200, &[], full(format!("{bytes} {sum}"))))
        }
    });
    let layer = minute(&clock).build();
    let (body, sum) = huge(&made);
    let answer = ask(&layer.layer(origin), sent(body)).await;
    assert_eq!(said(&answer), "larder; fwd=bypass; detail=request-too-large");
    assert_eq!(text(answer).await, format!("{} {sum}", 100_000_000 / PIECE * PIECE));
    assert_eq!(layer.handle().stats().bypassed, 1);
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_read_ahead() {
    let clock = ManualClock::default();
    let origin = Origin::new(|call| async move {
        assert!(call.request.body().size_hint().exact().is_some(), "the length is still known");
        Ok(reply(200, &[], full(call.request.into_body().collect().await.expect("whole").to_bytes())))
    });
    let cache = minute(&clock).fingerprint(RequestFingerprint::new().json_body(4)).build().layer(origin.clone());
    for _ in 0..2 {
        let answer = ask(&cache, sent(full("12345"))).await;
        assert_eq!(heard(answer).await, ("larder; fwd=bypass; detail=request-too-large", "12345"));
    }
    assert_eq!(text(ask(&cache, sent(full("1234"))).await).await, "1234");
}

#[tokio::test]
async fn a_body_without_a_length_is_read_and_counts() {
    let clock = ManualClock::default();
    let origin = counting();
    let cache = minute(&clock).build().layer(origin.clone());
    let first = text(ask(&cache, sent(pieces(["{\"a\"", ":1}"]))).await).await;
    for body in [pieces(["{", "\"a\":1", "}"]), full("{\"a\":1}"), pieces(["", "{ \"a\":1.0}", ""])] {
        assert_eq!(text(ask(&cache, sent(body)).await).await, first);
    }
    assert_eq!(origin.calls(), 1);
    assert_ne!(text(ask(&cache, sent(pieces(["{\"a\":", "2}"]))).await).await, first);
}

#[tokio::test]
async fn a_body_that_breaks_half_way_breaks_at_the_same_place_upstream() {
    let clock = ManualClock::default();
    let origin = counting();
    let layer = minute(&clock).build();
    let cache = layer.layer(origin.clone());
    for calls in 1..=2 {
        let (feed, body) = channel();
        feed.data("[1,");
        feed.data("2");
        feed.fail("the client went away");
        let answer = ask(&cache, sent(body)).await;
        assert_eq!(said(&answer), "larder; fwd=bypass; detail=request-broken");
        let sum = b"[1,2".iter().fold(0u64, |sum, byte| sum * 31 + u64::from(*byte));
        assert_eq!(text(answer).await, format!("4 {sum} the client went away"));
        assert_eq!(origin.calls(), calls, "nothing of it is shared");
    }
    assert_eq!(layer.handle().stats().stored, 0);
}

/// JSON keys reordered on the way upstream break the provider's prompt cache. (bifrost#6406)
#[tokio::test]
async fn the_original_bytes_and_fields_go_upstream() {
    let clock = ManualClock::default();
    let original = "{ \"b\" : 1.0,\n\"a\":\"\\u0041\" , \"a2\":1e2 }";
    let origin = Origin::new(|call| async move {
        let (head, body) = call.request.into_parts();
        assert_eq!(
            (head.headers["x-twice"].to_str().ok(), head.headers.get_all("x-twice").iter().count()),
            (Some("1"), 2)
        );
        assert_eq!(
            (head.headers.len(), head.method.as_str(), head.uri.to_string().as_str()),
            (4, "POST", "http://a/%7e?b&a")
        );
        assert_eq!(body.size_hint().exact(), Some(body.size_hint().lower()));
        Ok(reply(200, &[], full(body.collect().await.expect("whole").to_bytes())))
    });
    let cache = minute(&clock).build().layer(origin);
    let fields =
        [("content-type", "application/json"), ("x-twice", "1"), ("x-twice", "2"), ("cache-control", "max-age=9")];
    let answer = ask(&cache, post("http://a/%7e?b&a", &fields, original)).await;
    assert_eq!(text(answer).await, original);
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_inner_service() {
    let clock = ManualClock::default();
    let cache = minute(&clock).build().layer(counting());
    let (feed, body) = channel();
    feed.data("1");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    feed.trailers(trailers);
    drop(feed);
    assert_eq!(text(ask(&cache, sent(body)).await).await, "1 49 trailers");
}

/// A condition of the cache's own may have to be followed by the plain request, which a body that was read can't be.
#[tokio::test]
async fn a_get_with_a_body_reaches_the_inner_service_with_it_beside_a_variant_that_has_a_tag() {
    let clock = ManualClock::default();
    let origin = Origin::new(|call| async move {
        let (head, body) = call.request.into_parts();
        let body = body.collect().await.expect("whole").to_bytes();
        let fields = [("cache-control", "max-age=60"), ("vary", "v"), ("etag", "\"a\"")];
        Ok(match head.headers.contains_key("if-none-match") {
            true => reply(304, &[("etag", "\"other\"")], empty()),
            false => reply(200, &fields, full(body)),
        })
    });
    let cache = http(&clock).fingerprint(RequestFingerprint::new().raw_body(100)).build().layer(origin);
    for value in ["1", "2"] {
        let request = Request::get("http://a/").header("v", value).header("content-length", "4").body(full("body"));
        assert_eq!(text(ask(&cache, request.expect("a request")).await).await, "body");
    }
}

#[tokio::test]
async fn an_empty_body_of_a_get_is_no_body() {
    let clock = ManualClock::default();
    let origin = counting();
    let cache = minute(&clock).build().layer(origin.clone());
    for body in [empty(), full(""), pieces([""])] {
        let request = Request::get("http://a/").body(body).expect("request");
        assert_eq!(text(ask(&cache, request).await).await, "0 0 end");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_post_that_says_nothing_is_never_the_same_as_another() {
    let clock = ManualClock::default();
    let origin = counting();
    let cache = minute(&clock).build().layer(origin.clone());
    for _ in 0..2 {
        let answer = ask(&cache, sent(empty())).await;
        assert_eq!(heard(answer).await, ("larder; fwd=bypass", "0 0 end"));
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_request_whose_body_never_comes_does_not_hold_up_others() {
    let clock = ManualClock::default();
    let cache = minute(&clock).build().layer(counting());
    let (feed, body) = channel();
    feed.data("[");
    let stuck = crate::support::begun(ask(&cache, sent(body)));
    assert_eq!(text(ask(&cache, sent(full("1"))).await).await, "1 49 end");
    drop(stuck);
    assert!(feed.is_dropped(), "a client that leaves while its body is read leaves nothing behind");
}
