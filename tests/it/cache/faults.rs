//! A store that fails, hangs or is slow: no request fails by it, or waits for it longer than told.

use std::time::Duration;

use larder::{CacheLayer, cache::Cache, clock::ManualClock, store::Memory};
use tower::Layer as _;

use super::{MINUTE, SECOND, http};
use crate::support::{
    Far, Fault, Origin, ask, begun, channel, data, empty, full, get, heard, memory, poll_once, reply, request, said,
    settle, text,
};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

fn numbered() -> Origin {
    Origin::replies(|number| reply(200, FRESH, full(number.to_string())))
}

fn far(clock: &ManualClock) -> (Far, CacheLayer<Far>) {
    let store = Far::new(memory(clock));
    (store.clone(), CacheLayer::builder(store).clock(clock.clone()).lookup_timeout(Duration::from_millis(100)).build())
}

#[tokio::test]
async fn a_store_that_has_to_be_asked_serves_hits() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let origin = numbered();
    let cache = layer.layer(origin.clone());
    for expected in ["larder; fwd=uri-miss; fwd-status=200; stored", "larder; hit; ttl=60"] {
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(heard(answer).await, (expected, "0"));
    }
    assert_eq!((origin.calls(), store.got()), (1, 2));
}

#[tokio::test]
async fn a_store_that_has_to_be_asked_coalesces() {
    let clock = ManualClock::default();
    let (_, layer) = far(&clock);
    let (origin, mut calls) = Origin::held();
    let cache = layer.layer(origin.clone());
    let requests: Vec<_> = (0..100).map(|_| begun(ask(&cache, get("http://a/", &[])))).collect();
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, FRESH, body));
    feed.data("x");
    let mut answers = Vec::new();
    for request in requests {
        let mut answer = request.await;
        assert_eq!(data(&mut answer).await, "x");
        answers.push(answer);
    }
    drop(feed);
    for answer in answers {
        assert_eq!(text(answer).await, "");
    }
    assert_eq!((origin.calls(), layer.handle().stats().collapsed), (1, 99));
}

#[tokio::test]
async fn a_look_up_that_fails_is_a_miss() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let cache = layer.layer(numbered());
    store.gets(Fault::Fail);
    for expected in ["0", "1"] {
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!((answer.status().as_u16(), text(answer).await.as_str()), (200, expected));
    }
    assert_eq!(layer.handle().stats().store_read_errors, 2);
    store.gets(Fault::None);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "1", "what was written meanwhile is there");
}

/// An unreachable Redis hangs requests. (litellm#35273)
#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_delays_a_request_by_its_deadline_and_no_longer() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let cache = layer.layer(numbered());
    store.gets(Fault::Hang);
    let begin = tokio::time::Instant::now();
    let answer = ask(&cache, get("http://a/", &[])).await;
    assert!((100..=110).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert_eq!(text(answer).await, "0");
    assert_eq!(layer.handle().stats().store_read_errors, 1);
}

/// Such a request is looked up under two keys, and waits for both no longer than for one.
#[tokio::test(start_paused = true)]
async fn look_ups_that_hang_delay_a_head_and_a_range_by_one_deadline() {
    let requests: [(&str, &[(&str, &str)]); 2] = [("HEAD", &[]), ("GET", &[("range", "bytes=0-1")])];
    for (method, fields) in requests {
        let clock = ManualClock::default();
        let (store, layer) = far(&clock);
        store.gets(Fault::Hang);
        let cache = layer.layer(Origin::replies(|_| reply(200, &[], empty())));
        let begin = tokio::time::Instant::now();
        ask(&cache, request(method, "http://a/", fields)).await;
        assert!((100..=110).contains(&begin.elapsed().as_millis()), "{method}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_look_up_is_waited_for_within_its_deadline() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let origin = numbered();
    let cache = layer.layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    store.gets(Fault::Slow(Duration::from_millis(90)));
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; hit; ttl=60");
    store.gets(Fault::Slow(Duration::from_millis(200)));
    assert!(said(&ask(&cache, get("http://a/", &[])).await).starts_with("larder; fwd="));
}

/// In http-cache a `put` that failed after an origin's 200 failed the request.
#[tokio::test]
async fn a_write_that_fails_fails_nothing() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let cache = layer.layer(numbered());
    store.writes(Fault::Fail);
    for expected in ["0", "1"] {
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, expected);
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.store_write_errors, stats.stored), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn writes_that_hang_hold_nobody_up_and_are_bounded() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let cache = layer.layer(numbered());
    store.writes(Fault::Hang);
    let begin = tokio::time::Instant::now();
    for number in 0..1100 {
        assert_eq!(text(ask(&cache, get(&format!("http://a/{number}"), &[])).await).await, number.to_string());
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let dropped = layer.handle().stats().store_writes_dropped;
    assert!((1..1100).contains(&dropped), "{dropped} writes were dropped");
}

#[tokio::test(start_paused = true)]
async fn a_slow_write_ends_behind_the_response() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let origin = numbered();
    let cache = layer.layer(origin.clone());
    store.writes(Fault::Slow(10 * SECOND));
    let begin = tokio::time::Instant::now();
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "0");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    tokio::time::advance(11 * SECOND).await;
    settle().await;
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; hit; ttl=60");
    assert_eq!((origin.calls(), layer.handle().stats().stored), (1, 1));
}

