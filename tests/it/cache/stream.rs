//! Streams: live, replayed, cut, and too large.

use std::{task::Poll, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use larder::{cache::Replay, clock::ManualClock};
use tower::Layer as _;

use super::{http, minute};
use crate::support::{Origin, Wakes, ask, begun, channel, data, frame, full, get, pieces, reply, said, settle, text};

const SSE: &[(&str, &str)] = &[("content-type", "text/event-stream")];

const OPENAI: [&str; 4] = [
    "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n",
    "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"b\"},\"finish_reason\":null}]}\n\n",
    "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

const ANTHROPIC: [&str; 5] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"stop_reason\":null}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

/// Nearly all neighbours collect a response before they forward it.
#[tokio::test]
async fn the_first_frame_leaves_before_the_second_exists() {
    for fields in [
        SSE,
        &[("content-type", "application/octet-stream")],
        &[("content-type", "text/event-stream"), ("x-uncached", "")],
    ] {
        let clock = ManualClock::default();
        let (origin, mut calls) = Origin::held();
        let cache = minute(&clock).build().layer(origin);
        let answer = begun(ask(&cache, get("http://a/", &[])));
        let (feed, body) = channel();
        calls.next().await.answer(reply(200, fields, body));
        let mut answer = answer.await;
        feed.data("one");
        assert_eq!(data(&mut answer).await, "one");
        assert!(Wakes::new().poll(answer.body_mut()).is_pending(), "there is no second frame yet");
        feed.data("two");
        assert_eq!(data(&mut answer).await, "two");
        drop(feed);
        assert!(frame(answer.body_mut()).await.is_none());
    }
}

#[tokio::test]
async fn a_stream_that_may_not_be_kept_is_live_as_well() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let answer = begun(ask(&cache, get("http://a/", &[])));
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[("cache-control", "no-store")], body));
    let mut answer = answer.await;
    feed.data("one");
    assert_eq!(data(&mut answer).await, "one");
}

#[tokio::test]
async fn a_replayed_stream_has_the_same_events_in_the_same_frames() {
    for events in [&OPENAI[..], &ANTHROPIC[..]] {
        let clock = ManualClock::default();
        let owned = events.to_vec();
        let origin = Origin::replies(move |_| reply(200, SSE, pieces(owned.clone())));
        let cache = minute(&clock).build().layer(origin.clone());
        for _ in 0..2 {
            let mut body = ask(&cache, get("http://a/", &[])).await.into_body();
            let mut frames = Vec::new();
            while let Some(frame) = frame(&mut body).await {
                frames.push(frame.expect("data"));
            }
            assert_eq!(frames, events);
        }
        assert_eq!(origin.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paced_replay_takes_its_time() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, SSE, pieces(OPENAI)));
    let cache = minute(&clock).replay(Replay::Paced(4.0)).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    let begin = tokio::time::Instant::now();
    let mut hit = ask(&cache, get("http://a/", &[])).await;
    for (number, event) in OPENAI.iter().enumerate() {
        assert_eq!(data(&mut hit).await, *event);
        let passed = begin.elapsed().as_millis();
        assert!(
            (number as u128 * 250..=number as u128 * 250 + 10).contains(&passed),
            "event {number} after {passed} ms"
        );
    }
    assert!(hit.into_body().frame().await.is_none());
}

#[tokio::test]
async fn an_instant_replay_waits_for_nothing() {
    let clock = ManualClock::default();
    let cache = minute(&clock).build().layer(Origin::replies(|_| reply(200, SSE, pieces(OPENAI))));
    text(ask(&cache, get("http://a/", &[])).await).await;
    let mut body = ask(&cache, get("http://a/", &[])).await.into_body();
    let wakes = Wakes::new();
    for event in OPENAI {
        let Poll::Ready(Some(Ok(frame))) = wakes.poll(&mut body) else { panic!("not ready") };
        assert_eq!(frame.into_data().expect("data"), event);
    }
}

