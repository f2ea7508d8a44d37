//! Against an origin on a real socket, whose bytes are wrong in all the ways that bytes can be.

use std::sync::Arc;

use larder::{CacheLayer, clock::ManualClock};
use tokio::sync::Notify;
use tower::{Layer as _, ServiceExt as _};

use super::minute;
use crate::support::{Step, Wire, ask, client, data, frame, get, read, said, text};

/// What two identical requests get from an origin that does the same to both: the bodies, or that they broke.
async fn twice(script: Vec<Step>) -> ([Result<String, ()>; 2], larder::stats::Snapshot) {
    let clock = ManualClock::default();
    let wire = Wire::serve([script.clone(), script]).await;
    let layer = minute(&clock).build();
    let cache = layer.layer(client());
    let mut bodies = [Err(()), Err(())];
    for slot in &mut bodies {
        if let Ok(answer) = cache.clone().oneshot(get(&wire.uri("/"), &[])).await {
            *slot = read(answer).await.map(|body| String::from_utf8_lossy(&body).into_owned()).map_err(|_| ());
        }
    }
    (bodies, layer.handle().stats())
}

#[tokio::test]
async fn a_response_that_ends_before_its_length_is_not_stored() {
    let (bodies, stats) = twice(vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")]).await;
    assert_eq!((bodies, stats.stored, stats.incomplete, stats.misses), ([Err(()), Err(())], 0, 2, 2));
}

#[tokio::test]
async fn a_chunked_response_without_its_last_chunk_is_not_stored() {
    let (bodies, stats) =
        twice(vec![Step::Write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")]).await;
    assert_eq!((bodies, stats.stored, stats.incomplete), ([Err(()), Err(())], 0, 2));
}

#[tokio::test]
async fn a_chunked_response_cut_within_a_chunk_is_not_stored() {
    let (bodies, stats) =
        twice(vec![Step::Write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nhello")]).await;
    assert_eq!((bodies, stats.stored), ([Err(()), Err(())], 0));
}

#[tokio::test]
async fn a_reset_connection_is_not_stored() {
    let (bodies, stats) =
        twice(vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"), Step::Reset]).await;
    assert_eq!((bodies, stats.stored), ([Err(()), Err(())], 0));
}

#[tokio::test]
async fn garbage_is_an_error_and_nothing_is_stored() {
    for bytes in [&b"\x16\x03\x01 no HTTP at all\r\n\r\n"[..], b"", b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nx"]
    {
        let (bodies, stats) = twice(vec![Step::Write(bytes)]).await;
        assert_eq!((bodies, stats.stored), ([Err(()), Err(())], 0), "{bytes:?}");
    }
}

#[tokio::test]
async fn bytes_after_the_length_are_no_part_of_the_answer() {
    let (bodies, stats) = twice(vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloEXTRA")]).await;
    assert_eq!((bodies, stats.stored, stats.hits), ([Ok("hello".into()), Ok("hello".into())], 1, 1));
}

#[tokio::test]
async fn whole_responses_of_either_framing_are_stored() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ] {
        let (bodies, stats) = twice(vec![Step::Write(bytes)]).await;
        assert_eq!((bodies, stats.stored, stats.hits), ([Ok("hello".into()), Ok("hello".into())], 1, 1));
    }
}

#[tokio::test]
async fn a_chunked_response_is_stored_without_its_transfer_encoding() {
    let clock = ManualClock::default();
    let wire = Wire::serve([vec![Step::Write(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )]])
    .await;
    let cache = minute(&clock).build().layer(client());
    assert_eq!(text(ask(&cache, get(&wire.uri("/"), &[])).await).await, "hello");
    let hit = ask(&cache, get(&wire.uri("/"), &[])).await;
    assert!(!hit.headers().contains_key("transfer-encoding") && !hit.headers().contains_key("connection"));
    assert_eq!(text(hit).await, "hello");
}

#[tokio::test]
async fn the_first_bytes_arrive_while_the_origin_still_waits() {
    let clock = ManualClock::default();
    let go = Arc::new(Notify::new());
    let mut wire = Wire::serve([vec![
        Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"),
        Step::Wait(go.clone()),
        Step::Write(b"world"),
    ]])
    .await;
    let cache = minute(&clock).build().layer(client());
    let mut leader = ask(&cache, get(&wire.uri("/"), &[])).await;
    assert_eq!(data(&mut leader).await, "hello");
    let mut follower = ask(&cache, get(&wire.uri("/"), &[])).await;
    assert_eq!(said(&follower), "larder; fwd=uri-miss; fwd-status=200; collapsed");
    assert_eq!(data(&mut follower).await, "hello");
    go.notify_one();
    assert_eq!((text(leader).await, text(follower).await), ("world".into(), "world".into()));
    assert!(wire.request().await.starts_with("GET / HTTP/1.1\r\n"));
    assert_eq!(said(&ask(&cache, get(&wire.uri("/"), &[])).await), "larder; hit; ttl=60");
}

/// hyper stops reading a body at its length: the end is never polled for.
#[tokio::test]
async fn a_client_that_stops_at_the_announced_length_leaves_the_answer_stored() {
    let clock = ManualClock::default();
    let wire = Wire::serve([vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")]]).await;
    let layer = CacheLayer::builder(crate::support::memory(&clock))
        .clock(clock.clone())
        .policy(larder::policy::Ttl::new(super::MINUTE))
        .build();
    let cache = layer.layer(client());
    let mut answer = ask(&cache, get(&wire.uri("/"), &[])).await;
    let mut got = 0;
    while got < 5 {
        got += frame(answer.body_mut()).await.expect("more").expect("data").len();
    }
    drop(answer);
    assert_eq!(text(ask(&cache, get(&wire.uri("/"), &[])).await).await, "hello");
    assert_eq!(layer.handle().stats().stored, 1);
}
