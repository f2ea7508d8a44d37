//! What changes a cache from outside of look-ups: refreshing, inserting, invalidating.

use std::{cell::Cell, sync::Arc};

use tokio::time::timeout;

use super::{
    lookup::{Errors, Load},
    owed::Debt,
    shared::Shared,
    slot::{Slot, Want},
};
use crate::{
    key::Key,
    store::{Change, Result, Store, StoreError, WRITE},
    tag::Selector,
};

/// How often an insertion notes at most that its key has another value.
const OWN: u32 = 2;

impl<V: Send + Sync + 'static> Shared<V> {
    /// Loads, whatever is kept. Those who look up meanwhile follow it if nothing is fresh.
    pub(super) async fn refresh<E: Send + 'static>(
        self: &Arc<Self>,
        key: Key,
        load: impl FnOnce() -> Load<V, E>,
    ) -> Result<Option<Arc<V>>, E> {
        if let Some(far) = &self.far {
            // A store knows what was purged from its first look-up on.
            let _ = self.get_far(far, &key, &self.begin()).await;
        }
        // What is being loaded may have been read before the caller knew of a change.
        self.flights.close_key(&key);
        let lead = self.flights.lead(&key, [0; 2]);
        Ok(self.detached(key, lead, load(), Errors::own()).await?.value.clone())
    }

    /// Keeps a value that the caller has, in place of any other.
    pub(super) async fn insert(self: &Arc<Self>, key: Key, value: Option<V>) -> Result<Option<Arc<V>>> {
        let debt = self.far.as_ref().map(|_| Debt::new(self, &Selector::Key(key.clone())));
        self.replace(&key);
        let began = self.begin();
        let mut slot = self.slot(key.clone(), value, &began);
        self.stats.sets.increment();
        if let Some(far) = &self.far {
            match far.entry(&slot) {
                Ok(entry) => in_time(far.store.put(&key, entry)).await.inspect_err(|error| {
                    self.stats.store_write_errors.increment();
                    self.warn("a write failed", error);
                }),
                Err(error) => {
                    self.stats.unwritable.increment();
                    Err(StoreError::corrupt(error))
                }
            }?;
            // Others that load it are told so, also if there was nothing in its place.
            far.store.announce(&Change::Removed(key.clone()));
            // Once more: what was read from the far store before it had this may have come near since.
            self.replace(&key);
        }
        let value = slot.value.clone();
        let anew = self.begin();
        // Two of its key are its own: that of the announcement, and that above. With more, another put its value in the place of this.
        let replaced = Cell::new(0);
        let is_outdated = self.recent.any_since(slot.seen, |selector| {
            let is_own = matches!(selector, Selector::Key(_)) && selector.matches(&key, &[]);
            replaced.set(replaced.get() + u32::from(is_own));
            replaced.get() > OWN || (!is_own && selector.matches(&key, &slot.tags))
        });
        if !is_outdated {
            slot.begin_anew(&anew);
            self.keep_near(&Arc::new(slot));
        }
        if let Some(debt) = debt {
            debt.done();
        }
        Ok(value)
    }

    /// Removes what is meant, here and in the far store; how many values that were.
    pub(super) async fn invalidate(self: &Arc<Self>, selector: Selector) -> Result<u64> {
        self.stats.invalidations.increment();
        let Some(far) = &self.far else {
            let removed = self.forget(&selector);
            self.stats.invalidated.add(removed);
            return Ok(removed);
        };
        // Until the far store has done it, what it gives isn't believed, also if this is dropped half-way.
        let debt = Debt::new(self, &selector);
        let near = self.forget(&selector);
        let purged = in_time(far.store.purge(&selector)).await;
        // Once more: what was read before the far store was done may have come near since.
        let again = self.forget(&selector);
        let removed = near.max(again).max(*purged.as_ref().unwrap_or(&0));
        self.stats.invalidated.add(removed);
        if let Err(error) = &purged {
            self.stats.store_write_errors.increment();
            self.warn("an invalidation failed, and is tried again", error);
        }
        purged?;
        debt.done();
        Ok(removed)
    }

    /// What there is of a key now, fresh; nothing is loaded.
    pub(super) async fn get(&self, key: &Key) -> Option<Arc<Slot<V>>> {
        if let Some(slot) = self.at_hand(key, Want::Either) {
            self.stats.hits.increment();
            return Some(slot);
        }
        let found = match &self.far {
            Some(far) => self.fresh(far, key).await,
            None => None,
        };
        match &found {
            Some(_) => self.stats.far_hits.increment(),
            None => self.stats.misses.increment(),
        }
        found
    }
}

/// Stores bound their calls themselves; a user's own may not.
async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(WRITE, call).await.unwrap_or_else(|_| Err(StoreError::timeout()))
}
