//! [`Problem`]: the answer to a request that finds no room.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::{Outcome, RateLimitStatus, Room, Standing};
use crate::{
    header::delta_seconds,
    problem::{self, ErrorMember},
};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// When to come back if the limiter doesn't answer.
const SOON: Duration = Duration::from_secs(1);

/// The body of a denial: `application/problem+json` ([RFC 9457]), with the types of [draft-ietf-httpapi-ratelimit-headers-11].
///
/// ```json
/// {
///   "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
///   "title": "Too Many Requests", "status": 429,
///   "detail": "The request finds no room in: rpm. Try again in 12 seconds.",
///   "violated-policies": ["rpm"], "retryAfter": 12
/// }
/// ```
///
/// `retryAfter` is in whole seconds, as `Retry-After` is, and left out with it: if a request is larger than its whole quota, and if nobody
/// knows when there will be room. If no limiter answers, the status is 503 and the type `#temporary-reduced-capacity`.
///
/// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
/// [draft-ietf-httpapi-ratelimit-headers-11]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/11/
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Problem {
    error_member: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<&'a str>,
    #[serde(rename = "retryAfter", skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorMember<'a>>,
}

impl Problem {
    /// The members above.
    pub const fn new() -> Self {
        Self { error_member: false }
    }

    /// Whether there is an `error` with `message`, `type` and `code`, which the clients of OpenAI, Anthropic and their like read.
    /// Default: `false`.
    pub const fn error_member(mut self, with: bool) -> Self {
        self.error_member = with;
        self
    }

    /// The answer to a request that is not let through.
    pub(super) fn response(self, status: &RateLimitStatus) -> Response<Bytes> {
        let is_closed = status.outcome == Outcome::FailedClosed;
        let retry_after = if is_closed { Some(SOON) } else { status.retry_after };
        let detail = detail(status, retry_after);
        let (code, kind, error_type) = if is_closed {
            (StatusCode::SERVICE_UNAVAILABLE, REDUCED_CAPACITY, "server_error")
        } else {
            (StatusCode::TOO_MANY_REQUESTS, QUOTA_EXCEEDED, "rate_limit_error")
        };
        let error = self.error_member.then_some(ErrorMember {
            message: &detail,
            r#type: error_type,
            code: if is_closed { "limiter_unavailable" } else { "rate_limit_exceeded" },
        });
        let denying = status.limits.iter().filter(|(_, standing)| standing.denies());
        let body = Body {
            r#type: kind,
            title: code.canonical_reason().unwrap_or("Error"),
            status: code.as_u16(),
            detail: &detail,
            violated_policies: denying.map(|(policy, _)| policy.name()).collect(),
            retry_after: retry_after.map(delta_seconds::round_up),
            error,
        };
        problem::response(code, &body, retry_after)
    }
}

fn detail(status: &RateLimitStatus, retry_after: Option<Duration>) -> String {
    let names = |of: &dyn Fn(&Standing) -> bool| {
        let limits = status.limits.iter().filter(|(_, standing)| standing.denies() && of(standing));
        limits.map(|(policy, _)| policy.name()).collect::<Vec<_>>().join(", ")
    };
    let (none, larger) = (
        names(&|standing| standing.amount == 0),
        names(&|standing| standing.amount > 0 && standing.room == Room::Never),
    );
    if !none.is_empty() {
        return format!("There is no quota at all of: {none}.");
    }
    if !larger.is_empty() {
        return format!("The request is larger than the whole quota of: {larger}. Make it smaller.");
    }
    let names = names(&|_| true);
    let what = match status.outcome {
        Outcome::FailedClosed => "It can't be told whether there is room for the request.".to_owned(),
        Outcome::Learned => "The upstream said that it has no room.".to_owned(),
        Outcome::Allowed | Outcome::Denied | Outcome::FailedOpen | Outcome::LocalAllowed | Outcome::LocalDenied => {
            format!("The request finds no room in: {names}.")
        }
    };
    match retry_after.map(delta_seconds::round_up) {
        Some(1) => format!("{what} Try again in a second."),
        Some(seconds) => format!("{what} Try again in {seconds} seconds."),
        None => format!("{what} Try again when other requests have ended."),
    }
}
