//! Ways to speak HTTP: pipelines, HTTP/1.0, `Expect`, h2c.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Semaphore};

use super::{
    llm::{CHAT, QUESTION, answer},
    llm_stream,
    message::{chunk, get, post_json, request, response},
    origin::Origin,
    process::Proxy,
    within,
};

type Http2 = http2::SendRequest<Full<Bytes>>;

async fn http2(proxy: &Proxy) -> Http2 {
    let stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts connections");
    let (sender, connection) =
        within(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.expect("h2c by prior knowledge");
    tokio::spawn(connection);
    sender
}

async fn send(sender: &Http2, method: Method, path: &str, body: &'static str) -> Response<Incoming> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://api.example{path}"))
        .header("content-type", "application/json")
        .body(Full::from(body))
        .expect("a request");
    within(sender.clone().send_request(request)).await.expect("a response")
}

async fn text(response: Response<Incoming>) -> String {
    let body = within(response.into_body().collect()).await.expect("a whole body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

fn status_of_cache(headers: &HeaderMap) -> &str {
    headers.get("cache-status").expect("the cache speaks").to_str().expect("ASCII")
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request, _| {
        let fields = [("Cache-Control", "max-age=60")];
        response(200, if request.target() == "/hit" { &fields } else { &[] }, request.target())
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    proxy.ask(get("/hit", &[])).await;
    let mut client = proxy.connect().await;
    let targets = ["/one", "/hit", "/two", "/hit", "/hit", "/three"];
    client.send(targets.map(|target| get(target, &[])).concat()).await.expect("a live proxy");
    for target in targets {
        assert_eq!(client.response().await.expect("a response").text(), target);
    }
}

#[tokio::test]
async fn a_pipelined_request_does_not_hold_back_the_events_before_it() {
    let (origin, gate) = llm_stream::gated().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    client.send([llm_stream::question(), llm_stream::question()].concat()).await.expect("a live proxy");
    client.response_head().await.expect("a head");
    for (index, event) in llm_stream::EVENTS.into_iter().enumerate() {
        if index > 0 {
            gate.add_permits(1);
        }
        assert_eq!(client.chunk().await.expect("an unbroken stream").expect("an event"), event.as_bytes());
    }
    assert_eq!(client.chunk().await.expect("a clean end"), None);
    assert!(client.response().await.expect("a response").is_hit());
}

#[tokio::test]
async fn an_old_client_gets_a_body_that_ends_with_the_connection() {
    let origin = Origin::answering(|_, _| {
        let parts = [response(200, &[("Transfer-Encoding", "chunked")], ""), chunk("one "), chunk("two"), chunk("")];
        parts.concat()
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    for fields in ["", "Host: old.example\r\n", "Host: old.example\r\nConnection: close\r\n"] {
        let mut client = proxy.connect().await;
        let given = client.ask(format!("GET /a HTTP/1.0\r\n{fields}\r\n")).await;
        assert_eq!((given.status(), given.text()), (200, "one two"), "{fields}");
        assert_eq!(given.field("transfer-encoding"), None, "HTTP/1.0 has no chunks");
        assert!(client.is_closed().await);
        assert_eq!(origin.requests().pop().expect("a request").values("via"), ["1.0 larder"]);
    }
}

#[tokio::test]
async fn an_old_client_may_keep_its_connection() {
    let origin = Origin::answering(|_, _| response(200, &[], "ok")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        let given = client.ask("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!((given.text(), given.field("connection")), ("ok", Some("keep-alive")));
    }
}

#[tokio::test]
async fn an_old_upstream_that_ends_its_body_by_closing_is_understood() {
    let origin = Origin::serving(|mut conversation| async move {
        conversation.request().await?;
        conversation.wire.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end").await
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        let given = client.ask(get("/a", &[])).await;
        assert_eq!((given.text(), given.values("via")), ("to the end", vec!["1.0 larder"]));
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let origin = Origin::answering(|_, _| response(200, &[], "ok")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    for target in ["/v1/files", CHAT] {
        let whole = post_json(target, &[("Expect", "100-continue")], QUESTION);
        let (head, body) = whole.split_at(whole.len() - QUESTION.len());
        let mut client = proxy.connect().await;
        client.send(head).await.expect("a live proxy");
        assert_eq!(client.response_head().await.expect("a head").status(), 100, "{target}");
        client.send(body).await.expect("a live proxy");
        assert_eq!(client.response().await.expect("a response").text(), "ok", "{target}");
        assert_eq!(origin.requests().pop().expect("a request").text(), QUESTION);
    }
}

#[tokio::test]
async fn interim_responses_of_the_upstream_are_not_taken_for_the_answer() {
    let origin = Origin::answering(|_, number| {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let fields = [("Content-Type", "application/json")];
        [interim.as_bytes(), &response(200, &fields, answer(number))].concat()
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    for _ in 0..2 {
        let mut client = proxy.connect().await;
        client.send(post_json(CHAT, &[], QUESTION)).await.expect("a live proxy");
        let mut given = client.response().await.expect("a response");
        while given.status() < 200 {
            given = client.response().await.expect("a response");
        }
        assert_eq!((given.status(), given.text()), (200, &*answer(1)));
    }
}

#[tokio::test]
async fn requests_on_one_h2c_connection_do_not_wait_for_each_other() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = gate.clone();
    let origin = Origin::serving(move |mut conversation| {
        let slow = slow.clone();
        async move {
            while let Some((request, number)) = conversation.request().await? {
                if request.target() == "/v1/slow" {
                    slow.acquire().await.map_err(std::io::Error::other)?.forget();
                }
                let fields = [("Content-Type", "application/json"), ("Connection", "keep-alive")];
                conversation.wire.send(response(200, &fields, answer(number))).await?;
            }
            Ok(())
        }
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let sender = http2(&proxy).await;
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { text(send(&sender, Method::GET, "/v1/slow", "").await).await }
    });
    within(async {
        while origin.calls() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let first = send(&sender, Method::POST, CHAT, QUESTION).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.headers().get("connection"), None, "h2 has no such field");
    assert_eq!(text(first).await, answer(2));
    let again = send(&sender, Method::POST, CHAT, QUESTION).await;
    assert!(status_of_cache(again.headers()).starts_with("larder; hit"));
    assert_eq!(text(again).await, answer(2));
    assert!(!waiting.is_finished(), "the slow one is still held");
    gate.add_permits(1);
    assert_eq!(within(waiting).await.expect("no panic"), answer(1));
}

#[tokio::test]
async fn an_answer_to_h2c_and_one_to_http1_are_the_same_answer() {
    let origin = Origin::answering(|_, number| response(200, &[("Content-Type", "application/json")], answer(number)));
    let origin = origin.await;
    let proxy = Proxy::start(&origin, &[]).await;
    let sender = http2(&proxy).await;
    assert_eq!(text(send(&sender, Method::POST, CHAT, QUESTION).await).await, answer(1));
    let given = proxy.ask(post_json(CHAT, &[], QUESTION)).await;
    assert!(given.is_hit() && given.text() == answer(1), "{}", given.cache());
    let seen = origin.request();
    assert_eq!(seen.values("via"), ["2 larder"]);
    assert_eq!(seen.field("host"), Some(&*origin.address().to_string()));
    assert_eq!(seen.field("x-forwarded-host"), Some("api.example"), "h2 has the host in its target");
}

#[tokio::test]
async fn cookies_that_http2_took_apart_arrive_as_one_field() {
    let origin = Origin::answering(|_, _| response(200, &[], "ok")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let request = Request::get("http://api.example/a").header("cookie", "a=1").header("cookie", "b=2");
    let request = request.body(Full::default()).expect("a request");
    let mut sender = http2(&proxy).await;
    assert_eq!(within(sender.send_request(request)).await.expect("a response").status(), StatusCode::OK);
    assert_eq!(origin.request().field("cookie"), Some("a=1; b=2"));
}

#[tokio::test]
async fn events_pass_live_over_h2c() {
    let (origin, gate) = llm_stream::gated().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let sender = http2(&proxy).await;
    let streamed = r#"{"model":"m","stream":true}"#;
    let mut body = send(&sender, Method::POST, CHAT, streamed).await.into_body();
    for (index, event) in llm_stream::EVENTS.into_iter().enumerate() {
        if index > 0 {
            gate.add_permits(1);
        }
        let frame = within(body.frame()).await.expect("a frame").expect("an unbroken stream");
        assert_eq!(frame.into_data().expect("data"), event);
    }
    let mut again = send(&sender, Method::POST, CHAT, streamed).await.into_body();
    for event in llm_stream::EVENTS {
        let frame = within(again.frame()).await.expect("a frame").expect("an unbroken stream");
        assert_eq!(frame.into_data().expect("data"), event, "a replay has the same events in the same frames");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_request_to_upgrade_is_answered_as_a_plain_one() {
    let origin = Origin::answering(|_, _| response(426, &[("Upgrade", "websocket")], "")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        assert_eq!(client.ask(request("GET", "/v1/realtime", &fields, b"")).await.status(), 426);
        assert_eq!(origin.requests().pop().expect("a request").field("upgrade"), None);
    }
}
