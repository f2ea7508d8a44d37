//! [`RateLimitLayer`]: makes services that share a limiter.

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Builder, Handle, Limit, Limiter, RateLimit, limiter::Local, shared::Shared};

/// Limits how much clients use; see the [module](super).
///
/// All services that the layer and its clones make count together.
#[must_use]
pub struct RateLimitLayer<L = Local> {
    pub(super) shared: Arc<Shared<L>>,
}

impl RateLimitLayer {
    /// One limit, counted in this process.
    ///
    /// # Panics
    ///
    /// If the limit makes no sense; [`Builder::try_build`] returns what is wrong.
    pub fn new(limit: impl Into<Limit>) -> Self {
        Self::builder(Local::new()).limit(limit).build()
    }
}

impl<L: Limiter> RateLimitLayer<L> {
    /// A layer with settings, whose limits are counted by a limiter.
    pub fn builder(limiter: L) -> Builder<L> {
        Builder::new(limiter)
    }

    /// A way to look into the layer from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle<L> {
        Handle::new(self.shared.clone())
    }
}

impl<L> Clone for RateLimitLayer<L> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<L> fmt::Debug for RateLimitLayer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").finish_non_exhaustive()
    }
}

impl<S, L> Layer<S> for RateLimitLayer<L> {
    type Service = RateLimit<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.shared.clone())
    }
}
