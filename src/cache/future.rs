//! The future of a [`Cache`](super::Cache)'s response.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;

use super::CacheBody;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Ready at once for a hit in memory, boxed for all else.
pub struct ResponseFuture<B, E>(Kind<B, E>);

enum Kind<B, E> {
    Ready(Option<Response<CacheBody<B>>>),
    Waiting(BoxFuture<Result<Response<CacheBody<B>>, E>>),
}

// Neither kind is pinned in place.
impl<B, E> Unpin for ResponseFuture<B, E> {}

impl<B, E> ResponseFuture<B, E> {
    pub(super) fn ready(response: Response<CacheBody<B>>) -> Self {
        Self(Kind::Ready(Some(response)))
    }

    pub(super) fn waiting(future: impl Future<Output = Result<Response<CacheBody<B>>, E>> + Send + 'static) -> Self {
        Self(Kind::Waiting(Box::pin(future)))
    }
}

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Result<Response<CacheBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Kind::Ready(response) => response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            Kind::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<B, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
