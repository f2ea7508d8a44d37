//! Identical requests in flight.

use http::Request;
use larder::{clock::ManualClock, policy::completeness::Verdict};
use tower::{Layer as _, ServiceExt as _};

use super::{MINUTE, SECOND, http, minute};
use crate::support::{
    Far, Fault, Feed, Origin, Refused, Reply, ask, begun, channel, data, empty, frame, full, get, memory, poll_once,
    reply, said, settle, text,
};

const CROWD: usize = 1000;
const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// Requests under way for one URI: the first leads, the others follow.
macro_rules! crowd {
    ($cache:expr, $count:expr) => {
        (0..$count).map(|_| begun(ask(&$cache, get("http://a/", &[])))).collect::<Vec<_>>()
    };
}

/// 50 concurrent GETs made 50 origin calls in http-cache; gateways let identical calls in flight all pay.
#[tokio::test]
async fn a_thousand_identical_requests_make_one_call_and_all_get_the_answer() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).build();
    let cache = layer.layer(origin.clone());
    let requests = crowd!(cache, CROWD);
    calls.next().await.answer(reply(200, FRESH, full("the answer")));
    for (number, request) in requests.into_iter().enumerate() {
        let answer = request.await;
        let expected = match number {
            0 => "larder; fwd=uri-miss; fwd-status=200; stored",
            _ => "larder; fwd=uri-miss; fwd-status=200; collapsed",
        };
        assert_eq!(said(&answer), expected);
        assert_eq!(text(answer).await, "the answer");
    }
    let stats = layer.handle().stats();
    assert_eq!((origin.calls(), stats.misses, stats.collapsed, stats.stored), (1, 1, CROWD as u64 - 1, 1));
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; hit; ttl=60");
}

#[tokio::test]
async fn followers_read_live_each_at_its_own_pace() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let mut requests = crowd!(cache, 3);
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, FRESH, body));
    let mut leader = requests.remove(0).await;
    let mut follower = requests.remove(0).await;
    let mut slow = requests.remove(0).await;
    feed.data("1");
    assert_eq!(data(&mut follower).await, "1", "a follower need not wait for the leader to read");
    assert_eq!(data(&mut leader).await, "1");
    let mut late = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(data(&mut late).await, "1", "who comes while the body is under way begins at its beginning");
    feed.data("2");
    assert_eq!((data(&mut follower).await, data(&mut late).await), ("2".into(), "2".into()));
    drop(feed);
    for answer in [follower, late] {
        assert_eq!(text(answer).await, "");
    }
    assert_eq!(text(leader).await, "2");
    assert_eq!(data(&mut slow).await, "1");
    assert_eq!(text(slow).await, "2");
}

/// In tower-resilience the leader's cancellation fails all waiters.
#[tokio::test]
async fn a_leader_that_leaves_before_the_head_harms_nobody() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let mut requests = crowd!(cache, 3);
    let held = calls.next().await;
    drop(requests.remove(0));
    settle().await;
    assert!(!held.is_cancelled(), "two wait for the answer");
    held.answer(reply(200, FRESH, full("the answer")));
    for request in requests {
        assert_eq!(text(request.await).await, "the answer");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_leader_that_leaves_within_the_body_harms_nobody() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let mut requests = crowd!(cache, 2);
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, FRESH, body));
    let mut leader = requests.remove(0).await;
    let mut follower = requests.remove(0).await;
    feed.data("1");
    assert_eq!(data(&mut leader).await, "1");
    drop(leader);
    feed.data("2");
    drop(feed);
    assert_eq!((data(&mut follower).await, data(&mut follower).await), ("1".into(), "2".into()));
    assert!(frame(follower.body_mut()).await.is_none());
    assert_eq!(said(&ask(&cache, get("http://a/", &[])).await), "larder; hit; ttl=60");
}

