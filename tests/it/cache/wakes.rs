//! A reader is woken when there is something new to read, and only then: tower-resilience polled a waiter 144,235 times in
//! 300 ms.

use std::task::Poll;

use larder::clock::ManualClock;
use tower::Layer as _;

use super::minute;
use crate::support::{Feed, Origin, Reply, Wakes, ask, begun, channel, get, reply};

/// A leader and two followers at the tail of one body, waiting.
async fn three() -> (Feed, Vec<Reply>) {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = minute(&clock).build().layer(origin);
    let requests: Vec<_> = (0..3).map(|_| begun(ask(&cache, get("http://a/", &[])))).collect();
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[], body));
    let mut replies = Vec::new();
    for request in requests {
        replies.push(request.await);
    }
    (feed, replies)
}

#[tokio::test]
async fn a_frame_wakes_each_reader_once() {
    let (feed, mut replies) = three().await;
    let wakes: Vec<_> = replies.iter().map(|_| Wakes::new()).collect();
    for round in 0..10 {
        for (reply, wakes) in replies.iter_mut().zip(&wakes) {
            assert!(wakes.poll(reply.body_mut()).is_pending());
            assert_eq!(wakes.count(), round, "nothing new, no wake-up");
        }
        feed.data("x");
        for (reply, wakes) in replies.iter_mut().zip(&wakes) {
            assert_eq!(wakes.count(), round + 1);
            assert!(matches!(wakes.poll(reply.body_mut()), Poll::Ready(Some(Ok(_)))));
            assert_eq!(wakes.count(), round + 1, "reading wakes nobody who has been woken");
        }
    }
}

#[tokio::test]
async fn a_reader_that_leaves_wakes_nobody_while_there_is_nothing_to_read() {
    let (feed, mut replies) = three().await;
    let wakes: Vec<_> = replies.iter().map(|_| Wakes::new()).collect();
    for (reply, wakes) in replies.iter_mut().zip(&wakes) {
        assert!(wakes.poll(reply.body_mut()).is_pending());
    }
    replies.remove(0);
    assert_eq!((wakes[1].count(), wakes[2].count()), (0, 0), "there is nothing to read");
    feed.data("x");
    assert!(wakes[1].count() > 0 && wakes[2].count() > 0);
}

#[tokio::test]
async fn a_reader_that_was_woken_and_leaves_passes_its_turn_on() {
    let (feed, mut replies) = three().await;
    let wakes: Vec<_> = replies.iter().map(|_| Wakes::new()).collect();
    for (reply, wakes) in replies.iter_mut().zip(&wakes) {
        assert!(wakes.poll(reply.body_mut()).is_pending());
    }
    feed.data("x");
    // Only the first was quick enough to wait again before it left.
    assert!(matches!(wakes[0].poll(replies[0].body_mut()), Poll::Ready(Some(Ok(_)))));
    assert!(wakes[0].poll(replies[0].body_mut()).is_pending());
    feed.data("y");
    replies.remove(0);
    for (reply, wakes) in replies.iter_mut().zip(&wakes[1..]) {
        assert!(wakes.count() > 0);
        for _ in ["x", "y"] {
            assert!(matches!(wakes.poll(reply.body_mut()), Poll::Ready(Some(Ok(_)))));
        }
        assert!(wakes.poll(reply.body_mut()).is_pending());
    }
}

#[tokio::test]
async fn the_end_wakes_every_reader() {
    let (feed, mut replies) = three().await;
    let wakes: Vec<_> = replies.iter().map(|_| Wakes::new()).collect();
    for (reply, wakes) in replies.iter_mut().zip(&wakes) {
        assert!(wakes.poll(reply.body_mut()).is_pending());
    }
    drop(feed);
    for (reply, wakes) in replies.iter_mut().zip(&wakes) {
        assert_eq!(wakes.count(), 1);
        assert!(matches!(wakes.poll(reply.body_mut()), Poll::Ready(None)));
    }
}