#[tokio::test]
async fn a_purge_and_a_health_check_say_what_is_wrong() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    assert!(layer.handle().health().await.is_up());
    store.writes(Fault::Fail);
    let error = layer.handle().purge(&larder::tag::Selector::All).await.expect_err("told to fail");
    assert!(!error.is_timeout() && !error.is_corrupt());
    assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("told to"));
}

#[tokio::test]
async fn a_store_too_small_for_the_answer_is_no_error() {
    let clock = ManualClock::default();
    let layer = CacheLayer::builder(Memory::new(100)).clock(clock).build();
    let cache: Cache<_, _, _, _> = layer.layer(numbered());
    for expected in ["0", "1"] {
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, expected);
    }
}

#[tokio::test]
async fn a_stale_refresh_that_cannot_be_written_leaves_the_cache_working() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let origin = Origin::replies(|number| {
        reply(200, &[("cache-control", "max-age=60, stale-while-revalidate=600")], full(number.to_string()))
    });
    let cache = layer.layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(MINUTE + SECOND);
    store.writes(Fault::Fail);
    for _ in 0..3 {
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "0");
        settle().await;
    }
    store.writes(Fault::None);
    ask(&cache, get("http://a/", &[])).await;
    settle().await;
    let fresh = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(said(&fresh), "larder; hit; ttl=60");
}

#[tokio::test]
async fn a_memory_hit_does_not_wait_behind_a_hung_request() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let first = begun(ask(&cache, get("http://a/1", &[])));
    calls.next().await.answer(reply(200, FRESH, full("x")));
    text(first.await).await;
    let _hung = begun(ask(&cache, get("http://a/2", &[])));
    assert!(poll_once(&mut Box::pin(ask(&cache, get("http://a/1", &[])))).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_while_the_entry_is_being_written_shares_it() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let origin = numbered();
    let cache = layer.layer(origin.clone());
    store.writes(Fault::Slow(10 * SECOND));
    for _ in 0..3 {
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "0");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_write_that_hangs_keeps_no_answer_alive_beyond_its_time() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let cache = layer.layer(numbered());
    store.writes(Fault::Hang);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "0");
    clock.advance(MINUTE + SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "1");
    store.writes(Fault::None);
    for _ in 0..2 {
        clock.advance(SECOND);
        let answer = ask(&cache, get("http://a/", &[])).await;
        text(answer).await;
    }
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; hit; ttl=59", "the cache works again");
}

/// While one is written the others wait, for the first has to be told of each.
#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_does_not_keep_other_variants_out_for_ever() {
    let clock = ManualClock::default();
    let (store, layer) = far(&clock);
    let cache = layer.layer(Origin::replies(|_| reply(200, &[FRESH[0], ("vary", "v")], full("x"))));
    let variant = |value| ask(&cache, get("http://a/", &[("v", value)]));
    text(variant("1").await).await;
    settle().await;
    store.writes(Fault::Hang);
    text(variant("2").await).await;
    settle().await;
    store.writes(Fault::None);
    tokio::time::sleep(SECOND).await;
    text(variant("3").await).await;
    tokio::time::sleep(Duration::from_millis(29_500)).await;
    assert_eq!(said(&variant("3").await), "larder; hit; ttl=60");
    let stats = layer.handle().stats();
    assert_eq!((stats.stored, stats.store_write_errors), (2, 1));
}
