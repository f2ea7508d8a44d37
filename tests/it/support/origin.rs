//! An origin in this process that does what a closure says, or waits for the test to say it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response};
use larder::body::ReplayBody;
use tokio::sync::{mpsc, oneshot};
use tower::Service;

use super::Body;

type Answer = Result<Response<Body>, Refused>;
type BoxFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The inner service's own error, which no layer may change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

/// A request as the origin sees it.
pub(crate) struct Call {
    /// How many there were before it.
    pub(crate) number: usize,
    pub(crate) request: Request<ReplayBody<Body>>,
}

/// A scripted inner service. It fails the test if it is called without having been polled ready.
pub(crate) struct Origin {
    shared: Arc<Shared>,
    is_ready: bool,
}

struct Shared {
    answer: Box<dyn Fn(Call) -> BoxFuture + Send + Sync>,
    calls: AtomicUsize,
}

impl Origin {
    /// Answers each call by a closure.
    pub(crate) fn new<F, Fut>(answer: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let answer = Box::new(move |call| -> BoxFuture { Box::pin(answer(call)) });
        Self { shared: Arc::new(Shared { answer, calls: AtomicUsize::new(0) }), is_ready: false }
    }

    /// Answers each call at once, by its number.
    pub(crate) fn replies(reply: impl Fn(usize) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self::new(move |call| std::future::ready(Ok(reply(call.number))))
    }

    /// Answers each call at once, by its request.
    pub(crate) fn by_request(
        reply: impl Fn(&Request<ReplayBody<Body>>) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |call| std::future::ready(Ok(reply(&call.request))))
    }

    /// Answers when the test says so.
    pub(crate) fn held() -> (Self, Calls) {
        let (sender, calls) = mpsc::unbounded_channel();
        let origin = Self::new(move |call| {
            let (answer, answered) = oneshot::channel();
            let _ = sender.send(Held { request: call.request, answer });
            async move { answered.await.unwrap_or(Err(Refused("the test gave no answer"))) }
        });
        (origin, Calls(calls))
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }
}

impl Clone for Origin {
    /// Readiness is a service's own: a clone has to be polled again.
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), is_ready: false }
    }
}

impl Service<Request<ReplayBody<Body>>> for Origin {
    type Response = Response<Body>;
    type Error = Refused;
    type Future = BoxFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody<Body>>) -> BoxFuture {
        assert!(std::mem::take(&mut self.is_ready), "called without having been polled ready");
        let number = self.shared.calls.fetch_add(1, Ordering::SeqCst);
        (self.shared.answer)(Call { number, request })
    }
}

/// The calls that an origin holds until the test answers.
pub(crate) struct Calls(mpsc::UnboundedReceiver<Held>);

impl Calls {
    /// The next call, when it comes.
    pub(crate) async fn next(&mut self) -> Held {
        self.0.recv().await.expect("the origin is there")
    }

    /// The next call, if it has come.
    pub(crate) fn try_next(&mut self) -> Option<Held> {
        self.0.try_recv().ok()
    }
}

/// A call that waits for its answer.
pub(crate) struct Held {
    pub(crate) request: Request<ReplayBody<Body>>,
    answer: oneshot::Sender<Answer>,
}

impl Held {
    pub(crate) fn answer(self, response: Response<Body>) {
        let _ = self.answer.send(Ok(response));
    }

    pub(crate) fn refuse(self, why: &'static str) {
        let _ = self.answer.send(Err(Refused(why)));
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.answer.is_closed()
    }
}
