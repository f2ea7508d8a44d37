//! The future of a [`RateLimit`](super::RateLimit)'s response.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;

use super::RateLimitBody;

/// A request under way. Dropping it ends all waiting; what was charged stays charged.
pub struct ResponseFuture<B, E>(Pin<Box<dyn Future<Output = Result<Response<RateLimitBody<B>>, E>> + Send>>);

impl<B, E> ResponseFuture<B, E> {
    pub(super) fn new(future: impl Future<Output = Result<Response<RateLimitBody<B>>, E>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl<B, E> Future for ResponseFuture<B, E> {
    type Output = Result<Response<RateLimitBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<B, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
