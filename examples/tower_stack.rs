//! larder in a tower stack, over a hyper client.
//!
//! ```text
//! cargo run --example tower_stack
//! ```
//!
//! Three identical requests at once make one upstream call. Later, when the answer is stale and the upstream is gone, it is
//! served all the same.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{
    BoxError, CacheLayer,
    clock::ManualClock,
    fingerprint::{RequestFingerprint, Scope},
    policy::Ttl,
    store::Memory,
};
use tokio::{net::TcpListener, sync::oneshot};
use tower::{Service, ServiceBuilder, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/search", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let upstream = tokio::spawn(async move {
        let app = Router::new().route("/search", post(search));
        axum::serve(listener, app).with_graceful_shutdown(async { stopped.await.unwrap_or_default() }).await
    });

    // A clock that is moved by hand, so that an hour passes at once; leave both `clock` calls out for the system's.
    let clock = ManualClock::default();
    let cache = CacheLayer::builder(Memory::builder(64 << 20).clock(clock.clone()).build()?)
        // What makes two requests the same: method, URI, the JSON body up to 1 MiB, and the tenant.
        .fingerprint(
            RequestFingerprint::new().json_body(1 << 20).scope(Scope::tenant_in(HeaderName::from_static("x-tenant"))),
        )
        // An answer is fresh for an hour, and may stand in for an error for a day after that.
        .policy(Ttl::new(Duration::from_secs(3600)).stale_if_error(Duration::from_secs(86_400)))
        .clock(clock.clone())
        .try_build()?;
    let client = ServiceBuilder::new().layer(cache).service(Client::builder(TokioExecutor::new()).build_http());

    println!("three at once, which say the same in three ways:");
    tokio::try_join!(
        ask(client.clone(), &url, "acme", r#"{"q": "cheese", "limit": 3}"#),
        ask(client.clone(), &url, "acme", r#"{"limit": 3, "q": "cheese"}"#),
        ask(client.clone(), &url, "acme", r#"{"limit":3.0,"q":"\u0063heese"}"#),
    )?;
    println!("another tenant:");
    ask(client.clone(), &url, "bodega", r#"{"q": "cheese", "limit": 3}"#).await?;

    println!("two hours later, without the upstream:");
    clock.advance(Duration::from_secs(7200));
    drop(stop);
    upstream.await??;
    ask(client, &url, "acme", r#"{"q": "cheese", "limit": 3}"#).await
}

/// Works with any service, which the cache doesn't change but for the type of the body.
async fn ask<S, B>(client: S, url: &str, tenant: &str, body: &'static str) -> Result<(), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>>,
    B: http_body::Body<Data = Bytes, Error = BoxError>,
{
    let request = Request::post(url).header("content-type", "application/json").header("x-tenant", tenant);
    let response = client.oneshot(request.body(Full::from(body))?).await.map_err(Into::into)?;
    let status = response.headers()["cache-status"].to_str()?.to_owned();
    let answer = response.into_body().collect().await?.to_bytes();
    println!("  {}  cache-status: {status}", String::from_utf8_lossy(&answer));
    Ok(())
}

async fn search() -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    tokio::time::sleep(Duration::from_millis(300)).await;
    format!("answer no. {call}")
}
