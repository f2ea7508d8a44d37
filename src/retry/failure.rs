//! [`Failure`]: why nothing that was tried will do.

use std::time::Duration;

use http::StatusCode;

use super::Cause;

/// Why there is no good answer, as far as it is known when a step of the [fallback chain](super::Fallback) is about to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// How many attempts were made, at all upstreams together.
    pub attempts: u32,
    /// What the last thing tried came to.
    pub kind: FailureKind,
    /// What is wrong, as it was judged.
    pub cause: Cause,
    /// The status of the last response that came, of any attempt, unless another upstream
    /// [turned the request away](super::Upstream) with it.
    pub last_status: Option<StatusCode>,
    /// When it is worth asking again: what the upstream said, or when the breaker lets a call pass.
    pub retry_after: Option<Duration>,
}

/// What the last thing tried came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// A response that won't do.
    Response,
    /// An event stream that began with an error.
    ErrorEvent,
    /// A body that broke before any of it was released.
    Broken,
    /// The inner service's error.
    Error,
    /// Nothing within the [attempt's time](super::Builder::attempt_timeout).
    TimedOut,
    /// Nothing within the [request's time](super::Builder::deadline).
    DeadlineExceeded,
    /// The breaker is open.
    CircuitOpen,
    /// All [credentials](super::Credentials) rest.
    NoCredential,
}

impl FailureKind {
    /// Whether the upstream was asked at all.
    pub(super) fn is_unasked(self) -> bool {
        matches!(self, Self::CircuitOpen | Self::NoCredential)
    }
}

impl Failure {
    /// Whether a stale answer may stand in: the upstream isn't there, is not well, or has no room (RFC 5861 §4 speaks of 500,
    /// 502, 503 and 504; 429 and 529 are the same to those who wait).
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self.kind {
            FailureKind::Response => self.last_status.is_some_and(|status| {
                status.is_server_error()
                    || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }),
            FailureKind::ErrorEvent
            | FailureKind::Broken
            | FailureKind::Error
            | FailureKind::TimedOut
            | FailureKind::DeadlineExceeded
            | FailureKind::CircuitOpen
            | FailureKind::NoCredential => true,
        }
    }

    /// The status that tells a client of it: the upstream's, if it is an error; 504 for what took too long, 503 for what isn't
    /// asked for a while, 502 for all else.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind {
            FailureKind::Response => match self.last_status {
                Some(status) if status.is_client_error() || status.is_server_error() => status,
                Some(_) | None => StatusCode::BAD_GATEWAY,
            },
            FailureKind::ErrorEvent | FailureKind::Broken | FailureKind::Error => StatusCode::BAD_GATEWAY,
            FailureKind::TimedOut | FailureKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::CircuitOpen | FailureKind::NoCredential => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
