//! What a request says: its query and its path, or a problem.

use axum::{
    extract::{FromRequestParts, Path, Query},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde::{Serialize, de::DeserializeOwned};

use super::problem::Problem;
use crate::{
    key::Key,
    tag::{Selector, Tag},
};

/// A query. What isn't known is an error: a name that is misspelt must not mean everything.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let said = rejection.body_text();
                Err(Problem::bad_request(format!("{said}; openapi.json says what this takes")))
            }
        }
    }
}

/// A key in the path.
pub(super) struct KeyOfPath(pub(super) Key);

impl<S: Send + Sync> FromRequestParts<S> for KeyOfPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
        key(&text).map(Self)
    }
}

/// A key by its text.
pub(super) fn key(text: &str) -> Result<Key, Problem> {
    text.parse().map_err(|error| {
        Problem::bad_request(format!(
            "{error}, such as entries have that GET api/cache/entries lists; escape it in URLs"
        ))
    })
}

/// Which entries are meant, by at most one of these.
pub(super) fn selector(
    pattern: Option<&str>,
    tag: Option<&str>,
    key_text: Option<&str>,
) -> Result<Option<Selector>, Problem> {
    match (pattern, tag, key_text) {
        (None, None, None) => Ok(None),
        (Some(""), None, None) => {
            Err(Problem::bad_request("pattern is empty; take a glob over labels, such as chat:*"))
        }
        (Some(pattern), None, None) => Ok(Some(Selector::label(pattern))),
        (None, Some(tag), None) => match Tag::new(tag) {
            Ok(tag) => Ok(Some(Selector::Tag(tag))),
            Err(error) => Err(Problem::bad_request(format!("tag: {error}"))),
        },
        (None, None, Some(text)) => Ok(Some(Selector::Key(key(text)?))),
        _ => Err(Problem::bad_request("pattern, tag and key don't go together; take one of them")),
    }
}

/// An answer.
pub(super) fn json(value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, value)
}

pub(super) fn json_with(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response(),
        Err(error) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
