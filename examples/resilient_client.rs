//! A client that goes on when its upstream doesn't.
//!
//! ```text
//! cargo run --example resilient_client
//! ```
//!
//! `CacheLayer` over `RetryFallbackLayer` over a hyper client. The upstream first fails twice, then for good; then its
//! mirror fails, too; at last the upstream is back. What is printed says what the client gets meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{
    BoxError, CacheLayer, RetryFallbackLayer,
    clock::ManualClock,
    policy::Rfc9111,
    retry::{Attempts, Backoff, Fallback, FallbackKind, Upstream},
    store::Memory,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = Site::start("upstream").await?;
    let mirror = Site::start("mirror").await?;

    let retry = RetryFallbackLayer::builder()
        // Three attempts, as by default. The waits are short, so that the example is.
        .backoff(Backoff::constant(Duration::from_millis(20)))
        // First a stale answer, if there is one; then the mirror's, which isn't kept; then, for news alone, a default.
        .fallback(Fallback::stale())
        .fallback(Upstream::to(mirror.url.parse()?).storable(false))
        .fallback(Fallback::answer_with(|asked, _| {
            (asked.uri().path() == "/news").then(|| Response::new(Bytes::from_static(b"no news")))
        }))
        .try_build()?;
    let figures = retry.handle();

    // A clock that is moved by hand, so that two minutes pass at once; leave both `clock` calls out for the system's.
    let clock = ManualClock::default();
    let cache = CacheLayer::builder(Memory::builder(64 << 20).clock(clock.clone()).build()?)
        .policy(Rfc9111::shared().stale_if_error(Duration::from_secs(3600)))
        .clock(clock.clone())
        .try_build()?;
    let kept = cache.handle();

    let http = Client::builder(TokioExecutor::new()).build_http();
    // Of a `BoxError` the layer knows whether a request was sent, of hyper-util's own error it doesn't.
    let client = ServiceBuilder::new().layer(cache).layer(retry).map_err(BoxError::from).service(http);
    let ask = |path| ask(client.clone(), format!("{}{path}", upstream.url));

    upstream.fails(2);
    let answer = ask("/weather").await?.show("a retry succeeds");
    assert_eq!((answer.status, &*answer.body), (200, "weather from the upstream, call 3"));
    assert_eq!((answer.attempts.made, answer.attempts.fallback), (3, None));

    let answer = ask("/weather").await?.show("the cache has it");
    assert_eq!((&*answer.body, &*answer.cache), ("weather from the upstream, call 3", "larder; hit; ttl=60"));

    upstream.fails(u32::MAX);
    clock.advance(Duration::from_secs(120));
    let answer = ask("/weather").await?.show("a stale answer");
    assert_eq!((answer.status, &*answer.body), (200, "weather from the upstream, call 3"));
    assert_eq!(answer.cache, "larder; fwd=stale; fwd-status=503; ttl=-60; detail=stale-if-error");

    let answer = ask("/news").await?.show("another upstream");
    assert_eq!((answer.status, &*answer.body), (200, "news from the mirror, call 1"));
    assert_eq!((answer.attempts.made, answer.attempts.fallback), (4, Some(FallbackKind::Upstream)));

    mirror.fails(u32::MAX);
    let answer = ask("/news").await?.show("a default answer");
    assert_eq!((answer.status, &*answer.body), (200, "no news"));
    assert_eq!(answer.attempts.fallback, Some(FallbackKind::Default));
    // The weather alone: what only stood in for the news isn't kept.
    assert_eq!(kept.usage().await?.entries, 1);

    let answer = ask("/traffic").await?.show("a problem");
    assert_eq!((answer.status, answer.attempts.fallback), (503, Some(FallbackKind::Problem)));
    let problem: Value = serde_json::from_str(&answer.body)?;
    assert_eq!((&problem["attempts"], &problem["last_status"]), (&4.into(), &503.into()));

    upstream.fails(0);
    let answer = ask("/news").await?.show("the upstream is back");
    assert_eq!((answer.status, &*answer.body), (200, "news from the upstream, call 16"));
    assert_eq!((answer.attempts.made, answer.attempts.fallback), (1, None));
    assert_eq!(kept.usage().await?.entries, 2);

    let stats = figures.stats();
    println!("{} requests, {} attempts, {} retries", stats.requests, stats.attempts, stats.retries);
    assert_eq!((stats.requests, stats.attempts, stats.retries), (6, 19, 10));
    let stood_in = (stats.fallback_stale, stats.fallback_upstream, stats.fallback_default, stats.problems);
    assert_eq!(stood_in, (1, 1, 1, 1));
    Ok(())
}

/// What the client got.
struct Answer {
    status: u16,
    body: String,
    attempts: Attempts,
    /// What the cache says.
    cache: String,
}

async fn ask<S, B>(client: S, url: String) -> Result<Answer, BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: Into<BoxError>>,
    B: http_body::Body<Data = Bytes, Error = BoxError>,
{
    let response = client.oneshot(Request::get(url).body(Empty::new())?).await.map_err(Into::into)?;
    Ok(Answer {
        status: response.status().as_u16(),
        attempts: Attempts::of(&response),
        cache: response.headers()["cache-status"].to_str()?.to_owned(),
        body: String::from_utf8(response.into_body().collect().await?.to_bytes().into())?,
    })
}

impl Answer {
    fn show(self, name: &str) -> Self {
        let stood_in = self.attempts.fallback.map_or("nothing", FallbackKind::as_str);
        println!("{name:<20} {} {}", self.status, self.body);
        println!("{:20} attempts: {}, stood in: {stood_in}; cache-status: {}", "", self.attempts.made, self.cache);
        self
    }
}

/// An upstream that fails as often as it is told to.
struct Site {
    url: String,
    mood: Arc<Mood>,
}

struct Mood {
    name: &'static str,
    calls: AtomicU32,
    failures: AtomicU32,
}

impl Site {
    /// Listens on a free port until the program ends.
    async fn start(name: &'static str) -> Result<Self, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mood = Arc::new(Mood { name, calls: AtomicU32::new(0), failures: AtomicU32::new(0) });
        let app = Router::new().route("/{subject}", get(answer)).with_state(mood.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, mood })
    }

    /// The next so many requests are answered with 503.
    fn fails(&self, times: u32) {
        self.mood.failures.store(times, Ordering::SeqCst);
    }
}

async fn answer(
    State(mood): State<Arc<Mood>>,
    axum::extract::Path(subject): axum::extract::Path<String>,
) -> impl IntoResponse {
    let call = mood.calls.fetch_add(1, Ordering::SeqCst) + 1;
    let failing = mood.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    match failing {
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, [("cache-control", "no-store")], "out of order".to_owned()),
        Err(_) => (
            StatusCode::OK,
            [("cache-control", "max-age=60")],
            format!("{subject} from the {}, call {call}", mood.name),
        ),
    }
}
