//! How much of a response is held back, and how long its rest may take.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use larder::retry::{FallbackKind, Hold};
use tokio::time::{advance, sleep};
use tower::Layer as _;

use super::stack::{SECOND, broken, quick, sent, took};
use crate::support::{
    Feed, Held, Origin, ask, begun, channel, data, empty, full, get, pieces, poll_once, read, reply, request, settle,
    text,
};

const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream; charset=utf-8")];

/// Answers with an event stream that the test feeds.
fn streams(call: Held) -> Feed {
    let (feed, body) = channel();
    call.answer(reply(200, EVENTS, body));
    feed
}

#[tokio::test]
async fn each_hold_releases_the_head_when_it_says_and_not_later() {
    let parts: [&[u8]; 4] = [b"", b": hello\n\n", b"data: 1\n", b"\n"];
    for (hold, needed) in [(Hold::Head, 0), (Hold::FirstByte, 2), (Hold::FirstEvent, 4)] {
        let (origin, mut calls) = Origin::held();
        let service = quick().hold(hold).build().layer(origin);
        let mut answer = begun(ask(&service, get("http://a/", &[])));
        let feed = streams(calls.next().await);
        for part in parts.iter().take(needed) {
            assert!(poll_once(&mut answer).is_pending(), "{hold:?}: released before {part:?}");
            feed.data(*part);
        }
        assert!(poll_once(&mut answer).is_ready(), "{hold:?}: held back after {needed} parts");
    }
}

