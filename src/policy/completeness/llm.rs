//! Answers whose provider is not known beforehand: the content tells.

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Anthropic, Completeness, Gemini, OpenAi, Reason, Verdict,
    payload::{self, Text},
};
use crate::header::media_type;

/// Asks of an event stream that it came to its protocol's end; the default.
///
/// A `text/event-stream` is complete when it is as [`Llm`] would have it; one of another protocol
/// never is, since nothing in it would tell its end from a cut. For every other media type the
/// framing of the transport is proof enough.
#[derive(Debug, Clone, Copy, Default)]
pub struct EndOfStream;

impl Completeness for EndOfStream {
    fn check(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        if media_type::is_event_stream(headers) { Llm::new().check(status, headers, body) } else { Verdict::Complete }
    }
}

/// Expects the answers of any LLM API, and judges each as [`OpenAi`], [`Anthropic`] or [`Gemini`] does.
///
/// JSON of no such provider is complete when it parses and has no `error`; an event stream of
/// none is never complete. Other media types are complete by their framing. Any other status
/// than `200` is incomplete, and so is a stream or JSON whose `Content-Encoding` cannot be undone
/// (see the [module](super)).
#[derive(Debug, Clone, Copy, Default)]
pub struct Llm {
    keep_truncated: bool,
}

impl Llm {
    /// Keeps what the model itself brought to an end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to keep answers that a limit on tokens or a content filter cut as well. Default:
    /// `false`.
    #[must_use]
    pub fn keep_truncated(mut self, keep: bool) -> Self {
        self.keep_truncated = keep;
        self
    }

    fn openai(self) -> OpenAi {
        OpenAi::new().keep_truncated(self.keep_truncated)
    }

    fn anthropic(self) -> Anthropic {
        Anthropic::new().keep_truncated(self.keep_truncated)
    }

    fn gemini(self) -> Gemini {
        Gemini::new().keep_truncated(self.keep_truncated)
    }

    fn stream(self, body: &[u8]) -> Result<(), Reason> {
        match Provider::of_stream(body)? {
            Provider::OpenAi => self.openai().stream(body),
            Provider::Anthropic => self.anthropic().stream(body),
            Provider::Gemini => self.gemini().stream(body),
        }
    }

    /// Each provider's check accepts the others' messages as some other JSON, so that together they
    /// judge all.
    fn json(self, body: &[u8]) -> Result<(), Reason> {
        self.anthropic().json(body)?;
        self.gemini().json(body)?;
        self.openai().json(body)
    }
}

impl Completeness for Llm {
    fn check(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        let stream = |body: &[u8]| self.stream(body);
        payload::check(status, headers, body, stream, |body| self.json(body))
    }
}

/// Whose format a stream is in.
#[derive(Clone, Copy)]
enum Provider {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Provider {
    /// The first event with a mark of any provider decides.
    fn of_stream(body: &[u8]) -> Result<Self, Reason> {
        let mut found = None;
        // An error or a cut is a better reason than that the stream is unknown.
        payload::for_each_event(body, |event| {
            if found.is_some() {
                return Ok(());
            }
            let Ok(chunk) = payload::object::<Chunk<'_>>(&event.data) else {
                return Ok(());
            };
            if chunk.error.is_some() {
                return Err("error-event");
            }
            let kind = chunk.r#type.or_name(event);
            if kind == "error" {
                return Err("error-event");
            }
            if chunk.choices.is_some() || kind.starts_with("response.") {
                found = Some(Self::OpenAi);
            } else if kind.starts_with("message_") || kind.starts_with("content_block_") {
                found = Some(Self::Anthropic);
            } else if chunk.candidates.is_some() || chunk.prompt_feedback.is_some() {
                found = Some(Self::Gemini);
            }
            Ok(())
        })?;
        found.ok_or("unknown-stream")
    }
}

