//! What clients may use: `--limit`, and what it is counted by.

mod answers;
mod clients;
mod demo;
mod flags;
mod log;
mod store;

use super::{
    file::File,
    llm::{CHAT, QUESTION, answer},
    message::{Message, chunk, get, post_json, request, response},
    origin::{Origin, nowhere},
    process::{Bad, Ended, Proxy, assert_refused, run},
    within,
};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An origin that answers everything with 200 and JSON.
async fn origin() -> Origin {
    Origin::answering(|_, number| response(200, &[JSON], answer(number))).await
}

/// The statuses of requests for `/a`, one after the other, each with these fields.
async fn statuses(proxy: &Proxy, each: &[&[(&str, &str)]]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for fields in each {
        statuses.push(proxy.ask(get("/a", fields)).await.status());
    }
    statuses
}

/// A 429 that says which limits there is no room in, and when to come back.
fn assert_denied(given: &Message, by: &[&str]) {
    assert_eq!(given.status(), 429, "{given:?}");
    assert_eq!(given.field("content-type"), Some("application/problem+json"));
    assert_eq!(given.field("cache-control"), Some("no-store"));
    let problem = given.json();
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"], serde_json::json!(by), "{problem}");
    let wait: u64 = given.field("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=62).contains(&wait), "{wait}");
    assert_eq!(problem["retryAfter"], wait);
}