#[tokio::test(start_paused = true)]
async fn what_broke_before_it_was_released_is_retried_and_no_more() {
    let cases: [(Hold, &[&str], u32); 7] = [
        (Hold::Head, &[], 1),
        (Hold::FirstByte, &[], 2),
        (Hold::FirstByte, &["", ""], 2),
        (Hold::FirstByte, &[": hello\n\n"], 1),
        (Hold::FirstEvent, &[": hello\n\n"], 2),
        (Hold::FirstEvent, &["data: 1\n"], 2),
        (Hold::FirstEvent, &["data: 1\n\n"], 1),
    ];
    for (hold, parts, expected) in cases {
        let (origin, mut calls) = Origin::held();
        let service = quick().hold(hold).build().layer(origin);
        let mut answer = begun(ask(&service, get("http://a/", &[])));
        let feed = streams(calls.next().await);
        parts.iter().for_each(|part| feed.data(*part));
        // What waits for the body's end, and what doesn't, both see it.
        let released = poll_once(&mut answer);
        feed.fail("cut");
        if expected == 2 {
            assert!(released.is_pending(), "{hold:?} {parts:?}");
            let again = tokio::join!(answer, async { streams(calls.next().await).data("data: 2\n\n") }).0;
            assert_eq!(took(&again), (2, None));
            assert_eq!(text(again).await, "data: 2\n\n", "{hold:?} {parts:?}");
        } else {
            let std::task::Poll::Ready(answer) = released else { panic!("{hold:?} {parts:?}: held back") };
            assert!(text(answer).await.contains("event: error\n"), "{hold:?} {parts:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_as_the_first_event_is_retried_whatever_comes_before_it() {
    let beginnings: [&[&str]; 6] = [
        &["event: error\ndata: overloaded\n\n"],
        &[
            "event: error\n",
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n",
            "\n",
            "data: 1\n\n",
        ],
        &["data: {\"error\":{\"message\":\"no room\"}}\n\ndata: [DONE]\n\n"],
        &["data: {\"err", "or\":\"x\"}\r\n", "\r\n"],
        &[": hello\n\n: and again\n\n", "id: 7\nretry: 100\n\n", "data:\n\n", "event: error\ndata: x\n\n"],
        &["\u{feff}data: {\"error\":1}\n\n"],
    ];
    for beginning in beginnings {
        let origin = Origin::replies(move |number| match number {
            0 => reply(200, EVENTS, pieces(beginning.iter().copied())),
            _ => reply(200, EVENTS, pieces(["data: 1\n\n"])),
        });
        let answer = sent(&quick().hold(Hold::FirstEvent).build().layer(origin), get("http://a/", &[])).await;
        assert_eq!(took(&answer), (2, None), "{beginning:?}");
        assert_eq!(text(answer).await, "data: 1\n\n", "{beginning:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_alone_end_in_a_problem_and_are_not_shown() {
    let error = "event: error\ndata: {\"error\":\"at host-17.internal\"}\n\n";
    let origin = Origin::replies(move |_| reply(200, EVENTS, pieces([error])));
    let layer = quick().hold(Hold::FirstEvent).build();
    let answer = sent(&layer.layer(origin), get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), took(&answer)), (502, (3, Some(FallbackKind::Problem))));
    assert!(!text(answer).await.contains("host-17"));
}

#[tokio::test]
async fn a_stream_whose_first_event_is_fine_passes_byte_for_byte() {
    let streams: [&[&str]; 7] = [
        &["\u{feff}: hi\r\n\r\n", "data: 1\r\n\r\n", "event: error\ndata: {\"error\":1}\n\n", "data: unfinished"],
        &["data: {\"error\":null}\n\n"],
        &["data: {\"choices\":[]}\r\rdata: 2\r\r"],
        &["event: ping\ndata: {}\n\n", "event: error\ndata: later\n\n"],
        &["data: [DONE]\n\n"],
        &[": nothing\n\n: but comments\n"],
        &["no events at all"],
    ];
    for parts in streams {
        for hold in [Hold::Head, Hold::FirstByte, Hold::FirstEvent] {
            let origin = Origin::replies(move |_| reply(200, EVENTS, pieces(parts.iter().copied())));
            let layer = quick().hold(hold).build();
            let answer = sent(&layer.layer(origin), get("http://a/", &[])).await;
            assert_eq!(took(&answer), (1, None), "{parts:?}");
            assert_eq!(text(answer).await, parts.concat(), "{hold:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_event_stream_is_not_searched_for_events() {
    for fields in [
        &[("content-type", "application/json")][..],
        &[],
        &[("content-type", "text/event-stream"), ("content-encoding", "gzip")],
    ] {
        let (origin, mut calls) = Origin::held();
        let service = quick().hold(Hold::FirstEvent).build().layer(origin);
        let mut answer = begun(ask(&service, get("http://a/", &[])));
        let (feed, body) = channel();
        calls.next().await.answer(reply(200, fields, body));
        assert!(poll_once(&mut answer).is_pending());
        feed.data("{\"error\":1");
        let std::task::Poll::Ready(mut answer) = poll_once(&mut answer) else { panic!("held back: {fields:?}") };
        assert_eq!(data(&mut answer).await, "{\"error\":1");
    }
}

#[tokio::test]
async fn a_beginning_without_an_event_is_not_held_back_for_ever() {
    let (origin, mut calls) = Origin::held();
    let service = quick().hold(Hold::FirstEvent).build().layer(origin);
    let mut answer = begun(ask(&service, get("http://a/", &[])));
    let feed = streams(calls.next().await);
    let line: Bytes = [b": ", &[b'x'; 1021][..], b"\n"].concat().into();
    for _ in 0..64 {
        feed.data(line.clone());
        assert!(poll_once(&mut answer).is_pending());
    }
    feed.data(line.clone());
    let std::task::Poll::Ready(answer) = poll_once(&mut answer) else { panic!("held back after 65 KiB") };
    drop(feed);
    assert_eq!(read(answer).await.expect("whole").len(), 65 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_gap_as_long_as_the_idle_time_breaks_a_body_and_a_shorter_one_doesn_t() {
    let (origin, mut calls) = Origin::held();
    let service = quick().idle_timeout(5 * SECOND).build().layer(origin);
    let answer = begun(ask(&service, get("http://a/", &[])));
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[], body));
    feed.data("a");
    let answer = answer.await;
    let begun = tokio::time::Instant::now();
    let feeding = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(4_999)).await;
            feed.data("b");
        }
        feed.dropped().await;
    };
    let ((got, error), ()) = tokio::join!(broken(answer), feeding);
    assert_eq!((got.as_str(), error.to_string().as_str()), ("abbb", "nothing came for 5s"));
    assert_eq!(begun.elapsed(), 3 * Duration::from_millis(4_999) + 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_its_time_is_not_taken_for_a_stall() {
    let (origin, mut calls) = Origin::held();
    let service = quick().idle_timeout(5 * SECOND).build().layer(origin);
    let answer = begun(ask(&service, get("http://a/", &[])));
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[], body));
    feed.data("a");
    let mut answer = answer.await;
    assert_eq!(data(&mut answer).await, "a");
    assert!(poll_once(&mut answer.body_mut().frame()).is_pending(), "the time is running");
    feed.data("b");
    advance(60 * SECOND).await;
    drop(feed);
    assert_eq!(text(answer).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_event_stream_ends_with_an_error_event() {
    let (origin, mut calls) = Origin::held();
    let service = quick().idle_timeout(5 * SECOND).build().layer(origin);
    let answer = begun(ask(&service, get("http://a/", &[])));
    let feed = streams(calls.next().await);
    feed.data("data: 1\n\ndata: 2\n");
    let text = text(answer.await).await;
    assert!(text.starts_with("data: 1\n\nevent: error\ndata: {"), "{text}");
    assert!(text.ends_with("}\n\n") && text.matches("event: error").count() == 1, "{text}");
    settle().await;
    assert!(feed.is_dropped(), "the upstream is let go");
}

#[tokio::test]
async fn trailers_pass_behind_what_was_read_ahead_and_behind_events() {
    for (fields, hold) in [(&[][..], Hold::FirstByte), (EVENTS, Hold::FirstByte), (EVENTS, Hold::FirstEvent)] {
        let (origin, mut calls) = Origin::held();
        let service = quick().hold(hold).build().layer(origin);
        let answer = begun(ask(&service, get("http://a/", &[])));
        let (feed, body) = channel();
        calls.next().await.answer(reply(200, fields, body));
        feed.data("data: 1\n\ndata: 2");
        feed.trailers(HeaderMap::from_iter([("x-sum".parse().expect("a name"), "7".parse().expect("a value"))]));
        drop(feed);
        let whole = answer.await.into_body().collect().await.expect("whole");
        assert_eq!(whole.trailers().expect("trailers")["x-sum"], "7");
        assert_eq!(whole.to_bytes(), "data: 1\n\ndata: 2");
    }
}

#[tokio::test]
async fn trailers_alone_are_an_answer() {
    let (origin, mut calls) = Origin::held();
    let service = quick().build().layer(origin);
    let answer = begun(ask(&service, get("http://a/", &[])));
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[], body));
    feed.trailers(HeaderMap::from_iter([("x-sum".parse().expect("a name"), "7".parse().expect("a value"))]));
    drop(feed);
    let whole = answer.await.into_body().collect().await.expect("whole");
    assert_eq!(whole.trailers().expect("trailers")["x-sum"], "7");
}

#[tokio::test]
async fn an_answer_without_a_body_is_not_waited_for() {
    for (method, status, body) in [("HEAD", 200, empty()), ("GET", 204, empty()), ("GET", 304, full(""))] {
        let body = std::sync::Mutex::new(Some(body));
        let origin =
            Origin::replies(move |_| reply(status, EVENTS, body.lock().expect("no panic").take().expect("one call")));
        let service = quick().hold(Hold::FirstEvent).build().layer(origin);
        let answer = sent(&service, request(method, "http://a/", &[])).await;
        assert!(http_body::Body::is_end_stream(answer.body()), "{method} {status}");
    }
}
