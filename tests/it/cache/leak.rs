//! Nothing is left behind: no task, no body, no memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use larder::clock::ManualClock;
use tower::Layer as _;

use super::{http, minute};
use crate::support::{
    Body, Far, Fault, Origin, ask, begun, channel, counted, data, full, get, memory, poll_once, reply, settle,
};

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn counted_by(alive: &Arc<AtomicUsize>, body: Body) -> Body {
    counted(body, alive)
}

#[tokio::test]
async fn cancelled_requests_and_streams_leave_no_tasks_and_no_bodies() {
    for finish in [None, Some(Duration::from_secs(60))] {
        let before = alive_tasks();
        let clock = ManualClock::default();
        let alive = Arc::new(AtomicUsize::new(0));
        let (origin, mut calls) = Origin::held();
        let layer = minute(&clock).finish_fetches(finish).build();
        let cache = layer.layer(origin);
        let mut feeds = Vec::new();
        for number in 0..300 {
            let uri = format!("http://a/{number}");
            let mut requests: Vec<_> = (0..3).map(|_| begun(ask(&cache, get(&uri, &[])))).collect();
            let held = calls.next().await;
            match number % 5 {
                // All leave before the head.
                0 => {
                    drop(requests);
                    settle().await;
                    held.answer(reply(200, &[], counted_by(&alive, full("x"))));
                }
                // All leave before the head, which never comes.
                1 => {
                    drop(requests);
                    held.refuse("gone");
                }
                // The leader leaves before the head, the others in the body.
                2 => {
                    drop(requests.remove(0));
                    let (feed, body) = channel();
                    held.answer(reply(200, &[], counted_by(&alive, body)));
                    feed.data("x");
                    let mut follower = requests.remove(0).await;
                    assert_eq!(data(&mut follower).await, "x");
                    drop(requests);
                    feeds.push(feed);
                }
                // All leave in the body.
                3 => {
                    let (feed, body) = channel();
                    held.answer(reply(200, &[], counted_by(&alive, body)));
                    feed.data("x");
                    for request in requests {
                        drop(request.await);
                    }
                    feeds.push(feed);
                }
                // One never asks for its seat.
                _ => {
                    let (feed, body) = channel();
                    held.answer(reply(200, &[], counted_by(&alive, body)));
                    let leader = requests.remove(0).await;
                    assert!(poll_once(&mut requests[0]).is_ready());
                    drop((leader, requests));
                    feeds.push(feed);
                }
            }
        }
        settle().await;
        if finish.is_none() {
            assert_eq!(alive.load(Ordering::SeqCst), 0, "bodies that nobody reads are dropped");
            assert_eq!(alive_tasks(), before, "tasks that nobody waits for are over");
        }
        drop(feeds);
        settle().await;
        assert_eq!((alive.load(Ordering::SeqCst), alive_tasks()), (0, before), "finish: {finish:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_never_ends_is_given_up() {
    let before = alive_tasks();
    let clock = ManualClock::default();
    let alive = Arc::new(AtomicUsize::new(0));
    let (origin, mut calls) = Origin::held();
    let cache = minute(&clock).finish_fetches(Duration::from_secs(60)).build().layer(origin);
    let mut kept = Vec::new();
    for number in 0..20 {
        let request = begun(ask(&cache, get(&format!("http://a/{number}"), &[])));
        let held = calls.next().await;
        if number % 2 == 0 {
            drop(request);
            kept.push((None, Some(held)));
        } else {
            let (feed, body) = channel();
            held.answer(reply(200, &[], counted_by(&alive, body)));
            drop(request.await);
            kept.push((Some(feed), None));
        }
    }
    settle().await;
    assert_eq!(alive_tasks(), before + 20);
    tokio::time::sleep(Duration::from_secs(61)).await;
    settle().await;
    assert_eq!((alive.load(Ordering::SeqCst), alive_tasks()), (0, before));
    assert!(kept.iter().all(|(feed, held)| {
        feed.as_ref().is_none_or(crate::support::Feed::is_dropped)
            && held.as_ref().is_none_or(crate::support::Held::is_cancelled)
    }));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_never_ends_is_given_up() {
    let before = alive_tasks();
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let first = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, &[("cache-control", "max-age=60, stale-while-revalidate=600")], full("x")));
    assert_eq!(crate::support::text(first.await).await, "x");
    clock.advance(super::SECOND * 70);
    drop(ask(&cache, get("http://a/", &[])).await);
    let refresh = calls.next().await;
    tokio::time::sleep(Duration::from_secs(601)).await;
    settle().await;
    assert_eq!((refresh.is_cancelled(), alive_tasks()), (true, before));
    drop(ask(&cache, get("http://a/", &[])).await);
    calls.next().await.refuse("done");
}

#[tokio::test]
async fn a_body_that_was_read_to_its_end_is_dropped_at_once() {
    let clock = ManualClock::default();
    let alive = Arc::new(AtomicUsize::new(0));
    let (origin, mut calls) = Origin::held();
    let cache = minute(&clock).build().layer(origin);
    let mut requests: Vec<_> = (0..2).map(|_| begun(ask(&cache, get("http://a/", &[])))).collect();
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[], counted_by(&alive, body)));
    let quick = requests.remove(0).await;
    let slow = requests.remove(0).await;
    feed.data("x");
    drop(feed);
    assert_eq!(crate::support::text(quick).await, "x");
    assert_eq!(alive.load(Ordering::SeqCst), 0, "a slow reader does not hold the origin's connection");
    assert_eq!(crate::support::text(slow).await, "x");
}

#[tokio::test(start_paused = true)]
async fn hung_look_ups_leave_no_tasks() {
    let before = alive_tasks();
    let clock = ManualClock::default();
    let store = Far::new(memory(&clock));
    store.gets(Fault::Hang);
    let cache =
        larder::CacheLayer::builder(store).clock(clock).build().layer(Origin::replies(|_| reply(200, &[], full("x"))));
    for number in 0..50 {
        let uri = format!("http://a/{number}");
        if number % 2 == 0 {
            drop(begun(ask(&cache, get(&uri, &[]))));
        } else {
            drop(ask(&cache, get(&uri, &[])).await);
        }
    }
    settle().await;
    assert_eq!(alive_tasks(), before);
}
