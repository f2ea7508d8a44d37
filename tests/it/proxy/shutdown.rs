//! The end: on a signal, but not in the middle of an answer.

use tokio::net::TcpStream;

use super::{
    llm_stream::{EVENTS, gated, question},
    message::{get, response},
    origin::Origin,
    process::Proxy,
    within,
};

/// Signals the proxy, and waits until it has heard it.
async fn stop(proxy: &Proxy, signal: &str) {
    proxy.signal(signal).await;
    proxy.log().find(|line| line.contains("shutting down")).await;
}

#[tokio::test]
async fn a_signal_lets_a_running_stream_end() {
    for signal in ["TERM", "INT"] {
        let (origin, gate) = gated().await;
        let mut proxy = Proxy::start(&origin, &[]).await;
        let mut client = proxy.connect().await;
        client.send(question()).await.expect("a live proxy");
        client.response_head().await.expect("a head");
        client.chunk().await.expect("an unbroken stream");
        stop(&proxy, signal).await;
        let refused = within(TcpStream::connect(proxy.address())).await;
        assert!(refused.is_err(), "{signal}: new connections are not accepted");
        gate.add_permits(EVENTS.len());
        let rest = client.body().await.expect("an unbroken stream");
        assert_eq!(rest, EVENTS[1..].concat().as_bytes(), "{signal}");
        assert_eq!(proxy.end().await.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_all_at_once() {
    let (origin, _gate) = gated().await;
    let mut proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    client.send(question()).await.expect("a live proxy");
    client.response_head().await.expect("a head");
    client.chunk().await.expect("an unbroken stream");
    stop(&proxy, "TERM").await;
    proxy.signal("TERM").await;
    proxy.end().await;
    assert!(client.body().await.is_err(), "the stream did not end well");
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let origin = Origin::answering(|_, _| response(200, &[], "ok")).await;
    let mut proxy = Proxy::start(&origin, &[]).await;
    let mut used = proxy.connect().await;
    used.ask(get("/a", &[])).await;
    let mut unused = proxy.connect().await;
    proxy.ask(get("/b", &[])).await;
    stop(&proxy, "TERM").await;
    assert_eq!(proxy.end().await.code(), Some(0));
    assert!(used.is_closed().await && unused.is_closed().await);
    let slow = proxy.log().all().iter().any(|line| line.contains("did not end in time"));
    assert!(!slow, "{:#?}", proxy.log().all());
}
