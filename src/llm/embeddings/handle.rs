//! [`Handle`]: purges and figures, from outside the request's way.

use std::{fmt, pin::Pin, sync::Arc};

use super::{shared::Shared, stats::Snapshot};
use crate::{
    store::{Health, Result, Store, Usage},
    tag::Selector,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to purge and to look into what an [`EmbeddingsLayer`](super::EmbeddingsLayer) keeps; clones share it.
#[derive(Clone)]
pub struct Handle(Arc<dyn Control>);

impl Handle {
    pub(super) fn new<St: Store>(shared: Arc<Shared<St>>) -> Self {
        Self(shared)
    }

    /// Removes every entry of the store that is meant; how many there were. Labels are `embeddings:` and the model, as in
    /// `Selector::label("embeddings:text-embedding-3-*")`. What is being asked for, and is meant, is
    /// not stored, and requests that come later don't wait for it.
    ///
    /// # Errors
    ///
    /// What kept the store from removing all of them.
    pub async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.0.purge(selector).await
    }

    /// How much the store holds.
    ///
    /// # Errors
    ///
    /// What kept the store from answering.
    pub async fn usage(&self) -> Result<Usage> {
        self.0.usage().await
    }

    /// Whether the store works.
    pub async fn health(&self) -> Health {
        self.0.health().await
    }

    /// What the layer did so far.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.0.stats()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// A layer without its types.
trait Control: Send + Sync {
    fn purge<'a>(&'a self, selector: &'a Selector) -> BoxFuture<'a, Result<u64>>;
    fn usage(&self) -> BoxFuture<'_, Result<Usage>>;
    fn health(&self) -> BoxFuture<'_, Health>;
    fn stats(&self) -> Snapshot;
}

impl<St: Store> Control for Shared<St> {
    fn purge<'a>(&'a self, selector: &'a Selector) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.purges.add(selector.clone());
            self.flights.close(selector);
            self.store.purge(selector).await
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage>> {
        Box::pin(self.store.usage())
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(self.store.health())
    }

    fn stats(&self) -> Snapshot {
        self.stats.snapshot()
    }
}
