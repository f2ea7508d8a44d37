//! [`Problem`]: the error at the end of the chain, as RFC 9457 has it.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde::Serialize;

use crate::{
    problem::{self, ErrorMember},
    retry::{Cause, Failure, FailureKind},
};

/// The body of the last answer: `application/problem+json` ([RFC 9457]), without a word of what upstreams or errors said.
///
/// ```json
/// {
///   "type": "about:blank", "title": "Service Unavailable", "status": 503,
///   "detail": "The upstream failed, and nothing could stand in for its answer.",
///   "attempts": 3, "last_status": 503, "retry_after_ms": 1200,
///   "suggestions": ["Try again in 2 seconds."]
/// }
/// ```
///
/// `last_status` and `retry_after_ms` are left out if they aren't known. In the LLM profile there is an `error` besides, as the
/// providers' clients expect it.
///
/// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Problem {
    error_member: bool,
}

impl Problem {
    /// The members of RFC 9457, and those above.
    pub const fn new() -> Self {
        Self { error_member: false }
    }

    /// Whether there is an `error` with `message`, `type` and `code`, which the clients of OpenAI, Anthropic and their like read.
    /// Default: `false`.
    pub const fn error_member(mut self, with: bool) -> Self {
        self.error_member = with;
        self
    }

    /// The answer for a failure.
    pub(in crate::retry) fn response(self, failure: &Failure) -> Response<Bytes> {
        let status = failure.status();
        let detail = detail(failure);
        let error = self.error_member.then(|| ErrorMember {
            message: detail,
            r#type: error_type(failure),
            code: code(failure),
        });
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            attempts: failure.attempts,
            last_status: failure.last_status.map(|status| status.as_u16()),
            retry_after_ms: failure.retry_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            suggestions: suggestions(failure),
            error,
        };
        problem::response(status, &body, failure.retry_after)
    }
}

#[derive(Serialize)]
struct Body {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    suggestions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorMember<'static>>,
}

fn detail(failure: &Failure) -> &'static str {
    match (failure.kind, failure.cause) {
        (FailureKind::Response, Cause::Throttled) => "The upstream has no room for more requests now.",
        (FailureKind::Response, Cause::Refused) => {
            "The upstream refuses the credential, or what was paid for is used up."
        }
        (FailureKind::Response | FailureKind::ErrorEvent, _) => {
            "The upstream failed, and nothing could stand in for its answer."
        }
        (FailureKind::Broken, _) => "The upstream's answer broke off before it began.",
        (FailureKind::Error, _) => "The upstream could not be asked.",
        (FailureKind::TimedOut | FailureKind::DeadlineExceeded, _) => "The upstream did not answer in time.",
        (FailureKind::CircuitOpen, _) => "The upstream failed too often, and isn't asked for a while.",
        (FailureKind::NoCredential, _) => "The upstream refused every credential, and isn't asked for a while.",
    }
}

/// What Anthropic answers if it has too much to do.
const OVERLOADED: u16 = 529;

/// As OpenAI and Anthropic name them, where they agree or only one of them has it.
fn error_type(failure: &Failure) -> &'static str {
    match failure.cause {
        Cause::Failed if failure.kind == FailureKind::Response && failure.status().as_u16() == OVERLOADED => {
            "overloaded_error"
        }
        Cause::Throttled => "rate_limit_error",
        Cause::Refused => "insufficient_quota",
        Cause::Failed => "api_error",
    }
}

fn code(failure: &Failure) -> &'static str {
    match (failure.kind, failure.cause) {
        (FailureKind::Response, Cause::Throttled) => "rate_limit_exceeded",
        (FailureKind::Response, Cause::Refused) => "insufficient_quota",
        (FailureKind::Response | FailureKind::ErrorEvent | FailureKind::Broken | FailureKind::Error, _) => {
            "upstream_failed"
        }
        (FailureKind::TimedOut | FailureKind::DeadlineExceeded, _) => "upstream_timeout",
        (FailureKind::CircuitOpen | FailureKind::NoCredential, _) => "upstream_unavailable",
    }
}

