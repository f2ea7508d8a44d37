//! [`Upstream`]: somebody else to ask, and what has to be changed in a request for that.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHORIZATION},
    request::Parts,
    uri::PathAndQuery,
};

use super::model;
use crate::{
    ConfigError,
    retry::{Credentials, upstreams::named_by},
};

/// What carries credentials, which are for one host and nobody else.
const CREDENTIALS: [HeaderName; 6] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Another upstream, for the [fallback chain](super::Fallback).
///
/// It is asked with the client's method, path, query, fields and body, less the fields that carry credentials: these are for
/// the host that the client meant. It has a breaker and a budget of its own, as every host has.
///
/// If it turns the request away, with a 401, 402, 403, 404 or 405, the next step of the chain is taken, and what the
/// client is told in the end is what failed before: that a key is missing here, or that the path is another one, isn't
/// the client's to mend. Any other 4xx that isn't retried is its answer.
#[derive(Clone)]
#[must_use]
pub struct Upstream {
    base: Uri,
    strip: Option<Box<str>>,
    fields: Vec<(HeaderName, Option<HeaderValue>)>,
    keep_credentials: bool,
    model: Option<Box<str>>,
    storable: Option<bool>,
    pub(in crate::retry) credentials: Option<Arc<Credentials>>,
    pub(in crate::retry) attempts: u32,
    pub(in crate::retry) timeout: Option<Duration>,
}

impl Upstream {
    /// The upstream at `base`: its scheme and host, and its path in front of the request's. A layer isn't
    /// [built](crate::retry::Builder::try_build) with one that has no scheme, no host, or a query.
    pub fn to(base: Uri) -> Self {
        Self {
            base,
            strip: None,
            fields: Vec::new(),
            keep_credentials: false,
            model: None,
            storable: None,
            credentials: None,
            attempts: 1,
            timeout: None,
        }
    }

    /// What to take from the beginning of the request's path first, such as `/openai`. Default: nothing.
    pub fn strip_prefix(mut self, prefix: &str) -> Self {
        self.strip = Some(prefix.trim_end_matches('/').into());
        self
    }

