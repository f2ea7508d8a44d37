//! A client that keeps to the limits of its provider, rather than run into them.
//!
//! ```text
//! cargo run --example paced_client
//! ```
//!
//! The provider lets five requests a second through, and says in each answer how many are left. A plain client runs into its 429.
//! One with a `RateLimitLayer` in front is told nothing of the limit: it learns it from the answers, and waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, middleware, response::Response, routing::get};
use bytes::Bytes;
use http::{Request, request::Parts};
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{
    BoxError, RateLimitLayer,
    rate_limit::{Fields, Limit, Quota, Subject, limiter::Local},
};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let provider = Provider::start().await?;

    let plain = Client::builder(TokioExecutor::new()).build_http();
    let statuses = ask(8, &plain, &provider.url).await?;
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);

    let pace = RateLimitLayer::builder(Local::new())
        // What it would keep to by itself. Who knows what the provider allows says it here, and is never told off at all.
        .limit(Limit::new(Quota::per_second(100)).per(host))
        // A 429 that says when to come back, and an answer that says that nothing is left, are believed.
        .learn(true)
        // A request rather waits than fails, but not for longer than this.
        .wait(Duration::from_secs(30))
        // What is said to servers' clients is of no use here.
        .fields(Fields::none())
        .try_build()?;
    let figures = pace.handle();
    let paced = ServiceBuilder::new().layer(pace).service(Client::builder(TokioExecutor::new()).build_http());

    // The provider's second isn't over yet: the first request may have to be told off for the client to learn.
    let statuses = ask(1, &paced, &provider.url).await?;
    println!("the first: {}", statuses[0]);
    let told_off = provider.told_off();
    let statuses = ask(12, &paced, &provider.url).await?;
    assert_eq!(statuses, [200; 12]);
    assert_eq!(provider.told_off(), told_off, "it has learned");

    let stats = figures.stats();
    println!("learned {} times, {} requests waited", stats.learned, stats.waited);
    assert!(stats.learned >= 2 && stats.waited >= 2, "{stats:?}");
    assert_eq!((stats.allowed, stats.denied), (13, 0));
    Ok(())
}

/// Each provider has limits of its own.
fn host(head: &Parts) -> Option<Subject> {
    Some(Subject::named("host", head.uri.authority()?.as_str()))
}

/// Asks so many times, one after the other; the statuses.
async fn ask<S, B>(times: usize, client: &S, url: &str) -> Result<Vec<u16>, BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: Into<BoxError>> + Clone,
{
    let (begun, mut statuses) = (Instant::now(), Vec::new());
    for _ in 0..times {
        let request = Request::get(url).body(Empty::new())?;
        statuses.push(client.clone().oneshot(request).await.map_err(Into::into)?.status().as_u16());
    }
    println!("{times} requests in {} ms: {statuses:?}", begun.elapsed().as_millis());
    Ok(statuses)
}

/// A provider with a limit, told as OpenAI does.
struct Provider {
    url: String,
    refusals: Arc<AtomicU32>,
}

impl Provider {
    /// Listens on a free port until the program ends.
    async fn start() -> Result<Self, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1/models", listener.local_addr()?);
        let refusals = Arc::new(AtomicU32::new(0));
        let limit = RateLimitLayer::builder(Local::new())
            .limit(Quota::per_second(5))
            .fields(Fields::none().openai(true))
            .try_build()?;
        let counted = refusals.clone();
        let count = middleware::map_response(move |response: Response| {
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            async { response }
        });
        let app = Router::new().route("/v1/models", get(|| async { "a list" })).layer(limit).layer(count);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, refusals })
    }

    /// How often it has said 429.
    fn told_off(&self) -> u32 {
        self.refusals.load(Ordering::SeqCst)
    }
}
