//! The response object of OpenAI's Responses API, which says itself whether it is complete.

use serde::{Deserialize, de::IgnoredAny};

use super::{Reason, finish::Finish, payload::Text};

/// The object of the Responses API, as a JSON answer and in a stream's last event.
#[derive(Deserialize)]
pub(super) struct Response<'a> {
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow)]
    incomplete_details: Option<IncompleteDetails<'a>>,
}

#[derive(Deserialize)]
struct IncompleteDetails<'a> {
    #[serde(borrow, default)]
    reason: Text<'a>,
}

impl Response<'_> {
    /// How the response ended, if it did.
    pub(super) fn finish(&self) -> Result<Finish, Reason> {
        if self.error.is_some() {
            return Err("error");
        }
        match self.status.as_str() {
            "completed" => Ok(Finish::Natural),
            "incomplete" => {
                let reason = self.incomplete_details.as_ref().map(|details| details.reason.as_str());
                Ok(match reason.and_then(Finish::of) {
                    Some(Finish::Natural) | None => Finish::Length,
                    Some(finish) => finish,
                })
            }
            "failed" => Err("error"),
            _ => Err("not-completed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        OpenAi, Verdict,
        transcripts::{RESPONSES, json, stream},
    };

    #[test]
    fn a_response_is_complete_when_it_says_so() {
        let incomplete = RESPONSES
            .replace("response.completed", "response.incomplete")
            .replace("\"completed\",\"error\"", "\"incomplete\",\"error\"");
        assert_eq!(stream(&OpenAi::new(), &incomplete), Verdict::Incomplete("finish-length"));
        assert_eq!(stream(&OpenAi::new().keep_truncated(true), &incomplete), Verdict::Complete);
        let failed = RESPONSES.replace("response.completed", "response.failed");
        assert_eq!(stream(&OpenAi::new(), &failed), Verdict::Incomplete("error-event"));

        let cases = [
            ("{\"object\":\"response\",\"status\":\"completed\",\"error\":null}", Ok(())),
            ("{\"object\":\"response\",\"status\":\"in_progress\"}", Err("not-completed")),
            ("{\"object\":\"response\"}", Err("not-completed")),
            ("{\"object\":\"response\",\"status\":\"failed\"}", Err("error")),
            (
                "{\"object\":\"response\",\"status\":\"incomplete\",\
                 \"incomplete_details\":{\"reason\":\"content_filter\"}}",
                Err("finish-content-filter"),
            ),
        ];
        for (body, outcome) in cases {
            assert_eq!(json(&OpenAi::new(), body), Verdict::of(outcome), "{body}");
        }
    }
}
