//! Answers that are one entry in several forms, and fetched for several processes.

use std::time::Duration;

use http::Request;
use larder::llm;
use tower::Layer as _;

use super::{
    PATIENT,
    instance::{next, waits},
    samples::store,
};
use crate::support::{Body, Origin, ask, full, post, redis::Server, reply, said, text};

const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,
    "message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#;

fn question(form: &str) -> Request<Body> {
    let body = format!(r#"{{"model":"m","messages":[]{form}}}"#);
    post("https://api.openai.com/v1/chat/completions", &[("content-type", "application/json")], body)
}

#[tokio::test]
async fn who_wants_a_stream_waits_for_a_plain_answer_that_another_process_fetches() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let cache = || {
        let layer = llm::layer(store(&server.url()), Duration::from_secs(3600)).lookup_timeout(PATIENT);
        layer.build().layer(origin.clone())
    };
    let (one, other) = (cache(), cache());
    let plain = tokio::spawn(async move { text(ask(&one, question("")).await).await });
    let held = next(&mut calls).await;
    let streamed = tokio::spawn(async move {
        let answer = ask(&other, question(r#","stream":true"#)).await;
        (said(&answer).to_owned(), text(answer).await)
    });
    waits(&server, 1).await;
    held.answer(reply(200, &[("content-type", "application/json")], full(ANSWER)));
    assert_eq!(plain.await.expect("an answer"), ANSWER);
    let (said, events) = streamed.await.expect("an answer");
    assert!(said.contains("converted"), "{said}");
    assert!(events.starts_with("data: {") && events.ends_with("data: [DONE]\n\n"), "{events}");
    assert_eq!(origin.calls(), 1, "one for both");
}
