//! Gemini's format: `generateContent`, and what else their API answers.

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Completeness, Reason, Verdict,
    finish::Finish,
    payload::{self, Text},
};

/// Expects the answers of Gemini's API, or of one that imitates it.
///
/// An answer is complete when every candidate in it has a finish reason, whether it came as JSON, as a stream of events, or as
/// the array of pieces that is a stream without `alt=sse`. There is no terminal event: the piece with the finish reason is the
/// last. Other JSON, such as embeddings or counts of tokens, is complete when it has no `error`. Any other status than `200`
/// is incomplete.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gemini {
    keep_truncated: bool,
}

impl Gemini {
    /// Keeps what the model itself brought to an end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to keep answers that a limit on tokens or a filter cut as well (finish reasons `MAX_TOKENS`, `SAFETY`, `RECITATION`
    /// and their like, and a prompt that was blocked). Default: `false`.
    #[must_use]
    pub fn keep_truncated(mut self, keep: bool) -> Self {
        self.keep_truncated = keep;
        self
    }

    pub(super) fn stream(self, body: &[u8]) -> Result<(), Reason> {
        let mut transcript = Transcript::default();
        payload::for_each_event(body, |event| {
            // Not Gemini's, but some gateways end every stream with it.
            if payload::is_done(event) { Ok(()) } else { transcript.take(&payload::object(&event.data)?) }
        })?;
        transcript.outcome(self.keep_truncated)
    }

    pub(super) fn json(self, body: &[u8]) -> Result<(), Reason> {
        let mut transcript = Transcript::default();
        if payload::is_other_json(body) {
            let Ok(pieces) = serde_json::from_slice::<Vec<Piece<'_>>>(body) else { return Ok(()) };
            pieces.iter().try_for_each(|piece| transcript.take(piece))?;
        } else {
            transcript.take(&payload::object(body)?).map_err(|_| "error")?;
        }
        if transcript.is_generation { transcript.outcome(self.keep_truncated) } else { Ok(()) }
    }
}

impl Completeness for Gemini {
    fn check(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        let stream = |body: &[u8]| self.stream(body);
        payload::check(status, headers, body, stream, |body| self.json(body))
    }
}

/// The parts of an answer, or of a piece of one, that tell whether it is complete.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    error: Option<IgnoredAny>,
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    prompt_feedback: Option<Feedback<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow, default)]
    block_reason: Text<'a>,
}

/// What was said so far.
#[derive(Default)]
struct Transcript {
    is_generation: bool,
    /// How each candidate ended.
    candidates: Vec<(u32, Option<Finish>)>,
    is_blocked: bool,
}

impl Transcript {
    fn take(&mut self, piece: &Piece<'_>) -> Result<(), Reason> {
        if piece.error.is_some() {
            return Err("error-event");
        }
        self.is_generation |= piece.candidates.is_some() || piece.prompt_feedback.is_some();
        self.is_blocked |=
            piece.prompt_feedback.as_ref().is_some_and(|feedback| !feedback.block_reason.as_str().is_empty());
        for Candidate { index, finish_reason } in piece.candidates.iter().flatten() {
            let reason = Finish::of(finish_reason.as_str());
            match self.candidates.iter_mut().find(|(known, _)| known == index) {
                Some((_, finish)) => *finish = (*finish).max(reason),
                None => self.candidates.push((*index, reason)),
            }
        }
        Ok(())
    }

    fn outcome(self, keep_truncated: bool) -> Result<(), Reason> {
        if self.candidates.is_empty() {
            return if self.is_blocked { Finish::Filter.accept(keep_truncated) } else { Err("no-choices") };
        }
        self.candidates.into_iter().try_for_each(|(_, finish)| finish.ok_or("no-finish-reason")?.accept(keep_truncated))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::transcripts::{GENERATE_CONTENT, assert_only_the_whole_is_complete, json, stream},
        Gemini, Verdict,
    };

    #[test]
    fn a_cut_stream_is_never_complete() {
        assert_only_the_whole_is_complete(&Gemini::new(), GENERATE_CONTENT);
        assert_only_the_whole_is_complete(&Gemini::new(), &GENERATE_CONTENT.replace('\n', "\r\n"));
    }

    #[test]
    fn an_end_that_was_not_the_model_s_own_is_kept_on_request_only() {
        for (reason, why) in [
            ("MAX_TOKENS", "finish-length"),
            ("SAFETY", "finish-content-filter"),
            ("RECITATION", "finish-content-filter"),
            ("PROHIBITED_CONTENT", "finish-content-filter"),
            ("MALFORMED_FUNCTION_CALL", "finish-error"),
        ] {
            let body = GENERATE_CONTENT.replace("\"STOP\"", &format!("\"{reason}\""));
            assert_eq!(stream(&Gemini::new(), &body), Verdict::Incomplete(why), "{reason}");
            let kept = stream(&Gemini::new().keep_truncated(true), &body).is_complete();
            assert_eq!(kept, why != "finish-error", "{reason}");
        }
    }

    #[test]
    fn json_needs_a_finish_reason_for_each_candidate() {
        let cases = [
            ("{\"candidates\":[{\"finishReason\":\"STOP\"}]}", Ok(())),
            ("{\"candidates\":[{\"finishReason\":\"STOP\"},{\"index\":1}]}", Err("no-finish-reason")),
            ("{\"candidates\":[]}", Err("no-choices")),
            ("{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}", Err("finish-content-filter")),
            ("[{\"candidates\":[{}]},{\"candidates\":[{\"finishReason\":\"STOP\"}]}]", Ok(())),
            ("[{\"candidates\":[{}]}]", Err("no-finish-reason")),
            ("[{\"candidates\":[{}]},{\"error\":{\"code\":500}}]", Err("error-event")),
            ("{\"error\":{\"code\":400}}", Err("error")),
            ("{\"embedding\":{\"values\":[0.1]}}", Ok(())),
            ("[1,2]", Ok(())),
            ("{\"candidates\":", Err("invalid-json")),
        ];
        for (body, outcome) in cases {
            assert_eq!(json(&Gemini::new(), body), Verdict::of(outcome), "{body}");
        }
    }
}
