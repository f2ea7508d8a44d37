//! A real HTTP/1.1 server whose connections are counted: a retry uses the one that it has.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::{body::ReplayBody, retry::Backoff};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::Layer as _;

use super::stack::{quick, sent, took};
use crate::support::{Body, get, text};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup";

/// Answers the first request with `first`, all later ones well, and keeps connections open.
async fn serve(first: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, requests) = (connections.clone(), Arc::new(AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(keep(stream, requests.clone(), first.clone()));
        }
    });
    (address, connections)
}

async fn keep(mut stream: TcpStream, requests: Arc<AtomicUsize>, first: Vec<u8>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let answer = if requests.fetch_add(1, Ordering::SeqCst) == 0 { &first[..] } else { GOOD };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn down(length: usize, body: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 503 Down\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}

#[tokio::test]
async fn a_retry_comes_over_the_same_connection_if_the_failure_was_short() {
    let chunked = b"HTTP/1.1 503 Down\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndown\r\n0\r\n\r\n".to_vec();
    let cases = [
        ("empty", down(0, 0), 1),
        ("short", down(10_000, 10_000), 1),
        // More than the client itself reads of a body that is dropped.
        ("not very long", down(60_000, 60_000), 1),
        ("chunked", chunked, 1),
        ("too long to be read for nothing", down(4 << 20, 4 << 20), 2),
        ("never whole", down(10_000, 10), 2),
    ];
    for (name, first, expected) in cases {
        let (address, connections) = serve(first).await;
        let client: Client<HttpConnector, ReplayBody<Body>> = Client::builder(TokioExecutor::new()).build_http();
        // Time for the body to come, and for the connection to be free again.
        let layer = quick().backoff(Backoff::constant(Duration::from_millis(100))).build();
        let answer = sent(&layer.layer(client), get(&format!("http://{address}/"), &[])).await;
        assert_eq!(took(&answer), (2, None), "{name}");
        assert_eq!(text(answer).await, "up", "{name}");
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{name}");
    }
}
