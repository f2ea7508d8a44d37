//! Anthropic's formats: messages, and what else their API answers.

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Completeness, Reason, Verdict,
    finish::Finish,
    payload::{self, Text},
    sse::Event,
};

/// Expects the answers of Anthropic's API, or of one that imitates it.
///
/// A stream is complete when it has a `message_stop` after a `message_delta` with a stop reason; a
/// message in JSON when it has a stop reason; other JSON, such as counts of tokens or lists of
/// models, when it has no `error`. Any other status than `200` is incomplete.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anthropic {
    keep_truncated: bool,
}

impl Anthropic {
    /// Keeps what the model itself brought to an end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to keep messages that a limit on tokens or a refusal cut as well (stop reasons
    /// `max_tokens`, `model_context_window_exceeded` and `refusal`). Default: `false`.
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
        match answer.r#type.as_str() {
            _ if answer.error.is_some() => Err("error"),
            "error" => Err("error"),
            "message" | "completion" => {
                let finish = Finish::of(answer.stop_reason.as_str()).ok_or("no-finish-reason")?;
                finish.accept(self.keep_truncated)
            }
            _ => Ok(()),
        }
    }
}

impl Completeness for Anthropic {
    fn check(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        let stream = |body: &[u8]| self.stream(body);
        payload::check(status, headers, body, stream, |body| self.json(body))
    }
}

/// The parts of a JSON answer that tell whether it is complete.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
}

/// The same of an event's data.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    error: Option<IgnoredAny>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
}

/// What a stream has said so far.
#[derive(Default)]
struct Transcript {
    finish: Option<Finish>,
    is_stopped: bool,
}

impl Transcript {
    fn take(&mut self, event: &Event<'_>) -> Result<(), Reason> {
        // Not Anthropic's, but some gateways end every stream with it.
        if payload::is_done(event) {
            return Ok(());
        }
        let chunk: Chunk<'_> = payload::object(&event.data)?;
        if chunk.error.is_some() {
            return Err("error-event");
        }
        match chunk.r#type.or_name(event) {
            "error" => return Err("error-event"),
            // Whatever came before was not the end, then.
            "message_start" => *self = Self::default(),
            "message_delta" => {
                let reason = chunk.delta.as_ref().map(|delta| delta.stop_reason.as_str());
                self.finish = self.finish.max(reason.and_then(Finish::of));
            }
            "message_stop" => self.is_stopped = self.finish.is_some(),
            _ => {}
        }
        Ok(())
    }

    fn outcome(self, keep_truncated: bool) -> Result<(), Reason> {
        self.finish.ok_or("no-finish-reason")?.accept(keep_truncated)?;
        if self.is_stopped { Ok(()) } else { Err("no-terminal-event") }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::transcripts::{MESSAGES, assert_only_the_whole_is_complete, json, stream},
        Anthropic, Verdict,
    };

    fn judge_stream(body: &str) -> Verdict {
        stream(&Anthropic::new(), body)
    }

    #[test]
    fn a_cut_stream_is_never_complete() {
        assert_only_the_whole_is_complete(&Anthropic::new(), MESSAGES);
        assert_only_the_whole_is_complete(&Anthropic::new(), &MESSAGES.replace('\n', "\r\n"));
    }

    #[test]
    fn a_stream_needs_a_stop_reason_and_then_its_end() {
        let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        let delta = "event: message_delta";
        let stop_too_early = MESSAGES.replace(stop, "").replace(delta, &[stop, delta].concat());
        let cases = [
            (MESSAGES.replace("\"end_turn\"", "null"), "no-finish-reason"),
            (MESSAGES.replace(stop, ""), "no-terminal-event"),
            (stop_too_early, "no-terminal-event"),
            (MESSAGES.replace("\"end_turn\"", "\"max_tokens\""), "finish-length"),
            (MESSAGES.replace("\"end_turn\"", "\"refusal\""), "finish-content-filter"),
            (format!("{MESSAGES}{}", MESSAGES.replace(stop, "")), "no-terminal-event"),
            (stop.to_owned(), "no-finish-reason"),
            ("data: [DONE]\n\n".to_owned(), "no-finish-reason"),
            (String::new(), "no-finish-reason"),
        ];
        for (body, reason) in cases {
            assert_eq!(judge_stream(&body), Verdict::Incomplete(reason), "{body}");
        }
        let cut = MESSAGES.replace("\"end_turn\"", "\"max_tokens\"");
        assert_eq!(stream(&Anthropic::new().keep_truncated(true), &cut), Verdict::Complete);
    }

    #[test]
    fn tool_use_pings_and_a_foreign_end_do_not_matter() {
        let cases = [
            MESSAGES.replace("\"end_turn\"", "\"tool_use\""),
            format!("{MESSAGES}event: ping\ndata: {{\"type\":\"ping\"}}\n\ndata: [DONE]\n\n"),
            MESSAGES.replace("event: ", ":"),
        ];
        for body in cases {
            assert_eq!(judge_stream(&body), Verdict::Complete, "{body}");
        }
    }

    #[test]
    fn an_error_anywhere_in_a_stream_is_found() {
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":\
                     {\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        for (at, _) in MESSAGES.match_indices("\n\n") {
            for error in [error, error.trim_start_matches("event: error\n")] {
                let body = [&MESSAGES[..at + 2], error, &MESSAGES[at + 2..]].concat();
                assert_eq!(judge_stream(&body), Verdict::Incomplete("error-event"), "{body}");
            }
        }
    }

    #[test]
    fn a_message_needs_a_stop_reason() {
        let cases = [
            ("{\"type\":\"message\",\"content\":[],\"stop_reason\":\"end_turn\"}", Ok(())),
            ("{\"type\":\"message\",\"stop_reason\":null}", Err("no-finish-reason")),
            ("{\"type\":\"message\"}", Err("no-finish-reason")),
            ("{\"type\":\"message\",\"stop_reason\":\"max_tokens\"}", Err("finish-length")),
            ("{\"type\":\"message\",\"stop_reason\":\"end_turn\"", Err("invalid-json")),
            ("{\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}", Err("error")),
            ("{\"type\":\"error\"}", Err("error")),
            ("{\"input_tokens\":12}", Ok(())),
            ("", Err("invalid-json")),
        ];
        for (body, outcome) in cases {
            assert_eq!(json(&Anthropic::new(), body), Verdict::of(outcome), "{body}");
        }
    }
}
