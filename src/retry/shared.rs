//! What all services of one layer share.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;

use super::{Asked, Backoff, Credentials, Fallback, Hedge, Hold, Problem, stats::Stats, upstreams::Upstreams};
use crate::clock::Clock;

pub(crate) struct Shared<C> {
    pub(super) classify: C,
    pub(super) settings: Settings,
    pub(super) known: Arc<Known>,
}

/// What was learned and counted.
pub(super) struct Known {
    pub(super) upstreams: Upstreams,
    pub(super) stats: Stats,
}

pub(super) struct Settings {
    pub(super) attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_hint: Duration,
    pub(super) max_body: usize,
    pub(super) hold: Hold,
    pub(super) repeatable: Option<Box<dyn Fn(&Asked) -> bool + Send + Sync>>,
    pub(super) idempotency_key: bool,
    pub(super) label: Option<Box<dyn Fn(&Asked, &Bytes) -> Option<String> + Send + Sync>>,
    pub(super) credentials: Option<Arc<Credentials>>,
    pub(super) hedge: Option<Hedge>,
    pub(super) chain: Vec<Fallback>,
    pub(super) problem: Option<Problem>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: fn() -> f64,
}

impl Settings {
    /// Whether a request may be sent again although it may have been acted upon.
    pub(super) fn may_repeat(&self, asked: &Asked) -> bool {
        // Safe and idempotent methods, RFC 9110 §9.2.
        let idempotent = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE];
        idempotent.contains(asked.method())
            || asked.field(&super::IDEMPOTENCY_KEY).is_some()
            || self.repeatable.as_ref().is_some_and(|repeatable| repeatable(asked))
    }
}
