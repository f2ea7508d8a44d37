//! What all services of one layer share, and the two ways to the store: a look-up with a deadline, a write behind the response.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, SystemTime},
};

use http::{request::Parts, response};
use quick_cache::sync::Cache;
use tokio::{sync::Mutex, time::Instant};

use super::{
    Observer, Replay,
    purges::{Began, Purges},
};
use crate::{
    clock::{Clock, SystemClock},
    coalesce::Flights,
    entry::Entry,
    key::Key,
    policy::completeness::{Completeness, EndOfStream},
    stats::Stats,
    store::{Change, Peek, Store, StoreError, Writes},
    tag::{self, Tag},
};

/// Of how many keys it is remembered that a part is stored.
const PARTS: usize = 16_384;

/// How many locks there are for first variants.
pub(super) const FIRSTS: usize = 64;

/// The name by which the cache goes in `Cache-Status`.
pub(super) const NAME: &str = "larder";

pub(crate) struct Shared<St, F, P> {
    pub(super) store: St,
    pub(super) fingerprint: F,
    pub(super) policy: P,
    pub(super) settings: Settings,
    pub(super) flights: Arc<Flights>,
    pub(super) purges: Arc<Purges>,
    pub(super) stats: Arc<Stats>,
    /// The keys of which a part was stored, and so is worth looking for.
    pub(super) parts: Known,
    /// Held while the first variant of a key is written, for it is read before.
    pub(super) firsts: [Mutex<()>; FIRSTS],
    pub(super) writes: Writes,
}

/// Tags that the fields of a response don't name.
pub(super) type Tagger = dyn Fn(&Parts, &response::Parts) -> Vec<Tag> + Send + Sync;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) completeness: Arc<dyn Completeness>,
    pub(super) tags: Option<Arc<Tagger>>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) max_body: usize,
    pub(super) max_variants: usize,
    pub(super) replay: Replay,
    pub(super) finish: Option<Duration>,
    pub(super) coalesce: bool,
    /// For how long another process's fetch is waited for.
    pub(super) across: Option<Duration>,
    pub(super) uncacheable_for: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) show_key: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            completeness: Arc::new(EndOfStream),
            tags: None,
            observer: None,
            max_body: 8 << 20,
            max_variants: 100,
            replay: Replay::Instant,
            finish: None,
            coalesce: true,
            across: Some(Duration::from_secs(30)),
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

/// Keys that something is known of; until the first, a look costs next to nothing.
pub(super) struct Known {
    any: AtomicBool,
    keys: Cache<[u8; 32], ()>,
}

impl Known {
    fn new(capacity: usize) -> Self {
        Self { any: AtomicBool::new(false), keys: Cache::new(capacity) }
    }

    pub(super) fn add(&self, key: &Key) {
        self.any.store(true, Ordering::Relaxed);
        self.keys.insert(*key.digest(), ());
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.any.load(Ordering::Relaxed) && self.keys.get(key.digest()).is_some()
    }

    /// Forgets a key; whether it was known.
    pub(super) fn take(&self, key: &Key) -> bool {
        self.any.load(Ordering::Relaxed) && self.keys.remove(key.digest()).is_some()
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
            purges: Arc::default(),
            stats: Arc::default(),
            parts: Known::new(PARTS),
            firsts: std::array::from_fn(|_| Mutex::const_new(())),
            writes: Writes::default(),
        }
    }

    /// The tags of a response: those that its fields name, and those that the user gives it.
    pub(super) fn tags(&self, request: &Parts, response: &response::Parts) -> Vec<Tag> {
        let mut tags = Tag::of(&response.headers);
        if let Some(more) = &self.settings.tags {
            tags.extend(more(request, response));
            tags = tag::sorted(tags);
        }
        tags
    }

    pub(super) fn now(&self) -> SystemTime {
        self.settings.clock.now()
    }
}

impl<St: Store, F, P> Shared<St, F, P> {
    /// Hears what other processes change in the store.
    pub(super) fn hear(&self) {
        let (purges, flights) = (Arc::downgrade(&self.purges), Arc::downgrade(&self.flights));
        self.store.listen(Arc::new(move |change| {
            let (Some(purges), Some(flights)) = (purges.upgrade(), flights.upgrade()) else { return };
            match change {
                Change::Purged(selector) => {
                    purges.add(selector.clone());
                    flights.close(selector);
                }
                Change::Invalidated(marks, at) => {
                    purges.invalidate_marked(*marks, *at);
                    flights.close_marked(*marks);
                }
                Change::Removed(_) | Change::Hearing | Change::Deaf => {}
            }
        }));
    }

    /// Notes how far things are when a fetch begins.
    pub(super) fn note(&self, request: &Parts, key: Option<&Key>) -> Began {
        self.purges.begin(request, key, self.store.fence())
    }

    /// Whether an entry was received before a request changed what it stands for.
    pub(super) fn is_invalidated(&self, entry: &Entry, request: &Parts) -> bool {
        self.purges.invalidated(request, entry.head().lifetime().received_at)
    }

    /// What a store says without waiting, less what it should have dropped, and what is invalid.
    pub(super) fn usable(&self, peeked: Peek, request: &Parts) -> Option<Option<Entry>> {
        match peeked {
            // One that has expired near may have been replaced far away.
            Peek::Found(entry) if entry.head().lifetime().kept_in(self.now()).is_none() => None,
            Peek::Found(entry) => Some(Some(entry).filter(|entry| !self.is_invalidated(entry, request))),
            Peek::Absent => Some(None),
            Peek::Unknown => None,
        }
    }

    /// Removes an entry.
    pub(super) async fn forget(&self, key: &Key) {
        if let Err(error) = self.store.remove(key).await {
            self.stats.store_write_errors.increment();
            warn("a removal failed", &error);
        }
    }

    /// Until when a request that begins to look now waits for stores.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.lookup_timeout
    }

    /// Asks the store for the entry of a request's key, if it answers in time.
    pub(super) async fn get(&self, key: &Key, request: &Parts, deadline: Instant) -> Option<Entry> {
        if let Some(found) = self.usable(self.store.peek(key), request) {
            return found;
        }
        let found = tokio::time::timeout_at(deadline, self.store.get(key)).await;
        match found {
            Ok(Ok(Some(entry))) if self.is_invalidated(&entry, request) => {
                // It is of no use to anyone, and would be news to who claims the fetch.
                let _ = tokio::time::timeout_at(deadline, self.forget(key)).await;
                return None;
            }
            Ok(Ok(found)) => return found,
            Ok(Err(error)) => warn("a look-up failed", &error),
            Err(_) => tracing::warn!(timeout = ?self.settings.lookup_timeout, "a look-up took too long"),
        }
        self.stats.store_read_errors.increment();
        None
    }
}

/// What a store that is known to be down refuses is no news.
pub(super) fn warn(what: &str, error: &StoreError) {
    let shown = error as &dyn std::error::Error;
    if error.is_refused() {
        tracing::debug!(error = shown, "{what}");
    } else {
        tracing::warn!(error = shown, "{what}");
    }
}

/// Reads a body to its end, for what happens on the way.
pub(crate) async fn exhaust(body: impl http_body::Body) {
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
