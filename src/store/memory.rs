//! [`Memory`]: entries in this process's memory, bounded in bytes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{OptionsBuilder, Weighter, sync::Cache};

use super::{
    Cursor, Listed, Listing, Page, Peek, Result, Store, StoreError, Tier, Usage, digest_state::DigestState,
    evictions::Evictions,
};
use crate::{
    ConfigError,
    clock::{Clock, SystemClock},
    entry::Entry,
    key::Key,
    tag::Selector,
};

/// The largest capacity: a pebibyte. What is larger is a mistake.
const MAX_CAPACITY: u64 = 1 << 50;

/// The largest entry that is kept, unless told otherwise.
const MAX_ENTRY: u64 = 16 << 20;

/// What it is called among tiers.
const NAME: &str = "memory";

/// After how many entries that were looked at others may have a turn.
const TURN: usize = 4096;

/// Smaller shards would evict by too small a sample.
const MIN_SHARD: u64 = 1 << 20;

/// Entries in memory, bounded in bytes; clones share them.
///
/// The bound counts the whole entry: body, fields, key, and what it takes to keep them. What is looked up often stays, by
/// [S3-FIFO]-like eviction ([quick_cache]): a scan of entries that are never asked for again doesn't push out those that are.
///
/// An entry larger than the capacity, or than [`max_entry`](MemoryBuilder::max_entry) (16 MiB), may not be kept.
///
/// [S3-FIFO]: https://s3fifo.com
/// [quick_cache]: https://docs.rs/quick_cache
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    cache: Cache<Key, Entry, Bytes, DigestState, Evictions>,
    evictions: Evictions,
    capacity: u64,
    clock: Arc<dyn Clock>,
}

impl Memory {
    /// A store of at most so many bytes.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) fails: the capacity is zero, or more than a pebibyte.
    #[must_use]
    #[track_caller]
    pub fn new(capacity: u64) -> Self {
        match Self::try_new(capacity) {
            Ok(memory) => memory,
            Err(error) => panic!("{error}"),
        }
    }

    /// A store of at most so many bytes.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the capacity is zero, or more than a pebibyte (2⁵⁰ bytes).
    pub fn try_new(capacity: u64) -> Result<Self, ConfigError> {
        Self::builder(capacity).build()
    }

    /// A store of at most so many bytes, with further settings.
    pub fn builder(capacity: u64) -> MemoryBuilder {
        MemoryBuilder { capacity, max_entry: MAX_ENTRY, clock: Arc::new(SystemClock) }
    }

    fn lookup(&self, key: &Key) -> Option<Entry> {
        let entry = self.0.cache.get(key)?;
        if entry.head().lifetime().kept_in(self.0.clock.now()).is_none() {
            // Unless another has taken its place meanwhile.
            self.0.cache.remove_if(key, |held| held.is_same(&entry));
            return None;
        }
        entry.count_hit();
        Some(entry)
    }

    /// What is said of an entry, unless it has expired.
    fn listed(&self, key: Key, entry: &Entry) -> Option<Listed> {
        let size = Bytes.weight(&key, entry);
        let listed = Listed { size, hits: Some(entry.hits()), tiers: vec![NAME], ..Listed::of(key, entry) };
        Some(listed).filter(|listed| listed.is_kept(self.0.clock.now()))
    }
}

/// Settings of a [`Memory`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryBuilder {
    capacity: u64,
    max_entry: u64,
    clock: Arc<dyn Clock>,
}

impl MemoryBuilder {
    /// The largest entry that is surely kept, in bytes, as long as the capacity is a little larger than that. Larger values
    /// let fewer threads write at once. Default: 16 MiB.
    pub fn max_entry(mut self, bytes: u64) -> Self {
        self.max_entry = bytes;
        self
    }

