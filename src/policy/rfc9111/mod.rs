//! [`Rfc9111`]: does what the origin says, as HTTP's standard for caches has it.
//!
//! One question a file: [`storable`] (§3), [`freshness`] (§4.2). Validation (§4.3) is done by the cache with
//! `header::validators`.

mod freshness;
mod storable;

use std::time::Duration;

use http::{Method, request};

pub(super) use self::{
    freshness::{explicit_lifetime, initial_age, restrict},
    storable::named_fields,
};
use super::{Admission, Exchange, Policy, Storage};
use crate::header::cache_status::Forward;

/// Keeps what HTTP allows a cache to keep, for as long as the origin says ([RFC 9111]).
///
/// Answers to GET and HEAD, by `max-age`, `s-maxage`, `Expires` or a heuristic from `Last-Modified`; never against `no-store`
/// or `private`; to requests with `Authorization` only where the response allows it. `no-cache` answers are kept and
/// validated each time.
///
/// [RFC 9111]: https://www.rfc-editor.org/rfc/rfc9111
#[derive(Clone, Debug)]
#[must_use]
pub struct Rfc9111 {
    shared: bool,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
}

impl Rfc9111 {
    /// For a cache that many users share.
    pub fn shared() -> Self {
        Self { shared: true, stale_while_revalidate: Duration::ZERO, stale_if_error: Duration::ZERO }
    }

    /// For a cache of one user, such as a client's: `private` answers are kept, `s-maxage` is not looked at.
    pub fn private() -> Self {
        Self { shared: false, ..Self::shared() }
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
}
