//! [`Fingerprint`]: what counts in a request to a model.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, header::CONTENT_ENCODING, request::Parts};

use super::{Endpoint, endpoint::is_generation};
use crate::{
    ConfigError,
    fingerprint::{self, BodyUse, RequestFingerprint, Scope, body_limit, json, with_raw},
    header::host::authority,
    key::{Key, KeyBuilder},
};

/// Members of a request that say who asks, or how a provider may cache, but not what is asked.
const IGNORED: [&str; 5] = ["user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention"];

/// Fields that change what an answer is.
const HEADERS: [&str; 5] =
    ["anthropic-version", "anthropic-beta", "openai-beta", "openai-organization", "openai-project"];

/// The largest request body that is read for its key.
const MAX_REQUEST: usize = 16 << 20;

/// Generation requests by their body, all others by method and URI.
///
/// Everything in the body counts, members that larder doesn't know included, but for `user`, `safety_identifier`, `metadata`,
/// `prompt_cache_key` and `prompt_cache_retention`. A member that is missing is not the same as its default. Neither the
/// order of keys counts, nor white space. A streamed answer and a plain one are two entries.
///
/// Not cached are requests whose answer isn't all they ask for, or doesn't depend on them alone: `store: true`, `background:
/// true`, `previous_response_id`, `conversation`.
///
/// The label is the endpoint and the model, for example `chat:gpt-4o`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Fingerprint {
    generation: RequestFingerprint,
    rest: RequestFingerprint,
    ignored: Arc<[String]>,
    limit: usize,
}

impl Fingerprint {
    /// Per credential.
    pub fn new() -> Self {
        let generation = HEADERS
            .into_iter()
            .fold(RequestFingerprint::new(), |fingerprint, name| fingerprint.header(HeaderName::from_static(name)));
        Self {
            generation,
            rest: RequestFingerprint::new(),
            ignored: IGNORED.map(String::from).into(),
            limit: MAX_REQUEST,
        }
    }

    /// Sets who may share an answer. Default: [`Scope::credential`].
    pub fn scope(mut self, scope: Scope) -> Self {
        self.generation = self.generation.scope(scope.clone());
        self.rest = self.rest.scope(scope);
        self
    }

    /// Sets what counts in requests that don't generate. Default: [`RequestFingerprint::new`].
    pub fn rest(mut self, fingerprint: RequestFingerprint) -> Self {
        self.rest = fingerprint;
        self
    }

    /// Lets a further request field count in a generation request, such as one by which a gateway chooses the model.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.generation = self.generation.header(name);
        self
    }

    /// Leaves a further top-level member of the body out.
    pub fn ignore(mut self, member: impl Into<String>) -> Self {
        self.ignored = self.ignored.iter().cloned().chain([member.into()]).collect();
        self
    }

    /// The largest request body that is read, in bytes; a larger request passes by the cache. Default: 16 MiB.
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl fingerprint::Fingerprint for Fingerprint {
    fn validate(&self) -> Result<(), ConfigError> {
        body_limit("llm::Fingerprint max_request", self.limit)
    }

    fn body(&self, head: &Parts) -> BodyUse {
        if is_generation(head) { BodyUse::Buffer { limit: self.limit } } else { self.rest.body(head) }
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        if !is_generation(head) {
            return self.rest.key(head, body);
        }
        let endpoint = Endpoint::of(head.uri.path())?;
        let mut key = KeyBuilder::new("llm").label(endpoint.label()).label(":");
        if !self.generation.add_head(head, &authority(head), &mut key) {
            return None;
        }
        let readable = !head.headers.contains_key(CONTENT_ENCODING);
        match readable.then(|| json::parse(body)) {
            Some(Ok(request)) => {
                if depends_on_more(&request) {
                    return None;
                }
                let ignored = |name: &str| self.ignored.iter().any(|other| other == name);
                let key = key.streamed("json", |mut sink| json::write_canonical_without(&request, ignored, &mut sink));
                Some(key.label(request.get("model").and_then(json::Value::as_str).unwrap_or("unknown")).finish())
            }
            // What can't be read here may be read there; the same bytes get the same answer.
            Some(Err(_)) | None => Some(with_raw(key, head, body).label("unknown").finish()),
        }
    }
}

