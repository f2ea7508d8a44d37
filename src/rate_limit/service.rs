//! [`RateLimit`]: the service that [`RateLimitLayer`](super::RateLimitLayer) makes.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;
use tracing::{Instrument as _, debug_span, field::Empty};

use super::{
    Limiter, RateLimitBody, ResponseFuture,
    limiter::Local,
    run::{SPAN, run},
    shared::Shared,
};
use crate::{BoxError, body::ReplayBody, trace};

/// Limits how much clients use; see the [module](super).
#[must_use]
pub struct RateLimit<S, L = Local> {
    inner: S,
    shared: Arc<Shared<L>>,
}

impl<S, L> RateLimit<S, L> {
    pub(super) fn new(inner: S, shared: Arc<Shared<L>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, L> Clone for RateLimit<S, L> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<S: fmt::Debug, L> fmt::Debug for RateLimit<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, L, Req, Res> Service<Request<Req>> for RateLimit<S, L>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    L: Limiter,
    Req: Body<Data = Bytes> + Send + 'static,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes> + Send + 'static,
    Res::Error: Into<BoxError>,
{
    type Response = Response<RateLimitBody<Res>>;
    type Error = S::Error;
    type Future = ResponseFuture<Res, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let clone = self.inner.clone();
        // The one that is ready, not its clone.
        let ready = mem::replace(&mut self.inner, clone);
        let span = debug_span!(
            SPAN,
            "http.request.method" = trace::method(request.method()),
            "server.address" = trace::server(request.uri(), request.headers()),
            "http.response.status_code" = Empty,
            "error.type" = Empty,
            "larder.rate_limit.decision" = Empty,
        );
        ResponseFuture::new(run(self.shared.clone(), ready, request).instrument(span))
    }
}
