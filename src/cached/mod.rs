//! Look-ups of any kind over the same stores: users by their API keys, rows of a database, catalogues, parsed configuration.
//!
//! A [`Cached`] keeps values of one type. In this process's memory they are as they are, behind an [`Arc`]; a hit copies and
//! deserialises nothing. Behind that there may be a [store](Builder::store), which other processes share.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use larder::cached::Cached;
//!
//! struct User {
//!     name: String,
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let users: Cached<u64, User> = Cached::builder("users").ttl(Duration::from_secs(5 * 60)).build();
//!
//! // What takes 50 ms in the database.
//! let load = || async { Ok::<_, Infallible>(User { name: "Ada".to_owned() }) };
//! let user = users.get_or_try_insert(&7, load).await.unwrap();
//! assert_eq!(user.name, "Ada");
//!
//! // It is there now.
//! let again = users.get_or_try_insert(&7, || async { Err("nobody asks the database") }).await.unwrap();
//! assert_eq!(again.name, "Ada");
//! assert_eq!((users.stats().hits, users.stats().loads), (1, 1));
//!
//! // Whoever changes it says so.
//! users.invalidate(&7).await.unwrap();
//! assert!(users.get(&7).await.is_none());
//! # });
//! ```
//!
//! # What it promises
//!
//! **One load.** Look-ups of one key at the same time load once, in the process and, with a store that can do that, among all
//! processes. If the one who loads goes away, its load goes on while others wait for it. If the load panics, or takes longer than
//! the [patience](Builder::patience) of the others, the next of them loads.
//!
//! **Errors are the caller's own.** They are never kept, and come out as they went in. If a load fails, only who began it has its
//! error: the next one loads for those who wait. If that fails too, each loads for itself, all at the same time: a database that is
//! down costs nobody more than three time-outs. Where errors can be cloned, [`get_or_try_insert_shared`](Cached::get_or_try_insert_shared)
//! gives one to all who waited, and there is one load.
//!
//! **What is invalidated is gone.** When [`invalidate`](Cached::invalidate) has returned, this process serves no value whose load
//! began before, and other processes don't as soon as they have been told; what is being loaded meanwhile goes to those who asked
//! before, and isn't kept. If the store couldn't do it, it is tried again until it can, and until then this process believes nothing
//! of what the store has of it.
//!
//! **A store that fails is as if there were none.** Loads go on, together in the process. What is near is served while
//! [changes](crate::store::Change) by others are heard; while they aren't, the store is asked first.
//!
//! **What can't be read is a miss.** A value that another version of the program wrote, and that can't be read as a `V`, is counted
//! and removed. While two versions run at once, each removes what the other wrote: give them [spaces](Cached::builder) of their own if
//! that costs too much, and keep in mind that an invalidation by key means one space.
//!
//! Loads are futures that own what they need, since they may outlive who began them: clone a pool or an [`Arc`] in the closure, which
//! isn't called on a hit.

#[cfg(feature = "auth")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth")))]
pub mod auth;
mod builder;
mod change;
mod far;
mod handle;
mod key;
mod lookup;
mod near;
mod owed;
mod shared;
mod slot;
mod stats;
mod writing;

use std::{fmt, sync::Arc};

pub use self::{
    builder::Builder,
    handle::Handle,
    key::{LookupKey, Secret},
    stats::Snapshot,
};
use self::{
    key::Keys,
    lookup::{Errors, Load},
    shared::Shared,
    slot::Want,
};
use crate::{
    key::Key,
    store::{Result, StoreError, Tier},
    tag::{Selector, Tag},
};

/// Values that are looked up by keys, kept near and, if there is a store, far; clones share them.
///
/// Make one for each kind of value, once in a process; two of one space in a process don't hear of each other. See the
/// [module](self) for what it promises.
pub struct Cached<K: ?Sized, V> {
    keys: Arc<Keys<K>>,
    shared: Arc<Shared<V>>,
}