/// Whether an answer leaves something behind, or depends on what others left.
fn depends_on_more(request: &json::Value<'_>) -> bool {
    let is_true = |name| request.get(name).and_then(json::Value::as_bool) == Some(true);
    let is_given = |name| request.get(name).is_some_and(|value| !value.is_null());
    is_true("store") || is_true("background") || is_given("previous_response_id") || is_given("conversation")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::fingerprint::Fingerprint as _;

    fn key(body: &'static str, fields: &[(&str, &str)]) -> Option<Key> {
        let mut request =
            Request::post("http://api.example/v1/chat/completions").header("content-type", "application/json");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).expect("request").into_parts().0;
        Fingerprint::new().key(&head, &Bytes::from_static(body.as_bytes()))
    }

    const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1}"#;

    #[test]
    fn what_is_asked_counts_and_who_asks_does_not() {
        let same = [
            r#"{ "temperature": 1.0, "messages": [ { "content": "h\u0069", "role": "user" } ], "model": "gpt-4o" }"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"user":"u","metadata":{"a":1}}"#,
        ];
        let different = [
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}],"temperature":1}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":0.99999999999999999999}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"tools":[]}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"unheard_of":null}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi","user":"x"}],"temperature":1}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"stream":true}"#,
        ];
        let plain = key(BODY, &[]).expect("a key");
        assert_eq!(plain.label(), "chat:gpt-4o");
        for body in same {
            assert_eq!(key(body, &[]).as_ref(), Some(&plain), "{body}");
        }
        for body in different {
            assert_ne!(key(body, &[]).as_ref(), Some(&plain), "{body}");
        }
    }

    #[test]
    fn credentials_and_api_versions_count_and_tracing_does_not() {
        let plain = key(BODY, &[]);
        for field in [
            ("authorization", "Bearer a"),
            ("x-api-key", "a"),
            ("anthropic-version", "2023-06-01"),
            ("openai-project", "p"),
        ] {
            assert_ne!(key(BODY, &[field]), plain, "{field:?}");
        }
        assert_ne!(key(BODY, &[("authorization", "Bearer a")]), key(BODY, &[("authorization", "Bearer b")]));
        for field in
            [("traceparent", "00-1-2-00"), ("user-agent", "x"), ("x-stainless-os", "Linux"), ("idempotency-key", "1")]
        {
            assert_eq!(key(BODY, &[field]), plain, "{field:?}");
        }
    }

    #[test]
    fn what_is_not_generated_is_no_other_credentials_either() {
        let key = |name: &str, value: &str| {
            let request = Request::get("http://api.example/v1/files/f1/content").header(name, value);
            let head = request.body(()).expect("request").into_parts().0;
            Fingerprint::new().key(&head, &Bytes::new())
        };
        for name in ["x-api-key", "api-key", "x-goog-api-key", "authorization"] {
            assert_ne!(key(name, "alice"), key(name, "bob"), "{name}");
        }
    }

    #[test]
    fn what_depends_on_more_than_the_request_has_no_key() {
        for body in [
            r#"{"model":"m","store":true}"#,
            r#"{"model":"m","background":true}"#,
            r#"{"model":"m","previous_response_id":"r"}"#,
            r#"{"model":"m","conversation":{"id":"c"}}"#,
        ] {
            assert!(key(body, &[]).is_none(), "{body}");
        }
        for body in [r#"{"model":"m","store":false}"#, r#"{"model":"m","previous_response_id":null}"#] {
            assert!(key(body, &[]).is_some(), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_counts_byte_for_byte() {
        let duplicate = key(r#"{"model":"a","model":"b"}"#, &[]);
        assert!(duplicate.is_some());
        assert_ne!(duplicate, key(r#"{"model":"b","model":"a"}"#, &[]));
        assert_ne!(key("{", &[]), key("{ ", &[]));
    }
}
