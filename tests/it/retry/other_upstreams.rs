//! Other upstreams: what they are sent, and what each has of its own.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, Uri};
use http_body_util::BodyExt as _;
use larder::{
    breaker::{Breaker, State},
    retry::{Cause, Credentials, Fallback, FallbackKind, Upstream},
};
use tokio::time::Instant;
use tower::Layer as _;

use super::{
    stack::{SECOND, quick, sent, took},
    words::{noted, problem},
};
use crate::support::{
    Act, Body, Origin, Script, Step, Wire, channel, client, empty, full, get, post, reply, request, text,
};

fn to(uri: &'static str) -> Upstream {
    Upstream::to(Uri::from_static(uri))
}

/// What was sent, as text: method, URI, fields in their order, body.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// Answers by host, and writes down what it was sent.
fn watched(answer: impl Fn(&str) -> Response<Body> + Clone + Send + Sync + 'static) -> (Origin, Seen) {
    let seen = Seen::default();
    let sees = seen.clone();
    let origin = Origin::new(move |call| {
        let (seen, answer) = (sees.clone(), answer.clone());
        async move {
            let (head, body) = call.request.into_parts();
            let mut fields: Vec<_> = head.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            fields.sort();
            let body = body.collect().await.expect("whole").to_bytes();
            let shown = format!("{} {} [{}]", head.method, head.uri, fields.join(", "));
            seen.lock().expect("no panic").push((shown, String::from_utf8_lossy(&body).into_owned()));
            Ok(answer(head.uri.host().unwrap_or_default()))
        }
    });
    (origin, seen)
}