impl<K: LookupKey + ?Sized, V: Send + Sync + 'static> Cached<K, V> {
    /// The settings of a cache. `space` keeps its values apart from all others in the same store, and is what it is called in
    /// figures: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub fn builder(space: impl Into<String>) -> Builder<K, V> {
        Builder::new(space.into())
    }

    fn from_parts(keys: Keys<K>, shared: Arc<Shared<V>>) -> Self {
        Self { keys: Arc::new(keys), shared }
    }

    /// The value of a key, if there is a fresh one. Nothing is loaded.
    pub async fn get(&self, key: &K) -> Option<Arc<V>> {
        let key = self.key(key)?;
        self.shared.get(&key).await?.value.clone()
    }

    /// The value of a key, or what `load` brings, which is kept.
    ///
    /// ```
    /// # use larder::cached::Cached;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let squares: Cached<u32, u32> = Cached::builder("squares").build();
    /// let square = squares.get_or_try_insert(&7, || async { Ok::<_, std::convert::Infallible>(49) }).await;
    /// assert_eq!(square.map(|square| *square), Ok(49));
    /// let failed = squares.get_or_try_insert(&8, || async { Err("no database") }).await;
    /// assert_eq!(failed, Err("no database"), "as it came, and not kept");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// That of the load, if nothing stale may be served in its place.
    pub async fn get_or_try_insert<F, E>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Arc<V>, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Send + 'static,
    {
        self.value(key, load, Errors::own()).await
    }

    /// The same for errors that can be cloned: one that a load fails with goes to all who waited for it. A database that is down
    /// is asked once, however many look up.
    ///
    /// # Errors
    ///
    /// That of the load, or of another's that was waited for, if nothing stale may be served in its place. What others fail with in
    /// another type counts as in [`get_or_try_insert`](Self::get_or_try_insert).
    pub async fn get_or_try_insert_shared<F, E>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Arc<V>, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        self.value(key, load, Errors::shared()).await
    }

    /// The same for what there may be none of: that a key has no value is kept too, for its [own time](Builder::negative_ttl).
    ///
    /// ```
    /// # use larder::cached::Cached;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let users: Cached<str, String> = Cached::builder("users").build();
    /// let nobody = users.get_or_try_find("eve", || async { Ok::<_, std::convert::Infallible>(None) }).await;
    /// assert_eq!(nobody, Ok(None));
    /// let nobody = users.get_or_try_find("eve", || async { Err("nobody asks again") }).await;
    /// assert_eq!(nobody, Ok(None));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get_or_try_insert`](Self::get_or_try_insert).
    pub async fn get_or_try_find<F, E>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Option<Arc<V>>, E>
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + 'static,
    {
        self.found(key, load, Errors::own()).await
    }

    /// The same for errors that can be cloned, as [`get_or_try_insert_shared`](Self::get_or_try_insert_shared).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn get_or_try_find_shared<F, E>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Option<Arc<V>>, E>
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        self.found(key, load, Errors::shared()).await
    }

    /// Loads a value, whatever is kept, and keeps it in place of that. If the load fails, what was kept stays.
    ///
    /// # Errors
    ///
    /// That of the load.
    pub async fn refresh<F, E>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Arc<V>, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Send + 'static,
    {
        let Some(key) = self.key(key) else { return load().await.map(Arc::new) };
        Ok(there(self.shared.refresh(key, || Box::pin(some(load()))).await?))
    }

    /// Keeps a value, in place of any other of its key: also of one that is being loaded. When it returns, the store has it, and
    /// other processes are told.
    ///
    /// After a write, [`invalidate`](Self::invalidate) is the safer way. Of two who write at once the later to insert may have been
    /// the earlier to write; and another process that began to load before, and hasn't been told yet, may put its value over this.
    ///
    /// # Errors
    ///
    /// What kept the store from keeping it; then it isn't kept, and what was kept before counts for nothing any more.
    pub async fn insert(&self, key: &K, value: V) -> Result<()> {
        let Some(key) = self.key(key) else { return Err(unwritable()) };
        self.shared.insert(key, Some(value)).await.map(drop)
    }

    /// Removes the value of a key, in all processes; whether there was one. That it has none is forgotten as well.
    ///
    /// # Errors
    ///
    /// What kept the store from removing it. This process serves it no more all the same, and tries again; others may serve it until
    /// then.
    pub async fn invalidate(&self, key: &K) -> Result<bool> {
        let Some(key) = self.key(key) else { return Ok(false) };
        self.shared.invalidate(Selector::Key(key)).await.map(|removed| removed > 0)
    }

    /// Removes all values with a tag, in all processes; how many there were. What else lies in the same store and has the tag, such as
    /// HTTP responses or the values of another space, is removed there too.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_tag(&self, tag: &Tag) -> Result<u64> {
        self.shared.invalidate(Selector::Tag(tag.clone())).await
    }

    /// Removes all values of this space whose [label](Builder::label) matches a [pattern](crate::tag::Pattern), in all processes; how
    /// many there were.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_matching(&self, pattern: &str) -> Result<u64> {
        self.shared.invalidate(self.shared.space.matching(pattern)).await
    }

    /// Removes all values of this space, in all processes; how many there were.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_all(&self) -> Result<u64> {
        self.shared.invalidate(self.shared.space.all()).await
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.shared.stats.snapshot()
    }

    /// What its tiers went through, this process's memory first.
    #[must_use]
    pub fn tiers(&self) -> Vec<Tier> {
        self.handle().tiers()
    }

    /// A way to look into it, and to invalidate, without its types.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    async fn value<F, E>(&self, key: &K, load: impl FnOnce() -> F, errors: Errors<E>) -> Result<Arc<V>, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Send + 'static,
    {
        let Some(key) = self.key(key) else { return load().await.map(Arc::new) };
        if let Some(slot) = self.shared.at_hand(&key, Want::Value)
            && let Some(value) = &slot.value
        {
            self.shared.stats.hits.increment();
            return Ok(value.clone());
        }
        let load = || Box::pin(some(load())) as Load<V, E>;
        let found = Box::pin(self.shared.find(&key, Want::Value, load, errors)).await?;
        Ok(there(found))
    }

    async fn found<F, E>(&self, key: &K, load: impl FnOnce() -> F, errors: Errors<E>) -> Result<Option<Arc<V>>, E>
    where
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + 'static,
    {
        let Some(key) = self.key(key) else { return Ok(load().await?.map(Arc::new)) };
        if let Some(slot) = self.shared.at_hand(&key, Want::Either) {
            self.shared.stats.hits.increment();
            return Ok(slot.value.clone());
        }
        Box::pin(self.shared.find(&key, Want::Either, || Box::pin(load()) as Load<V, E>, errors)).await
    }

    /// Counts a key that can't be written.
    fn key(&self, key: &K) -> Option<Key> {
        let key = self.keys.of(key);
        if key.is_none() {
            self.shared.stats.unwritable.increment();
        }
        key
    }
}

impl<K: ?Sized, V> Clone for Cached<K, V> {
    fn clone(&self) -> Self {
        Self { keys: self.keys.clone(), shared: self.shared.clone() }
    }
}

impl<K: ?Sized, V> fmt::Debug for Cached<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("keys", &self.keys).finish_non_exhaustive()
    }
}

async fn some<V, E>(load: impl Future<Output = Result<V, E>>) -> Result<Option<V>, E> {
    load.await.map(Some)
}

fn there<V>(value: Option<Arc<V>>) -> Arc<V> {
    match value {
        Some(value) => value,
        None => unreachable!("who wants a value is given one, and such loads bring one"),
    }
}

fn unwritable() -> StoreError {
    StoreError::corrupt("the key can't be written")
}