#[tokio::test]
async fn a_fetch_that_nobody_wants_any_more_is_cancelled() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let mut requests = crowd!(cache, 3);
    let held = calls.next().await;
    drop(requests.remove(0));
    settle().await;
    assert!(!held.is_cancelled());
    drop(requests);
    settle().await;
    assert!(held.is_cancelled(), "the last one left");
    let again = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, FRESH, full("x")));
    assert_eq!(text(again.await).await, "x", "nothing of the cancelled fetch is left");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_was_paid_for_is_finished_and_stored_when_all_have_left() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).finish_fetches(MINUTE).build().layer(origin.clone());
    let requests = crowd!(cache, 3);
    let held = calls.next().await;
    drop(requests);
    settle().await;
    let (feed, body) = channel();
    held.answer(reply(200, FRESH, body));
    settle().await;
    feed.data("late");
    drop(feed);
    settle().await;
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "late");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn what_cannot_be_kept_lets_followers_fetch_in_parallel_and_is_remembered() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).uncacheable_for(MINUTE).build().layer(origin.clone());
    let mut requests = crowd!(cache, 10);
    calls.next().await.answer(reply(200, &[("cache-control", "no-store")], full("mine")));
    assert_eq!(text(requests.remove(0).await).await, "mine");
    let mut requests: Vec<_> = requests
        .into_iter()
        .map(|mut request| {
            assert!(poll_once(&mut request).is_pending());
            request
        })
        .collect();
    let held: Vec<_> = std::iter::from_fn(|| calls.try_next()).collect();
    assert_eq!(held.len(), 9, "none waits for another");
    held.into_iter().for_each(|held| held.answer(reply(200, &[("cache-control", "no-store")], full("mine"))));
    for request in requests.drain(..) {
        assert_eq!(text(request.await).await, "mine");
    }
    // Those that come later don't wait for each other either, until it is forgotten.
    let later = crowd!(cache, 5);
    assert_eq!(std::iter::from_fn(|| calls.try_next()).count(), 5);
    drop(later);
    clock.advance(MINUTE);
    let later = crowd!(cache, 5);
    assert_eq!(std::iter::from_fn(|| calls.try_next()).count(), 1);
    drop(later);
}

#[tokio::test]
async fn a_body_over_the_limit_reaches_all_followers_and_is_remembered() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = minute(&clock).max_body(3).build().layer(origin.clone());
    let requests = crowd!(cache, 3);
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[], body));
    let mut answers: Vec<Reply> = Vec::new();
    for request in requests {
        answers.push(request.await);
    }
    feed.data("12");
    feed.data("34");
    feed.data("56");
    drop(feed);
    let mut readers: Vec<_> = answers.into_iter().map(|answer| tokio::spawn(text(answer))).collect();
    for reader in readers.drain(..) {
        assert_eq!(reader.await.expect("no panic"), "123456");
    }
    let later = crowd!(cache, 2);
    assert_eq!(std::iter::from_fn(|| calls.try_next()).count(), 2, "the next ones don't wait for each other");
    drop(later);
}

#[tokio::test]
async fn followers_of_an_empty_answer_share_it_even_if_the_store_is_slow() {
    let clock = ManualClock::default();
    let store = Far::new(memory(&clock));
    store.writes(Fault::Hang);
    let (origin, mut calls) = Origin::held();
    let cache = larder::CacheLayer::builder(store).clock(clock).build().layer(origin.clone());
    let requests = crowd!(cache, 5);
    calls.next().await.answer(reply(204, FRESH, empty()));
    for mut request in requests {
        assert!(poll_once(&mut request).is_ready(), "it waits for {} calls", origin.calls());
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn followers_of_an_empty_answer_that_is_not_kept_do_not_fetch_one_after_another() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let judge = |_, _: &http::HeaderMap, _: &[u8]| Verdict::Incomplete("told-to");
    let cache = http(&clock).completeness(judge).build().layer(origin.clone());
    let mut requests = crowd!(cache, 6);
    calls.next().await.answer(reply(204, FRESH, empty()));
    requests.remove(0).await;
    for request in &mut requests {
        // Ready with the shared answer, or under way on its own.
        let _ = poll_once(request);
    }
    let fetching = std::iter::from_fn(|| calls.try_next()).count();
    assert!(fetching == 0 || fetching == 5, "{fetching} fetches are under way for 5 requests");
}

#[tokio::test]
async fn followers_of_a_validation_share_it_even_if_the_store_is_slow() {
    let clock = ManualClock::default();
    let store = Far::new(memory(&clock));
    let (origin, mut calls) = Origin::held();
    let cache = larder::CacheLayer::builder(store.clone()).clock(clock.clone()).build().layer(origin.clone());
    let first = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], full("kept")));
    assert_eq!(text(first.await).await, "kept");
    clock.advance(70 * SECOND);
    store.writes(Fault::Hang);
    let requests = crowd!(cache, 5);
    calls.next().await.answer(reply(304, &[("cache-control", "max-age=60")], empty()));
    for mut request in requests {
        assert!(poll_once(&mut request).is_ready(), "it waits for {} calls", origin.calls());
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_the_leaders_alone() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let leader = begun(cache.clone().oneshot(get("http://a/", &[])));
    let mut followers = crowd!(cache, 3);
    calls.next().await.refuse("no route");
    assert_eq!(leader.await.expect_err("refused"), Refused("no route"));
    for follower in &mut followers {
        assert!(poll_once(follower).is_pending());
    }
    let held: Vec<_> = std::iter::from_fn(|| calls.try_next()).collect();
    assert_eq!(held.len(), 3, "they try for themselves, in parallel");
    held.into_iter().for_each(|held| held.answer(reply(200, FRESH, full("x"))));
    for follower in followers {
        assert_eq!(text(follower.await).await, "x");
    }
}

