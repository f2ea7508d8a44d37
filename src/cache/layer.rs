//! [`CacheLayer`]: makes services that share one cache.

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Builder, Cache, Handle, shared::Shared};
use crate::{
    fingerprint::{Fingerprint, RequestFingerprint},
    policy::{Policy, Rfc9111},
    store::Store,
};

/// Keeps responses and answers requests with them; see the [module](super).
///
/// The cache belongs to the layer: all services that the layer and its clones make share one store, one set of fetches in
/// flight, and one set of counters.
#[must_use]
pub struct CacheLayer<St, F = RequestFingerprint, P = Rfc9111> {
    shared: Arc<Shared<St, F, P>>,
}

impl<St: Store> CacheLayer<St> {
    /// A cache as HTTP has it: what the origin allows a shared cache to keep, by method, URI and credential.
    pub fn new(store: St) -> Self {
        Self::builder(store).build()
    }

    /// A cache with settings.
    pub fn builder(store: St) -> Builder<St> {
        Builder::new(store)
    }
}

impl<St, F, P> CacheLayer<St, F, P> {
    pub(super) fn from_shared(shared: Shared<St, F, P>) -> Self {
        Self { shared: Arc::new(shared) }
    }
}

impl<St: Store, F: Fingerprint, P: Policy> CacheLayer<St, F, P> {
    /// Begins to look a request up, and gives the span that all that follows belongs to. An answer that is there at once has none.
    #[cfg(feature = "reqwest")]
    pub(crate) fn begin<B>(&self, request: http::Request<B>) -> (super::Begun<B>, tracing::Span)
    where
        B: http_body::Body<Data = bytes::Bytes>,
        B::Error: Into<crate::BoxError>,
    {
        let begun = self.shared.begin(request);
        let span = if begun.head().is_some() { super::trace::span(&begun) } else { tracing::Span::none() };
        (begun, span)
    }

    #[cfg(feature = "reqwest")]
    pub(crate) async fn lookup<B>(&self, begun: super::Begun<B>) -> super::Lookup<St, F, P, B>
    where
        B: http_body::Body<Data = bytes::Bytes>,
        B::Error: Into<crate::BoxError>,
    {
        self.shared.clone().lookup(begun).await
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn passed<B>(
        &self,
        pass: super::Pass,
        response: http::Response<B>,
    ) -> http::Response<super::CacheBody<B>>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<crate::BoxError>,
    {
        self.shared.passed(pass, response)
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn passed_in_vain(&self, pass: &super::Pass) {
        self.shared.passed_in_vain(pass);
    }

    /// A way to purge and to look into the cache from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }
}

impl<St, F, P> Clone for CacheLayer<St, F, P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<St, F, P> fmt::Debug for CacheLayer<St, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").finish_non_exhaustive()
    }
}

impl<S, St, F, P> Layer<S> for CacheLayer<St, F, P> {
    type Service = Cache<S, St, F, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Cache::new(inner, self.shared.clone())
    }
}
