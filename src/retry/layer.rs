//! [`RetryFallbackLayer`]: makes services that share breakers, budgets and counters.

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Builder, Handle, RetryFallback, Transient, shared::Shared};

/// Retries what is worth it, then degrades gracefully; see the [module](super).
///
/// What is learned of upstreams belongs to the layer: all services that the layer and its clones make share one breaker and one
/// budget for each upstream.
#[must_use]
pub struct RetryFallbackLayer<C = Transient> {
    pub(super) shared: Arc<Shared<C>>,
}

impl RetryFallbackLayer {
    /// Three attempts at what is [transient](Transient) in HTTP, with a breaker and a budget for each upstream.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A layer with settings.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Default for RetryFallbackLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> RetryFallbackLayer<C> {
    /// A way to look into the layer from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.known.clone())
    }
}

#[cfg(feature = "reqwest")]
impl<C> RetryFallbackLayer<C> {
    /// Sends a request by other means than a service.
    pub(crate) async fn send<D>(
        &self,
        dispatch: D,
        request: http::Request<D::Body>,
    ) -> Result<http::Response<super::RetryBody<D::Answer>>, D::Error>
    where
        C: super::Classify<D::Error>,
        D: super::Dispatch,
        D::Body: http_body::Body<Data = bytes::Bytes>,
        <D::Body as http_body::Body>::Error: Into<crate::BoxError>,
        D::Answer: http_body::Body<Data = bytes::Bytes> + Unpin,
        <D::Answer as http_body::Body>::Error: Into<crate::BoxError>,
    {
        let span = super::trace::span(&request);
        tracing::Instrument::instrument(super::run::run(self.shared.clone(), dispatch, request), span).await
    }
}

impl<C> Clone for RetryFallbackLayer<C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<C> fmt::Debug for RetryFallbackLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFallbackLayer").finish_non_exhaustive()
    }
}

impl<S, C> Layer<S> for RetryFallbackLayer<C> {
    type Service = RetryFallback<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryFallback::new(inner, self.shared.clone())
    }
}