#[tokio::test(start_paused = true)]
async fn another_upstream_gets_the_request_in_its_own_terms() {
    let (origin, seen) = watched(|host| match host {
        "b" => reply(200, &[], full("from b")),
        _ => reply(503, &[], empty()),
    });
    let upstream = to("https://b:8443/v2/")
        .strip_prefix("/v1")
        .header(HeaderName::from_static("x-region"), HeaderValue::from_static("eu"))
        .remove_header(HeaderName::from_static("x-debug"))
        .model("small");
    let layer = quick().attempts(1).repeatable(|_| true).fallback(upstream).build();
    let fields = [
        ("host", "a"),
        ("authorization", "Bearer theirs"),
        ("proxy-authorization", "Basic theirs"),
        ("cookie", "id=theirs"),
        ("x-api-key", "theirs"),
        ("api-key", "theirs"),
        ("x-goog-api-key", "theirs"),
        ("x-debug", "1"),
        ("accept", "text/plain"),
        ("content-length", "25"),
    ];
    let answer =
        sent(&layer.layer(origin), post("http://a/v1/chat?x=1", &fields, r#"{"n":1.0,"model":"large"}"#)).await;
    assert_eq!(took(&answer), (2, Some(FallbackKind::Upstream)));
    assert_eq!(answer.headers()["larder-fallback"], "upstream");
    assert_eq!(text(answer).await, "from b");
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen[0].1, r#"{"n":1.0,"model":"large"}"#);
    let fields = r#"[accept: "text/plain", content-length: "25", larder-attempt: "2", x-region: "eu"]"#;
    let expected = (format!("POST https://b:8443/v2/chat?x=1 {fields}"), r#"{"n":1.0,"model":"small"}"#.to_owned());
    assert_eq!(seen[1], expected);
}

#[tokio::test(start_paused = true)]
async fn each_upstream_uses_its_own_keys() {
    let (origin, seen) = watched(|host| match host {
        "c" => reply(200, &[], empty()),
        _ => reply(503, &[], empty()),
    });
    let bearer = |key| Credentials::bearer([key]).expect("a key");
    let layer = quick()
        .attempts(1)
        .credentials(bearer("ours-a"))
        .fallback(to("http://b").credentials(bearer("ours-b")))
        .fallback(to("http://c").keep_credentials(true))
        .build();
    sent(&layer.layer(origin), get("http://a/", &[("authorization", "Bearer theirs")])).await;
    let keys: Vec<_> = seen.lock().expect("no panic").iter().map(|(shown, _)| shown.clone()).collect();
    // Keys are marked as sensitive; only the client's own is shown.
    assert_eq!(keys.len(), 3);
    assert!(keys[0].contains("authorization: Sensitive") && keys[1].contains("authorization: Sensitive"), "{keys:?}");
    assert!(keys[2].contains("authorization: \"Bearer theirs\""), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn each_upstream_has_its_own_attempts_and_time() {
    let asked: Arc<Mutex<Vec<(String, Duration)>>> = Arc::default();
    let (asks, begun) = (asked.clone(), Instant::now());
    let origin = Origin::new(move |call| {
        let host = call.request.uri().host().unwrap_or_default().to_owned();
        asks.lock().expect("no panic").push((host, begun.elapsed()));
        std::future::pending()
    });
    let layer = quick()
        .backoff(larder::retry::Backoff::constant(SECOND))
        .attempts(2)
        .attempt_timeout(10 * SECOND)
        .fallback(to("http://b").attempts(3).timeout(2 * SECOND))
        .fallback(to("http://c"))
        .build();
    let answer = sent(&layer.layer(origin), get("http://a/", &[])).await;
    assert_eq!((answer.status().as_u16(), took(&answer).0), (504, 6));
    let asked: Vec<_> = asked.lock().expect("no panic").iter().map(|(host, at)| (host.clone(), at.as_secs())).collect();
    let asked: Vec<_> = asked.iter().map(|(host, at)| (host.as_str(), *at)).collect();
    assert_eq!(asked, [("a", 0), ("a", 11), ("b", 21), ("b", 24), ("b", 27), ("c", 29)]);
    assert_eq!(begun.elapsed(), 39 * SECOND, "the last one has the layer's time");
}

#[tokio::test(start_paused = true)]
async fn each_upstream_has_its_own_breaker() {
    let (origin, seen) = watched(|host| match host {
        "b" => reply(200, &[], full("from b")),
        _ => reply(503, &[], empty()),
    });
    let layer = quick()
        .breaker(Breaker::builder().consecutive_failures(2).open_for(20 * SECOND))
        .fallback(to("http://b"))
        .build();
    let service = layer.layer(origin);
    for expected in [(3, 1), (4, 2)] {
        let answer = sent(&service, get("http://a/", &[])).await;
        assert_eq!(text(answer).await, "from b");
        let hosts: Vec<_> = seen.lock().expect("no panic").iter().map(|(shown, _)| shown.contains("//b")).collect();
        assert_eq!((hosts.len(), hosts.iter().filter(|is_b| **is_b).count()), expected, "a is left alone");
    }
    let states: Vec<_> =
        layer.handle().stats().upstreams.into_iter().map(|known| (known.name, known.breaker)).collect();
    let states: Vec<_> =
        states.iter().map(|(name, known)| (name.as_str(), known.as_ref().map(|it| it.state))).collect();
    assert_eq!(states, [("a", Some(State::Open)), ("b", Some(State::Closed))]);
    assert_eq!(layer.handle().stats().circuit_open, 2);
}

#[tokio::test(start_paused = true)]
async fn what_another_upstream_says_is_an_answer_unless_it_won_t_do_either() {
    let answers = [200, 304, 400, 406, 409, 410, 413, 422].map(|status| (status, status));
    for (status, expected) in answers.into_iter().chain([401, 402, 403, 404, 405, 429, 503].map(|status| (status, 418)))
    {
        let (origin, _) = watched(move |host| match host {
            "b" => reply(status, &[], empty()),
            _ => reply(503, &[], empty()),
        });
        let teapot = Response::builder().status(418).body(Bytes::new()).expect("a response");
        let layer = quick().fallback(to("http://b")).fallback(Fallback::answer(teapot)).build();
        assert_eq!(sent(&layer.layer(origin), get("http://a/", &[])).await.status(), expected);
    }
}

/// It is asked once, whatever it is given, and what comes after it may still have a request that was not acted upon.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_turns_a_request_away_is_passed_over() {
    for status in 401..=405 {
        let script = Script::new(move |_, seen| match seen.host() {
            "a" => Act::refused(),
            "b" => Act::status(status),
            _ => Act::status(200),
        });
        let layer = quick().attempts(1).fallback(to("http://b").attempts(3)).fallback(to("http://c")).build();
        let answer = sent(&layer.layer(script.clone()), post("http://a/", &[], "x")).await;
        assert_eq!((answer.status().as_u16(), took(&answer)), (200, (3, Some(FallbackKind::Upstream))), "{status}");
        assert_eq!(script.last().host(), "c");
    }
}

#[tokio::test(start_paused = true)]
async fn that_another_upstream_turns_a_request_away_is_not_what_the_client_is_told() {
    for status in 401..=405 {
        let script = Script::new(move |_, seen| Act::status(if seen.host() == "b" { status } else { 503 }));
        let (failures, note) = noted();
        let layer = quick().breaker(Breaker::builder()).fallback(to("http://b")).fallback(note).build();
        let (status, told) = problem(sent(&layer.layer(script), get("http://a/", &[])).await).await;
        assert_eq!(
            (status.as_u16(), told["last_status"].as_u64(), told["attempts"].as_u64()),
            (503, Some(503), Some(4))
        );
        let failure = failures.lock().expect("no panic")[0];
        assert_eq!((failure.cause, failure.attempts, failure.is_outage()), (Cause::Failed, 4, true));
        let breaker = layer.handle().stats().upstreams[1].breaker.expect("a breaker");
        assert_eq!(breaker.failures, 0, "it is well");
    }
}

/// Only a body that was read can be rewritten, and a model's name means nothing to somebody else's upstream.
#[tokio::test(start_paused = true)]
async fn a_body_that_was_not_read_is_not_sent_to_another_model() {
    let (origin, seen) = watched(|_| reply(200, &[], empty()));
    let layer = quick()
        .breaker(Breaker::builder())
        .max_request_body(8)
        .repeatable(|_| true)
        .fallback(to("http://b").model("small"))
        .build();
    let service = layer.layer(origin);
    sent(&service, request("GET", "http://a/", &[])).await;
    layer.handle().breaker("a").expect("a breaker").trip(Instant::now().into_std());
    let answer = sent(&service, post("http://a/", &[], r#"{"model":"large"}"#)).await;
    assert_eq!((answer.status().as_u16(), seen.lock().expect("no panic").len()), (503, 1));

    let layer = quick().breaker(Breaker::builder()).max_request_body(8).fallback(to("http://b")).build();
    let service = layer.layer({
        let (origin, _) = watched(|_| reply(200, &[], empty()));
        origin
    });
    sent(&service, get("http://a/", &[])).await;
    layer.handle().breaker("a").expect("a breaker").trip(Instant::now().into_std());
    let answer = sent(&service, post("http://a/", &[], r#"{"model":"large"}"#)).await;
    assert_eq!(
        (answer.status().as_u16(), took(&answer).1),
        (200, Some(FallbackKind::Upstream)),
        "nothing was sent yet"
    );
}

#[tokio::test]
async fn a_stream_of_another_upstream_is_guarded_as_any_other() {
    let (feed, body) = channel();
    feed.data("data: 1\n\ndata: 2");
    let body = Mutex::new(Some(body));
    let origin = Origin::by_request(move |request| match request.uri().host() {
        Some("b") => {
            let body = body.lock().expect("no panic").take().expect("one call");
            reply(200, &[("content-type", "text/event-stream")], body)
        }
        _ => reply(503, &[], empty()),
    });
    let answer = sent(&quick().fallback(to("http://b")).build().layer(origin), get("http://a/", &[])).await;
    feed.fail("cut");
    let text = text(answer).await;
    assert!(text.starts_with("data: 1\n\nevent: error\n"), "{text}");
}

#[tokio::test]
async fn another_upstream_on_a_socket_is_told_its_own_host() {
    let down = Wire::serve([vec![Step::Write(b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n")]]).await;
    let mut up = Wire::serve([vec![Step::Write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup")]]).await;
    let base: Uri = up.uri("").parse().expect("a URI");
    let host = base.authority().expect("a host").to_string();
    let layer = quick().attempts(1).fallback(Upstream::to(base)).build();
    let fields = [("authorization", "Bearer theirs"), ("host", "meant.test")];
    let answer = sent(&layer.layer(client()), get(&down.uri("/x?y"), &fields)).await;
    assert_eq!(text(answer).await, "up");
    let head = up.request().await.to_ascii_lowercase();
    assert!(head.starts_with("get /x?y http/1.1\r\n") && head.contains(&format!("host: {host}\r\n")), "{head}");
    assert!(!head.contains("theirs") && !head.contains("meant.test"), "{head}");
}
