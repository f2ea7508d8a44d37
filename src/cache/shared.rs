//! What all services of one layer share, and the two ways to the store: a look-up with a deadline, a write behind the response.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use tokio::{runtime::Handle as Runtime, sync::Semaphore};

use super::{Replay, purges::Purges};
use crate::{
    clock::{Clock, SystemClock},
    coalesce::{Flights, Lead},
    entry::Entry,
    key::Key,
    policy::completeness::{Completeness, EndOfStream},
    stats::Stats,
    store::Store,
};

/// How many writes to a store may be under way at once; further ones are dropped.
const WRITES: usize = 1024;

/// The name by which the cache goes in `Cache-Status`.
pub(super) const NAME: &str = "larder";

pub(crate) struct Shared<St, F, P> {
    pub(super) store: St,
    pub(super) fingerprint: F,
    pub(super) policy: P,
    pub(super) settings: Settings,
    pub(super) flights: Arc<Flights>,
    pub(super) purges: Purges,
    pub(super) stats: Stats,
    writes: Arc<Semaphore>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) completeness: Arc<dyn Completeness>,
    pub(super) max_body: usize,
    pub(super) replay: Replay,
    pub(super) finish: Option<Duration>,
    pub(super) coalesce: bool,
    pub(super) uncacheable_for: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) show_key: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            completeness: Arc::new(EndOfStream),
            max_body: 8 << 20,
            replay: Replay::Instant,
            finish: None,
            coalesce: true,
            uncacheable_for: Duration::from_secs(60),
            lookup_timeout: Duration::from_millis(250),
            show_key: false,
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("max_body", &self.max_body)
            .field("replay", &self.replay)
            .field("finish", &self.finish)
            .field("coalesce", &self.coalesce)
            .finish_non_exhaustive()
    }
}

impl<St, F, P> Shared<St, F, P> {
    pub(super) fn new(store: St, fingerprint: F, policy: P, settings: Settings) -> Self {
        Self {
            store,
            fingerprint,
            policy,
            settings,
            flights: Arc::new(Flights::new()),
            purges: Purges::default(),
            stats: Stats::default(),
            writes: Arc::new(Semaphore::new(WRITES)),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.settings.clock.now()
    }
}

impl<St: Store, F, P> Shared<St, F, P> {
    /// Asks the store for an entry, if it answers in time.
    pub(super) async fn get(&self, key: &Key) -> Option<Entry> {
        if let Some(found) = self.unexpired(self.store.peek(key)) {
            return found;
        }
        let found = tokio::time::timeout(self.settings.lookup_timeout, self.store.get(key)).await;
        match found {
            Ok(Ok(found)) => return found,
            Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "a look-up failed"),
            Err(_) => tracing::warn!(timeout = ?self.settings.lookup_timeout, "a look-up took too long"),
        }
        self.stats.store_read_errors.increment();
        None
    }
}

impl<St, F, P> Shared<St, F, P>
where
    Self: Send + Sync + 'static,
    St: Store,
{
    /// Writes an entry whose fetch began when `began` purges had been made. A store that answers at once has it when this
    /// returns; for another the write goes on behind the response, and the flight stays open until it is done.
    pub(super) fn put(self: &Arc<Self>, key: Key, entry: Entry, began: u64, lead: Option<Lead>) {
        let shared = self.clone();
        self.write(async move {
            let _lead = lead;
            if shared.purges.forbid(began, &key, &entry) {
                return shared.stats.outdated.increment();
            }
            match shared.store.put(&key, entry.clone()).await {
                Ok(()) => shared.stats.stored.increment(),
                Err(error) => {
                    shared.stats.store_write_errors.increment();
                    tracing::warn!(error = &error as &dyn std::error::Error, "a write failed");
                }
            }
            // A purge that came while this was written may have missed it.
            if shared.purges.forbid(began, &key, &entry) {
                shared.stats.outdated.increment();
                shared.forget(&key).await;
            }
        });
    }

    /// Removes an entry, behind the response if need be.
    pub(super) fn remove(self: &Arc<Self>, key: Key) {
        let shared = self.clone();
        self.write(async move { shared.forget(&key).await });
    }

    async fn forget(&self, key: &Key) {
        if let Err(error) = self.store.remove(key).await {
            self.stats.store_write_errors.increment();
            tracing::warn!(error = &error as &dyn std::error::Error, "a removal failed");
        }
    }

    fn write(&self, write: impl Future<Output = ()> + Send + 'static) {
        let Ok(permit) = self.writes.clone().try_acquire_owned() else {
            return self.stats.store_writes_dropped.increment();
        };
        let mut write = Box::pin(write);
        if write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        match Runtime::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    write.await;
                    drop(permit);
                });
            }
            Err(_) => self.stats.store_writes_dropped.increment(),
        }
    }
}

/// Reads a body to its end, for what happens on the way.
pub(super) async fn exhaust(body: impl http_body::Body) {
    let mut body = pin!(body);
    poll_fn(|cx| {
        loop {
            match std::task::ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
    })
    .await;
}
