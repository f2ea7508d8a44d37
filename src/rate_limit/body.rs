//! [`RateLimitBody`]: the body of a response that is being counted.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use crate::BoxError;

/// The body of a response: the inner service's, whose end gives back what was not used, or a problem.
#[pin_project]
pub struct RateLimitBody<B> {
    #[pin]
    inner: Inner<B>,
    /// Until the body has ended.
    tracking: Option<Box<dyn Tracked>>,
}

#[pin_project(project = InnerProj)]
enum Inner<B> {
    Passed(#[pin] B),
    Whole(Option<Bytes>),
}

/// What follows a body to its end.
pub(super) trait Tracked: Send + Sync {
    fn read(&mut self, data: &[u8]);
    fn end(&mut self, is_whole: bool);
}

impl<B> RateLimitBody<B> {
    pub(super) fn passed(body: B) -> Self {
        Self { inner: Inner::Passed(body), tracking: None }
    }

    pub(super) fn whole(data: Bytes) -> Self {
        Self { inner: Inner::Whole(Some(data).filter(|data| !data.is_empty())), tracking: None }
    }

    pub(super) fn tracked(body: B, tracking: Option<Box<dyn Tracked>>) -> Self
    where
        B: Body,
    {
        let mut tracking = tracking;
        if body.is_end_stream()
            && let Some(mut tracking) = tracking.take()
        {
            // Nobody will read it.
            tracking.end(true);
        }
        Self { inner: Inner::Passed(body), tracking }
    }
}

impl<B: Default> Default for RateLimitBody<B> {
    fn default() -> Self {
        Self::passed(B::default())
    }
}

impl<B> Body for RateLimitBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let (frame, is_over) = match this.inner.as_mut().project() {
            InnerProj::Whole(data) => return Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            InnerProj::Passed(mut body) => (ready!(body.as_mut().poll_frame(cx)), body.is_end_stream()),
        };
        let Some(tracking) = this.tracking else {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        };
        let end = match &frame {
            None => Some(true),
            Some(Err(_)) => Some(false),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    tracking.read(data);
                }
                // Some never ask for what comes after the last.
                is_over.then_some(true)
            }
        };
        if let Some(is_whole) = end {
            tracking.end(is_whole);
            *this.tracking = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Passed(body) => body.is_end_stream(),
            Inner::Whole(data) => data.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Passed(body) => body.size_hint(),
            Inner::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
        }
    }
}

impl<B> fmt::Debug for RateLimitBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitBody").finish_non_exhaustive()
    }
}
