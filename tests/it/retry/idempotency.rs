//! What may have been acted upon is not sent again, unless it does no harm.

use std::{io, time::Duration};

use larder::{
    BoxError,
    retry::{Builder, Upstream},
};
use tower::Layer as _;

use super::words::{SECOND, default_answer, half};
use crate::support::{Act, Body, Script, ask, get, pieces, post, request, text};

/// How often a request was sent that fails like this at first.
async fn sent(builder: Builder, request: http::Request<Body>, failure: fn() -> Act) -> usize {
    let script = Script::new(move |number, _| if number == 0 { failure() } else { Act::status(200) });
    ask(&builder.attempt_timeout(SECOND).build().layer(script.clone()), request).await;
    script.calls()
}

const FAILURES: [(&str, fn() -> Act); 5] = [
    ("503", || Act::status(503)),
    ("429", || Act::status(429)),
    ("reset", Act::reset),
    ("timeout", Act::hang),
    ("a body that breaks", || {
        let (feed, body) = crate::support::channel();
        feed.fail("cut");
        Act::answer(crate::support::reply(200, &[], body))
    }),
];

#[tokio::test(start_paused = true)]
async fn only_what_does_no_harm_is_sent_again_after_a_failure() {
    for (failure, act) in FAILURES {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert_eq!(sent(half(), request(method, "http://a/", &[]), act).await, 2, "{method}, {failure}");
        }
        for method in ["POST", "PATCH", "CONNECT", "LINK"] {
            assert_eq!(sent(half(), request(method, "http://a/", &[]), act).await, 1, "{method}, {failure}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_provably_was_not_sent_is_sent_again_whatever_it_is() {
    for method in ["GET", "POST", "PATCH"] {
        assert_eq!(sent(half(), request(method, "http://a/", &[]), Act::refused).await, 2, "{method}");
    }
    for (kind, expected) in [(io::ErrorKind::ConnectionRefused, 2), (io::ErrorKind::BrokenPipe, 1)] {
        let script = Script::<BoxError>::failing_with(move |number, _| {
            if number == 0 { Act::fail(io::Error::other(io::Error::from(kind)).into()) } else { Act::status(200) }
        });
        ask(&half().build().layer(script.clone()), post("http://a/", &[], "x")).await;
        assert_eq!(script.calls(), expected, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotency_key_of_the_client_s_makes_it_repeatable_and_stays() {
    for (failure, act) in FAILURES {
        for generate in [false, true] {
            let script = Script::new(move |number, _| if number == 0 { act() } else { Act::status(200) });
            let builder = half().attempt_timeout(SECOND).idempotency_key(generate);
            ask(&builder.build().layer(script.clone()), post("http://a/", &[("idempotency-key", "mine")], "x")).await;
            let keys: Vec<_> =
                script.seen().iter().map(|seen| seen.field("idempotency-key").map(str::to_owned)).collect();
            assert_eq!(keys, [Some("mine".to_owned()), Some("mine".to_owned())], "{failure}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_generated_key_is_the_same_for_all_attempts_and_another_for_each_request() {
    let script = Script::statuses([503, 503, 200, 503, 503, 200, 200]);
    let service = half().idempotency_key(true).build().layer(script.clone());
    for _ in 0..2 {
        ask(&service, post("http://a/", &[], "x")).await;
    }
    let keys: Vec<_> =
        script.seen().iter().map(|seen| seen.field("idempotency-key").expect("a key").to_owned()).collect();
    assert_eq!(keys.len(), 6);
    assert!(keys[0].len() >= 32 && keys[..3].iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(keys[3] != keys[0] && keys[3..].iter().all(|key| *key == keys[3]), "{keys:?}");
    // Where it is of no use there is none.
    ask(&service, get("http://a/", &[])).await;
    assert_eq!(script.last().field("idempotency-key"), None);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_sent_again_gets_no_key() {
    let script = Script::statuses([503]);
    let service = half().idempotency_key(true).max_request_body(3).build().layer(script.clone());
    ask(&service, post("http://a/", &[], "").map(|_| pieces(["ab", "cd"]))).await;
    assert_eq!((script.calls(), script.last().field("idempotency-key")), (1, None));
}

#[tokio::test(start_paused = true)]
async fn without_being_asked_for_no_key_is_generated() {
    let script = Script::statuses([200]);
    ask(&half().build().layer(script.clone()), post("http://a/", &[], "x")).await;
    assert_eq!(script.last().field("idempotency-key"), None);
}

#[tokio::test(start_paused = true)]
async fn whoever_opts_in_decides_by_the_request() {
    for (failure, act) in FAILURES {
        let opted = || half().repeatable(|asked| asked.uri().path() == "/search");
        assert_eq!(sent(opted(), post("http://a/search", &[], "x"), act).await, 2, "{failure}");
        assert_eq!(sent(opted(), post("http://a/pay", &[], "x"), act).await, 1, "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_upstream_gets_no_more_than_may_be_sent_twice() {
    let cases: [(&str, fn() -> Act, &str); 6] = [
        ("POST", || Act::status(503), "default"),
        ("POST", Act::reset, "default"),
        ("POST", Act::hang, "default"),
        ("POST", Act::refused, "200"),
        ("PUT", Act::reset, "200"),
        ("GET", || Act::status(503), "200"),
    ];
    for (method, act, expected) in cases {
        let script = Script::new(move |_, seen| if seen.host() == "b" { Act::status(200) } else { act() });
        let chain = half().attempts(1).attempt_timeout(Duration::from_secs(1));
        let chain = chain.fallback(Upstream::to("http://b".parse().expect("a URI"))).fallback(default_answer());
        let response = ask(&chain.build().layer(script.clone()), request(method, "http://a/", &[])).await;
        assert_eq!(text(response).await, expected, "{method}");
    }
}
