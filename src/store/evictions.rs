//! [`Evictions`]: how many entries had to go.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use quick_cache::Lifecycle;

use crate::key::Key;

/// Counts what a map drops to make room; clones share the count.
#[derive(Clone, Default)]
pub(crate) struct Evictions(Arc<AtomicU64>);

impl Evictions {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<V> Lifecycle<Key, V> for Evictions {
    /// The digest of what is being put.
    type RequestState = Option<[u8; 32]>;

    fn on_evict(&self, put: &mut Option<[u8; 32]>, key: Key, _: V) {
        // An entry that is replaced by a newer one is told as well, and one that is too large.
        if put.as_ref() != Some(key.digest()) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