#[tokio::test]
async fn a_body_that_breaks_breaks_for_all_its_readers_and_the_next_request_fetches_anew() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let requests = crowd!(cache, 3);
    let (feed, body): (Feed, _) = channel();
    calls.next().await.answer(reply(200, FRESH, body));
    feed.data("half");
    feed.fail("cut");
    for request in requests {
        let mut answer = request.await;
        assert_eq!(data(&mut answer).await, "half");
        assert_eq!(frame(answer.body_mut()).await.expect("an error").expect_err("an error").to_string(), "cut");
    }
    let again = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, FRESH, full("whole")));
    assert_eq!(text(again.await).await, "whole");
}

#[tokio::test]
async fn different_variants_and_credentials_do_not_follow_each_other() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let vary = &[("cache-control", "public, max-age=60"), ("vary", "accept-language")];
    let german = begun(ask(&cache, get("http://a/", &[("accept-language", "de")])));
    let mut french = begun(ask(&cache, get("http://a/", &[("accept-language", "fr")])));
    let alice = begun(ask(&cache, get("http://a/", &[("authorization", "Bearer alice")])));
    let held = calls.next().await;
    calls.next().await.answer(reply(200, vary, full("for alice")));
    assert!(calls.try_next().is_none(), "the French request waits to see whether the answer is for it");
    held.answer(reply(200, vary, full("hallo")));
    let german = german.await;
    assert!(poll_once(&mut french).is_pending(), "it isn't");
    calls.next().await.answer(reply(200, vary, full("bonjour")));
    assert_eq!(text(german).await, "hallo");
    assert_eq!(text(french.await).await, "bonjour");
    assert_eq!(text(alice.await).await, "for alice");
}

#[tokio::test]
async fn without_coalescing_each_request_fetches() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).coalesce(false).build().layer(origin.clone());
    let requests = crowd!(cache, 4);
    let held: Vec<_> = std::iter::from_fn(|| calls.try_next()).collect();
    assert_eq!(held.len(), 4);
    held.into_iter().for_each(|held| held.answer(reply(200, FRESH, full("x"))));
    for request in requests {
        assert_eq!(text(request.await).await, "x");
    }
}

#[tokio::test]
async fn a_head_and_a_get_in_flight_do_not_share() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let head = begun(ask(&cache, Request::head("http://a/").body(empty()).expect("request")));
    let get = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, FRESH, empty()));
    calls.next().await.answer(reply(200, FRESH, full("x")));
    assert_eq!((text(head.await).await.as_str(), text(get.await).await.as_str()), ("", "x"));
}

#[tokio::test]
async fn requests_on_several_threads_share_one_call() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let shared = std::thread::spawn(move || {
        runtime.expect("a runtime").block_on(async {
            let clock = ManualClock::default();
            let (origin, mut calls) = Origin::held();
            let layer = minute(&clock).build();
            let cache = layer.layer(origin.clone());
            let requests: Vec<_> = (0..200)
                .map(|_| {
                    let cache = cache.clone();
                    tokio::spawn(async move { text(ask(&cache, get("http://a/", &[])).await).await })
                })
                .collect();
            let (feed, body) = channel();
            calls.next().await.answer(reply(200, &[], body));
            for _ in 0..100 {
                feed.data("0123456789");
                tokio::task::yield_now().await;
            }
            drop(feed);
            for request in requests {
                assert_eq!(request.await.expect("no panic"), "0123456789".repeat(100));
            }
            origin.calls()
        })
    });
    assert_eq!(tokio::task::spawn_blocking(|| shared.join()).await.expect("joined").expect("no panic"), 1);
}