    /// Sets the clock by which entries expire. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    ///
    /// As [`Memory::try_new`].
    pub fn build(self) -> Result<Memory, ConfigError> {
        let capacity = self.capacity;
        if capacity == 0 || capacity > MAX_CAPACITY {
            return Err(ConfigError::new(
                "store::Memory capacity",
                format!("{capacity} bytes can't be kept; take 1 to {MAX_CAPACITY}, for example 64 << 20 for 64 MiB"),
            ));
        }
        // A shard keeps no entry that takes more than 97 % of it.
        let shard = self.max_entry.saturating_add(self.max_entry / 16).max(MIN_SHARD);
        let shards = usize::try_from(capacity / shard).unwrap_or(usize::MAX).clamp(1, 64);
        // Powers of two only; rounded down, so that no shard gets too small.
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        // As if an entry took 4 KiB; it need be right within two orders of magnitude.
        let items = usize::try_from(capacity / 4096).unwrap_or(usize::MAX).clamp(64, 1 << 24);
        let evictions = Evictions::default();
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .build()
            .map_err(|error| ConfigError::new("store::Memory", error.to_string()))?;
        let cache = Cache::with_options(options, Bytes, DigestState, evictions.clone());
        Ok(Memory(Arc::new(Shared { cache, evictions, capacity, clock: self.clock })))
    }
}

impl Store for Memory {
    fn peek(&self, key: &Key) -> Peek {
        // Expired or not is for the cache to see, which has asked for the time already.
        self.0.cache.get(key).map_or(Peek::Absent, |entry| {
            entry.count_hit();
            Peek::Found(entry)
        })
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.lookup(key))
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<()> {
        self.0.cache.insert_with_lifecycle(key.clone(), entry, &mut Some(*key.digest()));
        Ok(())
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        Ok(self.0.cache.remove(key).is_some())
    }

    async fn purge(&self, selector: &Selector) -> Result<u64> {
        if let Selector::Key(key) = selector {
            return Ok(u64::from(self.0.cache.remove(key).is_some()));
        }
        let purged = AtomicU64::new(0);
        self.0.cache.retain(|key, entry| {
            let meant = selector.matches(key, entry.head().tag_list());
            purged.fetch_add(u64::from(meant), Ordering::Relaxed);
            !meant
        });
        Ok(purged.into_inner())
    }

    /// By digest: all entries are looked at for each page, and those with the smallest digests are it.
    async fn list(&self, listing: &Listing) -> Result<Page> {
        if let Selector::Key(key) = &listing.selector {
            // A peek that doesn't count as a use.
            let listed = self.0.cache.peek(key).and_then(|entry| self.listed(key.clone(), &entry));
            return Ok(Page::new(listed.into_iter().collect(), None));
        }
        let after = listing.after.as_ref().map(|cursor| cursor.as_str().parse::<Key>());
        let after = after.transpose().map_err(|_| StoreError::bad_cursor())?;
        let mut page: BTreeMap<[u8; 32], Listed> = BTreeMap::new();
        for (count, (key, entry)) in self.0.cache.iter().enumerate() {
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let digest = *key.digest();
            let full = page.len() > listing.limit && page.last_key_value().is_some_and(|(last, _)| *last < digest);
            if full
                || after.as_ref().is_some_and(|after| digest <= *after.digest())
                || !listing.selector.matches(&key, entry.head().tag_list())
            {
                continue;
            }
            if let Some(listed) = self.listed(key, &entry) {
                page.insert(digest, listed);
            }
            if page.len() > listing.limit + 1 {
                page.pop_last();
            }
        }
        // One more than the page says that there is another.
        let more = page.len() > listing.limit && page.pop_last().is_some();
        let next = page.last_key_value().filter(|_| more).map(|(_, last)| Cursor::new(last.key.to_string()));
        Ok(Page::new(page.into_values().collect(), next))
    }

    fn tiers(&self) -> Vec<Tier> {
        vec![Tier::new(NAME)]
    }

