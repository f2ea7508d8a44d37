//! What bodies say of themselves, and what a real server makes of it.

use std::{convert::Infallible, sync::Arc};

use http::{Method, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use larder::{
    body::ReplayBody,
    clock::ManualClock,
    retry::{Builder, Fallback, RetryBody},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::{Layer as _, service_fn};

use super::stack::{SECOND, http, quick, sent};
use crate::support::{Body, Feed, Origin, ask, channel, empty, full, get, pieces, read, reply, request, settle, text};

type Answers = Arc<dyn Fn(Method) -> Response<Body> + Send + Sync>;

/// What a client on a socket reads of an answer that went through the layer and hyper's server, up to the end.
async fn over_the_wire(builder: Builder, method: &str, answers: Answers) -> String {
    let inner = service_fn(move |request: http::Request<ReplayBody<Incoming>>| {
        let answer = answers(request.method().clone());
        async move { Ok::<_, Infallible>(answer) }
    });
    let service = TowerToHyperService::new(builder.build().layer(inner));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serves = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    };
    let asks = async {
        let mut stream = TcpStream::connect(address).await.expect("a server");
        let request = format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a server");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let ((), answer) = tokio::join!(serves, asks);
    String::from_utf8(answer).expect("text")
}

/// The head in lower case, and what comes after it.
fn halves(answer: &str) -> (String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (format!("{}\r\n", head.to_ascii_lowercase()), body)
}

#[tokio::test]
async fn a_server_announces_the_length_of_a_body_that_was_read_ahead() {
    let answers: [(fn() -> Body, &str, &str); 3] = [
        (|| full("hello"), "content-length: 5\r\n", "hello"),
        (empty, "content-length: 0\r\n", ""),
        (|| pieces(["hel", "", "lo"]), "transfer-encoding: chunked\r\n", "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    ];
    for (body, field, text) in answers {
        let answer = over_the_wire(quick(), "GET", Arc::new(move |_| reply(200, &[], body()))).await;
        let (head, body) = halves(&answer);
        assert!(head.contains(field), "{answer}");
        assert_eq!(body, text);
    }
}

#[tokio::test]
async fn a_server_sends_no_body_where_there_is_none() {
    for (method, status, fields) in
        [("HEAD", 200, &[("content-length", "99")][..]), ("GET", 204, &[]), ("GET", 304, &[])]
    {
        let answer = over_the_wire(quick(), method, Arc::new(move |_| reply(status, fields, empty()))).await;
        let (head, body) = halves(&answer);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{answer}");
        assert_eq!((head.contains("content-length: 99\r\n"), body), (method == "HEAD", ""), "{answer}");
        assert!(!head.contains("transfer-encoding"), "{answer}");
    }
}

#[tokio::test]
async fn a_server_announces_the_length_of_what_stands_in() {
    let sorry = || quick().fallback(Fallback::answer(Response::new("sorry".into())));
    let answer = over_the_wire(sorry(), "GET", Arc::new(|_| reply(503, &[], full("down")))).await;
    let (head, body) = halves(&answer);
    assert!(head.contains("content-length: 5\r\n") && head.contains("larder-fallback: default\r\n"), "{answer}");
    assert_eq!(body, "sorry");
    for builder in [sorry(), quick()] {
        let answer = over_the_wire(builder, "HEAD", Arc::new(|_| reply(503, &[], empty()))).await;
        assert_eq!(halves(&answer).1, "");
    }
    let answer = over_the_wire(quick(), "GET", Arc::new(|_| reply(503, &[], full("down")))).await;
    let (head, body) = halves(&answer);
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    assert!(head.contains("content-type: application/problem+json\r\n"), "{answer}");
}

#[tokio::test]
async fn a_server_announces_the_length_of_a_stale_answer() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[("cache-control", "max-age=60, stale-if-error=300")], full("kept")));
    let cache = http(&clock).build();
    text(ask(&cache.layer(origin), get("http://a/", &[])).await).await;
    settle().await;
    clock.advance(100 * SECOND);
    for (method, expected) in [("GET", "kept"), ("HEAD", "")] {
        let builder = quick().clock(clock.clone()).fallback(Fallback::stale_from(cache.handle()));
        let inner = Origin::replies(|_| reply(503, &[], full("down")));
        let answer = sent(&builder.build().layer(inner), request(method, "http://a/", &[])).await;
        assert_eq!((answer.status().as_u16(), answer.body().size_hint().exact()), (200, Some(expected.len() as u64)));
        assert_eq!(answer.body().is_end_stream(), expected.is_empty());
        assert_eq!(text(answer).await, expected);
    }
}

#[tokio::test]
async fn a_stand_in_for_an_answer_to_head_has_no_body() {
    let sorry = Response::new("sorry".into());
    for builder in [quick().fallback(Fallback::answer(sorry)), quick()] {
        let origin = Origin::replies(|_| reply(503, &[], empty()));
        let answer = sent(&builder.build().layer(origin), request("HEAD", "http://a/", &[])).await;
        assert!(answer.body().is_end_stream());
        assert_eq!(text(answer).await, "");
    }
}

#[tokio::test]
async fn what_broke_before_it_began_has_no_clean_end_even_if_it_is_handed_on() {
    let breaks = |status, fields: &'static [(&'static str, &'static str)]| -> Answers {
        Arc::new(move |_| {
            let (feed, body) = channel();
            feed.fail("cut");
            reply(status, fields, body)
        })
    };
    for (status, fields) in [(200, &[][..]), (200, &[("content-type", "text/event-stream")]), (503, &[])] {
        let answer = over_the_wire(quick().problem(None), "GET", breaks(status, fields)).await;
        let whole = answer.ends_with("0\r\n\r\n") || answer.to_ascii_lowercase().contains("content-length: 0");
        assert!(!whole, "{answer}");
    }
}

