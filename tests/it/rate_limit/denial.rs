//! What is said to those who find no room.

use std::time::Duration;

use http_body::Body as _;
use larder::rate_limit::{Algorithm, Limit, Outcome, Problem, Quota, Unit};
use serde_json::json;
use tower::Layer as _;

use super::words::{
    MICRO, SECOND, by_cost, by_user, is_denied, limited, list, problem, retry_after, room_in, status, told,
};
use crate::support::{Script, ask, field, get, request, text};

const TYPE: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

fn algorithms() -> [Algorithm; 4] {
    [Algorithm::default(), Algorithm::Strict { buckets: 1 }, Algorithm::Approximate, Algorithm::Log]
}

#[tokio::test(start_paused = true)]
async fn a_denied_request_finds_room_at_the_time_it_was_told_and_not_a_microsecond_earlier() {
    for algorithm in algorithms() {
        for earlier in [MICRO, Duration::from_millis(999), SECOND] {
            let service = limited(Quota::per_minute(3).algorithm(algorithm)).build().layer(Script::statuses([200]));
            for pause in [0, 7_000_003, 11] {
                tokio::time::advance(Duration::from_micros(pause)).await;
                assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
            }
            let room = room_in(&ask(&service, get("http://a/", &[])).await);
            tokio::time::advance(room - earlier).await;
            let early = ask(&service, get("http://a/", &[])).await;
            assert!(is_denied(&early), "{algorithm:?}, {earlier:?} before {room:?}");
            assert_eq!(room_in(&early), earlier, "a denial changed the time");
            tokio::time::advance(earlier).await;
            assert!(!is_denied(&ask(&service, get("http://a/", &[])).await), "{algorithm:?}, after {room:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_time_in_whole_seconds_rounded_up() {
    for (elapsed, seconds) in [(0, 62), (1, 62), (999_999, 62), (1_000_000, 61), (61_000_001, 1), (61_999_999, 1)] {
        let service = limited(Quota::per_minute(1)).build().layer(Script::statuses([200]));
        ask(&service, get("http://a/", &[])).await;
        tokio::time::advance(Duration::from_micros(elapsed)).await;
        let denied = ask(&service, get("http://a/", &[])).await;
        assert_eq!(retry_after(&denied), Some(seconds), "after {elapsed} µs");
        assert_eq!(problem(denied).await["retryAfter"], seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_for_the_limit_that_takes_longest_and_never_earlier_than_any_other_says() {
    let layer = limited(Quota::per_second(1))
        .limit(Quota::per_minute(1))
        .limit(Limit::new(Quota::per_day(1000)))
        .limit(Limit::new(Quota::per_hour(10)).named("ten"))
        .build();
    let service = layer.layer(Script::statuses([200]));
    ask(&service, get("http://a/", &[])).await;
    for _ in 0..70 {
        let denied = ask(&service, get("http://a/", &[])).await;
        if !is_denied(&denied) {
            break;
        }
        let retry = retry_after(&denied).expect("a time");
        for (name, parameters) in list(&denied, "ratelimit") {
            let t = parameters.get("t").map_or(0, |t| t.parse().expect("seconds"));
            assert!(t <= retry, "{name}: {t} > {retry}");
        }
        tokio::time::advance(SECOND).await;
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.allowed, stats.denied, stats.policies[1].denied), (2, 62, 62));
    assert!((1..62).contains(&stats.policies[0].denied), "the second was over first");
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_a_problem_that_names_the_limits_that_deny() {
    let layer = limited(Quota::per_minute(1))
        .limit(Limit::new(Quota::per_minute(1)).named("also"))
        .limit(Quota::per_hour(50))
        .build();
    let service = layer.layer(Script::statuses([200]));
    ask(&service, get("http://a/", &[])).await;
    let denied = ask(&service, get("http://a/", &[])).await;
    assert_eq!(denied.status(), 429);
    let length = denied.body().size_hint().exact().expect("a length");
    let text = text(denied).await;
    assert_eq!(length, text.len() as u64);
    let expected = json!({
        "type": TYPE, "title": "Too Many Requests", "status": 429,
        "detail": "The request finds no room in: rpm, also. Try again in 62 seconds.",
        "violated-policies": ["rpm", "also"], "retryAfter": 62,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), expected);
}

#[tokio::test(start_paused = true)]
async fn a_denial_has_an_error_that_clients_of_providers_read_if_it_is_set_to() {
    let builder = limited(Quota::per_minute(0)).problem(Problem::new().error_member(true));
    let denied = ask(&builder.build().layer(Script::statuses([200])), get("http://a/", &[])).await;
    let problem = problem(denied).await;
    let error = json!({ "message": problem["detail"], "type": "rate_limit_error", "code": "rate_limit_exceeded" });
    assert_eq!((&problem["error"], &problem["type"]), (&error, &json!(TYPE)));
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_its_quota_is_not_asked_to_come_back() {
    let tokens = Limit::new(Quota::per_minute(100).of(Unit::Tokens)).meter(by_cost);
    let layer = limited(tokens).limit(Quota::per_minute(5)).wait(Duration::from_secs(1000)).build();
    let service = layer.layer(Script::statuses([200]));
    for cost in ["101", "18446744073709551615"] {
        let denied = ask(&service, get("http://a/", &[("x-cost", cost)])).await;
        assert!(is_denied(&denied));
        assert_eq!(
            (retry_after(&denied), told(&denied, "tpm", "t"), told(&denied, "tpm", "r")),
            (None, None, Some(100))
        );
        let problem = problem(denied).await;
        let detail = "The request is larger than the whole quota of: tpm. Make it smaller.";
        assert_eq!((&problem["detail"], &problem["violated-policies"]), (&json!(detail), &json!(["tpm"])));
        assert!(problem.get("retryAfter").is_none());
    }
    assert!(!is_denied(&ask(&service, get("http://a/", &[("x-cost", "100")])).await));
    assert_eq!(layer.handle().stats().waited, 0);
}

/// "Make it smaller" would be a poor joke.
#[tokio::test(start_paused = true)]
async fn who_may_use_nothing_is_told_so() {
    for (quota, name) in [(Quota::per_minute(0), "rpm"), (Quota::concurrent(0), "concurrent")] {
        let denied = ask(&limited(quota).build().layer(Script::statuses([200])), get("http://a/", &[])).await;
        assert_eq!(retry_after(&denied), None);
        let problem = problem(denied).await;
        assert_eq!(problem["detail"], format!("There is no quota at all of: {name}."));
        assert_eq!(problem["violated-policies"], json!([name]));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_says_when_a_slot_will_be_free() {
    let layer = limited(Quota::concurrent(1)).build();
    let service = layer.layer(Script::statuses([200]));
    let first = ask(&service, get("http://a/", &[])).await;
    let denied = ask(&service, get("http://a/", &[])).await;
    assert_eq!((status(&denied).outcome, retry_after(&denied)), (Outcome::Denied, None));
    assert_eq!((told(&denied, "concurrent", "r"), told(&denied, "concurrent", "t")), (Some(0), None));
    let problem = problem(denied).await;
    let detail = "The request finds no room in: concurrent. Try again when other requests have ended.";
    assert_eq!(problem["detail"], detail);
    drop(first);
}

/// RFC 9110 §9.3.2.
#[tokio::test(start_paused = true)]
async fn a_denial_of_a_head_request_has_no_body() {
    let service = limited(Quota::per_minute(1)).build().layer(Script::statuses([200]));
    ask(&service, get("http://a/", &[])).await;
    let denied = ask(&service, request("HEAD", "http://a/", &[])).await;
    assert!(is_denied(&denied) && denied.body().is_end_stream());
    assert_eq!((retry_after(&denied), field(&denied, "content-type")), (Some(62), Some("application/problem+json")));
    assert_eq!(text(denied).await, "");
}

#[tokio::test(start_paused = true)]
async fn one_users_denial_is_not_anothers() {
    let service = limited(Limit::new(Quota::per_minute(1)).per(by_user)).build().layer(Script::statuses([200]));
    for user in ["one", "two"] {
        assert!(!is_denied(&ask(&service, get("http://a/", &[("x-user", user)])).await));
        assert!(is_denied(&ask(&service, get("http://a/", &[("x-user", user)])).await));
    }
}
