//! [`Dispatch`]: how a request is sent, whoever sends it.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use pin_project::pin_project;
use tower::{ServiceExt as _, util::Oneshot};
use tower_service::Service;

use crate::body::ReplayBody;

/// A way to send requests, one after another or several at once.
pub(crate) trait Dispatch {
    type Body;
    type Answer;
    type Error;
    type Sent: Future<Output = Result<Response<Self::Answer>, Self::Error>> + Send;

    fn send(&mut self, request: Request<ReplayBody<Self::Body>>) -> Self::Sent;
}

/// A service that was ready for the first request; for each further one its clone is driven to readiness.
pub(super) struct Ready<S, B> {
    service: S,
    is_used: bool,
    body: PhantomData<fn(B)>,
}

impl<S, B> Ready<S, B> {
    pub(super) fn new(service: S) -> Self {
        Self { service, is_used: false, body: PhantomData }
    }
}

impl<S, B, A> Dispatch for Ready<S, B>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<A>> + Clone + Send,
    S::Future: Send,
    B: Send,
{
    type Body = B;
    type Answer = A;
    type Error = S::Error;
    type Sent = Sent<S, Request<ReplayBody<B>>>;

    fn send(&mut self, request: Request<ReplayBody<B>>) -> Self::Sent {
        if std::mem::replace(&mut self.is_used, true) {
            Sent::Again(self.service.clone().oneshot(request))
        } else {
            Sent::First(self.service.call(request))
        }
    }
}

/// A request on its way.
#[pin_project(project = SentProj)]
pub(super) enum Sent<S: Service<R>, R> {
    First(#[pin] S::Future),
    Again(#[pin] Oneshot<S, R>),
}

impl<S: Service<R>, R> Future for Sent<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            SentProj::First(sent) => sent.poll(cx),
            SentProj::Again(sent) => sent.poll(cx),
        }
    }
}
