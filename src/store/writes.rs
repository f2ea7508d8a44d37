//! Writes behind whoever makes them: a bounded number, each for a bounded time.

use std::{
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Semaphore};

/// How many may be under way at once; further ones are dropped.
const WRITES: usize = 1024;

/// How long one may take before it is given up.
pub(crate) const WRITE: Duration = Duration::from_secs(30);

/// The writes under way.
#[derive(Debug)]
pub(crate) struct Writes(Arc<Semaphore>);

impl Default for Writes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WRITES)))
    }
}

impl Writes {
    /// Begins a write on the spot. One that has to wait goes on in a task; `late` is called if it takes too long. `false`: it was
    /// dropped, for too many are under way, or there is no runtime.
    pub(crate) fn begin(
        &self,
        write: impl Future<Output = ()> + Send + 'static,
        late: impl FnOnce() + Send + 'static,
    ) -> bool {
        let mut write = Box::pin(write);
        // A store that answers at once has it now, and a near one in front of a slow one.
        if write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        let (Ok(permit), Ok(runtime)) = (self.0.clone().try_acquire_owned(), Handle::try_current()) else {
            return false;
        };
        runtime.spawn(async move {
            // What it holds, locks and flights included, is let go of in any case.
            if tokio::time::timeout(WRITE, write).await.is_err() {
                tracing::warn!(timeout = ?WRITE, "a write took too long");
                late();
            }
            drop(permit);
        });
        true
    }
}
