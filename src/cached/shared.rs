//! What all clones of a cache share, and its ways to what is kept.

use std::{
    any::Any,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, timeout_at};

use super::{
    far::Far,
    key::Space,
    near::{Near, Weigh},
    owed::Owed,
    slot::{Began, Slot, UnderWay, Want},
    stats::Stats,
    writing::{Write, Writing},
};
use crate::{
    clock::Clock,
    coalesce::{Flights, Lead},
    entry::{Entry, Lifetime},
    key::Key,
    store::{Change, Fence, Recent, Store, StoreError, Writes},
    tag::{self, Selector, Tag},
};

/// What a flight gives to those who follow.
pub(super) enum Outcome<V> {
    Loaded(Arc<Slot<V>>),
    /// The load failed, with this where errors are shared.
    Failed(Option<SharedError>),
}

/// An error of a type that only the callers know.
pub(super) type SharedError = Arc<dyn Any + Send + Sync>;

impl<V> Clone for Outcome<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Loaded(slot) => Self::Loaded(slot.clone()),
            Self::Failed(error) => Self::Failed(error.clone()),
        }
    }
}

pub(super) struct Settings<V> {
    pub(super) ttl: Duration,
    pub(super) ttl_of: Option<Arc<dyn Fn(&V) -> Option<Duration> + Send + Sync>>,
    pub(super) negative_ttl: Duration,
    pub(super) jitter: f64,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    pub(super) tags: Option<Arc<dyn Fn(&V) -> Vec<Tag> + Send + Sync>>,
    pub(super) weigh: Weigh<V>,
    pub(super) patience: Duration,
    pub(super) across: Option<Duration>,
    pub(super) lookup_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

pub(super) struct Shared<V> {
    pub(super) space: Space,
    pub(super) settings: Settings<V>,
    pub(super) near: Near<V>,
    pub(super) far: Option<Far<V>>,
    pub(super) flights: Arc<Flights<Outcome<V>>>,
    /// What was invalidated lately: what was loaded before is not kept after.
    pub(super) recent: Recent,
    /// What the far store is still to be rid of.
    pub(super) owed: Owed,
    /// What is being written to the far store, by key.
    pub(super) writing: Writing<V>,
    numbers: AtomicU64,
    /// How many loads and look-ups could still bring what was begun before now.
    under_way: Arc<AtomicUsize>,
    pub(super) writes: Writes,
    pub(super) stats: Arc<Stats>,
}

impl<V: Send + Sync + 'static> Shared<V> {
    pub(super) fn new(space: Space, settings: Settings<V>, near: Near<V>, far: Option<Far<V>>) -> Arc<Self> {
        let shared = Arc::new(Self {
            space,
            settings,
            near,
            far,
            flights: Arc::new(Flights::new()),
            recent: Recent::default(),
            owed: Owed::default(),
            writing: Writing::default(),
            numbers: AtomicU64::new(0),
            under_way: Arc::default(),
            writes: Writes::default(),
            stats: Arc::default(),
        });
        if let Some(far) = &shared.far {
            let hears = Arc::downgrade(&shared);
            far.store.listen(Arc::new(move |change| {
                if let Some(shared) = hears.upgrade() {
                    shared.hear(change);
                }
            }));
        }
        shared
    }

    fn hear(&self, change: &Change) {
        match change {
            Change::Purged(selector) => drop(self.forget(selector)),
            Change::Removed(key) => self.replace(key),
            Change::Deaf => self.trust_far(|far| far.trust.fall_silent()),
            Change::Hearing => self.trust_far(|far| {
                if let Some(silence) = far.trust.silence() {
                    // What is read from the far store from now on is kept near after it was emptied.
                    self.forget(&Selector::All);
                    far.trust.end(silence);
                }
            }),
            Change::Invalidated(..) => {}
        }
    }

    fn trust_far(&self, then: impl FnOnce(&Far<V>)) {
        if let Some(far) = &self.far {
            then(far);
        }
    }

    /// Drops what is meant from this process, and lets nothing of it be kept that is being loaded; how many values that were.
    pub(super) fn forget(&self, selector: &Selector) -> u64 {
        self.recent.add(selector.clone());
        self.flights.close_where(|key, brought| match (brought, selector) {
            (Some(Outcome::Loaded(slot)), _) => selector.matches(key, &slot.tags),
            // Who joins a load whose tags aren't known yet looks whether it was meant when they are.
            (Some(Outcome::Failed(_)), _) | (None, Selector::Tag(_)) => false,
            (None, Selector::Key(_) | Selector::Label(_) | Selector::All) => selector.matches(key, &[]),
        });
        self.near.purge(selector)
    }

    /// The same of one key, of which there is another value now.
    pub(super) fn replace(&self, key: &Key) {
        let selector = Selector::Key(key.clone());
        // Many values may be put one after another; the list of what was invalidated is short.
        if self.under_way.load(Ordering::SeqCst) > 0 {
            self.recent.add(selector.clone());
        }
        self.flights.close_key(key);
        self.near.purge(&selector);
    }

