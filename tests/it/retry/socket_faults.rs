//! Faults of real sockets: what comes before the first byte of an answer is retried, what comes after it is an error.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
    time::Duration,
};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::{body::ReplayBody, clock::ManualClock, retry::Hold};
use serde_json::Value;
use tokio::sync::Notify;
use tower::{Layer as _, ServiceExt as _};

use super::stack::{SECOND, broken, http, quick, sent, took};
use crate::support::{Body, Step, Wire, client, data, get, said, settle, text};

const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const LONG: Duration = Duration::from_secs(30);

fn for_ever() -> Step {
    Step::Wait(Arc::new(Notify::new()))
}

/// Ways for what has begun not to go on.
fn breaks() -> [(&'static str, Vec<Step>); 4] {
    [
        ("reset", vec![Step::Reset]),
        ("closed", vec![]),
        ("cut within a chunk", vec![Step::Write(b"ff\r\n")]),
        ("no chunk", vec![Step::Write(b"what?\r\n\r\n")]),
    ]
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_first_byte_is_retried() {
    let beginnings: [&[u8]; 5] =
        [b"", b"HTTP/1.1 2", b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", CHUNKED];
    for beginning in beginnings {
        for (way, steps) in breaks() {
            let begins = [vec![Step::Write(beginning)], steps].concat();
            let mut wire = Wire::serve([begins.clone(), begins, vec![Step::Write(WHOLE)]]).await;
            let layer = quick().attempt_timeout(LONG).build();
            let answer = sent(&layer.layer(client()), get(&wire.uri("/x"), &[])).await;
            let name = format!("{way} after {:?}", String::from_utf8_lossy(beginning));
            // A stray chunk is content to whoever reads by a length.
            if beginning.ends_with(b"5\r\n\r\n") && way.contains("chunk") {
                assert_eq!(took(&answer), (1, None), "{name}");
                continue;
            }
            assert_eq!(took(&answer), (3, None), "{name}");
            assert_eq!(text(answer).await, "whole", "{name}");
            assert!(!wire.request().await.contains("larder-attempt"), "{name}");
            assert!(wire.request().await.contains("larder-attempt: 2\r\n"), "{name}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_stalls_before_the_first_byte_is_asked_again() {
    for beginning in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", CHUNKED] {
        let stalls = vec![Step::Write(beginning), for_ever()];
        let whole = || vec![Step::Write(WHOLE)];
        let wire = Wire::serve([stalls, whole(), whole()]).await;
        let layer = quick().attempt_timeout(Duration::from_millis(300)).build();
        let answer = sent(&layer.layer(client()), get(&wire.uri("/"), &[])).await;
        assert!(took(&answer).0 > 1 && layer.handle().stats().timeouts > 0, "a slow machine may need one more");
        assert_eq!(text(answer).await, "whole");
    }
}

#[tokio::test]
async fn a_refused_connection_is_retried() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    // Bound and not listening: the port is nobody else's, and whoever connects is refused.
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket().expect("an address");
    let socket = Arc::new(socket);
    let listens = client().map_err(move |error| {
        assert!(error.is_connect(), "{error:?}");
        socket.listen(8).expect("a listener");
        let listener: std::net::TcpListener = socket.try_clone().expect("a socket").into();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                head.extend_from_slice(&byte);
            }
            stream.write_all(WHOLE).expect("a client");
        });
        error
    });
    let layer = quick().build();
    let answer = sent(&layer.layer(listens), get(&format!("http://{address}/"), &[])).await;
    assert_eq!(took(&answer).0, 2);
    assert_eq!(text(answer).await, "whole");
}

#[tokio::test]
async fn what_breaks_after_the_first_byte_ends_as_an_error_and_is_asked_for_once() {
    let lengthy = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nbegun";
    for (way, steps) in breaks() {
        let chunked = [vec![Step::Write(CHUNKED), Step::Write(b"5\r\nbegun\r\n")], steps.clone()].concat();
        let lengthy = [vec![Step::Write(lengthy)], steps].concat();
        for script in [chunked, lengthy] {
            // What was written must be read before the reset takes it away.
            let (read, mut steps) = (Arc::new(Notify::new()), script);
            let last = if matches!(steps.last(), Some(Step::Reset)) { steps.len() - 1 } else { steps.len() };
            steps.insert(last, Step::Wait(read.clone()));
            let wire = Wire::serve([steps]).await;
            let layer = quick().build();
            let mut answer = sent(&layer.layer(client()), get(&wire.uri("/"), &[])).await;
            assert!(data(&mut answer).await.starts_with(b"begun"), "{way}");
            read.notify_one();
            broken(answer).await;
            assert_eq!(layer.handle().stats().attempts, 1, "{way}");
        }
    }
}

#[tokio::test]
async fn a_body_that_stalls_ends_as_an_error_after_its_idle_time() {
    let wire = Wire::serve([vec![Step::Write(CHUNKED), Step::Write(b"5\r\nbegun\r\n"), for_ever()]]).await;
    let layer = quick().idle_timeout(Duration::from_millis(50)).build();
    let answer = sent(&layer.layer(client()), get(&wire.uri("/"), &[])).await;
    let (text, error) = broken(answer).await;
    assert_eq!((text.as_str(), error.to_string().as_str()), ("begun", "nothing came for 50ms"));
}

/// The events of a stream that was broken off, and the data of the event that says so.
async fn events_of(answer: http::Response<larder::retry::RetryBody<hyper::body::Incoming>>) -> (String, Value) {
    let text = text(answer).await;
    let (events, error) = text.split_once("event: error\n").expect("an error event");
    let error = error.strip_prefix("data: ").and_then(|error| error.strip_suffix("\n\n")).expect("one event");
    (events.to_owned(), serde_json::from_str(error).expect("one line of JSON"))
}

#[tokio::test]
async fn a_broken_event_stream_ends_with_its_whole_events_and_one_that_says_so() {
    let stalls = ("stalled", vec![for_ever()]);
    for (way, steps) in breaks().into_iter().chain([stalls]) {
        let read = Arc::new(Notify::new());
        let begins = [
            Step::Write(EVENTS),
            Step::Write(b"e\r\nid: 1\ndata: 1\n\r\n"),
            Step::Write(b"8\r\n\n: hello\r\n"),
            Step::Write(b"c\r\n\ndata: parti\r\n2\r\nal\r\n"),
            Step::Wait(read.clone()),
        ];
        let wire = Wire::serve([[begins.to_vec(), steps].concat()]).await;
        let layer = quick().idle_timeout((way == "stalled").then_some(Duration::from_millis(500))).build();
        let mut answer = sent(&layer.layer(client()), get(&wire.uri("/"), &[])).await;
        let mut first = data(&mut answer).await.to_vec();
        while !first.ends_with(b": hello\n") {
            first.extend_from_slice(&data(&mut answer).await);
        }
        assert_eq!(String::from_utf8_lossy(&first), "id: 1\ndata: 1\n\n: hello\n", "{way}");
        read.notify_one();
        let (rest, error) = events_of(answer).await;
        assert_eq!(rest, "", "no part of an event is passed on: {way}");
        assert_eq!(error["type"], "error", "{way}");
        assert_eq!(error["error"]["code"], "upstream_stream_broken", "{way}");
        assert_eq!(layer.handle().stats().attempts, 1, "{way}");
    }
}

#[tokio::test]
async fn an_event_stream_that_can_t_be_given_another_end_breaks_with_it() {
    let lengthy: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\ndata: 1\n\nda";
    let coded: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: x\r\n\
        transfer-encoding: chunked\r\n\r\nb\r\ndata: 1\n\nda\r\n";
    for script in [lengthy, coded] {
        let wire = Wire::serve([vec![Step::Write(script)]]).await;
        let answer = sent(&quick().build().layer(client()), get(&wire.uri("/"), &[])).await;
        assert_eq!(broken(answer).await.0, "data: 1\n\nda");
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_is_asked_for_again() {
    let error = [
        Step::Write(EVENTS),
        Step::Write(b"7\r\n: hello\r\n2\r\n\n\n\r\n"),
        Step::Write(b"29\r\nevent: error\ndata: {\"error\":\"overloaded\"}\r\n2\r\n\n\n\r\n"),
        for_ever(),
    ];
    let good = [Step::Write(EVENTS), Step::Write(b"9\r\ndata: 1\n\n\r\n0\r\n\r\n")];
    let wire = Wire::serve([error.to_vec(), good.to_vec()]).await;
    let layer = quick().attempt_timeout(LONG).hold(Hold::FirstEvent).build();
    let answer = sent(&layer.layer(client()), get(&wire.uri("/"), &[])).await;
    assert_eq!(took(&answer).0, 2);
    assert_eq!(text(answer).await, "data: 1\n\n");
}

#[tokio::test]
async fn a_cache_outside_has_an_answer_when_the_upstream_is_gone() {
    let fresh = b"HTTP/1.1 200 OK\r\ncache-control: max-age=1, stale-if-error=60\r\ncontent-length: 4\r\n\r\nkept";
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    let clock = ManualClock::default();
    let wire = Wire::serve([vec![Step::Write(fresh)], vec![Step::Reset], vec![Step::Write(cut)]]).await;
    let client: Client<HttpConnector, ReplayBody<ReplayBody<Body>>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let layer = quick().clock(clock.clone()).build();
    let cache = http(&clock).build().layer(layer.layer(client));
    assert_eq!(text(sent(&cache, get(&wire.uri("/"), &[])).await).await, "kept");
    settle().await;
    clock.advance(2 * SECOND);
    let stale = sent(&cache, get(&wire.uri("/"), &[])).await;
    assert_eq!(said(&stale), "larder; fwd=stale; fwd-status=200; ttl=-1; detail=stale-if-error");
    assert_eq!(text(stale).await, "kept");
    // The scripts are at their end, and nobody listens.
    let stale = sent(&cache, get(&wire.uri("/"), &[])).await;
    assert_eq!(said(&stale), "larder; fwd=stale; ttl=-1; detail=stale-if-error");
    assert_eq!(layer.handle().stats().fallback_stale, 2);
}

#[tokio::test]
async fn the_first_event_leaves_before_the_upstream_sends_its_second() {
    for hold in [Hold::Head, Hold::FirstByte, Hold::FirstEvent] {
        let second = Arc::new(Notify::new());
        let script = vec![
            Step::Write(EVENTS),
            Step::Write(b"9\r\ndata: 1\n\n\r\n"),
            Step::Wait(second.clone()),
            Step::Write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
        ];
        let wire = Wire::serve([script]).await;
        let mut answer = sent(&quick().hold(hold).build().layer(client()), get(&wire.uri("/"), &[])).await;
        assert_eq!(data(&mut answer).await, "data: 1\n\n", "{hold:?}");
        second.notify_one();
        assert_eq!(text(answer).await, "data: 2\n\n", "{hold:?}");
    }
}
