//! OpenAI's formats, which most providers and gateways imitate: chat completions, completions,
//! responses, embeddings, models.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Completeness, Reason, Verdict,
    finish::Finish,
    payload::{self, Text},
    responses::Response,
    sse::Event,
};

/// Expects the answers of an OpenAI-compatible API.
///
/// A stream of chat completions or completions is complete when every choice in it has a finish
/// reason and `data: [DONE]` ends it; one of the Responses API, when it has a `response.completed`.
/// A JSON answer is complete when each of its choices has a finish reason, or its `status` is
/// `completed`; embeddings, lists of models and the like, when they have no `error`. Any other
/// status than `200` is incomplete.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAi {
    keep_truncated: bool,
}

impl OpenAi {
    /// Keeps what the model itself brought to an end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to keep answers that a limit on tokens or a content filter cut as well (finish
    /// reasons `length` and `content_filter`, status `incomplete`). Default: `false`.
    #[must_use]
    pub fn keep_truncated(mut self, keep: bool) -> Self {
        self.keep_truncated = keep;
        self
    }

    pub(super) fn stream(self, body: &[u8]) -> Result<(), Reason> {
        let mut transcript = Transcript::default();
        payload::for_each_event(body, |event| transcript.take(event))?;
        transcript.outcome(self.keep_truncated)
    }

    pub(super) fn json(self, body: &[u8]) -> Result<(), Reason> {
        if payload::is_other_json(body) {
            return Ok(());
        }
        let answer: Answer<'_> = payload::object(body)?;
        if answer.error.is_some() {
            return Err("error");
        }
        match (answer.object.as_str(), &answer.choices) {
            ("response", _) => {
                let response: Response<'_> = payload::object(body)?;
                response.finish()?.accept(self.keep_truncated)
            }
            (_, Some(choices)) if !choices.is_empty() => choices.iter().try_for_each(|choice| {
                let finish = choice.finish().ok_or("no-finish-reason")?;
                finish.accept(self.keep_truncated)
            }),
            (_, Some(_)) | ("chat.completion" | "text_completion", None) => Err("no-choices"),
            (_, None) => Ok(()),
        }
    }
}

impl Completeness for OpenAi {
    fn check(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        let stream = |body: &[u8]| self.stream(body);
        payload::check(status, headers, body, stream, |body| self.json(body))
    }
}

/// The parts of a JSON answer that tell whether it is complete.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    object: Text<'a>,
    error: Option<IgnoredAny>,
    choices: Option<Vec<Choice<'a>>>,
}

/// The same of an event's data.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    error: Option<IgnoredAny>,
    choices: Option<Vec<Choice<'a>>>,
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// Some providers leave it out where there is one choice only.
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
}

impl Choice<'_> {
    fn finish(&self) -> Option<Finish> {
        Finish::of(self.finish_reason.as_str())
    }
}

/// What a stream has said so far.
#[derive(Default)]
struct Transcript {
    /// By index. A finish reason stays: some gateways add chunks for usage or filter results after
    /// it, in which it is `null` again.
    choices: BTreeMap<u64, Option<Finish>>,
    is_done: bool,
    response: Option<Finish>,
}

impl Transcript {
    fn take(&mut self, event: &Event<'_>) -> Result<(), Reason> {
        if payload::is_done(event) {
            self.is_done = true;
            return Ok(());
        }
        let chunk: Chunk<'_> = payload::object(&event.data)?;
        let kind = chunk.r#type.or_name(event);
        if chunk.error.is_some() || matches!(kind, "error" | "response.error" | "response.failed") {
            return Err("error-event");
        }
        if matches!(kind, "response.completed" | "response.incomplete") {
            let response = chunk.response.ok_or("not-completed")?;
            self.response = Some(response.finish()?);
        }
        for choice in chunk.choices.into_iter().flatten() {
            // Whatever came before was not the end, then.
            self.is_done = false;
            let finish = self.choices.entry(choice.index).or_default();
            *finish = (*finish).max(choice.finish());
        }
        Ok(())
    }

