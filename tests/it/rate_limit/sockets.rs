//! An axum server on a real socket, and real clients.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    routing::{get, post},
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::{
    RateLimitLayer,
    rate_limit::{Address, Handle, Limit, Problem, Quota, Unit},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::words::{head, limited, list, problem, retry_after, told};
use crate::support::{Feed, channel, field, settle, text};

/// What is counted does not slide out of a window while a test runs.
const A_DAY: Quota = Quota::per_day(2);

/// Serves a router on loopback.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

fn hello() -> Router {
    let echo = post(|body: Bytes| async move { body });
    Router::new().route("/", get(|| async { "hello" })).route("/echo", echo)
}

async fn ask(address: SocketAddr, method: &str, fields: &[(&str, &str)]) -> Response<Incoming> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().method(method).uri(format!("http://{address}/"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    client.request(request.body(Full::default()).expect("a request")).await.expect("a response")
}

fn peer() -> Address {
    Address::new().peer(|head| head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0))
}

/// All that comes over a connection for these bytes, until the server closes it.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a server");
    stream.write_all(bytes).await.expect("a server");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an end");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_client_reads_the_limits_off_every_answer_of_a_server() {
    let address = serve(hello().layer(RateLimitLayer::new(A_DAY))).await;
    for left in [1, 0] {
        let response = ask(address, "GET", &[]).await;
        assert_eq!((response.status().as_u16(), field(&response, "content-length")), (200, Some("5")));
        assert_eq!(list(&response, "ratelimit-policy")["rpd"]["q"], "2");
        assert_eq!((told(&response, "rpd", "r"), field(&response, "x-ratelimit-limit")), (Some(left), Some("2")));
        assert_eq!(text(response).await, "hello");
    }
    let denied = ask(address, "GET", &[]).await;
    assert_eq!(denied.status(), 429);
    let (retry, t) = (retry_after(&denied).expect("a time"), told(&denied, "rpd", "t").expect("a time"));
    assert!(retry >= t && retry > 86_000, "{retry} {t}");
    let length: usize = field(&denied, "content-length").expect("a length").parse().expect("a number");
    let text = text(denied).await;
    assert_eq!(text.len(), length);
    assert!(text.contains("\"retryAfter\":"), "{text}");
}

#[tokio::test]
async fn what_a_router_does_not_find_is_limited_as_well() {
    let address =
        serve(hello().fallback(|| async { http::StatusCode::NOT_FOUND }).layer(RateLimitLayer::new(A_DAY))).await;
    let mut statuses = Vec::new();
    for path in ["/none", "/", "/none"] {
        let answer =
            raw(address, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.to_ascii_lowercase().contains("\r\nratelimit: \"rpd\";r="), "{answer}");
        statuses.push(answer[9..12].to_owned());
    }
    assert_eq!(statuses, ["404", "200", "429"]);
}

#[tokio::test]
async fn a_client_cannot_be_another_by_what_it_says() {
    let address = serve(hello().layer(RateLimitLayer::new(Limit::new(A_DAY).per(peer())))).await;
    let mut statuses = Vec::new();
    for number in 0..4 {
        let claims = format!("203.0.113.{number}");
        let fields = [("x-forwarded-for", &*claims), ("forwarded", &format!("for={claims}")), ("x-real-ip", &claims)];
        statuses.push(ask(address, "GET", &fields).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_limited_by_what_the_proxy_saw() {
    let trusting = peer().trusted_proxies(["127.0.0.0/8".parse().expect("a network")]);
    let address = serve(hello().layer(RateLimitLayer::new(Limit::new(A_DAY).per(trusting)))).await;
    let mut statuses = Vec::new();
    for chain in
        ["1.1.1.1, 203.0.113.1", "2.2.2.2, 203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.1, 203.0.113.2"]
    {
        statuses.push(ask(address, "GET", &[("x-forwarded-for", chain)]).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200, 200]);
}

#[tokio::test]
async fn a_denied_head_request_leaves_the_connection_usable() {
    let address = serve(hello().layer(RateLimitLayer::new(Quota::per_day(1)))).await;
    assert_eq!(ask(address, "GET", &[]).await.status(), 200);
    let answer =
        raw(address, b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\nHEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await;
    assert_eq!(answer.matches("HTTP/1.1 429 Too Many Requests\r\n").count(), 2, "{answer}");
    assert!(answer.ends_with("\r\n\r\n") && !answer.contains('{'), "{answer}");
    // The length of what a GET would be told.
    assert!(!answer.to_ascii_lowercase().contains("content-length: 0\r\n"), "{answer}");
}

#[tokio::test]
async fn a_denied_upload_is_answered_though_nobody_read_it() {
    let layer = RateLimitLayer::new(Quota::per_day(1));
    let address = serve(hello().layer(layer)).await;
    assert_eq!(ask(address, "GET", &[]).await.status(), 200);
    let answer = raw(
        address,
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1 429 Too Many Requests\r\n").count(), 2, "{answer}");
}

/// A server that streams what the test feeds it.
async fn streaming(layer: RateLimitLayer) -> (SocketAddr, Feed) {
    let (feed, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let app = Router::new().route(
        "/",
        get(move || {
            let body = body.lock().expect("no panic").take();
            async move { Response::new(body.map_or_else(|| Body::from("later"), Body::new)) }
        }),
    );
    (serve(app.layer(layer)).await, feed)
}

async fn used(handle: &Handle) -> Vec<u64> {
    let standings = handle.standings(&head("http://a/", &[])).await.expect("an answer");
    standings.iter().map(|(_, standing)| standing.used).collect()
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_its_slot_and_pays_for_what_it_got() {
    let layer = limited(Quota::concurrent(1)).limit(Quota::per_day(1000).of(Unit::Bytes)).build();
    let handle = layer.handle();
    let (address, feed) = streaming(layer).await;
    let mut response = ask(address, "GET", &[]).await;
    feed.data("hello");
    assert_eq!(crate::support::data(&mut response).await, "hello");
    let denied = ask(address, "GET", &[]).await;
    assert_eq!((denied.status().as_u16(), retry_after(&denied)), (429, None));
    assert_eq!(problem(denied).await["violated-policies"], serde_json::json!(["concurrent"]));
    drop(response);
    // The server notices when it writes, or reads the end.
    feed.dropped().await;
    settle().await;
    assert_eq!(used(&handle).await, [0, 5]);
    assert_eq!(text(ask(address, "GET", &[]).await).await, "later");
    assert_eq!(used(&handle).await, [0, 10]);
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_with_its_trailers() {
    let layer = limited(Quota::concurrent(1)).limit(Quota::per_day(1000).of(Unit::Bytes)).build();
    let handle = layer.handle();
    let (address, feed) = streaming(layer).await;
    let mut response = ask(address, "GET", &[("te", "trailers")]).await;
    assert_eq!((told(&response, "concurrent", "r"), field(&response, "transfer-encoding")), (Some(0), Some("chunked")));
    for part in ["one", "two"] {
        feed.data(part);
        assert_eq!(crate::support::data(&mut response).await, part);
    }
    drop(feed);
    assert!(response.body_mut().frame().await.is_none());
    settle().await;
    assert_eq!(used(&handle).await, [0, 6]);
}

#[tokio::test]
async fn clients_of_providers_find_an_error_in_a_denial() {
    let layer = limited(Quota::per_day(0)).problem(Problem::new().error_member(true)).build();
    let problem = problem(ask(serve(hello().layer(layer)).await, "GET", &[]).await).await;
    assert_eq!(problem["error"]["type"], "rate_limit_error");
    assert_eq!(problem["error"]["message"], problem["detail"]);
}
