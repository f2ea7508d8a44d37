//! What processes that share a store tell each other: who fetches, and what is gone.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::SystemTime};

use crate::{key::Key, tag::Selector};

/// How many of the purges in a store were known at some time. The default knows of none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(u64);

impl Fence {
    /// A fence behind the purge with this number; numbers grow.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the last purge in front of it; zero if none is known.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Who is to fetch.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no fifth answer")]
pub enum Claim {
    /// No other process is asked: fetch.
    Free,
    /// Fetch; others wait until the lease ends.
    Held(Lease),
    /// Another holds the lease, in this process or in another; wait for it.
    Taken(Waiting),
    /// There is another entry than the one that was seen: look again.
    Changed,
}

/// The right to fetch, until it is settled or dropped.
pub struct Lease(Option<Box<dyn FnOnce(bool) + Send + Sync>>);

impl Lease {
    /// A lease that calls this when it ends, with whether it was [settled](Self::settle).
    #[must_use]
    pub fn new(end: impl FnOnce(bool) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }

    /// Ends it, since others find what there is to be had: an entry, or none that can be kept. A lease that is dropped instead was
    /// given up, and the next to claim may fetch.
    pub fn settle(mut self) {
        self.end(true);
    }

    fn end(&mut self, settled: bool) {
        if let Some(end) = self.0.take() {
            end(settled);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(false);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}

/// A wait for another process's fetch.
pub struct Waiting(Pin<Box<dyn Future<Output = Ended> + Send>>);

impl Waiting {
    /// Waits for this.
    #[must_use]
    pub fn new(ended: impl Future<Output = Ended> + Send + 'static) -> Self {
        Self(Box::pin(ended))
    }

    /// Returns when it makes sense to look again.
    pub async fn ended(self) -> Ended {
        self.0.await
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// How another process's lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It was settled. If there is no entry, none is to be had that way.
    Released,
    /// It was given up, or its holder may have died, or may go on: look, and claim again.
    Lapsed,
}

/// What another process did, or whether it could be heard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// It purged these.
    Purged(Selector),
    /// It removed this entry, or put another in its place.
    Removed(Key),
    /// It sent a request that changes what these marks stand for, and had its answer at that time.
    Invalidated([u64; 2], SystemTime),
    /// From now on changes are heard; those before may have been missed.
    Hearing,
    /// From now on changes may be missed.
    Deaf,
}

/// Hears of changes. It is called where they arrive, and must not take long.
pub type Listener = Arc<dyn Fn(&Change) + Send + Sync>;
