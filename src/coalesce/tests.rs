//! What may happen to a flight.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};

use super::*;
use crate::{body::TeeOptions, entry::Lifetime, key::KeyBuilder};

fn key() -> Key {
    KeyBuilder::new("test").finish()
}

fn lead(flights: &Arc<Flights>) -> Lead {
    flights.lead(&key(), [0; 2]).expect("nobody leads")
}

fn follow(flights: &Arc<Flights>) -> Follow {
    match flights.enter(&key(), [0; 2], SystemTime::now()) {
        Entered::Follow(follow) => follow,
        Entered::Lead(_) | Entered::Alone => panic!("somebody leads"),
    }
}

fn live() -> (Arc<Head>, Tee) {
    let head = Head::new(StatusCode::OK, HeaderMap::new(), Lifetime::new(SystemTime::now(), Duration::ZERO));
    let options = TeeOptions { limit: 100, announced: None, keep_frames: false, finish: None };
    (Arc::new(head), Tee::new(Full::new(Bytes::from_static(b"body")), options, |_| {}))
}

#[tokio::test]
async fn a_fetch_that_panics_is_not_gone_on_with_for_those_who_wait() {
    let flights = Arc::new(Flights::new());
    let (lead, polls) = (lead(&flights), Arc::new(AtomicUsize::new(0)));
    let _waits = follow(&flights);
    let counted = polls.clone();
    let fetch = poll_fn(move |_| -> std::task::Poll<()> {
        assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the first poll panics");
        std::task::Poll::Pending
    });
    let fetch = tokio::spawn(Detachable::new(fetch, Some(lead.interest()), None));
    assert!(fetch.await.expect_err("it panics").is_panic());
    tokio::task::yield_now().await;
    assert_eq!(polls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn followers_read_on_when_the_leader_has_gone() {
    let flights = Arc::new(Flights::new());
    let lead = lead(&flights);
    let (stays, leaves) = (follow(&flights), follow(&flights));
    let (head, tee) = live();
    lead.publish(head, tee.joiner());
    drop((lead, tee, leaves));
    let Followed::Live(_, reader) = stays.wait().await else { panic!("a seat is kept") };
    assert_eq!(reader.collect().await.expect("whole").to_bytes(), "body");
    assert!(flights.lead(&key(), [0; 2]).is_some(), "the flight is closed");
}

#[tokio::test]
async fn a_seat_that_nobody_takes_keeps_nothing_running() {
    let flights = Arc::new(Flights::new());
    let lead = lead(&flights);
    let (before, after) = (follow(&flights), follow(&flights));
    drop(before);
    let (head, tee) = live();
    let joiner = tee.joiner();
    lead.publish(head, joiner.clone());
    drop((tee, after));
    assert!(joiner.join().is_none(), "the last reader is gone");
}

#[tokio::test]
async fn a_leader_that_goes_away_is_followed_by_another() {
    let flights = Arc::new(Flights::new());
    let lead = lead(&flights);
    let follow = follow(&flights);
    assert!(lead.interest().is_there());
    drop(lead);
    assert!(matches!(follow.wait().await, Followed::Abandoned));
    assert!(flights.lead(&key(), [0; 2]).is_some());
}

#[tokio::test]
async fn what_cannot_be_kept_is_remembered_for_a_while() {
    let flights = Arc::new(Flights::new());
    let now = SystemTime::now();
    let (lead, follow) = (lead(&flights), follow(&flights));
    lead.release(until(now, Duration::from_secs(60)));
    assert!(matches!(follow.wait().await, Followed::Released));
    assert!(matches!(flights.enter(&key(), [0; 2], now), Entered::Alone));
    assert!(matches!(flights.enter(&key(), [0; 2], now + Duration::from_secs(60)), Entered::Lead(_)));
}

#[tokio::test]
async fn interest_ends_with_the_last_follower() {
    let flights = Arc::new(Flights::new());
    let lead = lead(&flights);
    let interest = lead.interest();
    assert!(!interest.is_there());
    let follow = follow(&flights);
    assert!(interest.is_there());
    drop(follow);
    interest.gone().await;
}
