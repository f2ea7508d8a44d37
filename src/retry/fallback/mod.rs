//! [`Fallback`]: what is done when the upstream has no good answer, step by step.

mod answer;
mod model;
mod problem;
mod upstream;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::Response;

pub(super) use self::answer::mark;
pub use self::{problem::Problem, upstream::Upstream};
use super::{Asked, Failure};
use crate::store::StaleLookup;

/// A step of the fallback chain. Steps are taken in the order in which they are [added](super::Builder::fallback), until one has an
/// answer.
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, StatusCode, Uri};
/// use larder::{
///     RetryFallbackLayer,
///     retry::{Fallback, Upstream},
/// };
///
/// let mirror = Uri::from_static("https://mirror.example");
/// let sorry = Response::builder().status(200).body(Bytes::from_static(b"[]")).unwrap();
/// let layer = RetryFallbackLayer::builder()
///     .fallback(Fallback::stale())
///     .fallback(Upstream::to(mirror))
///     .fallback(Fallback::answer(sorry).when(|failure| failure.last_status != Some(StatusCode::PAYMENT_REQUIRED)))
///     .build();
/// # let _ = layer;
/// ```
#[must_use]
pub struct Fallback {
    pub(super) step: Step,
    when: Option<Box<dyn Fn(&Failure) -> bool + Send + Sync>>,
}

pub(super) enum Step {
    Stale,
    StaleFrom(Arc<dyn StaleLookup>),
    Upstream(Box<Upstream>),
    Answer(Box<dyn Fn(&Asked, &Failure) -> Option<Response<Bytes>> + Send + Sync>),
}

/// What stood in for the answer that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FallbackKind {
    /// A stale answer.
    Stale,
    /// Another upstream's answer.
    Upstream,
    /// A default answer.
    Default,
    /// A problem description, which is an error still.
    Problem,
}

impl FallbackKind {
    /// As in the field `larder-fallback`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Upstream => "upstream",
            Self::Default => "default",
            Self::Problem => "problem",
        }
    }
}

impl Fallback {
    /// The stale answer that a [`CacheLayer`](crate::CacheLayer) outside handed down with the request, if it did: one that may be
    /// used in place of an error still, and doesn't forbid it. It is for outages only (5xx, 429, errors, timeouts, an open breaker).
    ///
    /// A chain without this step begins with it.
    pub fn stale() -> Self {
        Self::of(Step::Stale)
    }

    /// The same, and if none was handed down, a stale answer that is looked for in a cache: a [`Handle`](crate::cache::Handle) of
    /// a layer that isn't outside of this one.
    pub fn stale_from(lookup: impl StaleLookup) -> Self {
        Self::of(Step::StaleFrom(Arc::new(lookup)))
    }

    /// Another upstream.
    pub fn upstream(upstream: Upstream) -> Self {
        Self::of(Step::Upstream(Box::new(upstream)))
    }

    /// A default answer, always the same. No cache outside keeps it: it is marked, with the field `larder-fallback: default` and
    /// with an extension, and gets `Cache-Control: no-store`.
    pub fn answer(response: Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        Self::answer_with(move |_, _| {
            let mut response = Response::new(body.clone());
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers.clone();
            Some(response)
        })
    }

    /// A default answer for this request and this failure; `None` if there is none for it. Marked as [`answer`](Self::answer).
    pub fn answer_with(answer: impl Fn(&Asked, &Failure) -> Option<Response<Bytes>> + Send + Sync + 'static) -> Self {
        Self::of(Step::Answer(Box::new(answer)))
    }

    /// Takes this step only for such failures. Default: for all.
    pub fn when(mut self, condition: impl Fn(&Failure) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Box::new(condition));
        self
    }

    pub(super) fn is_for(&self, failure: &Failure) -> bool {
        self.when.as_ref().is_none_or(|condition| condition(failure))
    }

    fn of(step: Step) -> Self {
        Self { step, when: None }
    }
}

impl From<Upstream> for Fallback {
    fn from(upstream: Upstream) -> Self {
        Self::upstream(upstream)
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Step::Stale => f.write_str("Fallback::Stale"),
            Step::StaleFrom(_) => f.write_str("Fallback::StaleFrom"),
            Step::Upstream(upstream) => f.debug_tuple("Fallback::Upstream").field(upstream).finish(),
            Step::Answer(_) => f.write_str("Fallback::Answer"),
        }
    }
}
