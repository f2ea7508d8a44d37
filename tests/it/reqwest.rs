//! The layer as a middleware of a reqwest client, against an axum server on loopback.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ::reqwest::{Body, Client, Request, Response};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use http::{Extensions, Method};
use larder::{
    CacheLayer,
    cache::Builder,
    clock::ManualClock,
    fingerprint::RequestFingerprint,
    header::cache_status::{CacheStatus, Outcome},
    policy::Ttl,
    store::Memory,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use std::time::Duration;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tracing::{Instrument as _, field::Empty, info_span};

use crate::support::{Feed, Spans, channel, memory};

const SECOND: Duration = Duration::from_secs(1);

/// What the server is to do, and what it saw.
#[derive(Default)]
struct Site {
    calls: AtomicUsize,
    status: AtomicUsize,
    seen: std::sync::Mutex<Vec<HeaderMap>>,
}

struct Server {
    address: SocketAddr,
    site: Arc<Site>,
    task: JoinHandle<()>,
    feeds: mpsc::UnboundedReceiver<Feed>,
}

async fn page(State(site): State<Arc<Site>>, headers: HeaderMap) -> impl IntoResponse {
    let number = site.calls.fetch_add(1, Ordering::SeqCst);
    site.seen.lock().expect("no panic").push(headers);
    let status = StatusCode::from_u16(site.status.load(Ordering::SeqCst) as u16).unwrap_or(StatusCode::OK);
    (status, [("cache-control", "max-age=60, stale-while-revalidate=30, stale-if-error=300")], number.to_string())
}

async fn echo(State(site): State<Arc<Site>>, headers: HeaderMap, body: String) -> String {
    let number = site.calls.fetch_add(1, Ordering::SeqCst);
    site.seen.lock().expect("no panic").push(headers);
    format!("{number} {body}")
}

impl Server {
    async fn start() -> Self {
        let site = Arc::new(Site::default());
        let (sender, feeds) = mpsc::unbounded_channel();
        let stream = move || {
            let sender = sender.clone();
            async move {
                let (feed, body) = channel();
                let _ = sender.send(feed);
                ([("cache-control", "max-age=60")], axum::body::Body::new(body))
            }
        };
        let app = Router::new()
            .route("/", get(page))
            .route("/echo", post(echo))
            .route("/moved", post(|| async { (StatusCode::TEMPORARY_REDIRECT, [("location", "/echo")]) }))
            .route("/stream", get(stream))
            .with_state(site.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { address, site, task, feeds }
    }

    fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn calls(&self) -> usize {
        self.site.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn layer(clock: &ManualClock) -> Builder<Memory> {
    CacheLayer::builder(memory(clock)).clock(clock.clone())
}

/// Without a pool, so that no connection outlives the server.
fn base() -> Client {
    Client::builder().pool_max_idle_per_host(0).no_proxy().build().expect("a client")
}

fn client(middleware: impl Middleware) -> ClientWithMiddleware {
    ClientBuilder::new(base()).with(middleware).build()
}

fn outcome(response: &Response) -> Outcome {
    response.extensions().get::<CacheStatus>().expect("a status").outcome
}

fn said(response: &Response) -> &str {
    response.headers()["cache-status"].to_str().expect("printable")
}

#[tokio::test]
async fn the_second_request_is_a_hit() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let client = client(layer(&clock).build());
    for expected in ["larder; fwd=uri-miss; fwd-status=200; stored", "larder; hit; ttl=60"] {
        let answer = client.get(server.uri("/")).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), said(&answer)), (200, expected));
        assert_eq!(outcome(&answer) == Outcome::Hit, expected.contains("hit"));
        assert_eq!(answer.text().await.expect("whole"), "0");
    }
    assert_eq!(server.calls(), 1);
}

/// `error_for_status`, redirect handling and logs go by it.
#[tokio::test]
async fn a_response_knows_its_url() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let client = client(layer(&clock).build());
    for what in ["a miss", "a hit"] {
        let answer = client.get(server.uri("/")).send().await.expect("an answer");
        assert_eq!(answer.url().as_str(), server.uri("/"), "{what}");
        answer.text().await.expect("whole");
    }
}

