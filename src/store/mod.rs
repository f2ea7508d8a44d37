//! Where entries are kept: the [`Store`] trait, and the stores.
//!
//! A store may lose entries, and never invents them. Whatever it fails with, no request fails: the cache counts the failure
//! and goes on as if the store were empty.
//!
//! A store of your own implements [`Store`] and proves itself with the suite `store::conformance` (feature `conformance`).

mod checkup;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod digest_state;
mod erased;
mod error;
mod evictions;
mod fleet;
mod listing;
mod memory;
mod recent;
#[cfg(feature = "redis")]
mod redis;
mod stale;
mod tier;
mod tiered;
mod trust;
mod writes;

use std::{
    future::{Future, ready},
    sync::Arc,
};

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{Redis, RedisBuilder};
pub use self::{
    checkup::Checkup,
    erased::BoxStore,
    error::{Result, StoreError},
    fleet::{Change, Claim, Ended, Fence, Lease, Listener, Waiting},
    listing::{Cursor, Listed, Listing, MAX_PAGE, Page},
    memory::{Memory, MemoryBuilder},
    stale::StaleLookup,
    tier::{Tier, TierState},
    tiered::{Tiered, TieredBuilder},
};
pub(crate) use self::{
    digest_state::DigestState,
    evictions::Evictions,
    recent::{Recent, Seen},
    trust::Trust,
    writes::{WRITE, Writes},
};
use crate::{entry::Entry, key::Key, tag::Selector};

/// Keeps entries by key.
///
/// What only `peek` to `checkup` are implemented for is a store of this process alone. The other methods, from
/// [`fence`](Self::fence) on, are for stores that processes share; a store that wraps another forwards all of them, or it cuts
/// them off.
///
/// Implementations bound each call in time themselves; the cache gives up on a look-up after a deadline of its own, and never
/// waits for a write.
pub trait Store: Send + Sync + 'static {
    /// Looks an entry up without waiting, if the store can: a hit in memory is then served without a task, a box or an await.
    ///
    /// The default is [`Peek::Unknown`].
    fn peek(&self, key: &Key) -> Peek {
        let _ = key;
        Peek::Unknown
    }

    /// The entry of a key. One whose [`Lifetime::kept_in`](crate::entry::Lifetime::kept_in) has passed may be left out.
    ///
    /// # Errors
    ///
    /// Whatever kept the store from answering; the request goes on without it.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send;

    /// Keeps an entry, in place of any earlier one of its key.
    ///
    /// # Errors
    ///
    /// Whatever kept the store from keeping it. An entry that is larger than the store keeps is no error.
    fn put(&self, key: &Key, entry: Entry) -> impl Future<Output = Result<()>> + Send;

    /// Removes the entry of a key; whether there was one.
    ///
    /// # Errors
    ///
    /// Whatever kept the store from removing it.
    fn remove(&self, key: &Key) -> impl Future<Output = Result<bool>> + Send;

    /// Removes every entry that is meant; how many there were.
    ///
    /// # Errors
    ///
    /// Whatever kept the store from removing all of them.
    fn purge(&self, selector: &Selector) -> impl Future<Output = Result<u64>> + Send;

    /// How much the store holds.
    ///
    /// # Errors
    ///
    /// Whatever kept the store from answering.
    fn usage(&self) -> impl Future<Output = Result<Usage>> + Send;

    /// Whether the store works. The default asks for its usage.
    fn health(&self) -> impl Future<Output = Health> + Send {
        async {
            match self.usage().await {
                Ok(_) => Health::Up,
                Err(error) => Health::Down(error),
            }
        }
    }

    /// What is known of the entries that are meant, without their bodies, a page at a time. It is for people who look: it must not
    /// hold up requests, so that each call does a bounded piece of work, and what it finds counts as asked for by nobody.
    ///
    /// The default is an error that says so ([`StoreError::unsupported`]).
    ///
    /// # Errors
    ///
    /// Whatever kept the store from answering, and [`StoreError::bad_cursor`] for a cursor that it didn't give.
    fn list(&self, listing: &Listing) -> impl Future<Output = Result<Page>> + Send {
        let _ = listing;
        ready(Err(StoreError::unsupported()))
    }

    /// How each of its tiers is, the nearest first, asked now. The default asks for its health and its usage, as one tier.
    fn checkup(&self) -> impl Future<Output = Vec<Checkup>> + Send {
        async {
            let name = self.tiers().first().map_or("store", |tier| tier.name);
            vec![Checkup::of(name, self).await]
        }
    }

    /// How far the purges of other processes are known; noted when a fetch begins, for [`put_fenced`](Self::put_fenced).
    ///
    /// The default knows of no other process.
    fn fence(&self) -> Fence {
        Fence::default()
    }

    /// As [`put`](Self::put), unless a purge that means the entry was made since the fence was noted. `false` says that it was, and that the
    /// entry isn't there; what the store drops for other reasons is no purge.
    ///
    /// The default puts.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    fn put_fenced(&self, key: &Key, entry: Entry, fence: Fence) -> impl Future<Output = Result<bool>> + Send {
        let _ = fence;
        async move { self.put(key, entry).await.map(|()| true) }
    }

    /// Asks for the right to fetch what a key lacks, among all processes that share the store. `seen` is the entry that it has,
    /// and that won't do. The future may be dropped at any time, and what it was granted has to be given back then.
    ///
    /// The default is [`Claim::Free`]: no other process is asked.
    fn claim(&self, key: &Key, seen: Option<&Entry>) -> impl Future<Output = Claim> + Send {
        let _ = (key, seen);
        ready(Claim::Free)
    }

    /// Has a listener told of what other processes change in the store, for as long as the store lives. It is told at once whether
    /// changes are heard ([`Change::Hearing`]) or not ([`Change::Deaf`]), and each time that this changes; of this process's own
    /// purges it may be told, too.
    ///
    /// The default tells nothing, for a store that no other process uses.
    fn listen(&self, listener: Listener) {
        let _ = listener;
    }

    /// Tells the other processes of a change that the store doesn't see, behind the caller.
    ///
    /// The default tells nobody.
    fn announce(&self, change: &Change) {
        let _ = change;
    }

    /// What its tiers went through, the nearest first. The default knows of none.
    fn tiers(&self) -> Vec<Tier> {
        Vec::new()
    }

    /// The same store behind a pointer, for when which store it is is known at run time only.
    fn boxed(self) -> BoxStore
    where
        Self: Sized,
    {
        BoxStore::new(self)
    }
}

