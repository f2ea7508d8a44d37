//! `POST /v1/responses`: OpenAI's newer API.

use axum::response::Response;
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
    input: Option<Input>,
    instructions: Option<String>,
    stream: Option<bool>,
    max_output_tokens: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "'input' must be a string or an array of items")]
enum Input {
    Text(String),
    Turns(Vec<Turn>),
}

pub(super) async fn create(asked: Asked<Request>) -> Result<Response, Failure> {
    let Asked { call, request } = asked;
    let (question, length) = match request.input.ok_or_else(|| Failure::missing("input"))? {
        Input::Turns(turns) => (prompt::question(&turns), prompt::length(&turns)),
        Input::Text(text) => {
            let length = prompt::pieces(&text).len();
            (text, length)
        }
    };
    let instructions = request.instructions;
    let answer = Answer::new(&call, &question, request.max_output_tokens);
    let written = Written {
        input: length + instructions.as_deref().map_or(0, |text| prompt::pieces(text).len()),
        instructions,
        answer: &answer,
        call: &call,
    };

    call.wait(THINKING).await;
    if request.stream == Some(true) {
        return Ok(written.stream());
    }
    let writing = answer::writing(std::slice::from_ref(&answer));
    Ok(playback::json(&call, writing, &written.response()))
}

/// A response with everything that is said of it.
struct Written<'a> {
    call: &'a Call,
    answer: &'a Answer,
    instructions: Option<String>,
    /// The prompt's length in tokens.
    input: usize,
}

impl Written<'_> {
    /// The response as it is when all is written.
    fn response(&self) -> Value {
        let output = self.answer.pieces.len();
        let mut response = self.started();
        response["status"] = self.status();
        if self.answer.is_cut_short {
            response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
        }
        response["output"] = json!([self.item(&self.status(), &json!([self.part(&self.answer.text())]))]);
        response["usage"] = json!({
            "input_tokens": self.input,
            "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": output,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": self.input + output,
        });
        response
    }

    /// The response as it is before the first token.
    fn started(&self) -> Value {
        json!({
            "id": self.call.id("resp_"),
            "object": "response",
            "created_at": self.call.created,
            "status": "in_progress",
            "error": null,
            "incomplete_details": null,
            "instructions": self.instructions,
            "max_output_tokens": null,
            "metadata": {},
            "model": self.call.model,
            "output": [],
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "store": false,
            "temperature": 1.0,
            "text": { "format": { "type": "text" } },
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": null,
        })
    }

    fn status(&self) -> Value {
        json!(if self.answer.is_cut_short { "incomplete" } else { "completed" })
    }

    fn item(&self, status: &Value, content: &Value) -> Value {
        json!({
            "id": self.call.id("msg_"),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        })
    }

    fn part(&self, text: &str) -> Value {
        json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
    }

    fn stream(&self) -> Response {
        let item_id = self.call.id("msg_");
        let mut events = Events::default();
        push(&mut events, json!({ "type": "response.created", "response": self.started() }));
        push(&mut events, json!({ "type": "response.in_progress", "response": self.started() }));
        push(
            &mut events,
            json!({
                "type": "response.output_item.added",
                "output_index": 0,
                "item": self.item(&json!("in_progress"), &json!([])),
            }),
        );
        // What follows is about the one part of the one item.
        let about = |kind: &str, key: &str, value: Value| json!({ "type": kind, "item_id": item_id, "output_index": 0, "content_index": 0, key: value });
        push(&mut events, about("response.content_part.added", "part", self.part("")));
        for (at, piece) in self.answer.pieces.iter().enumerate() {
            if at > 0 {
                events.pause(self.call);
            }
            let mut delta = about("response.output_text.delta", "delta", json!(piece));
            delta["logprobs"] = json!([]);
            push(&mut events, delta);
        }
        let text = self.answer.text();
        let mut done = about("response.output_text.done", "text", json!(text));
        done["logprobs"] = json!([]);
        push(&mut events, done);
        push(&mut events, about("response.content_part.done", "part", self.part(&text)));
        push(
            &mut events,
            json!({
                "type": "response.output_item.done",
                "output_index": 0,
                "item": self.item(&self.status(), &json!([self.part(&text)])),
            }),
        );
        let end = if self.answer.is_cut_short { "response.incomplete" } else { "response.completed" };
        push(&mut events, json!({ "type": end, "response": self.response() }));
        events.play(self.call, |events| self.push_failure(events))
    }

    /// This API says twice that a stream has failed.
    fn push_failure(&self, events: &mut Events) {
        let message = Failure::in_stream(self.call.number).message;
        push(events, json!({ "type": "error", "code": "server_error", "message": message, "param": null }));
        let mut response = self.started();
        response["status"] = json!("failed");
        response["error"] = json!({ "code": "server_error", "message": message });
        push(events, json!({ "type": "response.failed", "response": response }));
    }
}

fn push(events: &mut Events, mut data: Value) {
    data["sequence_number"] = json!(events.len());
    events.push_named(&data);
}
