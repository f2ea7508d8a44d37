//! What the router is over.

use std::{pin::Pin, sync::Arc};

use http::request::Parts;
use tokio::time::Instant;

use super::{auth::Auth, explain::Explain, problem::Problem};
use crate::{
    cache, cached,
    llm::{Ledger, embeddings},
    rate_limit::{self, Limiter, Near, Policy, Standing, limiter::LimiterError},
    retry,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(super) struct State {
    pub(super) caches: Vec<(String, cache::Handle)>,
    pub(super) retries: Vec<(String, retry::Handle)>,
    pub(super) limits: Vec<(String, Arc<dyn Limits>)>,
    pub(super) embeddings: Vec<(String, embeddings::Handle)>,
    pub(super) lookups: Vec<(String, cached::Handle)>,
    pub(super) ledger: Option<Ledger>,
    pub(super) explain: Option<Arc<dyn Explain>>,
    pub(super) auth: Auth,
    pub(super) started: Instant,
}

/// A layer with limits, whatever limiter it has.
pub(super) trait Limits: Send + Sync {
    fn stats(&self) -> rate_limit::Snapshot;
    fn policies(&self) -> Vec<Policy>;
    fn standings<'a>(&'a self, head: &'a Parts) -> BoxFuture<'a, Result<Vec<(Policy, Standing)>, LimiterError>>;
    fn nearest(&self, most: usize) -> BoxFuture<'_, Vec<Near>>;
}

impl<L: Limiter> Limits for rate_limit::Handle<L> {
    fn stats(&self) -> rate_limit::Snapshot {
        self.stats()
    }

    fn policies(&self) -> Vec<Policy> {
        self.policies()
    }

    fn standings<'a>(&'a self, head: &'a Parts) -> BoxFuture<'a, Result<Vec<(Policy, Standing)>, LimiterError>> {
        Box::pin(self.standings(head))
    }

    fn nearest(&self, most: usize) -> BoxFuture<'_, Vec<Near>> {
        Box::pin(self.nearest(most))
    }
}

impl State {
    /// The caches that a request is for: that of the space, or all.
    pub(super) fn caches_in(&self, space: Option<&str>) -> Result<&[(String, cache::Handle)], Problem> {
        let Some(space) = space else { return Ok(&self.caches) };
        let at = self.caches.iter().position(|(name, _)| name == space);
        at.and_then(|at| self.caches.get(at..=at)).ok_or_else(|| {
            if self.lookups.iter().any(|(name, _)| name == space) {
                return Problem::not_found(format!("{space:?} has look-ups, of which entries aren't listed"));
            }
            let lookups = self.lookups.iter().map(|(name, _)| name.as_str());
            let known: Vec<_> = self.caches.iter().map(|(name, _)| name.as_str()).chain(lookups).collect();
            Problem::not_found(format!("there is no space {space:?}; there are: {}", known.join(", ")))
        })
    }
}
