//! [`Handle`]: figures and breakers, from outside the request's way.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::{Snapshot, shared::Known};
use crate::breaker::Breaker;

/// A way to look into a layer; clones share it.
#[derive(Clone)]
pub struct Handle(Arc<Known>);

impl Handle {
    pub(super) fn new(known: Arc<Known>) -> Self {
        Self(known)
    }

    /// What the layer did so far, and how its upstreams are.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.0.stats.snapshot(self.0.upstreams.snapshot(Instant::now().into_std()))
    }

    /// The breaker of an upstream, by the [name](super::UpstreamSnapshot::name) that it has in [`stats`](Self::stats), to be opened or
    /// closed by hand. `None` if the upstream was never asked, and if breakers are turned off.
    #[must_use]
    pub fn breaker(&self, name: &str) -> Option<Breaker> {
        self.0.upstreams.breaker(name)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
