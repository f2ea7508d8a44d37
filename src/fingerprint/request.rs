//! [`RequestFingerprint`]: the parts of a request that count, put together.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Method, Uri, header::CONTENT_ENCODING, request::Parts};

use super::{BodyUse, Fingerprint, Scope, json, uri::normalized};
use crate::{
    ConfigError,
    header::{host::authority, media_type},
    key::{Key, KeyBuilder},
};

/// Method, normalised URI and credential; and, as told, further fields and the body.
///
/// - The URI counts with host, path and query. Case and default port of the host don't, nor how a character is
///   percent-encoded. The query's order does.
/// - Header fields count where they are named with [`header`](Self::header). A response's `Vary` is followed besides.
/// - A body counts after [`json_body`](Self::json_body) or [`raw_body`](Self::raw_body). Until then a request with a body is
///   passed by the cache: it can't get the answer to another. So is a request without a body whose method is neither GET nor
///   HEAD.
///
/// The label is `method:host/path`, for example `get:example.com/users`.
#[derive(Clone, Debug)]
#[must_use]
pub struct RequestFingerprint {
    headers: Arc<[HeaderName]>,
    ignored_query: Arc<[String]>,
    body: Body,
    scope: Scope,
}

#[derive(Clone, Debug)]
enum Body {
    Absent,
    Raw(usize),
    Json { limit: usize, ignored: Arc<[String]> },
}

impl RequestFingerprint {
    /// Method, URI and credential.
    pub fn new() -> Self {
        Self { headers: [].into(), ignored_query: [].into(), body: Body::Absent, scope: Scope::default() }
    }

    /// Lets a request field count, with all its lines; absent is not the same as empty. Default: none.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers = self.headers.iter().cloned().chain([name]).collect();
        self
    }

    /// Leaves a query parameter out, such as `utm_source`. Default: all count.
    pub fn ignore_query(mut self, name: impl Into<String>) -> Self {
        self.ignored_query = self.ignored_query.iter().cloned().chain([name.into()]).collect();
        self
    }

    /// Lets the body count, as JSON where its media type says so: neither the order of keys counts, nor white space, nor how a
    /// number is written. A body that isn't valid JSON, or has a key twice, counts byte for byte. `limit`: see
    /// [`BodyUse::Buffer`]. Default: requests with a body are passed by the cache.
    pub fn json_body(mut self, limit: usize) -> Self {
        self.body = Body::Json { limit, ignored: [].into() };
        self
    }

    /// Leaves a top-level member of a JSON body out. Default: all count. Has no effect before [`Self::json_body`].
    pub fn ignore_json(mut self, name: impl Into<String>) -> Self {
        if let Body::Json { ignored, .. } = &mut self.body {
            *ignored = ignored.iter().cloned().chain([name.into()]).collect();
        }
        self
    }

    /// Lets the body count byte for byte. `limit`: see [`BodyUse::Buffer`].
    pub fn raw_body(mut self, limit: usize) -> Self {
        self.body = Body::Raw(limit);
        self
    }

    /// Sets who may share an answer. Default: [`Scope::credential`].
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Adds what all requests count: method, URI, chosen fields, scope. False if the request is to pass by the cache.
    pub(crate) fn add_head(&self, head: &Parts, host: &str, key: &mut KeyBuilder) -> bool {
        self.add_head_at(head, &head.uri, host, key)
    }

    /// The same, with another URI in the place of the request's.
    pub(crate) fn add_head_at(&self, head: &Parts, uri: &Uri, host: &str, key: &mut KeyBuilder) -> bool {
        key.add("method", head.method.as_str().as_bytes());
        key.add("host", host.as_bytes());
        // The scheme counts where it is known; a server doesn't know it, and has one only.
        if let Some(scheme) = uri.scheme_str() {
            key.add("scheme", scheme.as_bytes());
        }
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        key.add("path", &normalized(path));
        match uri.query() {
            Some(query) if self.ignored_query.is_empty() => key.add("query", &normalized(query)),
            Some(query) => {
                let counts = |pair: &&str| {
                    let name = pair.split('=').next().unwrap_or_default();
                    !self.ignored_query.iter().any(|ignored| ignored == name)
                };
                let pairs: Vec<_> = query.split('&').filter(counts).collect();
                if !pairs.is_empty() {
                    key.add("query", &normalized(&pairs.join("&")));
                }
            }
            None => {}
        }
        for name in &*self.headers {
            for value in head.headers.get_all(name) {
                key.add("header", name.as_str().as_bytes());
                key.add("value", value.as_bytes());
            }
        }
        self.scope.add_to(head, key)
    }
}

impl Default for RequestFingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl Fingerprint for RequestFingerprint {
    fn validate(&self) -> Result<(), ConfigError> {
        match self.body {
            Body::Absent => Ok(()),
            Body::Raw(limit) | Body::Json { limit, .. } => body_limit("RequestFingerprint body limit", limit),
        }
    }

    fn body(&self, _: &Parts) -> BodyUse {
        match self.body {
            Body::Absent => BodyUse::Empty,
            Body::Raw(limit) | Body::Json { limit, .. } => BodyUse::Buffer { limit },
        }
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        // A request that acts, and says nothing that it could be known by, is never the same as another.
        if body.is_empty() && !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let host = authority(head);
        let mut key = KeyBuilder::new("request");
        if !self.add_head(head, &host, &mut key) {
            return None;
        }
        if !body.is_empty() {
            key = match &self.body {
                Body::Json { ignored, .. } => {
                    with_json(key, head, body, |name| ignored.iter().any(|other| other == name))
                }
                Body::Raw(_) | Body::Absent => with_raw(key, head, body),
            };
        }
        match head.method {
            Method::GET => key.add_label("get"),
            _ => key.add_label(&head.method.as_str().to_ascii_lowercase()),
        }
        key.add_label(":");
        key.add_label(&host);
        key.add_label(head.uri.path());
        Some(key.make())
    }
}

/// A limit that lets some bodies through, and that memory has room for.
pub(crate) fn body_limit(setting: &'static str, limit: usize) -> Result<(), ConfigError> {
    if (1..=MAX_LIMIT).contains(&(limit as u64)) {
        return Ok(());
    }
    Err(ConfigError::new(
        setting,
        format!("{limit} bytes make no sense; take 1 to {MAX_LIMIT}, for example 1 << 20 for 1 MiB"),
    ))
}

/// The largest limit: a tebibyte. What is larger is a mistake.
const MAX_LIMIT: u64 = 1 << 40;

/// Adds a body in its canonical form if it is JSON, byte for byte otherwise.
fn with_json(key: KeyBuilder, head: &Parts, body: &Bytes, ignored: impl Fn(&str) -> bool) -> KeyBuilder {
    let readable = media_type::is_json(&head.headers) && !head.headers.contains_key(CONTENT_ENCODING);
    match readable.then(|| json::parse(body)) {
        Some(Ok(value)) => key.streamed("json", |mut sink| json::write_canonical_without(&value, ignored, &mut sink)),
        Some(Err(_)) | None => with_raw(key, head, body),
    }
}

/// Adds a body byte for byte, with what says how its bytes are to be read.
pub(crate) fn with_raw(mut key: KeyBuilder, head: &Parts, body: &Bytes) -> KeyBuilder {
    for name in [http::header::CONTENT_TYPE, CONTENT_ENCODING] {
        key = key.optional(name.as_str(), head.headers.get(&name));
    }
    key.field("body", body)
}