    pub(super) fn now(&self) -> SystemTime {
        self.settings.clock.now()
    }

    /// Whether what is near has heard of all changes.
    pub(super) fn trusts_near(&self) -> bool {
        self.far.as_ref().is_none_or(|far| far.trust.is_whole())
    }

    /// Notes how far things are.
    pub(super) fn begin(&self) -> Began {
        // Counted first: who invalidates something looks whether there is anyone to be told.
        let under_way = UnderWay::count(&self.under_way);
        Began {
            seen: self.recent.seen(),
            fence: self.far.as_ref().map_or_else(Fence::default, |far| far.store.fence()),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            _under_way: under_way,
        }
    }

    /// Whether nothing that was invalidated since its load began means a value.
    pub(super) fn is_current(&self, slot: &Slot<V>) -> bool {
        !self.recent.any_since(slot.seen, |selector| selector.matches(&slot.key, &slot.tags))
    }

    /// What is near, fresh or not, whether it may be trusted or not.
    pub(super) fn nearby(&self, key: &Key, want: Want, now: SystemTime) -> Option<Arc<Slot<V>>> {
        let slot = self.near.get(key, now).filter(|slot| slot.serves(want))?;
        (slot.is_verified() || self.is_current(&slot)).then_some(slot)
    }

    /// What is near and fresh.
    pub(super) fn at_hand(&self, key: &Key, want: Want) -> Option<Arc<Slot<V>>> {
        if !self.trusts_near() {
            return None;
        }
        let now = self.now();
        self.nearby(key, want, now).filter(|slot| slot.is_fresh(now))
    }

    /// Keeps a value near; whether nothing invalidated it meanwhile.
    pub(super) fn keep_near(&self, slot: &Arc<Slot<V>>) -> bool {
        self.near.put(slot);
        // Behind the write: an invalidation that isn't seen here finds it there.
        let current = self.is_current(slot);
        if current {
            slot.verify();
        } else {
            self.near.remove_same(slot);
        }
        current
    }

