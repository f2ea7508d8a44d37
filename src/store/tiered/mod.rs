//! [`Tiered`]: a near store in front of a far one.

mod list;

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    Change, Checkup, Claim, Fence, Health, Listener, Listing, Page, Peek, Recent, Result, Store, StoreError, Tier,
    Trust, Usage, writes::WRITE,
};
use crate::{ConfigError, entry::Entry, key::Key, tag::Selector};

/// The bytes that one permit of the queue stands for.
const UNIT: usize = 1024;

/// The largest queue: a tebibyte. What is larger is a mistake.
const MAX_QUEUE: usize = 1 << 40;

/// The bytes that writes to the far store may hold, unless told otherwise.
const QUEUE: usize = 64 << 20;

/// A near store, which answers at once, in front of a far one, which keeps more, or is shared; clones share both.
///
/// What the near store lacks is looked up in the far one, and kept near from then on for as long as it is of use: the same time, not
/// a new one. What is put goes to both; the write to the far store is behind the response, and is dropped and counted where too
/// many are under way. A near store that fails is passed by.
///
/// What other processes change in the far store is removed from the near one, if the far store [tells](Store::listen), as
/// [`Redis`](https://docs.rs/larder/latest/larder/store/struct.Redis.html) does. While changes may be missed, the far store is asked first, and the near one only if that fails; once they are heard
/// again, the near store is emptied before it is trusted.
///
/// More than two tiers are made by nesting:
///
/// ```
/// use larder::store::{Memory, Tiered};
///
/// # let (disk, shared) = (Memory::new(1 << 20), Memory::new(1 << 20));
/// let store = Tiered::new(Memory::new(64 << 20), Tiered::new(disk, shared));
/// # let _ = store;
/// ```
pub struct Tiered<N, F>(Arc<Tiers<N, F>>);

struct Tiers<N, F> {
    near: N,
    far: F,
    /// What was purged lately: what was read before is not kept near after.
    recent: Recent,
    /// Whether the near store has heard of all changes.
    trust: Trust,
    queue: Arc<Semaphore>,
    dropped: AtomicU64,
}

/// Settings of a [`Tiered`] store, made by [`Tiered::builder`].
#[derive(Debug)]
#[must_use]
pub struct TieredBuilder<N, F> {
    near: N,
    far: F,
    queue: usize,
}

impl<N: Store, F: Store> Tiered<N, F> {
    /// A near store in front of a far one, with the default settings.
    #[must_use]
    pub fn new(near: N, far: F) -> Self {
        Self::with_queue(near, far, QUEUE)
    }

    /// The settings of a near store in front of a far one.
    pub fn builder(near: N, far: F) -> TieredBuilder<N, F> {
        TieredBuilder { near, far, queue: QUEUE }
    }

    fn with_queue(near: N, far: F, queue: usize) -> Self {
        let tiers = Arc::new(Tiers {
            near,
            far,
            recent: Recent::default(),
            trust: Trust::default(),
            queue: Arc::new(Semaphore::new(queue.div_ceil(UNIT))),
            dropped: AtomicU64::new(0),
        });
        let hears: Weak<Tiers<N, F>> = Arc::downgrade(&tiers);
        tiers.far.listen(Arc::new(move |change| {
            if let Some(tiers) = hears.upgrade() {
                tiers.hear(change);
            }
        }));
        Self(tiers)
    }
}

impl<N: Store, F: Store> TieredBuilder<N, F> {
    /// How many bytes of entries may be on their way to the far store; what is more is dropped and counted, and so is an entry that is larger
    /// than that by itself. Default: 64 MiB.
    pub fn queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the queue is empty or larger than a tebibyte.
    pub fn build(self) -> std::result::Result<Tiered<N, F>, ConfigError> {
        if !(1..=MAX_QUEUE).contains(&self.queue) {
            let problem = format!("{} bytes make no sense; take 1 to {MAX_QUEUE}, such as 64 << 20", self.queue);
            return Err(ConfigError::new("store::Tiered queue", problem));
        }
        Ok(Tiered::with_queue(self.near, self.far, self.queue))
    }
}

impl<N: Store, F: Store> Tiers<N, F> {
    fn is_trusted(&self) -> bool {
        self.trust.is_whole()
    }

