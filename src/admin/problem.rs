//! Errors that say what to do, as problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use std::error::Error as _;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::json;

use crate::store::StoreError;

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// What a store failed with, and in which space.
    pub(super) fn of_store(space: &str, error: &StoreError) -> Self {
        let status = match error {
            _ if error.is_bad_cursor() => StatusCode::BAD_REQUEST,
            _ if error.is_unsupported() => StatusCode::NOT_IMPLEMENTED,
            _ if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            _ if error.is_corrupt() => StatusCode::BAD_GATEWAY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, format!("in the space {space:?}: {}", told(error)))
    }

    /// The same with something before what it says.
    pub(super) fn after(mut self, said: &str) -> Self {
        self.detail.insert_str(0, said);
        self
    }
}

/// An error and what led to it.
pub(super) fn told(error: &StoreError) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        (self.status, kind, body.to_string()).into_response()
    }
}
