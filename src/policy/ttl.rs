//! [`Ttl`]: how long an answer is kept is for the user to say.

use std::time::Duration;

use http::{
    Method, StatusCode,
    header::{AUTHORIZATION, PROXY_AUTHENTICATE, SET_COOKIE},
    request,
};

use super::{
    Admission, Exchange, Policy, Skip, Storage,
    rfc9111::{self, Said},
};
use crate::{
    ConfigError,
    entry::Lifetime,
    header::{cache_status::Forward, media_type, vary::Vary},
};

/// Keeps successful answers for a time, by status and media type.
///
/// - Kept are answers with the status 200, 203, 204, 300, 301 or 308. Errors are kept only if told, status by status.
/// - What the origin says comes first: `no-store` and `private` are obeyed, `max-age`, `s-maxage` and `Expires` are taken
///   before the given time; [`override_origin`](Self::override_origin) turns that round.
/// - GET, HEAD and POST are admitted, the latter because [`RequestFingerprint`](crate::fingerprint::RequestFingerprint) gives
///   a POST a key only by its body.
/// - `Set-Cookie` is never kept.
///
/// ```
/// use larder::policy::Ttl;
/// use http::StatusCode;
/// use std::time::Duration;
///
/// let policy = Ttl::new(Duration::from_secs(3600))
///     .status(StatusCode::NOT_FOUND, Duration::from_secs(10))
///     .media_type("text/event-stream", Duration::from_secs(600))
///     .stale_if_error(Duration::from_secs(86_400));
/// # let _ = policy;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Ttl {
    fresh_for: Duration,
    statuses: Vec<(StatusCode, Duration)>,
    media_types: Vec<(String, Duration)>,
    methods: Vec<Method>,
    override_origin: bool,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
}

impl Ttl {
    /// Successful answers are fresh for so long.
    pub fn new(fresh_for: Duration) -> Self {
        Self {
            fresh_for,
            statuses: Vec::new(),
            media_types: Vec::new(),
            methods: vec![Method::GET, Method::HEAD, Method::POST],
            override_origin: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }
    }

    /// Answers with this status are kept, and fresh for so long; zero: they are not kept. Errors are kept in this way only.
    pub fn status(mut self, status: StatusCode, fresh_for: Duration) -> Self {
        self.statuses.push((status, fresh_for));
        self
    }

    /// Successful answers of this media type (`type/subtype`) are fresh for so long; zero: they are not kept.
    pub fn media_type(mut self, essence: impl Into<String>, fresh_for: Duration) -> Self {
        self.media_types.push((essence.into(), fresh_for));
        self
    }

    /// The methods whose answers are kept. Default: GET, HEAD and POST.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// Whether the given times hold whatever the origin's `Cache-Control` and `Expires` say, `no-store` and `private`
    /// included. `Vary` is obeyed all the same. Default: false.
    pub fn override_origin(mut self, yes: bool) -> Self {
        self.override_origin = yes;
        self
    }

    /// For how long after that they may be served while they are refreshed, unless the origin says it. Default: zero.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = window;
        self
    }

    /// For how long after that they may be served in place of an error, unless the origin says it. Default: zero.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = window;
        self
    }

    fn given(&self, exchange: &Exchange<'_>) -> Option<Duration> {
        let status = exchange.response.status;
        if let Some((_, fresh_for)) = self.statuses.iter().rev().find(|(other, _)| *other == status) {
            return Some(*fresh_for);
        }
        if !matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308) {
            return None;
        }
        let essence = media_type::essence(&exchange.response.headers);
        let of_type = essence
            .and_then(|essence| self.media_types.iter().rev().find(|(other, _)| other.eq_ignore_ascii_case(essence)));
        Some(of_type.map_or(self.fresh_for, |(_, fresh_for)| *fresh_for))
    }
}

impl Policy for Ttl {
    fn validate(&self) -> Result<(), ConfigError> {
        let given = self.statuses.iter().map(|(_, time)| time).chain(self.media_types.iter().map(|(_, time)| time));
        if given.chain([&self.fresh_for]).all(Duration::is_zero) {
            let problem = "nothing is ever fresh, so nothing would be kept; take a time above zero";
            return Err(ConfigError::new("policy::Ttl", problem));
        }
        if self.methods.is_empty() {
            return Err(ConfigError::new(
                "policy::Ttl methods",
                "no method is admitted; take GET, HEAD, POST or others",
            ));
        }
        Ok(())
    }