/// What a store can say of a key without waiting.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth answer")]
pub enum Peek {
    /// This is the entry.
    Found(Entry),
    /// There is none.
    Absent,
    /// The store has to be asked with [`Store::get`].
    Unknown,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Entries, those included that have expired and not been dropped yet.
    pub entries: u64,
    /// The bytes that they take.
    pub bytes: u64,
    /// The most bytes that are kept; zero: not known.
    pub capacity: u64,
    /// Entries dropped so far to make room for others.
    pub evictions: u64,
}

impl Usage {
    /// Entries and bytes, with no capacity and no evictions.
    #[must_use]
    pub fn new(entries: u64, bytes: u64) -> Self {
        Self { entries, bytes, ..Self::default() }
    }
}

/// Whether a store works.
#[derive(Debug)]
#[non_exhaustive]
pub enum Health {
    /// It answers.
    Up,
    /// It doesn't, for this reason.
    Down(StoreError),
}

impl Health {
    /// Whether it answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }
}

impl<S: Store> Store for Arc<S> {
    fn peek(&self, key: &Key) -> Peek {
        (**self).peek(key)
    }

    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Entry>>> + Send {
        (**self).get(key)
    }

    fn put(&self, key: &Key, entry: Entry) -> impl Future<Output = Result<()>> + Send {
        (**self).put(key, entry)
    }

    fn remove(&self, key: &Key) -> impl Future<Output = Result<bool>> + Send {
        (**self).remove(key)
    }

    fn purge(&self, selector: &Selector) -> impl Future<Output = Result<u64>> + Send {
        (**self).purge(selector)
    }

    fn usage(&self) -> impl Future<Output = Result<Usage>> + Send {
        (**self).usage()
    }

    fn health(&self) -> impl Future<Output = Health> + Send {
        (**self).health()
    }

    fn list(&self, listing: &Listing) -> impl Future<Output = Result<Page>> + Send {
        (**self).list(listing)
    }

    fn checkup(&self) -> impl Future<Output = Vec<Checkup>> + Send {
        (**self).checkup()
    }

    fn fence(&self) -> Fence {
        (**self).fence()
    }

    fn put_fenced(&self, key: &Key, entry: Entry, fence: Fence) -> impl Future<Output = Result<bool>> + Send {
        (**self).put_fenced(key, entry, fence)
    }

    fn claim(&self, key: &Key, seen: Option<&Entry>) -> impl Future<Output = Claim> + Send {
        (**self).claim(key, seen)
    }

    fn listen(&self, listener: Listener) {
        (**self).listen(listener);
    }

    fn announce(&self, change: &Change) {
        (**self).announce(change);
    }

    fn tiers(&self) -> Vec<Tier> {
        (**self).tiers()
    }
}
