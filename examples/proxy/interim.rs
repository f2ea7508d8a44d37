//! Interim responses (1xx) of the upstream, passed on to HTTP/1.1 clients.
//!
//! hyper's server (1.12) has no way to send them. So they are written beside it, into the same connection, and begun only when
//! it flushes: then nothing of the response before is left to write, and nothing of the one to come has been begun. That one is
//! held back until they are written. (hyper may have a 100 of its own to write: it waits for one that is begun.)

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use larder::header::hop_by_hop;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than anyone has hints for; what goes beyond is dropped.
const MAX: usize = 64 * 1024;

/// A connection into which interim responses can be written.
#[pin_project::pin_project]
pub(crate) struct Wire<S> {
    #[pin]
    stream: S,
    side: Arc<Side>,
}

/// What waits to be written beside hyper.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// How many requests there have been.
    begun: AtomicU64,
    /// Which of them is being answered; zero when none is.
    answered: AtomicU64,
    /// Whether anything waits, so that most requests need no lock.
    waits: AtomicBool,
    /// Whether one is written half.
    torn: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    answer: Option<Waker>,
}

/// The way to a client for the interim responses to one of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Interim {
    side: Arc<Side>,
    request: u64,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S) -> (Self, Arc<Side>) {
        let side = Arc::<Side>::default();
        (Self { stream, side: side.clone() }, side)
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl Side {
    /// From now on, the connection's next request is answered.
    pub(crate) fn begin(self: &Arc<Self>) -> Interim {
        let request = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        self.answered.store(request, Ordering::SeqCst);
        Interim { side: self.clone(), request }
    }

    /// Polls for the final response, which waits until what comes before it has been written; `held` is where.
    pub(crate) fn poll_answer<F: Future>(
        &self,
        answer: Pin<&mut F>,
        held: &mut Option<F::Output>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let output = match held.take() {
            Some(output) => Poll::Ready(output),
            None => answer.poll(cx),
        };
        if let Poll::Ready(output) = output {
            if !self.waits.load(Ordering::SeqCst) {
                self.close();
                return Poll::Ready(output);
            }
            *held = Some(output);
        }
        let mut state = self.state();
        if !state.answer.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.answer = Some(cx.waker().clone());
            // What came before this had nobody to wake. Woken, hyper flushes; while it can't, the socket wakes it.
            if self.waits.load(Ordering::SeqCst) {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn close(&self) {
        self.answered.store(0, Ordering::SeqCst);
        // What came in between comes too late.
        if self.waits.load(Ordering::SeqCst) {
            self.state().bytes.clear();
            self.waits.store(false, Ordering::SeqCst);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interim {
    /// Has an interim response written, if the final one has not been given to hyper yet.
    pub(crate) fn send(&self, status: StatusCode, headers: &HeaderMap) {
        // 100 is hyper's to send, and 101 would end HTTP.
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let mut headers = headers.clone();
        hop_by_hop::remove(&mut headers);
        headers.remove(CONTENT_LENGTH);
        let reason = status.canonical_reason().unwrap_or_default();
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
        for (name, value) in &headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        let mut state = self.side.state();
        let before = state.bytes.len();
        if self.is_open() && before + text.len() <= MAX {
            state.bytes.extend_from_slice(&text);
            self.side.waits.store(true, Ordering::SeqCst);
            if !self.is_open() {
                // The answer was there meanwhile, and may have been begun.
                state.bytes.truncate(before);
                self.side.waits.store(before > 0, Ordering::SeqCst);
                return;
            }
            let waker = state.answer.take();
            drop(state);
            waker.inspect(Waker::wake_by_ref);
        }
    }

    fn is_open(&self) -> bool {
        self.side.answered.load(Ordering::SeqCst) == self.request
    }
}

impl<S: AsyncWrite> Wire<S> {
    fn poll_side(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut this = self.project();
        let mut state = this.side.state();
        while !state.bytes.is_empty() {
            let written = ready!(this.stream.as_mut().poll_write(cx, &state.bytes))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            state.bytes.drain(..written);
            this.side.torn.store(!state.bytes.is_empty(), Ordering::Relaxed);
        }
        this.side.waits.store(false, Ordering::SeqCst);
        state.answer.take().inspect(Waker::wake_by_ref);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.project().stream.poll_read(cx, buf)
    }
}

impl<S: AsyncWrite> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        // hyper may have a 100 to write meanwhile.
        if self.side.torn.load(Ordering::Relaxed) {
            ready!(self.as_mut().poll_side(cx))?;
        }
        self.project().stream.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.side.waits.load(Ordering::SeqCst) {
            ready!(self.as_mut().poll_side(cx))?;
        }
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if self.side.torn.load(Ordering::Relaxed) {
            ready!(self.as_mut().poll_side(cx))?;
        }
        self.project().stream.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
