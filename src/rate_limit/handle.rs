//! [`Handle`]: figures and counters, from outside the request's way.

use std::{cmp::Reverse, fmt, sync::Arc};

use http::request::Parts;

use super::{
    Charge, Limiter, Near, Policy, Snapshot, Standing,
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

impl<L: Limiter> Handle<L> {
    /// Up to so many subjects that have used the most of a quota, of those whose requests this process has decided on lately; the
    /// nearest to its end first. Up to 32 are kept in mind of each limit, as long as their windows last.
    ///
    /// The limiter is asked how they stand now, in one call and without charging them. What it doesn't say is told as the last
    /// decision had it.
    pub async fn nearest(&self, most: usize) -> Vec<Near> {
        let seen = self.0.nearest.seen(most);
        let charges: Vec<Charge> = seen.iter().map(|seen| seen.charge.clone()).collect();
        let taken = if charges.is_empty() { None } else { self.0.limiter.take(&charges).await.ok() };
        let mut told = vec![None; seen.len()];
        for standing in taken.into_iter().flat_map(|taken| taken.standings) {
            if let (Some(seen), Some(told)) = (seen.get(standing.index), told.get_mut(standing.index)) {
                self.0.nearest.learn(seen, &standing);
                *told = Some(standing);
            }
        }
        let mut near: Vec<_> = seen.into_iter().zip(told).filter_map(|(seen, told)| seen.told(told)).collect();
        near.sort_by_key(|near| Reverse(near.share()));
        near
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