/// The parts of an event's data that tell whose it is.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    error: Option<IgnoredAny>,
    choices: Option<IgnoredAny>,
    candidates: Option<IgnoredAny>,
    #[serde(rename = "promptFeedback")]
    prompt_feedback: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};

    use super::{
        super::transcripts::{
            AZURE, CHAT, CHAT_TWO_CHOICES, COMPLETIONS, GENERATE_CONTENT, MESSAGES, RESPONSES, TOOL_CALLS,
            assert_only_the_whole_is_complete, head, json, stream,
        },
        Completeness, EndOfStream, Llm, Verdict,
    };

    #[test]
    fn a_cut_stream_of_any_provider_is_never_complete() {
        let transcripts =
            [AZURE, CHAT, CHAT_TWO_CHOICES, COMPLETIONS, GENERATE_CONTENT, MESSAGES, RESPONSES, TOOL_CALLS];
        for whole in transcripts {
            assert_only_the_whole_is_complete(&Llm::new(), whole);
            assert_only_the_whole_is_complete(&EndOfStream, whole);
        }
    }

    #[test]
    fn a_stream_of_another_protocol_has_no_end() {
        let cases = [
            ("", "unknown-stream"),
            ("data: hello\n\n", "unknown-stream"),
            ("data: {\"candidates\":[]}\n\n", "no-choices"),
            ("data: [DONE]\n\n", "unknown-stream"),
            ("data: {\"a\":1}\n\ndata: {\"a\"", "truncated"),
            ("event: error\ndata: x\n\n", "error-event"),
            ("data: {\"error\":\"x\"}\n\n", "error-event"),
        ];
        for (body, reason) in cases {
            assert_eq!(stream(&EndOfStream, body), Verdict::Incomplete(reason), "{body}");
            assert_eq!(stream(&Llm::new(), body), Verdict::Incomplete(reason), "{body}");
        }
    }

    #[test]
    fn json_of_any_provider_is_judged_by_its_content() {
        let cases = [
            ("{\"type\":\"message\",\"stop_reason\":\"end_turn\"}", Ok(())),
            ("{\"type\":\"message\",\"stop_reason\":\"max_tokens\"}", Err("finish-length")),
            ("{\"choices\":[{\"finish_reason\":\"stop\"}]}", Ok(())),
            ("{\"choices\":[{\"finish_reason\":\"length\"}]}", Err("finish-length")),
            ("{\"choices\":[{\"finish_reason\":null}]}", Err("no-finish-reason")),
            ("{\"object\":\"response\",\"status\":\"queued\"}", Err("not-completed")),
            ("{\"object\":\"list\",\"data\":[]}", Ok(())),
            ("{\"error\":{\"message\":\"m\"}}", Err("error")),
            ("{\"choices\":", Err("invalid-json")),
        ];
        for (body, outcome) in cases {
            assert_eq!(json(&Llm::new(), body), Verdict::of(outcome), "{body}");
            assert_eq!(json(&EndOfStream, body), Verdict::Complete, "{body}");
        }
    }

    #[test]
    fn truncated_answers_are_kept_on_request_only() {
        let keeping = Llm::new().keep_truncated(true);
        for (whole, natural, cut) in [(CHAT, "\"stop\"", "\"length\""), (MESSAGES, "\"end_turn\"", "\"max_tokens\"")] {
            let body = whole.replace(natural, cut);
            assert_eq!(stream(&keeping, &body), Verdict::Complete);
            assert_eq!(stream(&EndOfStream, &body), Verdict::Incomplete("finish-length"));
            assert_only_the_whole_is_complete(&keeping, &body);
        }
    }

    #[test]
    fn what_is_no_success_is_not_kept() {
        let check = |completeness: &dyn Completeness, media_type, status| {
            completeness.check(status, &head(media_type), CHAT.as_bytes())
        };
        let error = StatusCode::INTERNAL_SERVER_ERROR;
        let (sse, json, audio) = ("text/event-stream", "application/json", "audio/mpeg");
        assert_eq!(check(&EndOfStream, sse, error), Verdict::Incomplete("status"));
        assert_eq!(check(&EndOfStream, json, error), Verdict::Complete);
        assert_eq!(check(&Llm::new(), audio, StatusCode::OK), Verdict::Complete);
        assert_eq!(check(&Llm::new(), audio, error), Verdict::Incomplete("status"));
    }

    #[test]
    fn the_media_type_may_have_parameters() {
        let value = HeaderValue::from_static("text/event-stream; charset=utf-8");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
        let cut = EndOfStream.check(StatusCode::OK, &headers, b"data: {\"choices\":[]}\n\n");
        assert_eq!(cut, Verdict::Incomplete("no-terminal-event"));
    }
}
