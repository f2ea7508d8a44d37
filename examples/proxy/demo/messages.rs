//! `POST /v1/messages`: Anthropic's API.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{self, Answer, THINKING},
    call::{Asked, Call},
    failure::Failure,
    playback::{self, Events},
    prompt::{self, Turn},
};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    messages: Vec<Turn>,
    #[serde(default)]
    system: Value,
    stream: Option<bool>,
    max_tokens: Option<usize>,
}

pub(super) async fn create(asked: Result<Asked<Request>, Failure>) -> Result<Response, Refusal> {
    let Asked { call, request } = asked?;
    if request.messages.is_empty() {
        return Err(Failure::invalid(None, "messages: Field required").into());
    }
    let question = prompt::question(&request.messages);
    let answer = Answer::new(&call, &question, request.max_tokens);
    let system = prompt::pieces(&prompt::text(&request.system)).len();
    let input = system + prompt::length(&request.messages);

    call.wait(THINKING).await;
    if request.stream == Some(true) {
        return Ok(stream(&call, &answer, input));
    }
    let message = message(&call, input, Some(&answer));
    let writing = answer::writing(std::slice::from_ref(&answer));
    Ok(playback::json(&call, writing, &message))
}

fn stop_reason(answer: &Answer) -> &'static str {
    if answer.is_cut_short { "max_tokens" } else { "end_turn" }
}

/// A message with its answer, or as it is before the first token.
fn message(call: &Call, input: usize, answer: Option<&Answer>) -> Value {
    json!({
        "id": call.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": answer.map(|answer| json!({ "type": "text", "text": answer.text() })).as_slice(),
        "stop_reason": answer.map(stop_reason),
        "stop_sequence": null,
        "usage": {
            "input_tokens": input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": answer.map_or(1, |answer| answer.pieces.len()),
            "service_tier": "standard",
        },
    })
}

fn stream(call: &Call, answer: &Answer, input: usize) -> Response {
    let mut events = Events::default();
    events.push_named(&json!({
        "type": "message_start",
        "message": message(call, input, None),
    }));
    events.push_named(&json!({
        "type": "content_block_start",
        "index": 0,
        "content_block": { "type": "text", "text": "" },
    }));
    events.push_named(&json!({ "type": "ping" }));
    for (at, piece) in answer.pieces.iter().enumerate() {
        if at > 0 {
            events.pause(call);
        }
        events.push_named(&json!({
            "type": "content_block_delta",
            "index": 0,
            "delta": { "type": "text_delta", "text": piece },
        }));
    }
    events.push_named(&json!({ "type": "content_block_stop", "index": 0 }));
    events.push_named(&json!({
        "type": "message_delta",
        "delta": { "stop_reason": stop_reason(answer), "stop_sequence": null },
        "usage": { "output_tokens": answer.pieces.len() },
    }));
    events.push_named(&json!({ "type": "message_stop" }));
    events.play(call, |events| {
        events.push_named(&Refusal(Failure::in_stream(call.number)).anthropic());
    })
}

/// A [`Failure`] in the error format of Anthropic.
#[derive(Debug)]
pub(super) struct Refusal(Failure);

impl Refusal {
    fn status(&self) -> StatusCode {
        if self.0.is_used_up() { StatusCode::BAD_REQUEST } else { self.0.status }
    }

    fn anthropic(&self) -> Value {
        let kind = match self.status() {
            StatusCode::BAD_REQUEST => "invalid_request_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            _ => "api_error",
        };
        // Anthropic has no name for it, but this sentence.
        let used_up = "Your credit balance is too low to access the Anthropic API.";
        let message = if self.0.is_used_up() { used_up } else { &self.0.message };
        json!({ "type": "error", "error": { "type": kind, "message": message } })
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        const LIMITS: [(&str, &str); 2] =
            [("anthropic-ratelimit-requests-limit", "60"), ("anthropic-ratelimit-requests-remaining", "0")];
        let status = self.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let limits = LIMITS.map(|(name, value)| (HeaderName::from_static(name), value));
            (status, [(RETRY_AFTER, "2")], limits, Json(self.anthropic())).into_response()
        } else {
            (status, Json(self.anthropic())).into_response()
        }
    }
}