fn suggestions(failure: &Failure) -> Vec<String> {
    let mut suggestions = Vec::new();
    match failure.retry_after {
        Some(time) => suggestions.push(format!("Try again in {}.", in_words(time))),
        None if failure.cause != Cause::Refused => suggestions.push("Try again in a few seconds.".to_owned()),
        None => {}
    }
    match (failure.kind, failure.cause) {
        (FailureKind::NoCredential, _) | (_, Cause::Refused) => {
            suggestions.push("Look at the credential, and at the quota and the balance of its account.".to_owned());
        }
        (_, Cause::Throttled) => suggestions.push("Send fewer requests at a time, or smaller ones.".to_owned()),
        (FailureKind::TimedOut | FailureKind::DeadlineExceeded, _) => {
            suggestions.push("Ask for less at a time, or allow more time.".to_owned());
        }
        (_, Cause::Failed) => {}
    }
    suggestions
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    if seconds == 1 { "1 second".to_owned() } else { format!("{seconds} seconds") }
}

#[cfg(test)]
mod tests {
    use http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    };
    use serde_json::{Value, json};

    use super::*;

    fn failure(kind: FailureKind, cause: Cause) -> Failure {
        Failure { attempts: 3, kind, cause, last_status: None, retry_after: None }
    }

    fn body(response: &Response<Bytes>) -> Value {
        serde_json::from_slice(response.body()).expect("JSON")
    }

    #[test]
    fn it_says_what_happened_and_what_to_do() {
        let failure = Failure {
            last_status: Some(StatusCode::TOO_MANY_REQUESTS),
            retry_after: Some(Duration::from_millis(1200)),
            ..failure(FailureKind::Response, Cause::Throttled)
        };
        let response = Problem::new().response(&failure);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let expected = json!({
            "type": "about:blank",
            "title": "Too Many Requests",
            "status": 429,
            "detail": "The upstream has no room for more requests now.",
            "attempts": 3,
            "last_status": 429,
            "retry_after_ms": 1200,
            "suggestions": ["Try again in 2 seconds.", "Send fewer requests at a time, or smaller ones."],
        });
        assert_eq!(body(&response), expected);
    }

    #[test]
    fn a_provider_s_client_finds_the_error_that_it_knows() {
        let response = Problem::new().error_member(true).response(&failure(FailureKind::TimedOut, Cause::Failed));
        assert_eq!(response.status(), 504);
        let expected = json!({
            "message": "The upstream did not answer in time.",
            "type": "api_error",
            "code": "upstream_timeout",
        });
        assert_eq!(body(&response)["error"], expected);
        assert_eq!(body(&response).get("last_status"), None);
    }

    #[test]
    fn an_overloaded_upstream_is_told_from_a_broken_one() {
        let overloaded = StatusCode::from_u16(529).ok();
        for (last_status, expected) in [(overloaded, "overloaded_error"), (StatusCode::from_u16(500).ok(), "api_error")]
        {
            let failure = Failure { last_status, ..failure(FailureKind::Response, Cause::Failed) };
            let response = Problem::new().error_member(true).response(&failure);
            assert_eq!(body(&response)["error"]["type"], expected, "{last_status:?}");
        }
    }

    #[test]
    fn the_status_is_that_of_the_failure() {
        let cases = [
            (FailureKind::Error, 502),
            (FailureKind::Broken, 502),
            (FailureKind::ErrorEvent, 502),
            (FailureKind::DeadlineExceeded, 504),
            (FailureKind::CircuitOpen, 503),
            (FailureKind::NoCredential, 503),
        ];
        for (kind, status) in cases {
            assert_eq!(Problem::new().response(&failure(kind, Cause::Failed)).status(), status);
        }
    }
}
