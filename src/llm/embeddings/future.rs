//! The future of the layer's response.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project::pin_project;
use tower::util::Oneshot;
use tower_service::Service;

use crate::body::ReplayBody;

type Boxed<R, E> = Pin<Box<dyn Future<Output = Result<Response<ReplayBody<R>>, E>> + Send>>;

/// The inner service's future for what passes, boxed for what is taken apart.
#[pin_project]
pub struct ResponseFuture<S: Service<Request<ReplayBody<B>>>, B, R>(#[pin] Kind<S, B, R>);

#[pin_project(project = KindProj)]
#[expect(clippy::large_enum_variant, reason = "what passes is not boxed")]
enum Kind<S: Service<Request<ReplayBody<B>>>, B, R> {
    Passed(#[pin] Oneshot<S, Request<ReplayBody<B>>>),
    TakenApart(Boxed<R, S::Error>),
}

impl<S: Service<Request<ReplayBody<B>>>, B, R> ResponseFuture<S, B, R> {
    pub(super) fn passed(sent: Oneshot<S, Request<ReplayBody<B>>>) -> Self {
        Self(Kind::Passed(sent))
    }

    pub(super) fn taken_apart(
        future: impl Future<Output = Result<Response<ReplayBody<R>>, S::Error>> + Send + 'static,
    ) -> Self {
        Self(Kind::TakenApart(Box::pin(future)))
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>>,
{
    type Output = Result<Response<ReplayBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().0.project() {
            KindProj::Passed(sent) => ready!(sent.poll(cx)).map(|response| response.map(ReplayBody::new)),
            KindProj::TakenApart(future) => ready!(future.as_mut().poll(cx)),
        })
    }
}

impl<S: Service<Request<ReplayBody<B>>>, B, R> fmt::Debug for ResponseFuture<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