/// A 200 stream that ended early was replayed for an hour (gonka#1722): `[DONE]` alone is no proof.
#[tokio::test]
async fn a_stream_without_its_protocols_end_is_not_stored() {
    let cases: [(&str, Vec<&'static str>); 9] = [
        ("no [DONE]", OPENAI[..3].to_vec()),
        ("no finish_reason", vec![OPENAI[0], OPENAI[1], OPENAI[3]]),
        ("[DONE] alone", vec![OPENAI[3]]),
        ("an error event", vec![OPENAI[0], "data: {\"error\":{\"message\":\"overloaded\"}}\n\n", OPENAI[3]]),
        (
            "finish_reason: length",
            vec![
                OPENAI[0],
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
                OPENAI[3],
            ],
        ),
        ("no message_stop", ANTHROPIC[..4].to_vec()),
        (
            "an error in place of the end",
            vec![
                ANTHROPIC[0],
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            ],
        ),
        ("a stream of nobody's protocol", vec!["data: 1\n\n", "data: 2\n\n"]),
        ("a cut in an event", vec![OPENAI[0], OPENAI[2], "data: [DO"]),
    ];
    for (what, events) in cases {
        let clock = ManualClock::default();
        let whole = events.concat();
        let origin = Origin::replies(move |_| reply(200, SSE, pieces(events.clone())));
        let layer = minute(&clock).build();
        let cache = layer.layer(origin.clone());
        for _ in 0..2 {
            assert_eq!(
                text(ask(&cache, get("http://a/", &[])).await).await,
                whole,
                "the client gets all there is: {what}"
            );
        }
        let stats = layer.handle().stats();
        assert_eq!((origin.calls(), stats.stored, stats.incomplete), (2, 0, 2), "{what}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_not_stored_and_breaks_for_the_client_as_well() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| {
        let (feed, body) = channel();
        OPENAI.iter().for_each(|event| feed.data(*event));
        feed.fail("reset by peer");
        reply(200, SSE, body)
    });
    let cache = minute(&clock).build().layer(origin.clone());
    for _ in 0..2 {
        let mut answer = ask(&cache, get("http://a/", &[])).await;
        for event in OPENAI {
            assert_eq!(data(&mut answer).await, event);
        }
        let error = frame(answer.body_mut()).await.expect("an error").expect_err("an error");
        assert_eq!(error.to_string(), "reset by peer");
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_length_that_is_not_kept_is_not_stored() {
    for length in ["3", "5", "0"] {
        let clock = ManualClock::default();
        let origin = Origin::replies(move |_| reply(200, &[("content-length", length)], pieces(["ab", "cd"])));
        let cache = minute(&clock).build().layer(origin.clone());
        for _ in 0..2 {
            assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "abcd");
        }
        assert_eq!(origin.calls(), 2, "{length} bytes were announced");
    }
}

/// axum-response-cache made a 500 of a response over its limit.
#[tokio::test]
async fn over_the_limit_the_client_notices_nothing_and_nothing_is_stored() {
    let announced = [("content-length", "3000")];
    for fields in [&announced[..], &[]] {
        let clock = ManualClock::default();
        let fields = fields.to_vec();
        let expected_head = fields.clone();
        let origin = Origin::replies(move |_| {
            let (feed, body) = channel();
            (0..3).for_each(|_| feed.data(vec![b'x'; 1000]));
            reply(200, &fields, body)
        });
        let layer = minute(&clock).max_body(2500).build();
        let cache = layer.layer(origin.clone());
        for _ in 0..2 {
            let answer = ask(&cache, get("http://a/", &[])).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers().contains_key("content-length"), !expected_head.is_empty());
            assert_eq!(text(answer).await.len(), 3000);
        }
        let stats = layer.handle().stats();
        assert_eq!((origin.calls(), stats.too_large, stats.stored), (2, 2, 0), "{expected_head:?}");
    }
}

#[tokio::test]
async fn a_body_of_just_the_limit_is_stored() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[], pieces(["ab", "cd"])));
    let cache = minute(&clock).max_body(4).build().layer(origin.clone());
    for _ in 0..2 {
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "abcd");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_in_the_store() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = minute(&clock).build();
    let cache = layer.layer(origin);
    let answer = begun(ask(&cache, get("http://a/", &[])));
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[], body));
    let mut answer = answer.await;
    feed.data("half");
    assert_eq!(data(&mut answer).await, "half");
    drop(answer);
    feed.dropped().await;
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.stored, stats.incomplete), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_is_finished_for_a_client_that_left_and_not_longer_than_told() {
    for stalls in [false, true] {
        let clock = ManualClock::default();
        let (origin, mut calls) = Origin::held();
        let layer = minute(&clock).finish_fetches(Duration::from_secs(10)).build();
        let cache = layer.layer(origin.clone());
        let answer = begun(ask(&cache, get("http://a/", &[])));
        let (feed, body) = channel();
        calls.next().await.answer(reply(200, &[], body));
        let mut answer = answer.await;
        feed.data("half, ");
        assert_eq!(data(&mut answer).await, "half, ");
        drop(answer);
        settle().await;
        assert!(!feed.is_dropped(), "the fetch goes on");
        if stalls {
            feed.dropped().await;
            assert_eq!(layer.handle().stats().stored, 0);
        } else {
            feed.data("whole");
            drop(feed);
            settle().await;
            assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "half, whole");
            assert_eq!(origin.calls(), 1);
        }
    }
}

#[tokio::test]
async fn a_json_answer_that_was_cut_short_by_a_limit_is_not_kept_for_ever() {
    let clock = ManualClock::default();
    let body = r#"{"object":"chat.completion","choices":[{"index":0,"message":{},"finish_reason":"length"}]}"#;
    let origin = Origin::replies(move |_| {
        reply(200, &[("content-type", "application/json")], full(Bytes::from_static(body.as_bytes())))
    });
    let cache = minute(&clock).completeness(larder::llm::Completeness::new()).build().layer(origin.clone());
    for _ in 0..2 {
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert!(said(&answer).starts_with("larder; fwd="));
        assert_eq!(text(answer).await, body);
    }
    assert_eq!(origin.calls(), 2);
}