#[tokio::test]
async fn the_server_sees_the_request_that_it_would_see_without_the_layer() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let plain = base();
    let cached = client(layer(&clock).fingerprint(RequestFingerprint::new().json_body(100)).build());
    plain.get(server.uri("/")).header("x-a", "1").send().await.expect("an answer");
    cached.get(server.uri("/")).header("x-a", "1").send().await.expect("an answer");
    plain.post(server.uri("/echo")).body("[1]").send().await.expect("an answer");
    cached.post(server.uri("/echo")).body("[1]").send().await.expect("an answer");
    let seen = server.site.seen.lock().expect("no panic");
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[2], seen[3]);
}

/// A hit has no span of its own.
#[tokio::test]
async fn a_hit_writes_nothing_in_the_application_s_span() {
    let (clock, spans) = (ManualClock::default(), Spans::new());
    let server = Server::start().await;
    let client = client(layer(&clock).build());
    client.get(server.uri("/")).send().await.expect("an answer").text().await.expect("whole");
    let request = info_span!(target: "larder_application", "request", "http.response.status_code" = Empty);
    client.get(server.uri("/")).send().instrument(request).await.expect("a hit");
    let all = spans.all();
    let request = all.iter().find(|span| span.name == "request").expect("it is seen");
    assert!(request.fields.is_empty(), "{request:?}");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn a_stale_answer_is_refreshed_before_it_is_given() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let client = client(layer(&clock).build());
    client.get(server.uri("/")).send().await.expect("an answer").text().await.expect("whole");
    clock.advance(70 * SECOND);
    let answer = client.get(server.uri("/")).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("whole"), "1", "nothing can be refreshed behind a borrowed Next");
    let answer = client.get(server.uri("/")).send().await.expect("an answer");
    assert_eq!((said(&answer), server.calls()), ("larder; hit; ttl=60", 2));
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_a_503_and_for_a_server_that_is_gone() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let client = client(layer(&clock).build());
    let uri = server.uri("/");
    client.get(&uri).send().await.expect("an answer").text().await.expect("whole");
    clock.advance(100 * SECOND);
    server.site.status.store(503, Ordering::SeqCst);
    let answer = client.get(&uri).send().await.expect("an answer");
    assert_eq!(said(&answer), "larder; fwd=stale; fwd-status=503; ttl=-40; detail=stale-if-error");
    assert_eq!(answer.text().await.expect("whole"), "0");
    drop(server);
    tokio::task::yield_now().await;
    let answer = client.get(&uri).send().await.expect("an answer");
    assert_eq!(said(&answer), "larder; fwd=stale; ttl=-40; detail=stale-if-error");
    clock.advance(300 * SECOND);
    assert!(client.get(&uri).send().await.expect_err("the window is over").is_connect());
}

/// Within stale-while-revalidate the answer in hand needs nobody's leave to be served.
#[tokio::test]
async fn a_refresh_that_fails_does_not_take_the_stale_answer_away() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let policy = Ttl::new(60 * SECOND).override_origin(true).stale_while_revalidate(60 * SECOND);
    let client = client(layer(&clock).policy(policy).build());
    let uri = server.uri("/");
    client.get(&uri).send().await.expect("an answer").text().await.expect("whole");
    clock.advance(70 * SECOND);
    server.site.status.store(503, Ordering::SeqCst);
    let answer = client.get(&uri).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("whole").as_str()), (200, "0"));
    drop(server);
    tokio::task::yield_now().await;
    let answer = client.get(&uri).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("whole"), "0");
}

/// What refreshes is a request for the whole, and its answer isn't what such a client asked for.
#[tokio::test]
async fn a_client_that_asks_for_less_than_the_whole_gets_less_and_refreshes_the_whole() {
    let cases: [(Method, &[(&str, &str)], u16, &str); 3] = [
        (Method::HEAD, &[], 200, ""),
        (Method::GET, &[("range", "bytes=0-0")], 206, "0"),
        (Method::GET, &[("if-none-match", "*")], 304, ""),
    ];
    for (method, fields, status, body) in cases {
        let clock = ManualClock::default();
        let server = Server::start().await;
        let client = client(layer(&clock).build());
        let uri = server.uri("/");
        client.get(&uri).send().await.expect("an answer").text().await.expect("whole");
        clock.advance(70 * SECOND);
        let request =
            fields.iter().fold(client.request(method, &uri), |request, field| request.header(field.0, field.1));
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), server.calls()), (status, 2), "{fields:?}");
        assert_eq!(answer.text().await.expect("whole"), body, "{fields:?}");
        let hit = client.get(&uri).send().await.expect("an answer");
        assert_eq!(said(&hit), "larder; hit; ttl=60", "{fields:?}");
        assert_eq!(hit.text().await.expect("whole"), "1", "{fields:?}");
    }
}