    async fn usage(&self) -> Result<Usage> {
        Ok(Usage {
            entries: self.0.cache.len() as u64,
            bytes: self.0.cache.weight(),
            capacity: self.0.capacity,
            evictions: self.0.evictions.count(),
        })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("capacity", &self.0.capacity).field("entries", &self.0.cache.len()).finish()
    }
}

/// Counts the whole entry.
#[derive(Clone)]
struct Bytes;

/// A slot of the map: links, state, and its share of the table.
const SLOT: usize = 64;

impl Weighter<Key, Entry> for Bytes {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        (key.size() + entry.size() + SLOT) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::{
        entry::{Frames, Head, Lifetime},
        key::KeyBuilder,
    };

    fn key(name: usize) -> Key {
        KeyBuilder::new("test").field("name", name.to_le_bytes()).label("test").finish()
    }

    fn entry(bytes: usize) -> Entry {
        let lifetime = Lifetime::new(SystemTime::now(), Duration::from_secs(60));
        Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime), Frames::whole(vec![0; bytes].into()))
    }

    #[tokio::test]
    async fn memory_stays_within_its_bytes_whatever_the_sizes() {
        let memory = Memory::new(1 << 20);
        for name in 0..5000 {
            memory.put(&key(name), entry(name % 3000)).await.expect("put");
        }
        let usage = memory.usage().await.expect("usage");
        assert!(usage.bytes <= 1 << 20, "{usage:?}");
        assert!(usage.bytes > 1 << 19, "room is used: {usage:?}");
        assert_eq!(usage.entries + usage.evictions, 5000);
    }

    #[tokio::test]
    async fn an_entry_that_is_replaced_is_not_evicted() {
        let memory = Memory::new(1 << 20);
        for bytes in [100, 2000, 0, 2 << 20] {
            memory.put(&key(1), entry(bytes)).await.expect("put");
            assert_eq!(memory.usage().await.expect("usage").evictions, 0, "{bytes}");
        }
    }

    #[tokio::test]
    async fn empty_bodies_are_not_free() {
        let memory = Memory::new(1 << 20);
        for name in 0..100_000 {
            memory.put(&key(name), entry(0)).await.expect("put");
        }
        assert!(memory.usage().await.expect("usage").entries < 5000);
    }

    #[tokio::test]
    async fn an_entry_larger_than_the_store_is_no_error_and_pushes_nothing_out() {
        let memory = Memory::new(100_000);
        memory.put(&key(1), entry(1000)).await.expect("put");
        memory.put(&key(2), entry(200_000)).await.expect("put");
        assert!(memory.get(&key(2)).await.expect("get").is_none());
        assert!(memory.get(&key(1)).await.expect("get").is_some());
    }

    #[tokio::test]
    async fn a_large_entry_fits_into_a_store_that_has_room_for_it() {
        let memory = Memory::new(64 << 20);
        memory.put(&key(1), entry(16 << 20)).await.expect("put");
        assert!(memory.get(&key(1)).await.expect("get").is_some());
    }

    #[tokio::test]
    async fn a_scan_does_not_push_out_what_is_asked_for() {
        let memory = Memory::new(1 << 20);
        for _ in 0..3 {
            for name in 0..100 {
                if memory.get(&key(name)).await.expect("get").is_none() {
                    memory.put(&key(name), entry(1000)).await.expect("put");
                }
            }
        }
        for name in 1000..20_000 {
            memory.put(&key(name), entry(1000)).await.expect("put");
        }
        let mut left = 0;
        for name in 0..100 {
            left += usize::from(memory.get(&key(name)).await.expect("get").is_some());
        }
        assert!(left >= 90, "{left} of 100 are left");
    }

    #[test]
    fn nonsense_capacities_say_what_to_do() {
        for capacity in [0, u64::MAX, MAX_CAPACITY + 1] {
            let error = Memory::try_new(capacity).expect_err("nonsense");
            assert!(error.to_string().contains("64 << 20"), "{error}");
        }
        assert!(Memory::try_new(1).is_ok() && Memory::try_new(MAX_CAPACITY).is_ok());
    }
}
