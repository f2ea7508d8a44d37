//! What the proxy does when the upstream fails: tries again, and falls back.

mod chain;
mod demo;
mod fallback;
mod flags;
mod tries;

use super::{
    file::File,
    llm::{CHAT, QUESTION},
    message::{Message, chunk, post_json, response},
    origin::{Origin, nowhere},
    process::Proxy,
    within,
};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An error as OpenAI has it.
fn error(status: u16) -> Vec<u8> {
    response(status, &[JSON], r#"{"error":{"message":"s3cret details","type":"server_error","code":null}}"#)
}

/// The question about a model of its own, so that no other test of the same proxy opens its breaker.
fn about(model: &str) -> Vec<u8> {
    post_json(CHAT, &[], &QUESTION.replace("gpt-4o", model))
}

/// The last answer of the chain, which says nothing of what the upstream or an error said.
fn assert_is_problem(given: &Message, status: u16, attempts: u32) {
    assert_eq!(given.status(), status, "{given:?}");
    assert_eq!(given.field("content-type"), Some("application/problem+json"));
    assert_eq!(given.field("cache-control"), Some("no-store"));
    assert_eq!(given.field("larder-fallback"), Some("problem"));
    let problem = given.json();
    assert_eq!((&problem["status"], &problem["attempts"]), (&status.into(), &attempts.into()), "{problem}");
    assert!(problem["suggestions"].as_array().is_some_and(|all| !all.is_empty()), "{problem}");
    for member in ["message", "type", "code"] {
        assert!(problem["error"][member].is_string(), "clients of the providers read it: {problem}");
    }
    assert!(!given.text().contains("s3cret"), "{problem}");
}
