//! [`Embeddings`]: the service that [`EmbeddingsLayer`](super::EmbeddingsLayer) makes.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt as _;
use tower_service::Service;

use super::{ResponseFuture, run::run, shared::Shared};
use crate::{BoxError, body::ReplayBody, store::Store};

/// Answers requests for embeddings with those that are kept; see the [module](super).
#[must_use]
pub struct Embeddings<S, St> {
    inner: S,
    shared: Arc<Shared<St>>,
}

impl<S, St> Embeddings<S, St> {
    pub(super) fn new(inner: S, shared: Arc<Shared<St>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, St> Clone for Embeddings<S, St> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<S: fmt::Debug, St> fmt::Debug for Embeddings<S, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embeddings").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, St, Req, Res> Service<Request<Req>> for Embeddings<S, St>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    St: Store,
    Req: Body<Data = Bytes> + Send + 'static,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes> + Send + 'static,
    Res::Error: Into<BoxError>,
{
    type Response = Response<ReplayBody<Res>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, Res>;

    /// Always ready: what is kept doesn't queue behind the inner service, and the rest waits for it in its future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let inner = self.inner.clone();
        let (head, body) = request.into_parts();
        match self.shared.reads(&head) {
            Some(limit) => ResponseFuture::taken_apart(run(self.shared.clone(), inner, head, body, limit)),
            None => {
                self.shared.stats.passed.increment();
                ResponseFuture::passed(inner.oneshot(Request::from_parts(head, ReplayBody::new(body))))
            }
        }
    }
}
