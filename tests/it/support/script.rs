//! An inner service that does as it is told, and remembers what it was asked and when.

use std::{
    fmt,
    future::{Future, pending},
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep};
use tower::Service;

use super::{Body, full, reply};

/// A request as it was sent, in the order of the calls.
pub(crate) struct Seen {
    /// When, counted from when the script was made.
    pub(crate) at: Duration,
    pub(crate) head: Parts,
    /// The body, frame by frame.
    pub(crate) data: Vec<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
    /// What the body broke with.
    pub(crate) broken: Option<String>,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().expect("printable"))
    }

    pub(crate) fn host(&self) -> &str {
        self.head.uri.host().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.data.concat()).expect("text")
    }
}

/// What is done about a request.
pub(crate) struct Act<E = io::Error> {
    after: Duration,
    what: Option<Result<Response<Body>, E>>,
}

impl<E> Act<E> {
    /// Says its status in its body, too.
    pub(crate) fn status(status: u16) -> Self {
        Self::answer(reply(status, &[], full(status.to_string())))
    }

    pub(crate) fn answer(response: Response<Body>) -> Self {
        Self { after: Duration::ZERO, what: Some(Ok(response)) }
    }

    /// An answer with such a field.
    pub(crate) fn with(status: u16, fields: &[(&str, &str)]) -> Self {
        Self::answer(reply(status, fields, full(status.to_string())))
    }

    pub(crate) fn fail(error: E) -> Self {
        Self { after: Duration::ZERO, what: Some(Err(error)) }
    }

    pub(crate) fn hang() -> Self {
        Self { after: Duration::ZERO, what: None }
    }

    pub(crate) fn after(self, millis: u64) -> Self {
        Self { after: Duration::from_millis(millis), ..self }
    }
}

impl Act {
    /// An error that proves that nothing was sent.
    pub(crate) fn refused() -> Self {
        Self::fail(io::ErrorKind::ConnectionRefused.into())
    }

    /// An error that leaves open what was done.
    pub(crate) fn reset() -> Self {
        Self::fail(io::ErrorKind::ConnectionReset.into())
    }
}

/// A scripted inner service for requests with any body. It fails the test if it is called without having been polled ready.
pub(crate) struct Script<E = io::Error> {
    shared: Arc<Shared<E>>,
    is_ready: bool,
}

struct Shared<E> {
    start: Instant,
    act: Box<dyn Fn(usize, &Seen) -> Act<E> + Send + Sync>,
    calls: AtomicUsize,
    seen: Mutex<Vec<Arc<Seen>>>,
    running: Arc<AtomicUsize>,
}

impl Script {
    /// Acts by how many calls there were before, and by the request.
    pub(crate) fn new(act: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Self {
        Self::failing_with(act)
    }

    /// Answers with these, in their order; the last over and over.
    pub(crate) fn statuses(statuses: impl Into<Vec<u16>>) -> Self {
        let statuses = statuses.into();
        Self::new(move |number, _| Act::status(statuses[number.min(statuses.len() - 1)]))
    }
}

impl<E> Script<E> {
    /// The same, with errors of any type.
    pub(crate) fn failing_with(act: impl Fn(usize, &Seen) -> Act<E> + Send + Sync + 'static) -> Self {
        let shared = Shared {
            start: Instant::now(),
            act: Box::new(act),
            calls: AtomicUsize::new(0),
            seen: Mutex::default(),
            running: Arc::default(),
        };
        Self { shared: Arc::new(shared), is_ready: false }
    }

    /// What it was asked.
    pub(crate) fn seen(&self) -> Vec<Arc<Seen>> {
        self.shared.seen.lock().expect("no panic").clone()
    }

    /// The last that it was asked.
    pub(crate) fn last(&self) -> Arc<Seen> {
        self.seen().pop().expect("a call")
    }

    /// When it was asked, in milliseconds.
    pub(crate) fn times(&self) -> Vec<u128> {
        self.seen().iter().map(|seen| seen.at.as_millis()).collect()
    }

    /// The time now, as `times` has it.
    pub(crate) fn now(&self) -> u128 {
        self.shared.start.elapsed().as_millis()
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// How many of its futures are there still.
    pub(crate) fn running(&self) -> usize {
        self.shared.running.load(Ordering::SeqCst)
    }
}

impl<E> Clone for Script<E> {
    /// Readiness is a service's own: a clone has to be polled again.
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), is_ready: false }
    }
}

impl<B, E> Service<Request<B>> for Script<E>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: fmt::Display,
    E: Send + 'static,
{
    type Response = Response<Body>;
    type Error = E;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without having been polled ready");
        let shared = self.shared.clone();
        let number = shared.calls.fetch_add(1, Ordering::SeqCst);
        let guard = Running::new(&shared.running);
        let at = shared.start.elapsed();
        Box::pin(async move {
            let _guard = guard;
            let seen = Arc::new(see(at, request).await);
            shared.seen.lock().expect("no panic").push(seen.clone());
            let Act { after, what } = (shared.act)(number, &seen);
            let Some(what) = what else { return pending().await };
            if !after.is_zero() {
                sleep(after).await;
            }
            what
        })
    }
}

async fn see<B>(at: Duration, request: Request<B>) -> Seen
where
    B: http_body::Body<Data = Bytes>,
    B::Error: fmt::Display,
{
    let (head, body) = request.into_parts();
    let mut seen = Seen { at, head, data: Vec::new(), trailers: None, broken: None };
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => seen.data.push(data),
            Ok(Err(trailers)) => seen.trailers = trailers.into_trailers().ok(),
            Err(error) => seen.broken = Some(error.to_string()),
        }
    }
    seen
}

/// Counts what is under way.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
