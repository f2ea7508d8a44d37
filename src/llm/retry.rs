//! What is worth another attempt at an LLM API.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, Method, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    response,
};
use serde::Deserialize;
use serde_json::Value;

use super::Endpoint;
use crate::{
    header::media_type,
    retry::{self, Asked, Cause, Hold, Outcome, Problem, RetryFallbackLayer, Verdict},
};

/// How much of an error is read to find out what it is.
const ERROR: usize = 64 * 1024;

/// How long an attempt may take: as long as the clients of OpenAI and Anthropic give theirs.
const ATTEMPT: Duration = Duration::from_secs(600);

/// How large a request may be to be kept for further attempts.
const REQUEST: usize = 8 << 20;

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What is used up until somebody pays, as providers and gateways name it in an error's `code`, `type` or `status`.
const USED_UP: [&str; 12] = [
    "insufficient_quota",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_user_quota",
    "credit_balance_exhausted",
    "credit_balance_too_low",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "exceeded_current_quota_error",
    "spend_limit_exceeded",
    "usage_limit_reached",
];

/// A [`RetryFallbackLayer`] for an LLM API, to be built or set further.
///
/// Three attempts at what [`Classify`] finds worth it, of up to ten minutes each; generation requests are repeated although they
/// are POSTs, up to 8 MiB large; a stream is held back until its first event, and retried if that is an error; each model of a
/// host has a breaker and a budget of its own; and the problem at the end has an `error` that the providers' clients understand.
///
/// ```
/// use larder::{llm, retry::Upstream};
///
/// let layer = llm::retry().fallback(Upstream::to("https://mirror.example".parse().unwrap())).build();
/// # let _ = layer;
/// ```
pub fn retry() -> retry::Builder<Classify> {
    RetryFallbackLayer::builder()
        .classify(Classify)
        .attempt_timeout(ATTEMPT)
        .max_request_body(REQUEST)
        .repeatable(is_generation)
        .hold(Hold::FirstEvent)
        .label(model)
        .problem(Problem::new().error_member(true))
}

fn is_generation(asked: &Asked) -> bool {
    *asked.method() == Method::POST && Endpoint::of(asked.uri().path()).is_some()
}

/// The model that a request names.
fn model(asked: &Asked, body: &Bytes) -> Option<String> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        model: Cow<'a, str>,
    }
    let is_json = asked.field(&CONTENT_TYPE).is_none_or(|value| value.as_bytes().starts_with(b"application/json"));
    let body: Body<'_> = serde_json::from_slice(body).ok().filter(|_| is_json && is_generation(asked))?;
    Some(body.model.into_owned())
}

/// What is transient in an LLM API: what is so in [HTTP](retry::Transient), and besides
///
/// | outcome | verdict |
/// |---|---|
/// | 409 (a lock, at OpenAI) | retry |
/// | `x-should-retry: true` on any 4xx or 5xx | retry |
/// | `x-should-retry: false` on a status that would be retried | fall back |
/// | an error that says that a quota, a balance or a spending limit is used up | fall back; with [credentials](retry::Credentials), the next |
/// | an error event at the beginning of a stream | by its error: used up as above; a mistake of the request's is the client's; anything else is retried |
///
/// What an error says is read from the JSON of its body: `code`, `type` or `status` of its `error`, as OpenAI, Anthropic, Google and
/// most gateways have it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classify;

impl<E: 'static> retry::Classify<E> for Classify {
    fn classify(&self, _: &Asked, outcome: Outcome<'_, E>) -> Verdict {
        match outcome {
            Outcome::Response { head, body } => of_response(head, body),
            Outcome::ErrorEvent { data, .. } => match Failing::of(data) {
                Failing::UsedUp => Verdict::Fallback(Cause::Refused),
                Failing::Request => Verdict::Accept,
                Failing::Throttled => Verdict::Retry(Cause::Throttled),
                Failing::Other => Verdict::Retry(Cause::Failed),
            },
            Outcome::Broken(_) | Outcome::Error(_) | Outcome::TimedOut => Verdict::Retry(Cause::Failed),
        }
    }

    fn reads(&self, head: &response::Parts) -> usize {
        let is_error = head.status.is_client_error() || head.status.is_server_error();
        let readable = media_type::is_json(&head.headers) && !head.headers.contains_key(CONTENT_ENCODING);
        if is_error && readable { ERROR } else { 0 }
    }

    fn is_unsent(&self, error: &E) -> bool {
        retry::is_unsent(error)
    }
}

fn of_response(head: &response::Parts, body: &[u8]) -> Verdict {
    let status = head.status;
    if !status.is_client_error() && !status.is_server_error() {
        return Verdict::Accept;
    }
    if Failing::of(body) == Failing::UsedUp {
        return Verdict::Fallback(Cause::Refused);
    }
    let verdict = match status {
        StatusCode::CONFLICT => Verdict::Retry(Cause::Failed),
        _ => retry::of_status(status),
    };
    match (head.headers.get(X_SHOULD_RETRY).map(|value| value.as_bytes().trim_ascii()), verdict) {
        (Some(b"true"), Verdict::Accept) => Verdict::Retry(Cause::Failed),
        (Some(b"false"), Verdict::Retry(cause)) => Verdict::Fallback(cause),
        (_, verdict) => verdict,
    }
}

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    UsedUp,
    Request,
    Throttled,
    Other,
}

