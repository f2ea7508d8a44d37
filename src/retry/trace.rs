//! The spans of a layer that retries: one for a request, and in it one for each attempt.

use http::{Request, Response};
use tracing::{Span, debug_span, field::Empty};

use super::{
    Attempts,
    attempt::{Attempted, Bad},
};
use crate::{stats::ErrorKind, trace};

/// What the span of a request is called.
const REQUEST: &str = "larder.retry";

/// What the span of an attempt is called.
const ATTEMPT: &str = "larder.retry.attempt";

/// The span of a request, until its response's head is there.
pub(super) fn span<B>(request: &Request<B>) -> Span {
    debug_span!(
        REQUEST,
        "http.request.method" = trace::method(request.method()),
        "server.address" = trace::server(request.uri(), request.headers()),
        "http.request.resend_count" = Empty,
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        "larder.retry.outcome" = Empty,
    )
}

/// The span of an attempt, which is the `number`th, from 1.
pub(super) fn attempt<B>(request: &Request<B>, number: u32) -> Span {
    let span = debug_span!(
        ATTEMPT,
        "http.request.method" = trace::method(request.method()),
        "server.address" = trace::server(request.uri(), request.headers()),
        "http.request.resend_count" = Empty,
        "http.response.status_code" = Empty,
        "error.type" = Empty,
    );
    resent(&span, number);
    span
}

/// How often it was sent again, which is not said of what was sent once.
fn resent(span: &Span, attempts: u32) {
    if let Some(again @ 1..) = attempts.checked_sub(1) {
        span.record("http.request.resend_count", again);
    }
}

/// Says in the current span, which is that of an attempt, what came of it.
pub(super) fn attempted<A, E>(attempted: &Attempted<A, E>, error: Option<ErrorKind>) {
    let span = trace::current(ATTEMPT);
    let status = match attempted {
        Attempted::Final(Ok(response)) => Some(response.status()),
        Attempted::Final(Err(_)) => None,
        Attempted::Bad(Bad { status, .. }) => *status,
    };
    if let Some(status) = status {
        trace::answered(&span, status);
    }
    // A status that tells of an error is its type.
    let is_told = status.is_some_and(|status| status.is_client_error() || status.is_server_error());
    if let Some(error) = error.filter(|_| !is_told) {
        span.record("error.type", error.as_str());
    }
}

/// Says in the current span, which is that of a request, what it was answered with.
pub(super) fn answered<B, E>(answer: &Result<Response<B>, E>, is_fallen_back: bool) {
    let span = trace::current(REQUEST);
    let outcome = match answer {
        Ok(response) => {
            let Attempts { made, fallback } = Attempts::of(response);
            trace::answered(&span, response.status());
            resent(&span, made);
            match fallback {
                Some(kind) => kind.as_str(),
                None if is_fallen_back => "handed_on",
                None if made > 1 => "retried",
                None => "answered",
            }
        }
        Err(_) => {
            span.record("error.type", ErrorKind::Connection.as_str());
            if is_fallen_back { "handed_on" } else { "failed" }
        }
    };
    span.record("larder.retry.outcome", outcome);
}
