//! A far store: it can't be peeked into, and fails, hangs or is slow when it is told to.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use larder::{
    clock::ManualClock,
    entry::Entry,
    key::Key,
    store::{Listing, Memory, Page, Result, Store, StoreError, Usage},
    tag::Selector,
};

/// A roomy memory store that goes by the test's clock.
pub(crate) fn memory(clock: &ManualClock) -> Memory {
    Memory::builder(64 << 20).clock(clock.clone()).build().expect("a sensible capacity")
}

/// What a call does besides its work.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// It fails.
    Fail,
    /// It never comes back.
    Hang,
    /// It takes so long, of tokio's time.
    Slow(Duration),
}

impl Fault {
    async fn happen(self) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Fail => Err(StoreError::unavailable("told to")),
            Self::Hang => pending().await,
            Self::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}

/// A memory that behaves as if it were far away; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Far(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    memory: Memory,
    gets: Mutex<Fault>,
    writes: Mutex<Fault>,
    got: AtomicUsize,
}

impl Far {
    pub(crate) fn new(memory: Memory) -> Self {
        Self(Arc::new(Shared { memory, gets: Mutex::default(), writes: Mutex::default(), got: AtomicUsize::new(0) }))
    }

    /// What look-ups and listings do from now on.
    pub(crate) fn gets(&self, fault: Fault) {
        *self.0.gets.lock().expect("no panic") = fault;
    }

    /// What writes, removals and purges do from now on.
    pub(crate) fn writes(&self, fault: Fault) {
        *self.0.writes.lock().expect("no panic") = fault;
    }

    /// How many look-ups there were.
    pub(crate) fn got(&self) -> usize {
        self.0.got.load(Ordering::SeqCst)
    }

    async fn write(&self) -> Result<()> {
        let fault = *self.0.writes.lock().expect("no panic");
        fault.happen().await
    }
}

impl Store for Far {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.0.got.fetch_add(1, Ordering::SeqCst);
        let fault = *self.0.gets.lock().expect("no panic");
        fault.happen().await?;
        self.0.memory.get(key).await
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<()> {
        self.write().await?;
        self.0.memory.put(key, entry).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.write().await?;
        self.0.memory.remove(key).await
    }

    async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.write().await?;
        self.0.memory.purge(selector).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.0.memory.usage().await
    }

    async fn list(&self, listing: &Listing) -> Result<Page> {
        let fault = *self.0.gets.lock().expect("no panic");
        fault.happen().await?;
        self.0.memory.list(listing).await
    }
}
