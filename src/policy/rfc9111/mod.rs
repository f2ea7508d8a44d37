//! [`Rfc9111`]: does what the origin says, as HTTP's standard for caches has it.
//!
//! One question a file, one section a function: [`storable`] (§3), [`freshness`] (§4.2), [`validation`] (§4.3),
//! [`invalidation`] (§4.4). All are pure; the cache asks them.

mod freshness;
pub(crate) mod invalidation;
mod said;
mod storable;
pub(crate) mod validation;

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method, request};

pub(super) use self::{
    freshness::{explicit_lifetime, initial_age, restrict},
    said::Said,
    storable::named_fields,
};
use super::{Admission, Exchange, Policy, Storage};
use crate::header::cache_status::Forward;

/// The longest that a response is deemed fresh by its `Last-Modified` alone.
const HEURISTIC_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The fields that speak to a shared cache alone, the nearest first (RFC 9213 §2.2).
const TARGETS: [HeaderName; 2] =
    [HeaderName::from_static("larder-cache-control"), HeaderName::from_static("cdn-cache-control")];

/// Keeps what HTTP allows a cache to keep, for as long as the origin says ([RFC 9111]).
///
/// - Answers to GET and HEAD, of any status, by `s-maxage`, `max-age` or `Expires`, else by a heuristic from `Last-Modified`;
///   never against `no-store` or `private`. `no-cache` answers are kept and validated each time.
/// - Answers to requests with `Authorization` only where `public`, `s-maxage` or `must-revalidate` allows it (§3.5).
/// - Answers to POST that say how long they are fresh, and by `Content-Location` that they are what a GET would get
///   ([RFC 9110 §9.3.3]).
/// - Parts (206) of what can be kept; they are served for ranges within them, and completed.
/// - In front of `Cache-Control` and `Expires` go `Larder-Cache-Control` and `CDN-Cache-Control` ([RFC 9213]).
/// - A request that changes something (PUT, POST, DELETE, or a method that is not known to be safe) and succeeds invalidates
///   what is kept for its URI, and for those in `Location` and `Content-Location` (§4.4).
///
/// The guide's page on RFC 9111 goes through it section by section.
///
/// ```
/// use larder::policy::Rfc9111;
/// use std::time::Duration;
///
/// let policy = Rfc9111::shared()
///     .stale_if_error(Duration::from_secs(3600))
///     .keep_set_cookie(false);
/// # let _ = policy;
/// ```
///
/// [RFC 9111]: https://www.rfc-editor.org/rfc/rfc9111
/// [RFC 9110 §9.3.3]: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.3
/// [RFC 9213]: https://www.rfc-editor.org/rfc/rfc9213
#[derive(Clone, Debug)]
#[must_use]
pub struct Rfc9111 {
    shared: bool,
    targets: Arc<[HeaderName]>,
    heuristic_limit: Duration,
    keep_set_cookie: bool,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
}

impl Rfc9111 {
    /// For a cache that many users share.
    pub fn shared() -> Self {
        Self {
            shared: true,
            targets: TARGETS.into(),
            heuristic_limit: HEURISTIC_LIMIT,
            keep_set_cookie: true,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }
    }

    /// For a cache of one user, such as a client's: `private` answers are kept, and so are those to requests with
    /// `Authorization`; `s-maxage`, `proxy-revalidate` and the fields for shared caches are not looked at.
    pub fn private() -> Self {
        Self { shared: false, targets: [].into(), ..Self::shared() }
    }

    /// The fields that say, in front of `Cache-Control` and `Expires`, what this cache may do; the first that is there and valid
    /// counts (RFC 9213 §2.2). All of them are passed on. Default for a shared cache: `Larder-Cache-Control`,
    /// `CDN-Cache-Control`; for a private one: none.
    pub fn targets(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.targets = fields.into_iter().collect();
        self
    }

    /// The longest that a response which doesn't say it is deemed fresh, by a tenth of the time since its `Last-Modified`
    /// (§4.2.2). Zero: such responses are validated each time. Default: a day.
    pub fn heuristic_limit(mut self, limit: Duration) -> Self {
        self.heuristic_limit = limit;
        self
    }

    /// Whether `Set-Cookie` is kept, and so sent to all who are served, where the origin says how long the response is fresh.
    /// Responses with a cookie and without such a time are never kept. Default: true, as HTTP has it (§7.3).
    pub fn keep_set_cookie(mut self, yes: bool) -> Self {
        self.keep_set_cookie = yes;
        self
    }

    /// The window for responses that don't have the directive themselves. Default: zero.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = window;
        self
    }

    /// The window for responses that don't have the directive themselves. Default: zero.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = window;
        self
    }
}

impl Default for Rfc9111 {
    /// [`Rfc9111::shared`].
    fn default() -> Self {
        Self::shared()
    }
}

impl Policy for Rfc9111 {
    fn admit(&self, request: &request::Parts) -> Admission {
        match request.method {
            Method::GET | Method::HEAD => Admission::Admit,
            _ => Admission::Bypass(Forward::Method),
        }
    }

    fn storable(&self, exchange: &Exchange<'_>) -> Storage {
        storable::storable(self, exchange)
    }

    fn storable_as_get(&self, exchange: &Exchange<'_>) -> Storage {
        storable::storable(self, exchange)
    }
}
