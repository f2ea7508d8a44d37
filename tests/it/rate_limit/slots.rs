//! Requests at the same time: a slot is held until the end of the response, however it ends.

use std::sync::Mutex;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use larder::{
    RateLimitLayer,
    rate_limit::{Handle, Limit, Quota, limiter::Local},
};
use tower::{Layer as _, ServiceExt as _};

use super::words::{by_user, head, is_denied, limited};
use crate::support::{
    Act, Feed, Origin, Refused, Script, ask, begun, channel, data, empty, full, get, read, reply, request, settle, text,
};

async fn taken(handle: &Handle<Local>) -> u64 {
    handle.standings(&head("http://a/", &[])).await.expect("an answer")[0].1.used
}

fn one() -> RateLimitLayer {
    limited(Quota::concurrent(1)).build()
}

/// An origin that answers once with a body, and the hand that feeds it.
fn streams() -> (Feed, Origin) {
    let (feed, body) = channel();
    let body = Mutex::new(Some(body));
    let next = move || body.lock().expect("no panic").take().unwrap_or_else(|| full("later"));
    (feed, Origin::replies(move |_| reply(200, &[], next())))
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_held_until_the_stream_has_ended() {
    let (layer, (feed, origin)) = (one(), streams());
    let service = layer.layer(origin);
    let mut response = ask(&service, get("http://a/", &[])).await;
    feed.data("begun");
    data(&mut response).await;
    assert!(is_denied(&ask(&service, get("http://a/", &[])).await));
    let mut end = HeaderMap::new();
    end.insert("x-end", "1".parse().expect("a value"));
    feed.trailers(end);
    drop(feed);
    assert!(response.body_mut().frame().await.expect("trailers").expect("no error").is_trailers());
    assert_eq!(taken(&layer.handle()).await, 1, "the end is not known yet");
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!(taken(&layer.handle()).await, 0);
    assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
    assert!(response.body_mut().frame().await.is_none(), "it can be asked again");
    drop(response);
    assert_eq!(taken(&layer.handle()).await, 0, "given back twice");
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_when_the_body_breaks_or_is_dropped() {
    for breaks in [true, false] {
        let (layer, (feed, origin)) = (one(), streams());
        let service = layer.layer(origin);
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!(taken(&layer.handle()).await, 1);
        if breaks {
            feed.fail("cut");
            assert!(read(response).await.is_err());
        } else {
            drop(response);
            assert!(feed.is_dropped());
        }
        assert_eq!(text(ask(&service, get("http://a/", &[])).await).await, "later");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_at_the_last_byte_of_a_body_that_says_it_is() {
    let layer = one();
    let service = layer.layer(Script::statuses([200]));
    let mut response = ask(&service, get("http://a/", &[])).await;
    data(&mut response).await;
    assert_eq!(taken(&layer.handle()).await, 0);
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn a_response_without_a_body_holds_no_slot() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("POST", 500)] {
        let layer = one();
        let origin = Origin::replies(move |_| reply(status, &[("content-length", "9")], empty()));
        let response = ask(&layer.layer(origin), request(method, "http://a/", &[])).await;
        assert_eq!(taken(&layer.handle()).await, 0, "{method} {status}");
        drop(response);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_when_the_caller_goes_away() {
    let (layer, (origin, mut calls)) = (one(), Origin::held());
    let service = layer.layer(origin);
    let waiting = begun(service.clone().oneshot(get("http://a/", &[])));
    let held = calls.next().await;
    assert!(is_denied(&ask(&service, get("http://a/", &[])).await));
    drop(waiting);
    assert!(held.is_cancelled());
    assert_eq!(taken(&layer.handle()).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_when_the_inner_service_fails() {
    let layer = one();
    let service = layer.layer(Script::failing_with(|_, _| Act::fail(Refused("mine"))));
    for _ in 0..3 {
        assert_eq!(service.clone().oneshot(get("http://a/", &[])).await.map(drop), Err(Refused("mine")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_when_the_inner_service_panics() {
    let layer = one();
    let service = layer.layer(Origin::new(|_| async { panic!("told to") }));
    for _ in 0..2 {
        let task = tokio::spawn(service.clone().oneshot(get("http://a/", &[])));
        assert!(task.await.expect_err("a panic").is_panic());
    }
    assert_eq!(taken(&layer.handle()).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_denial_by_another_limit_takes_no_slot() {
    for slots_first in [true, false] {
        let (slots, rate) = (Limit::new(Quota::concurrent(1)), Limit::new(Quota::per_minute(0)));
        let (first, second) = if slots_first { (slots, rate) } else { (rate, slots) };
        let layer = limited(first).limit(second).build();
        let response = ask(&layer.layer(Script::statuses([200])), get("http://a/", &[])).await;
        assert!(is_denied(&response));
        let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
        assert!(standings.iter().all(|(_, standing)| standing.used == 0), "{standings:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_for_want_of_a_slot_charges_no_other_limit() {
    let layer = limited(Quota::per_minute(5)).limit(Quota::concurrent(1)).build();
    let (origin, _calls) = Origin::held();
    let service = layer.layer(origin);
    let waiting = begun(service.clone().oneshot(get("http://a/", &[])));
    for _ in 0..9 {
        assert!(is_denied(&ask(&service, get("http://a/", &[])).await));
    }
    assert_eq!(taken(&layer.handle()).await, 1);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn each_subject_has_slots_of_its_own() {
    let layer = limited(Limit::new(Quota::concurrent(2)).per(by_user)).build();
    let service = layer.layer(Script::statuses([200]));
    let mut held = Vec::new();
    for (user, denied) in [("one", false), ("two", false), ("one", false), ("one", true), ("two", false), ("two", true)]
    {
        let response = ask(&service, get("http://a/", &[("x-user", user)])).await;
        assert_eq!(is_denied(&response), denied, "{user}");
        held.push(response);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shadow_that_has_no_slot_left_takes_none() {
    let layer = limited(Limit::new(Quota::concurrent(1)).shadow(true)).build();
    let service = layer.layer(Script::statuses([200]));
    let held = [ask(&service, get("http://a/", &[])).await, ask(&service, get("http://a/", &[])).await];
    assert_eq!((taken(&layer.handle()).await, layer.handle().stats().policies[0].would_deny), (1, 1));
    drop(held);
    assert_eq!(taken(&layer.handle()).await, 0);
}

/// litellm#20256: slots that leaked until Redis was restarted.
#[tokio::test(start_paused = true)]
async fn no_slot_is_lost_in_a_thousand_requests_that_end_in_all_ways() {
    let script = Script::failing_with(|number, _| match number % 5 {
        0 => Act::status(200),
        1 => Act::fail(Refused("mine")),
        2 => Act::hang(),
        3 => Act::answer(reply(200, &[], channel().1)),
        _ => Act::status(503).after(5),
    });
    let layer = limited(Quota::concurrent(7)).build();
    let service = layer.layer(script);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let service = service.clone();
        tasks.spawn(async move {
            let asks = service.oneshot(get("http://a/", &[]));
            if let Ok(Ok(response)) = tokio::time::timeout(std::time::Duration::from_millis(3), asks).await
                && number % 2 == 0
            {
                let _ = tokio::time::timeout(std::time::Duration::from_millis(1), read(response)).await;
            }
        });
        if number % 10 == 0 {
            settle().await;
        }
    }
    tasks.join_all().await;
    assert_eq!(taken(&layer.handle()).await, 0);
}
