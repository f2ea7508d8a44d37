//! What a layer counts of the errors that attempts came to, and of what it did about them.

use http::{Method, StatusCode};
use larder::retry::{Hold, Snapshot};
use tower::Layer as _;

use super::words::{MS, SECOND, half};
use crate::support::{Act, Script, ask, channel, full, get, reply, request};

/// Rate limits, timeouts, connections, broken answers, servers, clients.
fn errors(stats: &Snapshot) -> [u64; 6] {
    [
        stats.errors_rate_limited,
        stats.errors_timeout,
        stats.errors_connection,
        stats.errors_broken,
        stats.errors_server,
        stats.errors_client,
    ]
}

/// Before any of it came.
fn broken() -> Act {
    let (feed, body) = channel();
    feed.fail("cut");
    Act::answer(reply(200, &[], body))
}

fn error_event() -> Act {
    let fields = [("content-type", "text/event-stream")];
    Act::answer(reply(200, &fields, full("event: error\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n")))
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_by_the_kind_of_error_that_they_came_to() {
    let cases: [(fn() -> Act, [u64; 6]); 10] = [
        (|| Act::status(429), [1, 0, 0, 0, 0, 0]),
        (|| Act::status(408), [0, 1, 0, 0, 0, 0]),
        (|| Act::status(504), [0, 1, 0, 0, 0, 0]),
        (Act::hang, [0, 1, 0, 0, 0, 0]),
        (Act::reset, [0, 0, 1, 0, 0, 0]),
        (broken, [0, 0, 0, 1, 0, 0]),
        (|| Act::status(503), [0, 0, 0, 0, 1, 0]),
        (error_event, [0, 0, 0, 0, 1, 0]),
        (|| Act::status(501), [0, 0, 0, 0, 1, 0]),
        (|| Act::status(404), [0, 0, 0, 0, 0, 1]),
    ];
    for (act, expected) in cases {
        let script = Script::new(move |number, _| if number == 0 { act() } else { Act::status(200) });
        let layer = half().attempt_timeout(SECOND).hold(Hold::FirstEvent).build();
        ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
        let stats = layer.handle().stats();
        assert_eq!(errors(&stats), expected);
        // What is the client's as it came was not retried.
        let is_retried = script.calls() == 2;
        assert_eq!((stats.retried, stats.retried_successfully), (u64::from(is_retried), u64::from(is_retried)));
        assert_eq!(stats.retry_success_ratio(), is_retried.then_some(1.0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_success_of_retries_is_counted_by_request_and_not_by_attempt() {
    // Three attempts of the first come to nothing, and the second succeeds with its third; the last isn't retried.
    let script = Script::new(|number, _| Act::status(if number < 5 { 503 } else { 200 }));
    let layer = half().attempts(3).backoff(larder::retry::Backoff::constant(MS)).build();
    let service = layer.layer(script);
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK, StatusCode::OK] {
        assert_eq!(ask(&service, request(Method::GET.as_str(), "http://a/", &[])).await.status(), status);
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.retried, stats.retried_successfully, stats.retries), (2, 1, 4));
    assert_eq!((stats.retry_success_ratio(), errors(&stats)), (Some(0.5), [0, 0, 0, 0, 5, 0]));
}
