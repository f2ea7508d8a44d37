//! A waker that counts.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame};

/// How often a reader was woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Polls a body once, to be woken here.
    pub(crate) fn poll<B: Body<Data = Bytes> + Unpin>(
        self: &Arc<Self>,
        body: &mut B,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let waker = Waker::from(self.clone());
        Pin::new(body).poll_frame(&mut Context::from_waker(&waker))
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
