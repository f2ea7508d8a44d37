//! The layer over itself, and over and under the others.

use std::time::Duration;

use larder::{
    RetryFallbackLayer,
    rate_limit::{Limit, Quota},
    retry::{Attempts, Backoff},
};
use tower::Layer as _;

use super::words::{by_user, head, is_denied, limited, list, problem, retry_after, told};
use crate::support::{Script, ask, get, text};

#[tokio::test(start_paused = true)]
async fn a_layer_over_another_counts_apart_and_the_outer_one_tells_its_own() {
    let (outer, inner) = (limited(Quota::per_hour(10)).build(), limited(Quota::per_minute(1)).build());
    let script = Script::statuses([200]);
    let service = outer.layer(inner.layer(script.clone()));
    let allowed = ask(&service, get("http://a/", &[])).await;
    assert_eq!(list(&allowed, "ratelimit").keys().collect::<Vec<_>>(), ["rph"]);
    let denied = ask(&service, get("http://a/", &[])).await;
    assert_eq!((denied.status().as_u16(), retry_after(&denied)), (429, Some(62)));
    assert_eq!((told(&denied, "rph", "r"), told(&denied, "rph", "t")), (Some(8), None), "later than Retry-After");
    assert_eq!(problem(denied).await["violated-policies"], serde_json::json!(["rpm"]));
    assert_eq!((script.calls(), outer.handle().stats().allowed, inner.handle().stats().denied), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_denial_by_the_outer_layer_leaves_the_inner_one_alone() {
    let (outer, inner) = (limited(Quota::per_minute(1)).build(), limited(Quota::per_minute(10)).build());
    let service = outer.layer(inner.layer(Script::statuses([200])));
    for denied in [false, true, true] {
        assert_eq!(is_denied(&ask(&service, get("http://a/", &[])).await), denied);
    }
    assert_eq!(inner.handle().standings(&head("http://a/", &[])).await.expect("an answer")[0].1.used, 1);
}

#[tokio::test(start_paused = true)]
async fn retries_outside_come_when_they_were_told_to_and_each_is_charged() {
    let script = Script::statuses([200]);
    let layer = limited(Quota::per_second(1)).build();
    let retry = RetryFallbackLayer::builder().random(|| 0.0).build();
    let service = retry.layer(layer.layer(script.clone()));
    for made in [1, 2] {
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!((response.status().as_u16(), Attempts::of(&response).made), (200, made));
    }
    assert_eq!(script.times(), [0, 2000]);
    assert_eq!((layer.handle().stats().allowed, layer.handle().stats().denied), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn retries_inside_are_one_request_to_the_limit() {
    let script = Script::statuses([503, 503, 200]);
    let layer = limited(Quota::per_minute(1)).build();
    let retry = RetryFallbackLayer::builder().backoff(Backoff::constant(Duration::from_millis(1))).build();
    let response = ask(&layer.layer(retry.layer(script.clone())), get("http://a/", &[])).await;
    assert_eq!((text(response).await.as_str(), script.calls(), layer.handle().stats().allowed), ("200", 3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_layer_around_all_and_one_for_some_both_limit() {
    let outer = limited(Quota::per_minute(5)).build();
    let inner = limited(Limit::new(Quota::per_minute(2)).named("mine").per(by_user)).build();
    let service = outer.layer(inner.layer(Script::statuses([200])));
    let mut statuses = Vec::new();
    for user in ["one", "one", "one", "two", "two", "two"] {
        statuses.push(ask(&service, get("http://a/", &[("x-user", user)])).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200, 200, 429]);
}