    fn outcome(self, keep_truncated: bool) -> Result<(), Reason> {
        if let Some(finish) = self.response {
            return finish.accept(keep_truncated);
        }
        for finish in self.choices.values() {
            finish.ok_or("no-finish-reason")?.accept(keep_truncated)?;
        }
        match (self.is_done, self.choices.is_empty()) {
            (false, _) => Err("no-terminal-event"),
            (true, true) => Err("no-choices"),
            (true, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::transcripts::{
            AZURE, CHAT, CHAT_TWO_CHOICES, COMPLETIONS, RESPONSES, TOOL_CALLS, assert_only_the_whole_is_complete, json,
            stream,
        },
        OpenAi, Verdict,
    };

    fn judge_stream(body: &str) -> Verdict {
        stream(&OpenAi::new(), body)
    }

    fn judge_json(body: &str) -> Verdict {
        json(&OpenAi::new(), body)
    }

    #[test]
    fn a_cut_stream_is_never_complete() {
        for whole in [CHAT, CHAT_TWO_CHOICES, TOOL_CALLS, AZURE, COMPLETIONS, RESPONSES] {
            assert_only_the_whole_is_complete(&OpenAi::new(), whole);
        }
    }

    #[test]
    fn a_stream_ends_with_a_finish_reason_for_every_choice_and_done() {
        let cases = [
            (CHAT.replace("\"stop\"", "null"), "no-finish-reason"),
            (CHAT.replace("\"stop\"", "\"\""), "no-finish-reason"),
            (CHAT_TWO_CHOICES.replacen("\"stop\"", "null", 1), "no-finish-reason"),
            (CHAT.replace("data: [DONE]\n\n", ""), "no-terminal-event"),
            (CHAT.replace("\"stop\"", "\"length\""), "finish-length"),
            (CHAT.replace("\"stop\"", "\"content_filter\""), "finish-content-filter"),
            (CHAT.replace("\"stop\"", "\"error\""), "finish-error"),
            (CHAT_TWO_CHOICES.replacen("\"stop\"", "\"length\"", 1), "finish-length"),
            (format!("{CHAT}{}", CHAT.replace("data: [DONE]\n\n", "")), "no-terminal-event"),
            ("data: [DONE]\n\n".to_owned(), "no-choices"),
            ("data: {\"choices\":[]}\n\ndata: [DONE]\n\n".to_owned(), "no-choices"),
            ("data: hello\n\ndata: [DONE]\n\n".to_owned(), "invalid-json"),
            ("data: [0]\n\ndata: [DONE]\n\n".to_owned(), "invalid-json"),
            (String::new(), "no-terminal-event"),
        ];
        for (body, reason) in cases {
            assert_eq!(judge_stream(&body), Verdict::Incomplete(reason), "{body}");
        }
    }

    #[test]
    fn an_error_anywhere_in_a_stream_is_found() {
        let errors = [
            "event: error\ndata: overloaded\n\n",
            "data: {\"error\":{\"message\":\"The server had an error\",\"code\":500}}\n\n",
            "data: {\"error\":\"overloaded\",\"choices\":[]}\n\n",
            "data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}\n\n",
            "event: response.failed\ndata: {\"response\":{\"status\":\"failed\"}}\n\n",
        ];
        for whole in [CHAT, TOOL_CALLS, RESPONSES] {
            let starts = whole.match_indices("\n\n").map(|(at, _)| at + 2);
            for (at, error) in [0].into_iter().chain(starts).flat_map(|at| errors.map(|e| (at, e))) {
                let body = [&whole[..at], error, &whole[at..]].concat();
                assert_eq!(judge_stream(&body), Verdict::Incomplete("error-event"), "{body}");
            }
        }
    }

    #[test]
    fn gateways_liberties_do_not_matter() {
        let usage_after_the_finish = CHAT.replace(
            "data: [DONE]",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":null}]}\n\ndata: [DONE]",
        );
        let cases = [
            CHAT.replace('\n', "\r\n"),
            CHAT.replace("data: ", "data:"),
            CHAT.replace("\"index\":0,", ""),
            CHAT.replace("\"finish_reason\":null", "\"finish_reason\":\"\""),
            CHAT.replace("\"id\":\"chatcmpl-1\",", "\"id\":\"chatcmpl-1\",\"error\":null,"),
            CHAT.replace(",\"choices\"", ",\ndata: \"choices\""),
            CHAT.replace("data: {", ": OPENROUTER PROCESSING\n\ndata: {"),
            format!("{CHAT}data: [DONE]\n\n"),
            format!("{RESPONSES}data: [DONE]\n\n"),
            CHAT.trim_end().to_owned() + "\n",
            RESPONSES.lines().filter(|line| !line.starts_with("event:")).collect::<Vec<_>>().join("\n") + "\n\n",
            usage_after_the_finish,
        ];
        for body in cases {
            assert_eq!(judge_stream(&body), Verdict::Complete, "{body}");
        }
    }

    #[test]
    fn a_json_answer_needs_a_finish_reason_for_every_choice() {
        let choices =
            |choices: &str| format!("{{\"object\":\"chat.completion\",\"choices\":[{choices}],\"usage\":{{}}}}");
        let stop = "{\"index\":0,\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}";
        let open = "{\"index\":1,\"message\":{\"content\":\"H\"},\"finish_reason\":null}";
        let length = "{\"index\":1,\"message\":{\"content\":\"H\"},\"finish_reason\":\"length\"}";
        let cases = [
            (choices(stop), Ok(())),
            (choices(&[stop, open].join(",")), Err("no-finish-reason")),
            (choices(&[stop, length].join(",")), Err("finish-length")),
            (choices(""), Err("no-choices")),
            ("{\"object\":\"chat.completion\"}".to_owned(), Err("no-choices")),
            (choices(stop)[1..].to_owned(), Err("invalid-json")),
            (choices(stop) + "}", Err("invalid-json")),
            ("{\"object\":\"list\",\"data\":[{\"embedding\":[0.1]}]}".to_owned(), Ok(())),
            ("{\"status\":7,\"type\":[],\"object\":null,\"error\":null}".to_owned(), Ok(())),
            ("[{\"id\":\"gpt-4o\"}]".to_owned(), Ok(())),
            ("{\"error\":{\"message\":\"m\"}}".to_owned(), Err("error")),
            (String::new(), Err("invalid-json")),
        ];
        for (body, outcome) in cases {
            assert_eq!(judge_json(&body), Verdict::of(outcome), "{body}");
        }
        let body = choices(&[stop, length].join(","));
        assert_eq!(json(&OpenAi::new().keep_truncated(true), &body), Verdict::Complete);
        for end in 0..body.len() {
            assert_eq!(judge_json(&body[..end]), Verdict::Incomplete("invalid-json"));
        }
    }
}
