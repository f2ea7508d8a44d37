//! A reqwest client that pays for a chat completion once.
//!
//! ```text
//! cargo run --example reqwest_client --features reqwest
//! ```
//!
//! Asks a stand-in for an LLM API, which takes a second for each answer, for the same chat completion twice, and then for
//! others.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::post};
use larder::{llm, store::Memory};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = start_upstream().await?;

    // Answers are fresh for a day. What counts is the request's body and its credential.
    let day = Duration::from_secs(24 * 60 * 60);
    let cache = llm::layer(Memory::new(256 << 20), day).build();
    let client = ClientBuilder::new(reqwest::Client::new()).with(cache).build();

    let question = r#"{"model": "gpt-4o", "messages": [{"role": "user", "content": "What is a larder?"}]}"#;
    ask("first", &client, &url, "key-of-a", question).await?;
    ask("again", &client, &url, "key-of-a", question).await?;

    // The order of keys and white space don't count; every value does.
    let reordered = r#"{"messages":[{"content":"What is a larder?","role":"user"}],"model":"gpt-4o"}"#;
    ask("reordered", &client, &url, "key-of-a", reordered).await?;
    let other = r#"{"model": "gpt-4o", "messages": [{"role": "user", "content": "What is a cellar?"}]}"#;
    ask("another question", &client, &url, "key-of-a", other).await?;

    // Nobody gets what another credential paid for.
    ask("another credential", &client, &url, "key-of-b", question).await
}

async fn ask(
    name: &str,
    client: &ClientWithMiddleware,
    url: &str,
    key: &str,
    body: &'static str,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let request = client.post(url).header("authorization", format!("Bearer {key}"));
    let response = request.header("content-type", "application/json").body(body).send().await?;
    let status = response.headers()["cache-status"].to_str()?.to_owned();
    let answer: Value = serde_json::from_slice(&response.bytes().await?)?;
    println!(
        "{name:<18} {:>4} ms  {}  cache-status: {status}",
        started.elapsed().as_millis(),
        answer["choices"][0]["message"]["content"],
    );
    Ok(())
}

/// Listens on a free port until the program ends.
async fn start_upstream() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/chat/completions", listener.local_addr()?);
    let app = Router::new().route("/v1/chat/completions", post(complete));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

async fn complete() -> Json<Value> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Json(json!({
        "object": "chat.completion",
        "model": "gpt-4o",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": format!("answer no. {call}")},
            // Without an end of its own, an answer isn't whole, and isn't kept.
            "finish_reason": "stop",
        }],
    }))
}