impl Failing {
    fn of(json: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(json) else { return Self::Other };
        let error = body.get("error").unwrap_or(&Value::Null);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        // Anthropic has no name for it.
        if text(error.get("message")).is_some_and(|message| message.contains("credit balance is too low")) {
            return Self::UsedUp;
        }
        let names = ["code", "type", "status"].into_iter().flat_map(|name| [error.get(name), body.get(name)]);
        let names: Vec<_> = names.chain([Some(error)]).filter_map(text).collect();
        if names.iter().any(|name| USED_UP.contains(&&**name)) {
            return Self::UsedUp;
        }
        let known = names.iter().find_map(|name| match &**name {
            "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => Some(Self::Throttled),
            "invalid_request_error"
            | "authentication_error"
            | "permission_error"
            | "not_found_error"
            | "request_too_large"
            | "INVALID_ARGUMENT"
            | "PERMISSION_DENIED"
            | "NOT_FOUND" => Some(Self::Request),
            _ => None,
        });
        known.unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::Response;
    use retry::Classify as _;

    use super::*;

    fn asked(path: &str) -> Asked {
        let request = http::Request::post(path).body(()).expect("a request");
        Asked::new(&request.into_parts().0)
    }

    fn verdict(status: u16, fields: &[(&str, &str)], body: &str) -> Verdict {
        let mut response = Response::builder().status(status).header("content-type", "application/json");
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let (head, ()) = response.body(()).expect("a response").into_parts();
        let shown = body.as_bytes();
        let reads = <Classify as retry::Classify<io::Error>>::reads(&Classify, &head);
        let outcome: Outcome<'_, io::Error> = Outcome::Response { head: &head, body: &shown[..reads.min(shown.len())] };
        Classify.classify(&asked("/v1/messages"), outcome)
    }

    #[test]
    fn what_is_used_up_is_not_asked_for_again() {
        let bodies = [
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            r#"{"error":{"message":"x","type":"requests","code":"billing_hard_limit_reached"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
            r#"{"type":"error","error":{"type":"billing_error","message":"x"}}"#,
            r#"{"error":"x","code":"credit_balance_exhausted"}"#,
            r#"{"error":{"message":"x","code":402,"type":"insufficient_balance"}}"#,
        ];
        for body in bodies {
            for status in [400, 402, 403, 429] {
                assert_eq!(verdict(status, &[], body), Verdict::Fallback(Cause::Refused), "{status} {body}");
            }
            assert_eq!(verdict(200, &[], body), Verdict::Accept);
        }
    }

    #[test]
    fn a_limit_that_opens_again_is_waited_for() {
        let bodies = [
            r#"{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}"#,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#,
            r#"{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}"#,
            "not JSON",
            "",
        ];
        for body in bodies {
            assert_eq!(verdict(429, &[], body), Verdict::Retry(Cause::Throttled), "{body}");
        }
    }

    #[test]
    fn the_server_may_say_whether_to_retry() {
        assert_eq!(verdict(409, &[], "{}"), Verdict::Retry(Cause::Failed));
        assert_eq!(verdict(529, &[], "{}"), Verdict::Retry(Cause::Failed));
        assert_eq!(verdict(400, &[], "{}"), Verdict::Accept);
        assert_eq!(verdict(400, &[("x-should-retry", "true")], "{}"), Verdict::Retry(Cause::Failed));
        assert_eq!(verdict(429, &[("x-should-retry", "false")], "{}"), Verdict::Fallback(Cause::Throttled));
        assert_eq!(verdict(500, &[("x-should-retry", "false")], "{}"), Verdict::Fallback(Cause::Failed));
        assert_eq!(verdict(404, &[("x-should-retry", "false")], "{}"), Verdict::Accept);
        assert_eq!(verdict(200, &[("x-should-retry", "true")], "{}"), Verdict::Accept);
    }

    #[test]
    fn an_error_event_is_judged_by_its_error() {
        let (head, ()) = Response::new(()).into_parts();
        let verdict = |data: &str| {
            let outcome: Outcome<'_, io::Error> = Outcome::ErrorEvent { head: &head, data: data.as_bytes() };
            Classify.classify(&asked("/v1/messages"), outcome)
        };
        let cases = [
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Verdict::Retry(Cause::Failed),
            ),
            (r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#, Verdict::Retry(Cause::Throttled)),
            (r#"{"error":{"message":"x","code":"insufficient_quota"}}"#, Verdict::Fallback(Cause::Refused)),
            (r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"}}"#, Verdict::Accept),
            ("overloaded", Verdict::Retry(Cause::Failed)),
        ];
        for (data, expected) in cases {
            assert_eq!(verdict(data), expected, "{data}");
        }
    }

    #[test]
    fn only_generation_is_repeated_and_named_by_its_model() {
        let body = Bytes::from_static(br#"{"messages":[],"model":"gpt-4o"}"#);
        assert!(is_generation(&asked("http://a/v1/chat/completions")));
        assert_eq!(model(&asked("http://a/v1/chat/completions"), &body).as_deref(), Some("gpt-4o"));
        assert!(!is_generation(&asked("http://a/v1/files")));
        assert_eq!(model(&asked("http://a/v1/files"), &body), None);
        assert_eq!(model(&asked("http://a/v1/messages"), &Bytes::from_static(b"[]")), None);
    }
}
