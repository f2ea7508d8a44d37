//! Answers that are problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;

use crate::header::retry_after;

/// What the clients of LLM providers read in place of the other members.
#[derive(Serialize)]
pub(crate) struct ErrorMember<'a> {
    pub(crate) message: &'a str,
    pub(crate) r#type: &'static str,
    pub(crate) code: &'static str,
}

/// An answer that nobody keeps, with these members, and with when to come back if that is known.
pub(crate) fn response(status: StatusCode, members: &impl Serialize, retry_after: Option<Duration>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::to_vec(members).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(time) = retry_after {
        headers.insert(RETRY_AFTER, retry_after::format(time));
    }
    response
}
