//! An axum server that keeps its answers.
//!
//! ```text
//! cargo run --example axum_server
//! ```
//!
//! The server has one slow route, and asks itself for it: the first request waits, the second doesn't, and after a purge the
//! next one waits again.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use axum::{Router, response::IntoResponse, routing::get};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::{CacheLayer, store::Memory, tag::Selector};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // One line in the router. The store holds at most 64 MiB, each entry counted with all that it takes.
    let cache = CacheLayer::new(Memory::new(64 << 20));
    let handle = cache.handle();
    let app = Router::new().route("/report", get(report)).layer(cache);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = Client::builder(TokioExecutor::new()).build_http();
    show("first", &client, address).await?;
    show("second", &client, address).await?;

    // Labels are `method:host/path`; the pattern is a glob. `Surrogate-Key` and `Cache-Tag` make tags that can be purged too.
    let purged = handle.purge(&Selector::label("get:*/report")).await?;
    println!("purged {purged} entry");
    show("third", &client, address).await?;

    let (stats, usage) = (handle.stats(), handle.usage().await?);
    println!(
        "hits {}, misses {}, stored {}, purged {}; {} entry of {} bytes",
        stats.hits, stats.misses, stats.stored, stats.purged, usage.entries, usage.bytes
    );
    Ok(())
}

/// Takes half a second, and says for how long its answer is good: what `CacheLayer::new` goes by.
async fn report() -> impl IntoResponse {
    static MADE: AtomicU32 = AtomicU32::new(0);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let made = MADE.fetch_add(1, Ordering::Relaxed) + 1;
    ([("cache-control", "max-age=60")], format!("report no. {made}"))
}

async fn show(name: &str, client: &Client<HttpConnector, Empty<Bytes>>, address: SocketAddr) -> anyhow::Result<()> {
    let started = Instant::now();
    let response = client.get(format!("http://{address}/report").parse()?).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    println!(
        "{name:<7} {} in {:>3} ms: {:?}  cache-status: {}",
        head.status.as_u16(),
        started.elapsed().as_millis(),
        String::from_utf8_lossy(&body),
        head.headers["cache-status"].to_str()?,
    );
    Ok(())
}
