//! `POST /v1/chat/completions`.

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{self, Answer, MOST_CHOICES, THINKING},
    call::{Asked, Call},
    failure::Failure,
    playback::{self, Events},
    prompt::{self, Turn},
};

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    messages: Vec<Turn>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<usize>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
}

/// What a stream carries besides tokens.
#[derive(Debug, Deserialize)]
pub(super) struct StreamOptions {
    include_usage: Option<bool>,
}

impl StreamOptions {
    pub(super) fn include_usage(options: Option<&Self>) -> bool {
        options.and_then(|options| options.include_usage).unwrap_or(false)
    }
}

pub(super) async fn create(asked: Asked<Request>) -> Result<Response, Failure> {
    let Asked { call, request } = asked;
    if request.messages.is_empty() {
        return Err(Failure::missing("messages"));
    }
    let count = choice_count(request.n)?;
    let limit = request.max_completion_tokens.or(request.max_tokens);
    let question = prompt::question(&request.messages);
    let answers = Answer::choices(&call, &question, limit, count);
    let usage = usage(prompt::length(&request.messages), answer::length(&answers));
    let id = call.id("chatcmpl-");

    call.wait(THINKING).await;
    if request.stream == Some(true) {
        let include_usage = StreamOptions::include_usage(request.stream_options.as_ref());
        let usage = include_usage.then_some(usage);
        let chunks = Chunks { call: &call, id, object: "chat.completion.chunk", usage };
        return Ok(stream(&chunks, &answers));
    }
    let completion = json!({
        "id": id,
        "object": "chat.completion",
        "created": call.created,
        "model": call.model,
        "choices": answers.iter().enumerate().map(|(index, answer)| json!({
            "index": index,
            "message": {
                "role": "assistant",
                "content": answer.text(),
                "refusal": null,
                "annotations": [],
            },
            "logprobs": null,
            "finish_reason": answer.finish_reason(),
        })).collect::<Vec<_>>(),
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    });
    Ok(playback::json(&call, answer::writing(&answers), &completion))
}

/// How many answers to write: `n` of a request.
pub(super) fn choice_count(n: Option<usize>) -> Result<usize, Failure> {
    match n.unwrap_or(1) {
        count @ 1..=MOST_CHOICES => Ok(count),
        _ => Err(Failure::invalid(Some("n"), format!("'n' must be from 1 to {MOST_CHOICES}."))),
    }
}

/// OpenAI's older usage object.
pub(super) fn usage(prompt: usize, completion: usize) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

/// What the chunks of one stream have in common.
pub(super) struct Chunks<'a> {
    pub(super) call: &'a Call,
    pub(super) id: String,
    pub(super) object: &'static str,
    /// Absent unless asked for by `stream_options`.
    pub(super) usage: Option<Value>,
}

impl Chunks<'_> {
    pub(super) fn chunk(&self, choice: Value) -> Value {
        self.with_choices(&Value::Array(vec![choice]), Value::Null)
    }

    fn with_choices(&self, choices: &Value, usage: Value) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": self.object,
            "created": self.call.created,
            "model": self.call.model,
            "system_fingerprint": "fp_demo",
            "choices": choices,
        });
        if self.usage.is_some() {
            chunk["usage"] = usage;
        }
        chunk
    }

    /// Ends a stream and plays it.
    pub(super) fn play(&self, mut events: Events) -> Response {
        if let Some(usage) = &self.usage {
            events.push(&self.with_choices(&json!([]), usage.clone()));
        }
        events.push_done();
        events.play(self.call, |events| {
            events.push(&Failure::in_stream(self.call.number).openai());
        })
    }
}

fn stream(chunks: &Chunks<'_>, answers: &[Answer]) -> Response {
    let chunk = |index: usize, delta: Value, finish_reason: Option<&str>| {
        chunks.chunk(json!({
            "index": index,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish_reason,
        }))
    };
    let mut events = Events::default();
    for index in 0..answers.len() {
        let role = json!({ "role": "assistant", "content": "", "refusal": null });
        events.push(&chunk(index, role, None));
    }
    for (round, pieces) in answer::rounds(answers).enumerate() {
        if round > 0 {
            events.pause(chunks.call);
        }
        for (index, piece) in pieces {
            events.push(&chunk(index, json!({ "content": piece }), None));
        }
    }
    for (index, answer) in answers.iter().enumerate() {
        events.push(&chunk(index, json!({}), Some(answer.finish_reason())));
    }
    chunks.play(events)
}