    fn hear(self: &Arc<Self>, change: &Change) {
        let tiers = self.clone();
        match change {
            Change::Purged(selector) => {
                self.recent.add(selector.clone());
                let selector = selector.clone();
                at_once(async move { tiers.note("purged", tiers.near.purge(&selector).await) });
            }
            Change::Removed(key) => {
                self.recent.add(Selector::Key(key.clone()));
                let key = key.clone();
                at_once(async move { tiers.note("removed", tiers.near.remove(&key).await) });
            }
            Change::Deaf => self.trust.fall_silent(),
            Change::Hearing => {
                let Some(silence) = self.trust.silence() else { return };
                // What is read from the far store from now on is kept near after it was emptied.
                self.recent.add(Selector::All);
                at_once(async move {
                    let emptied = tiers.near.purge(&Selector::All).await;
                    if emptied.is_ok() {
                        tiers.trust.end(silence);
                    }
                    tiers.note("emptied", emptied);
                });
            }
            Change::Invalidated(..) => {}
        }
    }

    fn note<T>(&self, what: &str, result: Result<T>) {
        if let Err(error) = result {
            tracing::warn!(error = &error as &dyn std::error::Error, "the near store could not be {what}");
        }
    }

    /// What the near store has; a failure is as if it had nothing.
    async fn near(&self, key: &Key) -> Option<Entry> {
        let found = self.near.get(key).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "the near store failed; the far one is asked");
            None
        })
    }

    /// Writes to both; without a fence, whatever was purged.
    async fn write(tiers: &Arc<Self>, key: &Key, entry: Entry, fence: Option<Fence>) -> Result<bool> {
        tiers.note("filled", tiers.near.put(key, entry.clone()).await);
        let Some(room) = tiers.room(&entry) else {
            tiers.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(true);
        };
        let (own, key) = (tiers.clone(), key.clone());
        let write = async move {
            let _room = room;
            let put = async {
                match fence {
                    Some(fence) => own.far.put_fenced(&key, entry, fence).await,
                    None => own.far.put(&key, entry).await.map(|()| true),
                }
            };
            let kept = timeout(WRITE, put).await.unwrap_or_else(|_| Err(StoreError::timeout()));
            if matches!(kept, Ok(false)) {
                own.note("emptied", own.near.remove(&key).await);
            }
            kept
        };
        let Ok(runtime) = Handle::try_current() else { return write.await };
        let mut write = Box::pin(write);
        // A far store that is known to be gone says so at once.
        let begun = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match begun {
            Poll::Ready(kept) => kept,
            // Whoever asked for it may go away.
            Poll::Pending => runtime.spawn(write).await.unwrap_or_else(|error| Err(StoreError::unavailable(error))),
        }
    }

    /// Room for an entry on its way to the far store.
    fn room(&self, entry: &Entry) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(entry.size().div_ceil(UNIT)).ok()?;
        self.queue.clone().try_acquire_many_owned(units).ok()
    }
}

