//! Values that are being written to the far store. One that is invalidated meanwhile may come to lie there after the invalidation, where
//! the store has no [fence](crate::store::Store::put_fenced) against that: it counts for nothing in this process, and is removed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{owed::Debt, shared::Shared, slot::Slot};
use crate::{key::Key, tag::Selector};

type Slots<V> = HashMap<Key, Vec<Arc<Slot<V>>>>;

pub(super) struct Writing<V>(Mutex<Slots<V>>);

impl<V> Default for Writing<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Send + Sync + 'static> Writing<V> {
    fn lock(&self) -> MutexGuard<'_, Slots<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what the far store has of a key may be a value that was invalidated.
    pub(super) fn is_outdated(&self, shared: &Shared<V>, key: &Key) -> bool {
        self.lock().get(key).is_some_and(|slots| slots.iter().any(|slot| !shared.is_current(slot)))
    }

    fn remove(&self, slot: &Arc<Slot<V>>) {
        let mut slots = self.lock();
        if let Some(of_key) = slots.get_mut(&slot.key) {
            of_key.retain(|other| !Arc::ptr_eq(other, slot));
            if of_key.is_empty() {
                slots.remove(&slot.key);
            }
        }
    }
}

/// One of them. Dropped before its [end](Self::end), it may be in the far store or not.
pub(super) struct Write<'a, V: Send + Sync + 'static> {
    shared: &'a Arc<Shared<V>>,
    slot: &'a Arc<Slot<V>>,
    has_ended: bool,
}

impl<'a, V: Send + Sync + 'static> Write<'a, V> {
    pub(super) fn begin(shared: &'a Arc<Shared<V>>, slot: &'a Arc<Slot<V>>) -> Self {
        shared.writing.lock().entry(slot.key.clone()).or_default().push(slot.clone());
        Self { shared, slot, has_ended: false }
    }

    /// What is owed if it was invalidated since its load began.
    pub(super) fn end(mut self) -> Option<Debt<V>> {
        self.has_ended = true;
        self.debt()
    }

    fn debt(&self) -> Option<Debt<V>> {
        let is_current = self.shared.is_current(self.slot);
        (!is_current).then(|| Debt::new(self.shared, &Selector::Key(self.slot.key.clone())))
    }
}

impl<V: Send + Sync + 'static> Drop for Write<'_, V> {
    fn drop(&mut self) {
        // Owed before it is struck off here: who reads it meanwhile finds it in one of the two.
        let owed = if self.has_ended { None } else { self.debt() };
        self.shared.writing.remove(self.slot);
        drop(owed);
    }
}
