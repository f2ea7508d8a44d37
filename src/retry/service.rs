//! [`RetryFallback`]: the service that [`RetryFallbackLayer`](super::RetryFallbackLayer) makes.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;
use tracing::Instrument as _;

use super::{Classify, ResponseFuture, RetryBody, Transient, dispatch::Ready, run::run, shared::Shared, trace};
use crate::{BoxError, body::ReplayBody};

/// Retries requests and falls back; see the [module](super).
#[must_use]
pub struct RetryFallback<S, C = Transient> {
    inner: S,
    shared: Arc<Shared<C>>,
}

impl<S, C> RetryFallback<S, C> {
    pub(super) fn new(inner: S, shared: Arc<Shared<C>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, C> Clone for RetryFallback<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for RetryFallback<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFallback").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, C, Req, Res> Service<Request<Req>> for RetryFallback<S, C>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    C: Classify<S::Error>,
    Req: Body<Data = Bytes> + Send + 'static,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes> + Send + Unpin + 'static,
    Res::Error: Into<BoxError>,
{
    type Response = Response<RetryBody<Res>>;
    type Error = S::Error;
    type Future = ResponseFuture<Res, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let clone = self.inner.clone();
        // The one that is ready, not its clone.
        let ready = mem::replace(&mut self.inner, clone);
        let span = trace::span(&request);
        ResponseFuture::new(run(self.shared.clone(), Ready::new(ready), request).instrument(span))
    }
}