#[tokio::test]
async fn a_streamed_answer_arrives_as_it_is_sent() {
    let clock = ManualClock::default();
    let mut server = Server::start().await;
    let client = client(layer(&clock).build());
    let mut answer = client.get(server.uri("/stream")).send().await.expect("an answer");
    let feed = server.feeds.recv().await.expect("a feed");
    feed.data("one");
    assert_eq!(answer.chunk().await.expect("no error").as_deref(), Some(&b"one"[..]));
    let mut follower = client.get(server.uri("/stream")).send().await.expect("an answer");
    assert_eq!(follower.chunk().await.expect("no error").as_deref(), Some(&b"one"[..]));
    feed.data("two");
    drop(feed);
    assert_eq!(answer.text().await.expect("whole"), "two");
    assert_eq!(follower.text().await.expect("whole"), "two");
    let hit = client.get(server.uri("/stream")).send().await.expect("an answer");
    assert_eq!(said(&hit), "larder; hit; ttl=60");
    assert_eq!(hit.text().await.expect("whole"), "onetwo");
}

fn json_client(clock: &ManualClock) -> CacheLayer<Memory, RequestFingerprint, Ttl> {
    let fingerprint = RequestFingerprint::new().json_body(1000);
    layer(clock).fingerprint(fingerprint).policy(Ttl::new(60 * SECOND)).build()
}

async fn send(client: &ClientWithMiddleware, uri: String, body: impl Into<Body>) -> String {
    let answer = client.post(uri).header("content-type", "application/json").body(body).send().await;
    answer.expect("an answer").text().await.expect("whole")
}

#[tokio::test]
async fn a_post_is_a_hit_by_its_json_and_its_bytes_go_upstream() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let client = client(json_client(&clock));
    let first = r#"{ "b":1, "a":[2] }"#;
    assert_eq!(send(&client, server.uri("/echo"), first).await, format!("0 {first}"));
    assert_eq!(send(&client, server.uri("/echo"), r#"{"a":[2],"b":1.0}"#).await, format!("0 {first}"));
    assert_eq!(send(&client, server.uri("/echo"), r#"{"a":[3],"b":1}"#).await, r#"1 {"a":[3],"b":1}"#);
    assert_eq!(server.calls(), 2);
}

/// reqwest follows 307 and 308 by sending the body again.
#[tokio::test]
async fn a_post_is_still_redirected_with_its_body() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    assert_eq!(
        base().post(server.uri("/moved")).body("[1]").send().await.expect("an answer").text().await.expect("whole"),
        "0 [1]"
    );
    let client = client(json_client(&clock));
    assert_eq!(send(&client, server.uri("/moved"), "[1]").await, "1 [1]");
}

/// Fails like reqwest-retry does if a request can't be sent twice.
struct NeedsClone;

#[async_trait::async_trait]
impl Middleware for NeedsClone {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if request.try_clone().is_none() {
            return Err(reqwest_middleware::Error::Middleware(anyhow::anyhow!("request object is not cloneable")));
        }
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn a_retry_middleware_inside_can_still_send_the_request_twice() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let client = ClientBuilder::new(base()).with(json_client(&clock)).with(NeedsClone).build();
    client.get(server.uri("/")).send().await.expect("a GET has no body");
    let answer = client.post(server.uri("/echo")).header("content-type", "application/json").body("[1]").send().await;
    answer.expect("a body that was read whole can be sent again");
    client.get(server.uri("/")).header("cache-control", "no-store").send().await.expect("a bypassed GET");
}

#[tokio::test]
async fn errors_of_the_client_come_out_unchanged() {
    let clock = ManualClock::default();
    let server = Server::start().await;
    let uri = server.uri("/");
    drop(server);
    tokio::task::yield_now().await;
    let client = client(layer(&clock).build());
    assert!(client.get(&uri).send().await.expect_err("nobody is there").is_connect());
    let answer = client.get(&uri).header("cache-control", "only-if-cached").send().await.expect("an answer");
    assert_eq!(answer.status(), 504);
}
