//! A store that waits where it is told to, refuses, and tells what other processes did.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use larder::{
    clock::ManualClock,
    entry::Entry,
    key::Key,
    store::{Change, Fence, Listener, Memory, Peek, Result, Store, Tier, Usage},
    tag::Selector,
};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

use crate::support::memory;

/// A memory that behaves as if others shared it; clones share it.
#[derive(Clone)]
pub(super) struct Gate(Arc<Shared>);

struct Shared {
    memory: Memory,
    peeks: bool,
    gets: Point,
    puts: Point,
    purges: Point,
    refuses: AtomicBool,
    listeners: Mutex<Vec<Listener>>,
}

/// Where calls wait while it is held.
#[derive(Default)]
struct Point {
    lock: Arc<RwLock<()>>,
    waiting: AtomicUsize,
}

/// Calls wait until this is dropped.
pub(super) struct Holding(#[expect(dead_code, reason = "it is there to be dropped")] OwnedRwLockWriteGuard<()>);

impl Point {
    fn hold(&self) -> Holding {
        Holding(self.lock.clone().try_write_owned().expect("nobody is in there"))
    }

    async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.lock.read().await);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gate {
    /// A far one.
    pub(super) fn new(clock: &ManualClock) -> Self {
        Self::with(clock, false)
    }

    /// A near one, that can be peeked into.
    pub(super) fn near(clock: &ManualClock) -> Self {
        Self::with(clock, true)
    }

    fn with(clock: &ManualClock, peeks: bool) -> Self {
        let (gets, puts, purges) = Default::default();
        let (refuses, listeners) = Default::default();
        Self(Arc::new(Shared { memory: memory(clock), peeks, gets, puts, purges, refuses, listeners }))
    }

    /// Look-ups have found what they find, and wait.
    pub(super) fn hold_gets(&self) -> Holding {
        self.0.gets.hold()
    }

    pub(super) fn hold_puts(&self) -> Holding {
        self.0.puts.hold()
    }

    /// Removals, too.
    pub(super) fn hold_purges(&self) -> Holding {
        self.0.purges.hold()
    }

    /// How many calls wait.
    pub(super) fn waiting(&self) -> usize {
        [&self.0.gets, &self.0.puts, &self.0.purges].iter().map(|point| point.waiting.load(Ordering::SeqCst)).sum()
    }

    /// From now on it keeps nothing, as if others had purged it.
    pub(super) fn refuse(&self) {
        self.0.refuses.store(true, Ordering::SeqCst);
    }

    /// Tells a change.
    pub(super) fn tell(&self, change: &Change) {
        self.0.listeners.lock().expect("no panic").iter().for_each(|listener| listener(change));
    }

    pub(super) async fn entries(&self) -> u64 {
        self.0.memory.usage().await.expect("memory").entries
    }
}

impl Store for Gate {
    fn peek(&self, key: &Key) -> Peek {
        if self.0.peeks { self.0.memory.peek(key) } else { Peek::Unknown }
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let found = self.0.memory.get(key).await;
        self.0.gets.pass().await;
        found
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<()> {
        self.0.puts.pass().await;
        self.0.memory.put(key, entry).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.0.purges.pass().await;
        self.0.memory.remove(key).await
    }

    async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.0.purges.pass().await;
        self.0.memory.purge(selector).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.0.memory.usage().await
    }

    async fn put_fenced(&self, key: &Key, entry: Entry, _: Fence) -> Result<bool> {
        if self.0.refuses.load(Ordering::SeqCst) {
            self.0.puts.pass().await;
            return Ok(false);
        }
        self.put(key, entry).await.map(|()| true)
    }

    fn listen(&self, listener: Listener) {
        self.0.listeners.lock().expect("no panic").push(listener);
    }

    fn tiers(&self) -> Vec<Tier> {
        vec![Tier::new("gate")]
    }
}
