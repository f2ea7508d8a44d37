//! What a provider says of its limits is believed.

use std::time::Duration;

use futures_util::future::join;
use larder::{
    CacheLayer,
    clock::ManualClock,
    rate_limit::{Builder, Limit, Outcome, Quota, limiter::Local},
};
use tokio::time::{Instant, advance};
use tower::Layer as _;

use super::words::{SECOND, by_user, head, is_denied, limited, problem, retry_after, status};
use crate::support::{Act, Script, ask, full, get, memory, reply, settle, text};

fn learning() -> Builder<Local> {
    limited(Quota::per_minute(1000)).learn(true)
}

/// Says it first, and then never again.
fn says(status: u16, fields: &'static [(&'static str, &'static str)]) -> Script {
    Script::new(move |number, _| if number == 0 { Act::with(status, fields) } else { Act::status(200) })
}

#[tokio::test(start_paused = true)]
async fn no_request_is_sent_until_the_time_that_the_provider_asked_for() {
    for (status, fields) in [
        (429, &[("retry-after", "30")][..]),
        (429, &[("retry-after-ms", "30000")]),
        (200, &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "30s")]),
        (200, &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "30s")]),
        (400, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "30")]),
    ] {
        let (script, layer) = (says(status, fields), learning().build());
        let service = layer.layer(script.clone());
        assert_eq!(ask(&service, get("http://a/", &[])).await.status(), status);
        for elapsed in [0, 10, 29] {
            advance(Duration::from_secs(elapsed) - Duration::from_millis(script.now() as u64)).await;
            let denied = ask(&service, get("http://a/", &[])).await;
            let said = denied.extensions().get::<larder::rate_limit::RateLimitStatus>().expect("a status");
            assert_eq!((said.outcome, denied.status().as_u16()), (Outcome::Learned, 429));
            assert_eq!(retry_after(&denied), Some(30 - elapsed));
            let problem = problem(denied).await;
            assert!(problem["detail"].as_str().expect("text").starts_with("The upstream said that it has no room."));
            assert!(problem.get("violated-policies").is_none());
        }
        advance(SECOND).await;
        assert!(!is_denied(&ask(&service, get("http://a/", &[])).await), "{fields:?}");
        assert_eq!(script.calls(), 2);
        let (_, standing) = &layer.handle().standings(&head("http://a/", &[])).await.expect("an answer")[0];
        assert_eq!(standing.used, 2, "a request that was not sent is charged");
        assert_eq!((layer.handle().stats().learned, layer.handle().stats().denied), (1, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_has_room_is_not_left_alone() {
    for (status, fields) in [
        (200, &[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "30s")][..]),
        (200, &[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "30s")]),
        (200, &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "soon")]),
        (200, &[("retry-after", "30")]),
        (429, &[]),
        (429, &[("retry-after", "0")]),
        (429, &[("retry-after", "soon")]),
    ] {
        let script = says(status, fields);
        let service = learning().build().layer(script.clone());
        ask(&service, get("http://a/", &[])).await;
        ask(&service, get("http://a/", &[])).await;
        assert_eq!(script.calls(), 2, "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_unless_it_is_set() {
    let script = says(429, &[("retry-after", "30")]);
    let layer = limited(Quota::per_minute(1000)).build();
    for _ in 0..2 {
        ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    }
    assert_eq!((script.calls(), layer.handle().stats().learned), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_says_to_one_is_not_said_to_another() {
    let script = Script::new(|_, seen| match seen.field("x-user") {
        Some("one") => Act::with(429, &[("retry-after", "30")]),
        _ => Act::status(200),
    });
    let layer = limited(Limit::new(Quota::per_minute(1000)).per(by_user)).learn(true).build();
    let service = layer.layer(script.clone());
    for user in ["one", "two", "one", "two"] {
        ask(&service, get("http://a/", &[("x-user", user)])).await;
    }
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_says_of_one_route_is_not_said_of_another() {
    let script = Script::new(|_, seen| match seen.head.uri.path() {
        "/chat" => Act::with(429, &[("retry-after", "30")]),
        _ => Act::status(200),
    });
    let layer = limited(Limit::new(Quota::per_minute(9)).named("chat").on_path("/chat"))
        .limit(Limit::new(Quota::per_minute(9)).named("images").on_path("/images"))
        .learn(true)
        .build();
    let service = layer.layer(script.clone());
    for path in ["/chat", "/images", "/chat", "/images"] {
        ask(&service, get(&format!("http://a{path}"), &[])).await;
    }
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_may_wait_waits_for_the_provider() {
    let script = says(429, &[("retry-after", "30")]);
    let service = learning().wait(60 * SECOND).build().layer(script.clone());
    assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 429);
    assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 200);
    assert_eq!(script.times(), [0, 30_000]);
    let script = says(429, &[("retry-after", "61")]);
    let service = learning().wait(60 * SECOND).build().layer(script.clone());
    let begun = Instant::now();
    ask(&service, get("http://a/", &[])).await;
    let denied = ask(&service, get("http://a/", &[])).await;
    assert_eq!((status(&denied).outcome, begun.elapsed()), (Outcome::Learned, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_believed_for_longer_than_a_day() {
    let script = says(429, &[("retry-after", "99999999999999999999")]);
    let service = learning().build().layer(script.clone());
    ask(&service, get("http://a/", &[])).await;
    assert_eq!(retry_after(&ask(&service, get("http://a/", &[])).await), Some(86_400));
    advance(86_400 * SECOND).await;
    ask(&service, get("http://a/", &[])).await;
    assert_eq!(script.calls(), 2);
}

/// Both were sent before either was answered.
#[tokio::test(start_paused = true)]
async fn of_two_waits_that_are_told_at_once_the_longer_counts() {
    for told in [["60", "1"], ["1", "60"]] {
        let script = Script::new(move |number, _| match told.get(number) {
            Some(time) => Act::with(429, &[("retry-after", time)]).after(100 * (number as u64 + 1)),
            None => Act::status(200),
        });
        let layer = learning().build();
        let service = layer.layer(script.clone());
        join(ask(&service, get("http://a/", &[])), ask(&service, get("http://a/", &[]))).await;
        assert_eq!((script.calls(), layer.handle().stats().learned), (2, 2));
        for is_learned in [true, false] {
            advance(31 * SECOND).await;
            assert_eq!(is_denied(&ask(&service, get("http://a/", &[])).await), is_learned, "{told:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_is_counted_by_the_layers_clock() {
    let clock = ManualClock::default();
    let script = Script::new(|number, _| match number {
        // 30 seconds after the clock's beginning.
        0 => Act::with(429, &[("retry-after", "Thu, 28 May 2026 20:27:10 GMT")]),
        _ => Act::status(200),
    });
    let service = learning().clock(clock).build().layer(script);
    ask(&service, get("http://a/", &[])).await;
    assert_eq!(retry_after(&ask(&service, get("http://a/", &[])).await), Some(30));
}

/// What the provider said when the response was kept is long over.
#[tokio::test(start_paused = true)]
async fn a_hit_of_a_cache_inside_teaches_nothing() {
    let clock = ManualClock::default();
    let fields = [
        ("cache-control", "max-age=600"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "30s"),
    ];
    let script = Script::new(move |_, _| Act::answer(reply(200, &fields, full("x"))));
    let cache = CacheLayer::builder(memory(&clock)).clock(clock.clone()).build();
    let layer = learning().clock(clock.clone()).build();
    let service = layer.layer(cache.layer(script.clone()));
    text(ask(&service, get("http://a/", &[])).await).await;
    settle().await;
    for _ in 0..3 {
        advance(30 * SECOND).await;
        clock.advance(30 * SECOND);
        assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
    }
    assert_eq!((script.calls(), layer.handle().stats().learned), (1, 1));
}
