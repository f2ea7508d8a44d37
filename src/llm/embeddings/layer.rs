//! [`EmbeddingsLayer`]: makes services that share what they keep.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Builder, Embeddings, Handle, shared::Shared};
use crate::store::Store;

/// Keeps embeddings text by text; see the [module](super).
///
/// What is kept belongs to the layer: all services that the layer and its clones make share it.
#[must_use]
pub struct EmbeddingsLayer<St> {
    shared: Arc<Shared<St>>,
}

impl<St: Store> EmbeddingsLayer<St> {
    /// Embeddings are fresh for `ttl`. A model's embedding of a text doesn't change, so that this may be long.
    ///
    /// # Panics
    ///
    /// If `ttl` is zero.
    #[track_caller]
    pub fn new(store: St, ttl: Duration) -> Self {
        Self::builder(store, ttl).build()
    }

    /// The same with settings.
    pub fn builder(store: St, ttl: Duration) -> Builder<St> {
        Builder::new(store, ttl)
    }

    pub(super) fn from_shared(shared: Shared<St>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// A way to purge and to look into it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }
}

impl<St> Clone for EmbeddingsLayer<St> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<St> fmt::Debug for EmbeddingsLayer<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingsLayer").finish_non_exhaustive()
    }
}

impl<S, St> Layer<S> for EmbeddingsLayer<St> {
    type Service = Embeddings<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        Embeddings::new(inner, self.shared.clone())
    }
}
