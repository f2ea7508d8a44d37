//! A second attempt while the first is under way.

use larder::retry::{Attempts, Hedge};
use tower::Layer as _;

use super::words::{MS, SECOND, half, problem};
use crate::support::{Act, Script, ask, field, full, get, post, request, text};

fn hedged() -> larder::retry::Builder {
    half().hedge(Hedge::after(100 * MS))
}

#[tokio::test(start_paused = true)]
async fn the_second_that_is_faster_wins_and_the_first_is_dropped() {
    let script = Script::new(|number, _| if number == 0 { Act::hang() } else { Act::status(200).after(50) });
    let layer = hedged().build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((script.times(), script.now(), script.running()), (vec![0, 100], 150, 0));
    assert_eq!((Attempts::of(&response).made, script.last().field("larder-attempt")), (2, Some("2")));
    assert_eq!(field(&response, "larder-attempts"), Some("2"));
    assert_eq!(text(response).await, "200");
    let stats = layer.handle().stats();
    assert_eq!((stats.attempts, stats.hedges, stats.hedges_won, stats.retries), (2, 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_first_that_is_faster_in_the_end_wins_and_the_second_is_dropped() {
    let script = Script::new(|number, _| if number == 0 { Act::status(201).after(300) } else { Act::hang() });
    let layer = hedged().build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!(
        (response.status().as_u16(), script.times(), script.now(), script.running()),
        (201, vec![0, 100], 300, 0)
    );
    assert_eq!((layer.handle().stats().hedges, layer.handle().stats().hedges_won), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_not_hedged() {
    let script = Script::new(|_, _| Act::status(200).after(99));
    let layer = hedged().build();
    ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((script.calls(), layer.handle().stats().hedges), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_does_not_win() {
    for (first, second) in [((200, 500), (503, 10)), ((503, 200), (200, 400))] {
        let script = Script::new(move |number, _| {
            let (status, after) = if number == 0 { first } else { second };
            Act::status(status).after(after)
        });
        let layer = hedged().build();
        let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
        assert_eq!((response.status().as_u16(), script.calls(), script.now()), (200, 2, 500));
        assert_eq!((layer.handle().stats().hedges_won, script.running()), (u64::from(second.0 == 200), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_it_is_one_failure_that_is_retried() {
    let script = Script::new(|number, _| match number {
        0 => Act::status(503).after(300),
        1 => Act::status(502).after(100),
        _ => Act::status(200),
    });
    let layer = hedged().build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), script.times()), (200, vec![0, 100, 400]));
    let stats = layer.handle().stats();
    assert_eq!((stats.attempts, stats.retries, stats.hedges, stats.hedges_won), (3, 1, 1, 0));

    let script = Script::new(|number, _| Act::status(if number == 0 { 503 } else { 502 }).after(300));
    let layer = hedged().attempts(1).build();
    let (status, problem) = problem(ask(&layer.layer(script.clone()), get("http://a/", &[])).await).await;
    assert_eq!((status.as_u16(), problem["attempts"].as_u64()), (502, Some(2)));
    assert_eq!(layer.handle().stats().hedges_won, 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_repeated_is_not_hedged() {
    let slow = || Script::new(|_, _| Act::status(200).after(1000));
    let put = || request("PUT", "http://a/", &[]).map(|_| full("abcdef"));
    for (builder, request, calls) in [
        (hedged(), post("http://a/", &[], "x"), 1),
        (hedged().max_request_body(3), put(), 1),
        (hedged(), put(), 2),
        (hedged(), post("http://a/", &[("idempotency-key", "1")], "x"), 2),
        (hedged().idempotency_key(true), post("http://a/", &[], "x"), 2),
        (hedged().repeatable(|_| true), post("http://a/", &[], "x"), 2),
    ] {
        let script = slow();
        ask(&builder.build().layer(script.clone()), request).await;
        let seen = script.seen();
        assert_eq!(seen.len(), calls);
        let first = (seen[0].text(), seen[0].field("idempotency-key"));
        assert!(seen.iter().all(|seen| (seen.text(), seen.field("idempotency-key")) == first));
    }
}

#[tokio::test(start_paused = true)]
async fn a_percentile_is_of_the_upstream_s_own_good_answers() {
    // 1 to 40 ms, and failures that take far longer and don't count.
    let script = Script::new(|number, seen| match number {
        _ if seen.host() == "b" => Act::status(200).after(500),
        0..40 => Act::status(200).after(number as u64 + 1),
        40..60 => Act::status(404).after(10),
        _ => Act::status(200).after(1000),
    });
    let layer = half().no_breaker().hedge(Hedge::percentile(0.95)).build();
    let service = layer.layer(script.clone());
    for _ in 0..31 {
        ask(&service, get("http://a/", &[])).await;
    }
    assert_eq!((script.calls(), layer.handle().stats().hedges), (31, 0), "too few to tell");
    for number in 31..40 {
        ask(&service, get("http://a/", &[])).await;
        // 31 ms, 38 ms: those that come later are the slowest so far.
        assert_eq!(layer.handle().stats().attempts as usize, script.calls(), "{number}");
    }
    let hedges = layer.handle().stats().hedges;
    for _ in 0..20 {
        ask(&service, get("http://b/", &[])).await;
    }
    assert_eq!(layer.handle().stats().hedges, hedges, "nothing is known of the other upstream");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_hedged_at_the_percentile_of_those_before() {
    let script = Script::new(|number, _| Act::status(200).after(if number < 40 { 20 } else { 1000 }));
    let service = half().hedge(Hedge::percentile(0.9)).build().layer(script.clone());
    for _ in 0..40 {
        ask(&service, get("http://a/", &[])).await;
    }
    ask(&service, get("http://a/", &[])).await;
    assert_eq!(script.times()[40..], [800, 820]);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_hedged_and_has_its_own_time() {
    let script = Script::new(|_, _| Act::hang());
    let layer = hedged().attempts(2).attempt_timeout(SECOND).build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    // The hedge began 100 ms later, and so has as much longer; then the backoff.
    assert_eq!((script.times(), script.now()), (vec![0, 100, 1200, 1300], 2300));
    assert_eq!((problem(response).await.0.as_u16(), script.running()), (504, 0));
    assert_eq!(layer.handle().stats().hedges_won, 0);
}
