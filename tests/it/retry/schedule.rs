//! When attempts are made if the server doesn't say when.

use std::time::Duration;

use larder::retry::{Attempts, Backoff};
use tower::Layer as _;

use super::words::{MS, SECOND, half};
use crate::support::{Act, Script, ask, field, get, text};

/// When the attempts were made, with such a backoff and such answers.
async fn times(backoff: Backoff, statuses: &[u16]) -> Vec<u128> {
    let script = Script::statuses(statuses);
    let service = half().attempts(statuses.len() as u32).backoff(backoff).build().layer(script.clone());
    ask(&service, get("http://a/", &[])).await;
    script.times()
}

#[tokio::test(start_paused = true)]
async fn full_jitter_doubles_up_to_its_cap() {
    let backoff = Backoff::exponential(200 * MS, SECOND);
    assert_eq!(times(backoff, &[503; 6]).await, [0, 100, 300, 700, 1200, 1700]);
}

#[tokio::test(start_paused = true)]
async fn the_default_gives_more_time_where_the_upstream_throttles() {
    assert_eq!(times(Backoff::default(), &[503; 4]).await, [0, 100, 300, 700]);
    assert_eq!(times(Backoff::default(), &[429; 4]).await, [0, 500, 1500, 3500]);
    // The number of the retry counts on; only the base is another.
    assert_eq!(times(Backoff::default(), &[503, 429, 503, 200]).await, [0, 100, 1100, 1500]);
}

#[tokio::test(start_paused = true)]
async fn decorrelated_jitter_goes_by_the_wait_before() {
    let backoff = Backoff::decorrelated(100 * MS, SECOND);
    assert_eq!(times(backoff, &[503; 4]).await, [0, 200, 550, 1125]);
    assert_eq!(times(Backoff::decorrelated(600 * MS, SECOND), &[503; 3]).await, [0, 1000, 2000]);
    assert_eq!(times(backoff.throttled_base(300 * MS), &[429, 429, 503]).await, [0, 600, 1600]);
}

#[tokio::test(start_paused = true)]
async fn a_constant_wait_stays_the_same() {
    assert_eq!(times(Backoff::constant(250 * MS), &[503, 429, 503, 500]).await, [0, 250, 500, 750]);
    assert_eq!(times(Backoff::constant(Duration::ZERO), &[503; 3]).await, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_begins_when_the_attempt_has_failed() {
    let script = Script::new(|number, _| Act::status(if number < 2 { 503 } else { 200 }).after(30));
    let service = half().build().layer(script.clone());
    let response = ask(&service, get("http://a/", &[])).await;
    assert_eq!(script.times(), [0, 130, 360]);
    assert_eq!((response.status().as_u16(), script.now()), (200, 390));
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_first_good_answer_which_says_how_many_it_took() {
    let script = Script::statuses([502, 200]);
    let layer = half().build();
    let service = layer.layer(script.clone());
    let response = ask(&service, get("http://a/b?c", &[("x", "1")])).await;
    assert_eq!((Attempts::of(&response).made, Attempts::of(&response).fallback), (2, None));
    assert_eq!(field(&response, "larder-attempts"), Some("2"));
    assert_eq!(text(response).await, "200");
    let seen = script.seen();
    assert_eq!(seen.iter().map(|seen| seen.field("larder-attempt")).collect::<Vec<_>>(), [None, Some("2")]);
    for seen in seen {
        assert_eq!((seen.head.uri.to_string().as_str(), seen.field("x")), ("http://a/b?c", Some("1")));
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.attempts, stats.retries, stats.retried_successfully), (1, 2, 1, 1));

    let script = Script::statuses([200]);
    let response = ask(&half().build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((script.calls(), field(&response, "larder-attempts")), (1, None));
    assert!(response.extensions().get::<Attempts>().is_none());
}
