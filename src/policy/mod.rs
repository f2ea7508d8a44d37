//! What may be kept, for how long, and when it may be served: pure decisions, with `now` as an argument.
//!
//! - [`Rfc9111`], the default, does what the origin says.
//! - [`Ttl`] does what the user says.
//! - [`Select`] takes one of two policies by request.
//! - [`completeness`] judges finished bodies.

pub mod completeness;
mod freshness;
pub(crate) mod rfc9111;
mod select;
mod ttl;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderName, StatusCode, request, response};

pub use self::{rfc9111::Rfc9111, select::Select, ttl::Ttl};
use crate::{
    ConfigError,
    entry::{Head, Lifetime},
    header::{cache_control::RequestDirectives, cache_status::Forward},
};

/// Decides for one request at a time. Pure: the same arguments get the same answer.
pub trait Policy: Send + Sync + 'static {
    /// Whether the cache has anything to do with a request.
    fn admit(&self, request: &request::Parts) -> Admission;

    /// Whether its settings make sense; asked once, when a layer is built.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if they don't, and what to do.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Whether a response may be kept, and for how long.
    fn storable(&self, exchange: &Exchange<'_>) -> Storage;

    /// Whether the answer to a POST that was not admitted may be kept as the answer to a GET of the same URI, and for how long
    /// (RFC 9110 §9.3.3). Asked where [`invalidates`](Self::invalidates) holds, and the request doesn't say `no-store`.
    ///
    /// The default is that it may not.
    fn storable_as_get(&self, exchange: &Exchange<'_>) -> Storage {
        let _ = exchange;
        Storage::Skip(Skip::Status)
    }

    /// Whether a request that passed by the cache, and was answered with this status, makes what is stored for its URI invalid,
    /// and for those in the answer's `Location` and `Content-Location`.
    ///
    /// The default is what RFC 9111 §4.4 asks: a method that is not known to be safe, and 2xx or 3xx.
    fn invalidates(&self, request: &request::Parts, status: StatusCode) -> bool {
        rfc9111::invalidation::invalidates(&request.method, status)
    }

    /// What a stored response is good for now.
    ///
    /// The default goes by the entry's [`Lifetime`] and the request's directives (RFC 9111 §4 and §5.2.1, RFC 5861 §3).
    fn reuse(&self, directives: &RequestDirectives, stored: &Head, now: SystemTime) -> Reuse {
        freshness::reuse(directives, stored.lifetime(), now)
    }

    /// Whether a response with this status is an error that a stale entry may stand in for (RFC 5861 §4).
    ///
    /// The default is 500, 502, 503 and 504.
    fn is_error(&self, status: StatusCode) -> bool {
        matches!(status.as_u16(), 500 | 502 | 503 | 504)
    }
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn validate(&self) -> Result<(), ConfigError> {
        (**self).validate()
    }

    fn admit(&self, request: &request::Parts) -> Admission {
        (**self).admit(request)
    }

    fn storable(&self, exchange: &Exchange<'_>) -> Storage {
        (**self).storable(exchange)
    }

    fn storable_as_get(&self, exchange: &Exchange<'_>) -> Storage {
        (**self).storable_as_get(exchange)
    }

    fn invalidates(&self, request: &request::Parts, status: StatusCode) -> bool {
        (**self).invalidates(request, status)
    }

    fn reuse(&self, directives: &RequestDirectives, stored: &Head, now: SystemTime) -> Reuse {
        (**self).reuse(directives, stored, now)
    }

    fn is_error(&self, status: StatusCode) -> bool {
        (**self).is_error(status)
    }
}

/// A request and its response, and when they passed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// The request, as the cache received it.
    pub request: &'a request::Parts,
    /// The response, as the inner service gave it.
    pub response: &'a response::Parts,
    /// When the request was sent on.
    pub requested_at: SystemTime,
    /// When the response's head arrived.
    pub received_at: SystemTime,
}

impl<'a> Exchange<'a> {
    /// All four.
    #[must_use]
    pub fn new(
        request: &'a request::Parts,
        response: &'a response::Parts,
        requested_at: SystemTime,
        received_at: SystemTime,
    ) -> Self {
        Self { request, response, requested_at, received_at }
    }

    /// How long the response's head took.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.received_at.duration_since(self.requested_at).unwrap_or_default()
    }
}

/// Whether the cache has anything to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// It may be answered from the cache, and its response may be kept.
    Admit,
    /// It goes to the inner service, past the cache, for this reason.
    Bypass(Forward),
}

/// Whether a response may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// For so long, and without these fields.
    Keep {
        /// Freshness and windows.
        lifetime: Lifetime,
        /// Fields that are not kept; hop-by-hop fields never are.
        without: Vec<HeaderName>,
    },
    /// Not at all.
    Skip(Skip),
}

/// Why a response is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// Its status isn't one that is kept.
    Status,
    /// The origin forbids it, with `no-store`, `private` or `Vary: *`.
    Forbidden,
    /// The request carried `Authorization`, and the response doesn't say that it may be shared all the same.
    Authorization,
    /// Nothing says how long it is fresh, and there is no validator.
    Lifetime,
    /// It answers a part of what was asked, or a condition.
    Partial,
}

impl Skip {
    /// The reason as a token, for `Cache-Status` and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Forbidden => "forbidden",
            Self::Authorization => "authorization",
            Self::Lifetime => "no-lifetime",
            Self::Partial => "partial",
        }
    }

    /// Whether the next response to such a request will probably not be kept either, so that requests need not wait for each
    /// other.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        match self {
            Self::Forbidden | Self::Authorization | Self::Lifetime => true,
            Self::Status | Self::Partial => false,
        }
    }
}

/// What a stored response is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// It is served.
    Serve,
    /// It is served, and refreshed behind the response.
    ServeStale,
    /// It has to be validated, or fetched again, for this reason.
    Validate(Forward),
}
