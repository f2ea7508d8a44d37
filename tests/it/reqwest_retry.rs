//! Retries as a middleware of a reqwest client, against an axum server on loopback.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::reqwest::{Client, Request, Response};
use axum::{Router, extract::State, routing::any};
use http::{Extensions, HeaderMap, StatusCode, Uri};
use larder::{
    CacheLayer, RetryFallbackLayer,
    policy::Ttl,
    retry::{Attempts, Backoff, Builder, FallbackKind, Upstream},
    store::Memory,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::{net::TcpListener, task::JoinHandle};

/// Answers with the statuses that it is given, one after another, and then with 200.
struct Server {
    address: SocketAddr,
    site: Arc<Site>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Site {
    calls: AtomicUsize,
    failures: Mutex<Vec<u16>>,
    seen: Mutex<Vec<(HeaderMap, String)>>,
}

async fn answer(State(site): State<Arc<Site>>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let number = site.calls.fetch_add(1, Ordering::SeqCst);
    site.seen.lock().expect("no panic").push((headers, body));
    let status = site.failures.lock().expect("no panic").pop().unwrap_or(200);
    (StatusCode::from_u16(status).expect("a status"), number.to_string())
}

impl Server {
    async fn start(failures: &[u16]) -> Self {
        let site = Arc::new(Site::default());
        site.failures.lock().expect("no panic").extend(failures.iter().rev());
        let app = Router::new().fallback(any(answer)).with_state(site.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { address, site, task }
    }

    fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn base(&self) -> Uri {
        self.uri("").parse().expect("a URI")
    }

    fn bodies(&self) -> Vec<String> {
        self.site.seen.lock().expect("no panic").iter().map(|(_, body)| body.clone()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}/", listener.local_addr().expect("an address"))
}

fn retrying() -> Builder {
    RetryFallbackLayer::builder().backoff(Backoff::constant(Duration::from_millis(1)))
}

fn base() -> ClientBuilder {
    ClientBuilder::new(Client::builder().pool_max_idle_per_host(0).no_proxy().build().expect("a client"))
}

fn client(middleware: impl Middleware) -> ClientWithMiddleware {
    base().with(middleware).build()
}

fn made(response: &Response) -> (u32, Option<FallbackKind>) {
    let attempts = response.extensions().get::<Attempts>();
    attempts.map_or((1, None), |attempts| (attempts.made, attempts.fallback))
}

#[tokio::test]
async fn what_fails_is_retried_with_the_same_body_and_knows_its_url() {
    let server = Server::start(&[503, 500]).await;
    let client = client(retrying().build());
    let response = client.put(server.uri("/a")).body("body").send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), made(&response)), (200, (3, None)));
    assert_eq!(response.url().as_str(), server.uri("/a"));
    assert_eq!(response.text().await.expect("a body"), "2");
    assert_eq!(server.bodies(), ["body"; 3]);
}

#[tokio::test]
async fn a_post_that_was_never_sent_goes_to_the_fallback_and_one_that_was_does_not() {
    let mirror = Server::start(&[]).await;
    let with_mirror = client(retrying().fallback(Upstream::to(mirror.base())).build());
    let response = with_mirror.post(nobody().await).body("body").send().await.expect("an answer");
    assert_eq!(made(&response), (4, Some(FallbackKind::Upstream)));
    assert_eq!(response.url().as_str(), mirror.uri("/"));

    let server = Server::start(&[503; 9]).await;
    let response = with_mirror.post(server.uri("/")).body("body").send().await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!((server.bodies().len(), mirror.bodies().len()), (1, 1));
}

#[tokio::test]
async fn errors_of_the_client_come_out_unchanged() {
    let client = client(retrying().problem(None).build());
    let error = client.get(nobody().await).send().await.expect_err("nobody listens");
    assert!(matches!(&error, reqwest_middleware::Error::Reqwest(error) if error.is_connect()), "{error:?}");
}

/// Counts its requests in the client's extensions.
struct Counting;

#[derive(Clone, Debug, PartialEq)]
struct Count(u32);

#[async_trait::async_trait]
impl Middleware for Counting {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let count = extensions.get::<Count>().map_or(0, |Count(count)| *count);
        extensions.insert(Count(count + 1));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn what_a_middleware_inside_notes_of_one_attempt_it_finds_at_the_next() {
    let server = Server::start(&[503, 503]).await;
    let client = base().with(retrying().build()).with(Counting).build();
    let mut extensions = Extensions::new();
    extensions.insert(7_u8);
    let request = client.get(server.uri("/")).build().expect("a request");
    client.execute_with_extensions(request, &mut extensions).await.expect("an answer");
    assert_eq!(extensions.get::<Count>(), Some(&Count(3)));
    assert_eq!(extensions.get::<u8>(), Some(&7));
}

#[tokio::test]
async fn a_cache_outside_keeps_what_a_retry_brought_and_nothing_that_stands_in() {
    let server = Server::start(&[503, 200, 503, 503, 503]).await;
    let cache = CacheLayer::builder(Memory::new(1 << 20)).policy(Ttl::new(Duration::from_secs(60))).build();
    let sorry = || http::Response::new(bytes::Bytes::from_static(b"sorry"));
    let retry = retrying().fallback(larder::retry::Fallback::answer(sorry())).build();
    let client = base().with(cache).with(retry).build();
    let get = async |path: &str| {
        let response = client.get(server.uri(path)).send().await.expect("an answer");
        response.text().await.expect("a body")
    };
    assert_eq!(get("/a").await, "1");
    assert_eq!(get("/a").await, "1", "kept");
    assert_eq!(get("/b").await, "sorry");
    assert_eq!(get("/b").await, "5", "not kept, and the server is back");
}