impl<N: Store, F: Store> Store for Tiered<N, F> {
    fn peek(&self, key: &Key) -> Peek {
        let Self(tiers) = self;
        if !tiers.is_trusted() {
            return Peek::Unknown;
        }
        match tiers.near.peek(key) {
            Peek::Absent => tiers.far.peek(key),
            known @ (Peek::Found(_) | Peek::Unknown) => known,
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let Self(tiers) = self;
        if tiers.is_trusted()
            && let Some(entry) = tiers.near(key).await
        {
            return Ok(Some(entry));
        }
        let seen = tiers.recent.seen();
        let entry = match tiers.far.get(key).await {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                // What is near in spite of that is gone; it must not come back when the far store fails.
                let (own, key) = (tiers.clone(), key.clone());
                if !tiers.is_trusted() {
                    at_once(async move { own.note("emptied", own.near.remove(&key).await) });
                }
                return Ok(None);
            }
            // Better than nothing: without the far store nobody could have said that it changed.
            Err(error) if !tiers.is_trusted() => return tiers.near(key).await.map(Some).ok_or(error),
            Err(error) => return Err(error),
        };
        let (own, key, kept) = (tiers.clone(), key.clone(), entry.clone());
        at_once(async move {
            // A newer one may have been put meanwhile.
            let received_at = |entry: &Entry| entry.head().lifetime().received_at;
            if matches!(own.near.peek(&key), Peek::Found(held) if received_at(&held) > received_at(&kept)) {
                return;
            }
            own.note("filled", own.near.put(&key, kept.clone()).await);
            let tags = kept.head().tag_list();
            if own.recent.any_since(seen, |selector| selector.may_mean(&key, tags)) {
                own.note("emptied", own.near.remove(&key).await);
            }
        });
        Ok(Some(entry))
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<()> {
        Tiers::write(&self.0, key, entry, None).await.map(drop)
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        let Self(tiers) = self;
        tiers.recent.add(Selector::Key(key.clone()));
        let near = tiers.near.remove(key).await;
        let far = tiers.far.remove(key).await;
        // It may have come near again before the far store was done, or be about to.
        tiers.recent.add(Selector::Key(key.clone()));
        let again = tiers.near.remove(key).await;
        Ok(far? | near? | again?)
    }

    /// Removes every entry that is meant from both stores; one that lies in both counts once.
    async fn purge(&self, selector: &Selector) -> Result<u64> {
        let Self(tiers) = self;
        tiers.recent.add(selector.clone());
        let near = tiers.near.purge(selector).await;
        let far = tiers.far.purge(selector).await;
        // Some may have come near again before the far store was done, or be about to.
        tiers.recent.add(selector.clone());
        let again = tiers.near.purge(selector).await;
        Ok(far?.max(near?).max(again?))
    }

    /// Entries: those of the store that has more. Bytes, capacity and evictions: of both together.
    async fn usage(&self) -> Result<Usage> {
        let (near, far) = (self.0.near.usage().await?, self.0.far.usage().await?);
        Ok(Usage {
            entries: near.entries.max(far.entries),
            bytes: near.bytes + far.bytes,
            capacity: near.capacity + far.capacity,
            evictions: near.evictions + far.evictions,
        })
    }

    async fn health(&self) -> Health {
        match self.0.near.health().await {
            Health::Up => self.0.far.health().await,
            down @ Health::Down(_) => down,
        }
    }

    /// What the far store has, each entry with what the near one knows of it, and then what only the near one has. A far store that
    /// doesn't answer is left out.
    async fn list(&self, listing: &Listing) -> Result<Page> {
        self.0.list(listing).await
    }

    async fn checkup(&self) -> Vec<Checkup> {
        let (mut tiers, mut far) = tokio::join!(self.0.near.checkup(), self.0.far.checkup());
        tiers.append(&mut far);
        tiers
    }

    fn fence(&self) -> Fence {
        self.0.far.fence()
    }

    async fn put_fenced(&self, key: &Key, entry: Entry, fence: Fence) -> Result<bool> {
        Tiers::write(&self.0, key, entry, Some(fence)).await
    }

    async fn claim(&self, key: &Key, seen: Option<&Entry>) -> Claim {
        let claim = self.0.far.claim(key, seen).await;
        if matches!(claim, Claim::Changed) {
            self.0.note("emptied", self.0.near.remove(key).await);
        }
        claim
    }

    fn listen(&self, listener: Listener) {
        self.0.far.listen(listener);
    }

    fn announce(&self, change: &Change) {
        self.0.far.announce(change);
    }

    fn tiers(&self) -> Vec<Tier> {
        // One that says nothing of itself is a tier all the same.
        let of = |known: Vec<Tier>, name| if known.is_empty() { vec![Tier::new(name)] } else { known };
        let (mut tiers, mut far) = (of(self.0.near.tiers(), "near"), of(self.0.far.tiers(), "far"));
        far[0].writes_dropped += self.0.dropped.load(Ordering::Relaxed);
        tiers.append(&mut far);
        tiers
    }
}

/// Does something on the spot if that needs no waiting, and else behind the caller.
fn at_once(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn(work);
    }
}

impl<N, F> Clone for Tiered<N, F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<N: fmt::Debug, F: fmt::Debug> fmt::Debug for Tiered<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiered").field("near", &self.0.near).field("far", &self.0.far).finish_non_exhaustive()
    }
}