#[tokio::test]
async fn a_break_after_the_first_byte_is_no_clean_end_for_a_client_on_the_wire() {
    let breaks: Answers = Arc::new(|_| {
        let (feed, body) = channel();
        feed.data("begun");
        tokio::spawn(async {
            // When what came first has gone out.
            settle().await;
            feed.fail("cut");
        });
        reply(200, &[], body)
    });
    let answer = over_the_wire(quick(), "GET", breaks).await;
    assert!(answer.contains("begun") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

/// The hints of a body before each of its frames.
async fn hints(answer: Response<RetryBody<Body>>) -> Vec<(bool, u64, Option<u64>)> {
    let (mut body, mut hints) = (answer.into_body(), Vec::new());
    loop {
        let hint = body.size_hint();
        hints.push((body.is_end_stream(), hint.lower(), hint.upper()));
        match http_body_util::BodyExt::frame(&mut body).await {
            Some(frame) => frame.expect("no error"),
            None => return hints,
        };
    }
}

#[tokio::test]
async fn a_body_says_how_much_of_it_is_left() {
    let over = (true, 0, Some(0));
    let cases: [(fn() -> Body, Vec<_>); 3] = [
        (|| full("hello"), vec![(false, 5, Some(5)), over]),
        (empty, vec![over]),
        (|| pieces(["hel", "lo"]), vec![(false, 3, None), (false, 0, None), (false, 0, None)]),
    ];
    for (body, expected) in cases {
        let origin = Origin::replies(move |_| reply(200, &[], body()));
        assert_eq!(hints(sent(&quick().build().layer(origin), get("http://a/", &[])).await).await, expected);
    }
}

#[tokio::test]
async fn a_body_that_broke_says_nothing_of_its_length() {
    let fed: [fn(&Feed); 2] = [|_| {}, |feed| feed.data(": hello\n\n")];
    for feeds in fed {
        let origin = Origin::replies(move |_| {
            let (feed, body) = channel();
            feeds(&feed);
            feed.fail("cut");
            reply(200, &[("content-type", "text/event-stream")], body)
        });
        let layer = quick().hold(larder::retry::Hold::FirstEvent).problem(None).build();
        let answer = sent(&layer.layer(origin), get("http://a/", &[])).await;
        assert!(!answer.body().is_end_stream());
        assert_eq!(answer.body().size_hint().exact(), None);
        assert!(read(answer).await.is_err());
    }
}
