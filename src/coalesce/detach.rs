//! A fetch that outlives the request it was begun for.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::runtime::Handle;

use super::Interest;
use crate::entry::Entry;

/// Runs a fetch in the task of the request that leads it. If that request goes away, the fetch goes on in a task of its own:
/// to its end within `finish`, or for as long as anyone waits for it.
pub(crate) struct Detachable<T: Send + 'static, K: Send + Sync + 'static = Entry> {
    fetch: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    interest: Option<Interest<K>>,
    finish: Option<Duration>,
}

impl<T: Send + 'static, K: Send + Sync + 'static> Detachable<T, K> {
    pub(crate) fn new(
        fetch: impl Future<Output = T> + Send + 'static,
        interest: Option<Interest<K>>,
        finish: Option<Duration>,
    ) -> Self {
        Self { fetch: Some(Box::pin(fetch)), interest, finish }
    }
}

impl<T: Send + 'static, K: Send + Sync + 'static> Future for Detachable<T, K> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // One that panics doesn't come back here, and isn't gone on with.
        let Some(mut fetch) = self.fetch.take() else { return Poll::Pending };
        let polled = fetch.as_mut().poll(cx);
        if polled.is_pending() {
            self.fetch = Some(fetch);
        }
        polled
    }
}

impl<T: Send + 'static, K: Send + Sync + 'static> Drop for Detachable<T, K> {
    fn drop(&mut self) {
        // Without a runtime, all that is left is to stop; followers begin again.
        let (Some(fetch), Ok(runtime)) = (self.fetch.take(), Handle::try_current()) else { return };
        if let Some(within) = self.finish {
            runtime.spawn(async move {
                if tokio::time::timeout(within, fetch).await.is_err() {
                    tracing::debug!("a fetch that nobody waits for took too long and was dropped");
                }
            });
        } else if let Some(interest) = self.interest.take().filter(Interest::is_there) {
            runtime.spawn(async move {
                tokio::select! {
                    _ = fetch => {}
                    () = interest.gone() => {}
                }
            });
        }
    }
}

impl<T: Send + 'static, K: Send + Sync + 'static> fmt::Debug for Detachable<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detachable").finish_non_exhaustive()
    }
}