    /// Sets a field, in the place of the client's. Its value is in no `Debug` output.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, Some(value)));
        self
    }

    /// Removes a field of the client's.
    pub fn remove_header(mut self, name: HeaderName) -> Self {
        self.fields.push((name, None));
        self
    }

    /// Credentials of its own. Default: none.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(Arc::new(credentials));
        self
    }

    /// Whether it gets the client's credentials, which may be for somebody else: `Authorization`, `Proxy-Authorization`, `Cookie`,
    /// `X-Api-Key`, `Api-Key`, `X-Goog-Api-Key`, and the field of the layer's [credentials](crate::retry::Builder::credentials).
    /// What carries credentials besides is to be [removed](Self::remove_header); those in a path or a query go along in any case.
    /// Default: `false`.
    pub fn keep_credentials(mut self, keep: bool) -> Self {
        self.keep_credentials = keep;
        self
    }

    /// What becomes the `model` of a JSON body that has one; nothing else of the body changes. Its answers stand in for those of
    /// another model then, and a [`CacheLayer`](crate::CacheLayer) outside doesn't keep them, unless they are
    /// [storable](Self::storable).
    pub fn model(mut self, name: &str) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Whether a [`CacheLayer`](crate::CacheLayer) outside may keep its answers as those of the upstream that was meant. Default:
    /// `true`, but `false` for another [model](Self::model).
    pub fn storable(mut self, storable: bool) -> Self {
        self.storable = Some(storable);
        self
    }

    /// How many attempts it is given, the first included. Default: 1.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long an attempt may take, until it is released. Default: the layer's
    /// [`attempt_timeout`](crate::retry::Builder::attempt_timeout).
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Its scheme, host and path.
    pub(in crate::retry) fn base(&self) -> &Uri {
        &self.base
    }

    pub(in crate::retry) fn is_storable(&self) -> bool {
        self.storable.unwrap_or_else(|| self.model.is_none())
    }

    /// Whether it needs all of a body to make a request for this upstream.
    pub(in crate::retry) fn rewrites_body(&self) -> bool {
        self.model.is_some()
    }

    /// Whether a status says that it has no use for a request as it is asked here: its key won't do, or it doesn't
    /// serve the like.
    pub(in crate::retry) fn turns_away(status: StatusCode) -> bool {
        matches!(status.as_u16(), 401..=405)
    }

    pub(in crate::retry) fn check(&self) -> Result<(), ConfigError> {
        let base = &self.base;
        // Without what may be secret: a password, and the query.
        let shown = format!("{}{}", named_by(base).unwrap_or_default(), base.path());
        let problem = if base.scheme().is_none() || base.authority().is_none() {
            format!("{shown} has no scheme or no host; takes a URI such as https://mirror.example/v1")
        } else if base.query().is_some() {
            format!("{shown} has a query, which would take the place of the request's; takes one without")
        } else if self.attempts == 0 {
            "no attempts; takes one or more".to_owned()
        } else if self.timeout.is_some_and(|time| time.is_zero()) {
            "a timeout of zero; takes more".to_owned()
        } else {
            return Ok(());
        };
        Err(ConfigError::new("fallback upstream", problem))
    }

    /// Has the client's own value of this field, too, kept from it.
    pub(in crate::retry) fn drop_credential(&mut self, name: &HeaderName) {
        if !self.keep_credentials {
            // What the user sets comes after.
            self.fields.insert(0, (name.clone(), None));
        }
    }

    /// Turns a request into one for this upstream. `None`: its path can't be a path there.
    pub(in crate::retry) fn rewrite(&self, head: &mut Parts, body: &Bytes) -> Option<Bytes> {
        head.uri = self.uri(&head.uri)?;
        head.headers.remove(HOST);
        if !self.keep_credentials {
            CREDENTIALS.iter().for_each(|name| {
                head.headers.remove(name);
            });
        }
        for (name, value) in &self.fields {
            match value {
                Some(value) => head.headers.insert(name.clone(), value.clone()),
                None => head.headers.remove(name),
            };
        }
        let rewritten = self.body(body);
        if rewritten != body {
            set_length(&mut head.headers, rewritten.len());
        }
        Some(rewritten)
    }

    /// What it is sent of a body that was read.
    pub(in crate::retry) fn body(&self, body: &Bytes) -> Bytes {
        self.model.as_deref().and_then(|name| model::replaced(body, name)).unwrap_or_else(|| body.clone())
    }

    fn uri(&self, uri: &Uri) -> Option<Uri> {
        let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let rest = match self.strip.as_deref().and_then(|prefix| asked.strip_prefix(prefix)) {
            Some(rest) if rest.starts_with('/') => Cow::Borrowed(rest),
            Some(rest) if rest.is_empty() || rest.starts_with('?') => Cow::Owned(format!("/{rest}")),
            Some(_) | None => Cow::Borrowed(asked),
        };
        let prefix = self.base.path().trim_end_matches('/');
        let path = if prefix.is_empty() { rest.into_owned() } else { format!("{prefix}{rest}") };
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl fmt::Debug for Upstream {
    /// Without what may be secret: the values of fields, and a password in the URI.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("host", &named_by(&self.base))
            .field("path", &self.base.path())
            .field("fields", &self.fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
            .field("credentials", &self.credentials)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

fn set_length(headers: &mut HeaderMap, length: usize) {
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn rewritten(upstream: &Upstream, request: Request<&'static str>) -> (Parts, Bytes) {
        let (mut head, body) = request.into_parts();
        let body = upstream.rewrite(&mut head, &Bytes::from_static(body.as_bytes())).expect("a path");
        (head, body)
    }

    #[test]
    fn the_base_takes_the_place_of_host_and_prefix() {
        let cases = [
            ("https://b", None, "http://a/x?y", "https://b/x?y"),
            ("https://b/", None, "http://a/", "https://b/"),
            ("https://b:8443/v1/", None, "http://a/x", "https://b:8443/v1/x"),
            ("https://b/new", Some("/old"), "http://a/old/x?y", "https://b/new/x?y"),
            ("https://b/new", Some("/old/"), "http://a/old?y", "https://b/new/?y"),
            ("https://b", Some("/old"), "http://a/older", "https://b/older"),
            ("https://b", None, "/x", "https://b/x"),
        ];
        for (base, strip, asked, expected) in cases {
            let mut upstream = Upstream::to(base.parse().expect("a URI"));
            if let Some(prefix) = strip {
                upstream = upstream.strip_prefix(prefix);
            }
            let (head, _) = rewritten(&upstream, Request::get(asked).body("").expect("a request"));
            assert_eq!(head.uri.to_string(), expected);
        }
    }

    #[test]
    fn nobody_gets_the_credentials_that_are_for_another() {
        let request = || {
            Request::get("http://a/")
                .header("host", "a")
                .header("authorization", "Bearer 1")
                .header("x-api-key", "2")
                .header("cookie", "3")
                .header("accept", "*/*")
                .body("")
                .expect("a request")
        };
        let to = || Upstream::to(Uri::from_static("http://b"));
        let (head, _) = rewritten(&to(), request());
        assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["accept"]);
        let own = to().header(AUTHORIZATION, HeaderValue::from_static("Bearer 9"));
        assert_eq!(rewritten(&own, request()).0.headers[AUTHORIZATION], "Bearer 9");
        let same = to().keep_credentials(true).remove_header(COOKIE);
        let (head, _) = rewritten(&same, request());
        assert_eq!(head.headers[AUTHORIZATION], "Bearer 1");
        assert!(!head.headers.contains_key(COOKIE) && !head.headers.contains_key(HOST));
    }

    #[test]
    fn another_model_has_another_length_and_its_answers_are_nobodys_to_keep() {
        let upstream = Upstream::to(Uri::from_static("http://b")).model("small");
        let request = Request::post("http://a/").header("content-length", "18").body("{\"model\": \"large\"}");
        let (head, body) = rewritten(&upstream, request.expect("a request"));
        assert_eq!(
            (body.as_ref(), &head.headers[CONTENT_LENGTH]),
            (&b"{\"model\": \"small\"}"[..], &"18".parse().expect("a value"))
        );
        assert!(!upstream.is_storable());
        assert!(upstream.storable(true).is_storable());
    }

    #[test]
    fn what_is_no_upstream_is_refused() {
        let to = |uri: &'static str| Upstream::to(Uri::from_static(uri));
        for upstream in
            [to("/x"), to("http://a/?b"), to("http://a").attempts(0), to("http://a").timeout(Duration::ZERO)]
        {
            assert!(upstream.check().is_err(), "{upstream:?}");
        }
        assert_eq!(to("http://a").check(), Ok(()));
        let problem = to("http://me:s3cret@a/b?key=s3cret").check().expect_err("a query").to_string();
        assert!(problem.contains("a/b has a query") && !problem.contains("s3cret"), "{problem}");
    }
}
