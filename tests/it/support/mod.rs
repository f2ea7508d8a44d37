//! What the tests share: scripted origins, stores that fail when they are told to, and short words for requests.

mod body;
pub(crate) mod clients;
mod exchange;
mod log;
mod origin;
pub(crate) mod program;
pub(crate) mod redis;
mod script;
mod socket;
mod spans;
mod store;
mod waker;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

pub(crate) use self::{
    body::{Body, Feed, channel, counted, empty, full, pieces},
    exchange::{Reply, ask, data, field, frame, get, heard, post, read, reply, request, said, text},
    log::Log,
    origin::{Calls, Held, Origin, Refused},
    script::{Act, Script, Seen},
    socket::{Step, Wire, client},
    spans::Spans,
    store::{Far, Fault, memory},
    waker::Wakes,
};

/// A future that was polled once and has to wait: a request that is under way, without a task of its own.
pub(crate) fn begun<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(poll_once(&mut future).is_pending(), "it has to wait for something");
    future
}

/// Polls without being woken later.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets every task that can go on do so. The test's runtime has one thread, so what waits after this waits for the test.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
