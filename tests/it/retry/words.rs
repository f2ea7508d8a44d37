//! Short words for layers, and for what came out of them.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use larder::{
    RetryFallbackLayer,
    retry::{Builder, Failure, Fallback},
};
use serde_json::Value;

use crate::support::text;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The defaults, but that every random number is a half.
pub(super) fn half() -> Builder {
    RetryFallbackLayer::builder().random(|| 0.5)
}

/// A default answer that says `default`.
pub(super) fn default_answer() -> Fallback {
    Fallback::answer(Response::new(Bytes::from_static(b"default")))
}

/// A step that takes down with what failure it was reached, and has no answer.
pub(super) fn noted() -> (Arc<Mutex<Vec<Failure>>>, Fallback) {
    let failures = Arc::new(Mutex::new(Vec::new()));
    let notes = failures.clone();
    let step = Fallback::answer_with(move |_, failure| {
        notes.lock().expect("no panic").push(*failure);
        None
    });
    (failures, step)
}

/// The members of a problem description, and the status that it came with.
pub(super) async fn problem<B>(response: Response<B>) -> (StatusCode, Value)
where
    B: http_body::Body<Data = Bytes>,
    B::Error: fmt::Debug,
{
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["larder-fallback"], "problem");
    let status = response.status();
    (status, serde_json::from_str(&text(response).await).expect("JSON"))
}
