//! `POST /api/cache/explain`: why two requests share an entry, or don't, as somebody says who knows.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request as Incoming, State as Shared},
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{params::json, problem::Problem, state::State};

/// Says why two requests share an entry, or don't. Functions and closures are this, such as
/// [`llm::explain`](crate::llm::explain), or `|a, b| fingerprint::explain(&mine, a, b)` for the
/// [fingerprint](crate::fingerprint::explain) that a cache has.
///
/// What it answers is shown to whoever has the router's token: secrets are to be masked, as those do.
pub trait Explain: Send + Sync + 'static {
    /// The explanation, as JSON.
    fn explain(&self, one: &Request<Bytes>, other: &Request<Bytes>) -> Value;
}

impl<F, T> Explain for F
where
    F: Fn(&Request<Bytes>, &Request<Bytes>) -> T + Send + Sync + 'static,
    T: Serialize,
{
    fn explain(&self, one: &Request<Bytes>, other: &Request<Bytes>) -> Value {
        serde_json::to_value(self(one, other)).unwrap_or_else(|error| Value::String(error.to_string()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair<'a> {
    #[serde(borrow)]
    a: Asked<'a>,
    #[serde(borrow)]
    b: Asked<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    method: Option<String>,
    uri: String,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    /// A text is the body; anything else is as it is written.
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

pub(super) async fn explain(Shared(state): Shared<Arc<State>>, request: Incoming) -> Result<Response, Problem> {
    let Some(explain) = state.explain.clone() else {
        let detail = "nobody here can explain; give the router somebody who can (admin::Builder::explain)";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
    };
    let body = Bytes::from_request(request, &()).await;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let takes = "the body takes {\"a\": request, \"b\": request}, each with uri, and if need be method, headers, body";
    let pair: Pair<'_> =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("{takes}; {error}")))?;
    Ok(json(&explain.explain(&pair.a.request("a")?, &pair.b.request("b")?)))
}

impl Asked<'_> {
    fn request(self, name: &str) -> Result<Request<Bytes>, Problem> {
        let wrong = |what: &str, takes: &str| Problem::bad_request(format!("{name}.{what} takes {takes}"));
        let mut request = Request::new(match self.body.map(RawValue::get) {
            None | Some("null") => Bytes::new(),
            Some(raw) => match serde_json::from_str::<String>(raw) {
                Ok(text) => text.into(),
                Err(_) => Bytes::copy_from_slice(raw.as_bytes()),
            },
        });
        let method = self.method.as_deref().unwrap_or("POST").parse::<Method>();
        *request.method_mut() = method.map_err(|_| wrong("method", "one of HTTP, such as POST"))?;
        let uri = self.uri.parse::<Uri>();
        *request.uri_mut() = uri.map_err(|_| wrong("uri", "a path or a URL, such as /v1/chat/completions"))?;
        for (field, values) in self.headers {
            let values = match values {
                Values::One(value) => vec![value],
                Values::Many(values) => values,
            };
            for value in values {
                // The value may be a secret, and isn't said.
                let (Ok(field), Ok(value)) = (field.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
                    return Err(wrong("headers", "names and values of HTTP fields"));
                };
                request.headers_mut().append(field, value);
            }
        }
        Ok(request)
    }
}