    /// A value that was loaded just now.
    pub(super) fn slot(&self, key: Key, value: Option<V>, began: &Began) -> Slot<V> {
        let Settings { ttl, ttl_of, negative_ttl, stale_while_revalidate, stale_if_error, tags, weigh, .. } =
            &self.settings;
        let own = value.as_ref().zip(ttl_of.as_ref()).and_then(|(value, ttl_of)| ttl_of(value));
        let fresh_for = if value.is_some() { own.unwrap_or(*ttl) } else { *negative_ttl };
        let mut lifetime = Lifetime::new(self.now(), self.jittered(fresh_for));
        if value.is_some() {
            lifetime.stale_while_revalidate = *stale_while_revalidate;
            lifetime.stale_if_error = *stale_if_error;
        }
        let tags = value.as_ref().zip(tags.as_ref()).map(|(value, tags)| tag::sorted(tags(value)));
        let weight = weigh.weight(&key, value.as_ref());
        let slot = Slot::new(key, value.map(Arc::new), lifetime, tags.unwrap_or_default(), weight, began);
        slot.loaded(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// Less by a random part, so that what was loaded at once isn't stale at once.
    fn jittered(&self, time: Duration) -> Duration {
        if self.settings.jitter == 0.0 {
            return time;
        }
        #[expect(clippy::cast_precision_loss, reason = "a random number")]
        let random = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
        time.mul_f64(1.0 - self.settings.jitter * random)
    }

    /// Keeps a value that was loaded. The far store has it behind the caller; whether anyone has.
    pub(super) fn keep(self: &Arc<Self>, slot: &Arc<Slot<V>>, lead: Option<Lead<Outcome<V>>>, began: Began) {
        let is_kept = slot.lifetime.kept_in(slot.lifetime.received_at).is_some();
        let current = if is_kept { self.keep_near(slot) } else { self.is_current(slot) };
        let lease = lead.as_ref().and_then(Lead::lease);
        if let Some(lead) = &lead {
            lead.give(Outcome::Loaded(slot.clone()));
        }
        // Where nothing is near, it stays with the flight until the far store has it.
        let lead = lead.filter(|_| !self.near.is_there());
        match (current, is_kept) {
            (false, _) => return self.stats.outdated.increment(),
            (true, false) => return lease.map_or((), |lease| lease.settle()),
            (true, true) => self.stats.sets.increment(),
        }
        if self.far.is_some() {
            let (shared, slot, stats) = (self.clone(), slot.clone(), self.stats.clone());
            let write = async move {
                let _ = shared.put_far(&slot, began).await;
                if let Some(lease) = lease {
                    lease.settle();
                }
                drop(lead);
            };
            if !self.writes.begin(write, move || stats.store_write_errors.increment()) {
                self.stats.store_writes_dropped.increment();
            }
        }
    }

    /// Puts a value into the far store, unless it was invalidated since its load began.
    pub(super) async fn put_far(self: &Arc<Self>, slot: &Arc<Slot<V>>, began: Began) -> Result<(), StoreError> {
        let Some(far) = &self.far else { return Ok(()) };
        let entry = match far.entry(slot) {
            Ok(entry) => entry,
            Err(error) => {
                self.stats.unwritable.increment();
                tracing::warn!(error = &*error, space = self.space.0, "a value can't be written");
                return Ok(());
            }
        };
        let write = Write::begin(self, slot);
        let kept = far.store.put_fenced(&slot.key, entry, began.fence).await;
        if matches!(kept, Ok(false)) {
            self.stats.outdated.increment();
            self.near.remove_same(slot);
        }
        // An invalidation that came while this was written may have missed it.
        if let Some(debt) = write.end()
            && (matches!(kept, Ok(false)) || self.remove_far(&slot.key).await)
        {
            self.replace(&slot.key);
            debt.done();
        }
        kept.map(drop).inspect_err(|error| {
            self.stats.store_write_errors.increment();
            self.warn("a write failed", error);
        })
    }

    /// What the far store has of a key, with the entry that it has, whether or not that can be read.
    pub(super) async fn get_far(
        &self,
        far: &Far<V>,
        key: &Key,
        began: &Began,
    ) -> Result<(Option<Arc<Slot<V>>>, Option<Entry>), StoreError> {
        let asked = timeout_at(self.deadline(), far.store.get(key)).await;
        let entry = asked.unwrap_or_else(|_| Err(StoreError::timeout())).inspect_err(|error| {
            self.stats.store_read_errors.increment();
            self.warn("a look-up failed", error);
        })?;
        let Some(entry) = entry else { return Ok((None, None)) };
        // It was invalidated, and the far store isn't known to have done that.
        if self.writing.is_outdated(self, key)
            || self.owed.means(key, entry.head().tag_list())
            || entry.head().lifetime().kept_in(self.now()).is_none()
        {
            return Ok((None, Some(entry)));
        }
        match far.value(&entry) {
            Ok(value) => {
                let weight = self.settings.weigh.weight(key, value.as_ref());
                let (lifetime, tags) = (entry.head().lifetime().clone(), entry.head().tag_list().to_vec());
                let slot = Slot::new(key.clone(), value.map(Arc::new), lifetime, tags, weight, began);
                Ok((Some(Arc::new(slot)), Some(entry)))
            }
            Err(error) => {
                self.stats.unreadable.increment();
                // What a deserialiser says may have parts of the value in it.
                tracing::debug!(space = self.space.0, "a value can't be read, and is removed: {}", kind(&*error));
                self.remove_far(key).await;
                Ok((None, None))
            }
        }
    }

    /// Whether the far store has nothing of a key any more.
    async fn remove_far(&self, key: &Key) -> bool {
        let Some(far) = &self.far else { return true };
        let removed = timeout_at(self.deadline(), far.store.remove(key)).await;
        let removed = removed.unwrap_or_else(|_| Err(StoreError::timeout())).inspect_err(|error| {
            self.stats.store_write_errors.increment();
            self.warn("a removal failed", error);
        });
        removed.is_ok()
    }

    /// Until when who asks the far store now waits for it.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.lookup_timeout
    }

    /// What a store that is known to be down refuses is no news.
    pub(super) fn warn(&self, what: &str, error: &StoreError) {
        let (shown, space) = (error as &dyn std::error::Error, &self.space.0);
        if error.is_refused() {
            tracing::debug!(error = shown, space, "{what}");
        } else {
            tracing::warn!(error = shown, space, "{what}");
        }
    }
}

/// What kind of error it is, without a word of its own.
fn kind(error: &(dyn std::error::Error + 'static)) -> &'static str {
    if error.is::<rmp_serde::decode::Error>() { "its fields are others" } else { "its format or schema is another" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cached::{Cached, key::LookupKey};

    fn shared<K: LookupKey + ?Sized>(cached: &Cached<K, u32>) -> Arc<Shared<u32>> {
        cached.shared.clone()
    }

    /// The moment between the write and the look after it.
    #[test]
    fn what_was_put_near_and_not_looked_at_yet_is_served_only_if_nothing_means_it() {
        let cached = Cached::<str, u32>::builder("rows").build();
        let (shared, key) = (shared(&cached), cached.keys.of("key").expect("a key"));
        let began = shared.begin();
        let slot = Arc::new(shared.slot(key.clone(), Some(1), &began));
        // The invalidation looks at what is near, and finds nothing there yet.
        shared.forget(&Selector::Key(key.clone()));
        shared.near.put(&slot);
        assert!(shared.at_hand(&key, Want::Value).is_none());
        assert!(!shared.keep_near(&slot) && shared.near.get(&key, shared.now()).is_none());
        let slot = Arc::new(shared.slot(key.clone(), Some(2), &shared.begin()));
        shared.near.put(&slot);
        assert!(shared.at_hand(&key, Want::Value).is_some(), "it was loaded after that");
    }
}