    fn admit(&self, request: &request::Parts) -> Admission {
        if self.methods.contains(&request.method) { Admission::Admit } else { Admission::Bypass(Forward::Method) }
    }

    fn storable(&self, exchange: &Exchange<'_>) -> Storage {
        let response = exchange.response;
        if matches!(response.status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
            return Storage::Skip(Skip::Partial);
        }
        let Some(given) = self.given(exchange).filter(|given| !given.is_zero()) else {
            return Storage::Skip(Skip::Status);
        };
        if matches!(Vary::parse(&response.headers), Some(Vary::Any)) {
            return Storage::Skip(Skip::Forbidden);
        }
        let mut lifetime = Lifetime {
            stale_while_revalidate: self.stale_while_revalidate,
            stale_if_error: self.stale_if_error,
            ..Lifetime::new(exchange.received_at, given)
        };
        let mut without = Vec::new();
        if !self.override_origin {
            let said = Said::of(&response.headers, true);
            if said.directives.no_store || !said.directives.private.is_absent() {
                return Storage::Skip(Skip::Forbidden);
            }
            if let Some(fresh_for) = rfc9111::explicit_lifetime(exchange, &said) {
                lifetime.fresh_for = fresh_for;
                lifetime.initial_age = rfc9111::initial_age(exchange);
            }
            rfc9111::restrict(&mut lifetime, &said);
            without = rfc9111::named_fields(&said);
            if lifetime.kept_in(exchange.received_at).is_none() {
                return Storage::Skip(Skip::Lifetime);
            }
        }
        without.extend([SET_COOKIE, AUTHORIZATION, PROXY_AUTHENTICATE]);
        Storage::Keep { lifetime, without }
    }

    /// Besides 500, 502, 503 and 504, also 429 (throttled) and 529 (overloaded).
    fn is_error(&self, status: StatusCode) -> bool {
        matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504 | 529)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderValue, Request, Response};

    use super::*;

    fn storable(policy: &Ttl, status: u16, fields: &[(&'static str, &'static str)]) -> Storage {
        let request = Request::post("/").body(()).expect("request").into_parts().0;
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, HeaderValue::from_static(value));
        }
        let response = response.body(()).expect("response").into_parts().0;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        policy.storable(&Exchange::new(&request, &response, now, now))
    }

    fn fresh_for(storage: &Storage) -> Option<u64> {
        match storage {
            Storage::Keep { lifetime, .. } => Some(lifetime.fresh_for.as_secs()),
            Storage::Skip(_) => None,
        }
    }

    #[test]
    fn times_go_by_status_and_media_type_and_the_origin_comes_first() {
        let policy = Ttl::new(Duration::from_secs(60))
            .status(StatusCode::NOT_FOUND, Duration::from_secs(5))
            .media_type("text/event-stream", Duration::from_secs(30))
            .media_type("image/png", Duration::ZERO);
        let cases: &[(u16, &[(&str, &str)], Option<u64>, Option<u64>)] = &[
            (200, &[], Some(60), Some(60)),
            (404, &[], Some(5), Some(5)),
            (500, &[], None, None),
            (429, &[], None, None),
            (302, &[], None, None),
            (206, &[], None, None),
            (304, &[], None, None),
            (200, &[("content-type", "Text/Event-Stream; charset=utf-8")], Some(30), Some(30)),
            (200, &[("content-type", "image/png")], None, None),
            (200, &[("cache-control", "max-age=7")], Some(7), Some(60)),
            (200, &[("cache-control", "no-store")], None, Some(60)),
            (200, &[("cache-control", "private, max-age=7")], None, Some(60)),
            (200, &[("cache-control", "no-cache")], None, Some(60)),
            (200, &[("expires", "0")], None, Some(60)),
            (404, &[("cache-control", "max-age=7")], Some(7), Some(5)),
            (200, &[("vary", "*")], None, None),
        ];
        for (status, fields, obeying, overriding) in cases {
            assert_eq!(fresh_for(&storable(&policy, *status, fields)), *obeying, "{status} {fields:?}");
            let policy = policy.clone().override_origin(true);
            assert_eq!(fresh_for(&storable(&policy, *status, fields)), *overriding, "override, {status} {fields:?}");
        }
    }

    #[test]
    fn a_cookie_is_never_kept() {
        let Storage::Keep { without, .. } = storable(&Ttl::new(Duration::from_secs(1)), 200, &[("set-cookie", "a=b")])
        else {
            panic!("kept")
        };
        assert!(without.contains(&SET_COOKIE));
    }
}
