//! [`Handle`]: figures and counters, from outside the request's way.

use std::{fmt, sync::Arc};

use http::request::Parts;

use super::{
    Limiter, Policy, Snapshot, Standing,
    limiter::{LimiterError, Local},
    shared::Shared,
};

/// A way to look into a layer; clones share it.
pub struct Handle<L = Local>(Arc<Shared<L>>);

impl<L: Limiter> Handle<L> {
    pub(super) fn new(shared: Arc<Shared<L>>) -> Self {
        Self(shared)
    }

    /// What the layer did so far.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.0.stats.snapshot()
    }

    /// The limits, in the order in which they were given.
    #[must_use]
    pub fn policies(&self) -> Vec<Policy> {
        self.0.limits.iter().map(|limit| limit.policy.clone()).collect()
    }

    /// How the limits stand that are for a request like this one, without charging it.
    ///
    /// # Errors
    ///
    /// If the limiter does not answer.
    pub async fn standings(&self, head: &Parts) -> Result<Vec<(Policy, Standing)>, LimiterError> {
        let (_, mut charges) = self.0.charges(head);
        charges.iter_mut().for_each(|charge| charge.cost = 0);
        if charges.is_empty() {
            return Ok(Vec::new());
        }
        let taken = self.0.limiter.take(&charges).await?;
        let standings = taken.standings.into_iter();
        Ok(standings.filter_map(|standing| Some((charges.get(standing.index)?.policy.clone(), standing))).collect())
    }
}

impl<L> Clone for Handle<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L> fmt::Debug for Handle<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
