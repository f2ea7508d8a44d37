//! [`Tee`]: a response body that is kept while it passes, and that any number of readers can follow live.
//!
//! Whoever reads at the tail polls the source; nobody is needed to drive it, and no task stands between the source and its
//! first reader. Invariants:
//!
//! - The source is polled with a waker of the tee's own. It wakes every reader that waits: each of them finds a frame, or the
//!   first of them fetches it for all. A reader that finds the waker *armed* waits without polling the source again.
//! - So a reader waits only while the waker is armed, or while it is ahead of the slowest: one that goes away takes nobody's
//!   wake-up with it, and wakes those that it held up.
//! - What passes is kept until the limit is exceeded. From then on only what the slowest reader still lacks is kept, and no
//!   reader runs further ahead of it than the limit.
//! - `on_end` is called once: with the whole body after a clean end, or with what went wrong. It is called before the last
//!   frame is handed out, so that who has read to the end finds the entry stored.

mod queue;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};

pub(crate) use self::queue::{Ended, TeeOptions};
use self::{
    queue::{End, Finished, Queue},
    sync::{Mutex, lock},
};
use crate::BoxError;

/// One reader of a body that is being kept.
pub(crate) struct Tee {
    shared: Arc<Shared>,
    slot: usize,
}

/// A way in for further readers; it keeps nothing running.
#[derive(Clone)]
pub(crate) struct Joiner(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    source: Mutex<Option<UnsyncBoxBody<Bytes, BoxError>>>,
}

impl Tee {
    /// Begins to keep `source`; the first reader is returned.
    pub(crate) fn new<B>(source: B, options: TeeOptions, on_end: impl FnOnce(Ended) + Send + 'static) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let over = source.is_end_stream();
        let queue = Queue::new(options, Box::new(on_end));
        let source = (!over).then(|| source.map_err(Into::into).boxed_unsync());
        Self { shared: Arc::new(Shared { queue: Mutex::new(queue), source: Mutex::new(source) }), slot: 0 }
    }

    /// A way in for further readers.
    pub(crate) fn joiner(&self) -> Joiner {
        Joiner(self.shared.clone())
    }

    fn poll_source(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut source = lock(&self.shared.source);
        let wakes = {
            let mut queue = lock(&self.shared.queue);
            // Another reader may have fetched a frame, or gone to wait, while this one waited for the lock.
            if queue.has_more(self.slot) {
                return Poll::Ready(());
            }
            if queue.armed {
                queue.register(self.slot, cx.waker());
                return Poll::Pending;
            }
            queue.wakes
        };
        let Some(body) = source.as_mut() else {
            // An empty body, which ends when it is first looked at.
            let finished = lock(&self.shared.queue).finish(End::Clean);
            drop(source);
            Finished::run(finished);
            return Poll::Ready(());
        };
        let waker = Waker::from(self.shared.clone());
        let polled = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(&waker));
        let over = body.is_end_stream();
        let mut spent = None;
        let (finished, wakers) = {
            let mut queue = lock(&self.shared.queue);
            match polled {
                Poll::Pending if queue.wakes == wakes => {
                    queue.armed = true;
                    queue.register(self.slot, cx.waker());
                    return Poll::Pending;
                }
                // It woke the tee while it was polled, and gives way all the same (tokio's budget does so): so does its reader,
                // or it would ask again for ever.
                Poll::Pending => {
                    drop(queue);
                    drop(source);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(frame) => {
                    let finished = queue.push(frame, over);
                    if queue.end.is_some() {
                        spent = source.take();
                    }
                    (finished, queue.take_wakers())
                }
            }
        };
        drop(source);
        drop(spent);
        Finished::run(finished);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let (next, wakers) = {
                let mut queue = lock(&self.shared.queue);
                match queue.next(self.slot) {
                    Some(next) => (next, queue.trim()),
                    None if queue.armed || queue.is_ahead() => {
                        queue.register(self.slot, cx.waker());
                        return Poll::Pending;
                    }
                    None => {
                        drop(queue);
                        if self.poll_source(cx).is_pending() {
                            return Poll::Pending;
                        }
                        continue;
                    }
                }
            };
            wakers.into_iter().for_each(Waker::wake);
            return Poll::Ready(next);
        }
    }

    fn is_end_stream(&self) -> bool {
        let over = lock(&self.shared.source).is_none();
        let queue = lock(&self.shared.queue);
        over && !matches!(queue.end, Some(End::Failed(_))) && !queue.has_piece(self.slot)
    }

    fn size_hint(&self) -> SizeHint {
        let queue = lock(&self.shared.queue);
        let read = queue.reader(self.slot).map_or(0, |reader| reader.read);
        match (&queue.end, queue.options.announced) {
            (Some(End::Clean), _) => SizeHint::with_exact(queue.total.saturating_sub(read)),
            (None, Some(announced)) if announced >= queue.total => SizeHint::with_exact(announced - read),
            _ => SizeHint::new(),
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        let mut spent = None;
        let mut abandoned = false;
        let source_is_gone = lock(&self.shared.source).is_none();
        let (finished, wakers) = {
            let mut queue = lock(&self.shared.queue);
            queue.readers[self.slot] = None;
            let wakers = queue.trim();
            let empty = source_is_gone && queue.end.is_none();
            let unread = queue.end.is_none() && queue.readers.iter().all(Option::is_none);
            if !unread {
                (None, wakers)
            } else if empty || queue.options.announced == Some(queue.total) {
                abandoned = true;
                // A server stops reading when it has sent what Content-Length says, before the body says that it is over.
                (queue.finish(End::Clean), wakers)
            } else if let Some(within) = queue.wants_draining() {
                queue.readers[self.slot] = Some(queue.reader_at_tail());
                drop(queue);
                drain(Self { shared: self.shared.clone(), slot: self.slot }, within);
                (None, wakers)
            } else {
                abandoned = true;
                (queue.finish(End::Failed(Arc::new("nobody reads this body any more".into()))), wakers)
            }
        };
        if abandoned {
            spent = lock(&self.shared.source).take();
        }
        drop(spent);
        Finished::run(finished);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Reads what nobody reads any more, to store it.
fn drain(mut tee: Tee, within: Duration) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let all = std::future::poll_fn(|cx| {
            loop {
                if lock(&tee.shared.queue).too_large {
                    return Poll::Ready(());
                }
                match std::task::ready!(Pin::new(&mut tee).poll_frame(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
        });
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::debug!("a response that nobody waits for took too long and was dropped");
        }
    });
}

impl Joiner {
    /// A reader that begins at the first frame; `None` if it is too late for that.
    pub(crate) fn join(&self) -> Option<Tee> {
        let mut queue = lock(&self.0.queue);
        if queue.too_large || matches!(queue.end, Some(End::Failed(_))) {
            return None;
        }
        let slot = queue.seat();
        drop(queue);
        Some(Tee { shared: self.0.clone(), slot })
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = {
            let mut queue = lock(&self.queue);
            queue.armed = false;
            queue.wakes += 1;
            queue.take_wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl fmt::Debug for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joiner").finish_non_exhaustive()
    }
}

/// The locks of the standard library, or loom's.
mod sync {
    #[cfg(larder_loom)]
    pub(super) use loom::sync::{Mutex, MutexGuard};
    use std::sync::PoisonError;
    #[cfg(not(larder_loom))]
    pub(super) use std::sync::{Mutex, MutexGuard};

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, larder_loom))]
mod model;
#[cfg(all(test, not(larder_loom)))]
mod tests;
