//! A limiter that doesn't answer, and what is done about it.

use larder::{
    RateLimitLayer,
    rate_limit::{
        Builder, Charge, Correction, Limit, Limiter, OnFailure, Outcome, Quota, Taken, Unit, limiter::LimiterError,
    },
};
use serde_json::json;
use tower::Layer as _;

use super::{
    meters::Said,
    words::{head, problem, retry_after, status, told, used},
};
use crate::support::{Act, Script, ask, full, get, post, reply, text};

/// A limiter that is out of order, and knows it or not.
struct Down {
    knows: bool,
}

impl Limiter for Down {
    async fn take(&self, _: &[Charge]) -> Result<Taken, LimiterError> {
        Err(if self.knows { LimiterError::refused() } else { LimiterError::failed("told to") })
    }

    async fn settle(&self, _: &[Correction]) -> Result<(), LimiterError> {
        Err(LimiterError::late())
    }
}

fn down(limit: impl Into<Limit>) -> Builder<Down> {
    RateLimitLayer::builder(Down { knows: false }).limit(limit)
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_fails_lets_all_through_if_it_is_open() {
    let script = Script::statuses([200]);
    let layer = down(Quota::per_minute(1)).on_failure(OnFailure::Open).wait(std::time::Duration::MAX).build();
    let service = layer.layer(script.clone());
    for _ in 0..3 {
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!((status(&response).outcome, response.status().as_u16()), (Outcome::FailedOpen, 200));
        assert!(!response.headers().contains_key("ratelimit"), "nobody knows how the limits stand");
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.failed_open, stats.limiter_errors, stats.limiter_refused, stats.allowed), (3, 3, 0, 0));
    assert!(layer.handle().standings(&head("http://a/", &[])).await.is_err());
    assert_eq!(script.now(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_fails_lets_none_through_if_it_is_closed() {
    let script = Script::statuses([200]);
    let layer = down(Quota::per_minute(1)).on_failure(OnFailure::Closed).build();
    let refused = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((refused.status().as_u16(), retry_after(&refused), script.calls()), (503, Some(1), 0));
    let expected = json!({
        "type": "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
        "title": "Service Unavailable", "status": 503,
        "detail": "It can't be told whether there is room for the request. Try again in a second.",
        "retryAfter": 1,
    });
    assert_eq!(problem(refused).await, expected);
    assert_eq!(layer.handle().stats().failed_closed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_fails_leaves_each_process_its_share() {
    let script = Script::statuses([200]);
    let layer = RateLimitLayer::builder(Down { knows: true })
        .limit(Quota::per_minute(7))
        .on_failure(OnFailure::local(3))
        .build();
    let service = layer.layer(script.clone());
    for number in 0..5 {
        let response = ask(&service, get("http://a/", &[])).await;
        let outcome = if number < 3 { Outcome::LocalAllowed } else { Outcome::LocalDenied };
        assert_eq!(
            (status(&response).outcome, told(&response, "rpm", "r")),
            (outcome, Some(2_u64.saturating_sub(number)))
        );
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.local_allowed, stats.local_denied, stats.limiter_refused, stats.limiter_errors), (3, 2, 5, 0));
}

/// A request for the whole quota fits into the whole share, and is corrected by what was charged to it there.
#[tokio::test(start_paused = true)]
async fn a_share_is_settled_by_what_it_was_charged() {
    let tokens = Limit::new(Quota::per_minute(100).of(Unit::Tokens)).meter(Said);
    let layer = down(tokens).on_failure(OnFailure::local(2)).build();
    let service = layer.layer(Script::new(|_, _| Act::answer(reply(200, &[], full("used 20")))));
    let response = ask(&service, post("http://a/", &[], "100")).await;
    assert_eq!(used(&response, "tpm"), 50);
    text(response).await;
    let response = ask(&service, post("http://a/", &[], "30")).await;
    assert_eq!(used(&response, "tpm"), 50, "20 and 30");
    assert_eq!(status(&ask(&service, post("http://a/", &[], "1")).await).outcome, Outcome::LocalDenied);
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_its_quota_finds_no_room_in_the_share_either() {
    let tokens = Limit::new(Quota::per_minute(100).of(Unit::Tokens)).meter(Said);
    let layer = down(tokens).on_failure(OnFailure::local(2)).build();
    let denied = ask(&layer.layer(Script::statuses([200])), post("http://a/", &[], "101")).await;
    assert_eq!((status(&denied).outcome, retry_after(&denied)), (Outcome::LocalDenied, None));
}

#[tokio::test(start_paused = true)]
async fn slots_of_a_share_are_given_back() {
    let layer = down(Quota::concurrent(2)).on_failure(OnFailure::local(2)).build();
    let service = layer.layer(Script::statuses([200]));
    for _ in 0..3 {
        let held = ask(&service, get("http://a/", &[])).await;
        assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 429);
        drop(held);
    }
}
