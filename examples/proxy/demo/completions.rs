//! `POST /v1/completions`, the API that was there before chat.

use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::{
    answer::{self, Answer, THINKING},
    call::Asked,
    chat::{Chunks, StreamOptions, choice_count, usage},
    embeddings::Input,
    failure::Failure,
    playback::{self, Events},
};

const OBJECT: &str = "text_completion";

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    prompt: Option<Input>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<usize>,
    max_tokens: Option<usize>,
}

pub(super) async fn create(asked: Asked<Request>) -> Result<Response, Failure> {
    let Asked { call, request } = asked;
    let prompts = request.prompt.ok_or_else(|| Failure::missing("prompt"))?.into_texts();
    let count = choice_count(request.n)?;
    choice_count(Some(count * prompts.len()))?;
    let answers: Vec<Answer> =
        prompts.iter().flat_map(|prompt| Answer::choices(&call, &prompt.text, request.max_tokens, count)).collect();
    let prompt_length = prompts.iter().map(|prompt| prompt.length).sum();
    let usage = usage(prompt_length, answer::length(&answers));
    let id = call.id("cmpl-");

    call.wait(THINKING).await;
    if request.stream == Some(true) {
        let include_usage = StreamOptions::include_usage(request.stream_options.as_ref());
        let usage = include_usage.then_some(usage);
        return Ok(stream(&Chunks { call: &call, id, object: OBJECT, usage }, &answers));
    }
    let completion = json!({
        "id": id,
        "object": OBJECT,
        "created": call.created,
        "model": call.model,
        "choices": answers.iter().enumerate().map(|(index, answer)| json!({
            "index": index,
            "text": answer.text(),
            "logprobs": null,
            "finish_reason": answer.finish_reason(),
        })).collect::<Vec<_>>(),
        "usage": usage,
        "system_fingerprint": "fp_demo",
    });
    Ok(playback::json(&call, answer::writing(&answers), &completion))
}

fn stream(chunks: &Chunks<'_>, answers: &[Answer]) -> Response {
    let chunk = |index: usize, text: &str, finish_reason: Option<&str>| {
        chunks.chunk(json!({
            "index": index,
            "text": text,
            "logprobs": null,
            "finish_reason": finish_reason,
        }))
    };
    let mut events = Events::default();
    for (round, pieces) in answer::rounds(answers).enumerate() {
        if round > 0 {
            events.pause(chunks.call);
        }
        for (index, piece) in pieces {
            events.push(&chunk(index, piece, None));
        }
    }
    for (index, answer) in answers.iter().enumerate() {
        events.push(&chunk(index, "", Some(answer.finish_reason())));
    }
    chunks.play(events)
}
