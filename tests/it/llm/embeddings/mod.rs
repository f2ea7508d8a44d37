//! Embeddings that are kept text by text.

mod faults;
mod laws;
mod passes;
mod shared;

use std::{io, time::Duration};

use http::{Request, Response};
use larder::{
    body::ReplayBody,
    clock::ManualClock,
    llm::{EmbeddingsLayer, embeddings::Builder},
    store::Memory,
};
use serde_json::{Value, json};
use tower::Service;

use crate::support::{Act, Body, Script, Seen, ask, full, memory, post, reply, text};

const URI: &str = "https://api.example/v1/embeddings";
const JSON: (&str, &str) = ("content-type", "application/json");
const HOUR: Duration = Duration::from_secs(3600);

fn layer(clock: &ManualClock) -> Builder<Memory> {
    EmbeddingsLayer::builder(memory(clock), HOUR).clock(clock.clone())
}

fn body(input: &Value) -> String {
    format!(r#"{{"model":"m","input":{input},"encoding_format":"float"}}"#)
}

fn request(input: &Value) -> Request<Body> {
    post(URI, &[JSON], body(input))
}

/// The texts of an input, each as the JSON that it is.
fn texts(input: &Value) -> Vec<Value> {
    match input.as_array() {
        Some(parts) if !parts[0].is_number() => parts.clone(),
        Some(_) | None => vec![input.clone()],
    }
}

/// As many tokens as bytes, so that shares by length are exact.
fn tokens(text: &Value) -> usize {
    text.as_str().map_or_else(|| text.as_array().map_or(0, Vec::len), str::len)
}

/// What a provider answers.
fn answer(input: &Value) -> Value {
    let texts = texts(input);
    let element = |(index, text): (usize, &Value)| {
        let text = text.to_string();
        let sum: u32 = text.bytes().map(u32::from).sum();
        json!({ "object": "embedding", "index": index, "embedding": [text.len(), f64::from(sum) / 16.0] })
    };
    let count: usize = texts.iter().map(tokens).sum();
    json!({
        "object": "list",
        "data": texts.iter().enumerate().map(element).collect::<Vec<_>>(),
        "model": "m",
        "usage": { "prompt_tokens": count, "total_tokens": count },
    })
}

fn input_of(seen: &Seen) -> Value {
    let asked: Value = serde_json::from_str(&seen.text()).expect("JSON");
    asked["input"].clone()
}

fn json_reply(answer: &Value) -> Act {
    Act::answer(reply(200, &[JSON, ("x-request-id", "r")], full(answer.to_string())))
}

/// A provider that answers what it is asked.
fn provider() -> Script {
    Script::new(|_, seen| json_reply(&answer(&input_of(seen))))
}

async fn given<S>(service: &S, input: Value) -> (String, Value)
where
    S: Service<Request<Body>, Response = Response<ReplayBody<Body>>, Error = io::Error> + Clone,
{
    read(ask(service, request(&input)).await).await
}

/// What the layer says, and the answer.
async fn read(response: Response<ReplayBody<Body>>) -> (String, Value) {
    let said: Vec<_> = response.headers().get_all("cache-status").iter().collect();
    let said = said.last().map_or("", |said| said.to_str().expect("printable")).to_owned();
    let body = text(response).await;
    (said, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// What the provider was asked, in order.
fn asked(script: &Script) -> Vec<Value> {
    script.seen().iter().map(|seen| input_of(seen)).collect()
}
