//! [`Near`]: values in this process's memory, as they are.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use quick_cache::{OptionsBuilder, Weighter, sync::Cache};

use super::slot::Slot;
use crate::{
    ConfigError,
    key::Key,
    store::{DigestState, Evictions, Usage},
    tag::Selector,
};

/// How many locks there are for writes.
const TURNS: usize = 64;

/// Smaller shards would evict by too small a sample.
const MIN_SHARD: u64 = 1024;

/// The largest capacity, in entries or bytes.
const MAX: u64 = 1 << 50;

/// How values are weighed: the number of values, or bytes.
pub(super) enum Weigh<V> {
    Entries,
    Bytes(Arc<dyn Fn(&V) -> usize + Send + Sync>),
}

impl<V> Clone for Weigh<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Entries => Self::Entries,
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
        }
    }
}

impl<V> Weigh<V> {
    /// What a value weighs, with what it takes to keep it.
    pub(super) fn weight(&self, key: &Key, value: Option<&V>) -> u64 {
        match self {
            Self::Entries => 1,
            Self::Bytes(bytes) => {
                let own = value.map_or(0, |value| size_of::<V>().saturating_add(bytes(value)));
                own.saturating_add(size_of::<Slot<V>>() + key.size() + SLOT) as u64
            }
        }
    }

    fn min_shard(&self) -> u64 {
        match self {
            Self::Entries => MIN_SHARD,
            Self::Bytes(_) => MIN_SHARD << 10,
        }
    }

    fn items(&self, capacity: u64) -> u64 {
        match self {
            Self::Entries => capacity,
            Self::Bytes(_) => capacity / 1024,
        }
    }
}

/// A slot of the map, and the counts of two pointers.
const SLOT: usize = 96;

pub(super) struct Near<V> {
    /// `None`: nothing is kept near.
    cache: Option<Cache<Key, Arc<Slot<V>>, Weights, DigestState, Evictions>>,
    /// Held while the values of some keys are compared with what is to replace them.
    turns: [Mutex<()>; TURNS],
    evictions: Evictions,
    capacity: u64,
}

impl<V> Near<V> {
    /// Keeps so much; zero: nothing.
    pub(super) fn new(capacity: u64, weigh: &Weigh<V>) -> Result<Self, ConfigError> {
        let refused = |problem: String| ConfigError::new("cached memory", problem);
        if capacity > MAX {
            return Err(refused(format!("{capacity} is too much; take 1 to {MAX}, for example 10_000 entries")));
        }
        let evictions = Evictions::default();
        let shards = usize::try_from(capacity / weigh.min_shard()).unwrap_or(usize::MAX).clamp(1, 64);
        // Powers of two only; rounded down, so that no shard gets too small.
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        let items = usize::try_from(weigh.items(capacity)).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let cache = (capacity > 0).then(|| {
            let options = OptionsBuilder::new()
                .shards(shards)
                .estimated_items_capacity(items)
                .weight_capacity(capacity)
                .build()
                .map_err(|error| refused(error.to_string()))?;
            Ok(Cache::with_options(options, Weights, DigestState, evictions.clone()))
        });
        Ok(Self { cache: cache.transpose()?, turns: std::array::from_fn(|_| Mutex::default()), evictions, capacity })
    }

    pub(super) fn is_there(&self) -> bool {
        self.cache.is_some()
    }

    /// What is kept, unless it is of no use to anyone any more.
    pub(super) fn get(&self, key: &Key, now: SystemTime) -> Option<Arc<Slot<V>>> {
        let cache = self.cache.as_ref()?;
        let slot = cache.get(key)?;
        if slot.lifetime.kept_in(now).is_none() {
            self.remove_same(&slot);
            return None;
        }
        Some(slot)
    }

    /// Keeps a value, unless there is one that is newer.
    pub(super) fn put(&self, slot: &Arc<Slot<V>>) -> bool {
        let Some(cache) = &self.cache else { return false };
        let turn = &self.turns[usize::from(slot.key.digest()[1]) % TURNS];
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.peek(&slot.key).is_some_and(|held| held.outlives(slot)) {
            return false;
        }
        cache.insert_with_lifecycle(slot.key.clone(), slot.clone(), &mut Some(*slot.key.digest()));
        true
    }

    /// Removes a value, unless another has taken its place.
    pub(super) fn remove_same(&self, slot: &Arc<Slot<V>>) {
        if let Some(cache) = &self.cache {
            cache.remove_if(&slot.key, |held| Arc::ptr_eq(held, slot));
        }
    }

    /// Removes all that is meant; how many values that were.
    pub(super) fn purge(&self, selector: &Selector) -> u64 {
        let Some(cache) = &self.cache else { return 0 };
        if let Selector::Key(key) = selector {
            return u64::from(cache.remove(key).is_some());
        }
        let purged = AtomicU64::new(0);
        cache.retain(|key, slot| {
            let meant = selector.matches(key, &slot.tags);
            purged.fetch_add(u64::from(meant), Ordering::Relaxed);
            !meant
        });
        purged.into_inner()
    }

    pub(super) fn usage(&self, weigh: &Weigh<V>) -> Usage {
        let (entries, weight) = self.cache.as_ref().map_or((0, 0), |cache| (cache.len() as u64, cache.weight()));
        let mut usage = Usage::new(entries, 0);
        // How many bytes a number of entries takes isn't known.
        if matches!(weigh, Weigh::Bytes(_)) {
            (usage.bytes, usage.capacity) = (weight, self.capacity);
        }
        usage.evictions = self.evictions.count();
        usage
    }
}

impl<V> fmt::Debug for Near<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Weights;

impl<V> Weighter<Key, Arc<Slot<V>>> for Weights {
    fn weight(&self, _: &Key, slot: &Arc<Slot<V>>) -> u64 {
        slot.weight
    }
}
