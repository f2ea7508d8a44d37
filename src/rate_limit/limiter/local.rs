//! [`Local`]: counts in this process.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quick_cache::{Equivalent, Lifecycle, UnitWeighter, sync::Cache};
use tokio::time::Instant;

use super::{Limiter, LimiterError};
use crate::rate_limit::{
    Charge, Correction, Policy, Room, Standing, Subject, Taken,
    decision::Held,
    window::{Counter, Law},
};

/// Counts in this process; clones share their counters.
///
/// Its memory is bounded: of more subjects than it has room for, those that come seldom are forgotten, and begin anew if they come back.
/// Requests under way are never forgotten. Time is measured by a clock that is never set.
///
/// A subject takes about 150 bytes, and 16 for each bucket of its window in which it was active.
#[derive(Clone)]
pub struct Local(Arc<Inner>);

struct Inner {
    counters: Cache<Key, Shared, UnitWeighter, quick_cache::DefaultHashBuilder, Pins>,
    begun: Instant,
}

type Shared = Arc<Mutex<Counter>>;

/// The settings of a [`Local`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct LocalBuilder {
    max_subjects: usize,
}

impl Local {
    /// Room for 100,000 subjects.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A limiter with settings.
    pub fn builder() -> LocalBuilder {
        LocalBuilder { max_subjects: 100_000 }
    }

    /// How many subjects' use is remembered, by each limit.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.0.counters.len()
    }

    /// Charges all, or nothing.
    pub(crate) fn take_now(&self, charges: &[Charge]) -> Taken {
        let now = self.0.now();
        if let [charge] = charges {
            // By far the most frequent: nothing has to be kept in order.
            let counter = self.0.counter(charge);
            let mut taken = take(&mut [lock(&counter)], &[0], charges, now);
            hold(&mut taken, charges, &[counter]);
            return taken;
        }
        let counters: Vec<Shared> = charges.iter().map(|charge| self.0.counter(charge)).collect();
        // Locked in one order by all, so that none waits for another in a circle.
        let mut order: Vec<&Shared> = counters.iter().collect();
        order.sort_unstable_by_key(|counter| Arc::as_ptr(counter));
        order.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let place = |counter: &Shared| order.iter().position(|other| Arc::ptr_eq(other, counter)).unwrap_or_default();
        let places: Vec<usize> = counters.iter().map(place).collect();
        let mut taken = {
            let mut locked: Vec<MutexGuard<'_, Counter>> = order.iter().map(|counter| lock(counter)).collect();
            take(&mut locked, &places, charges, now)
        };
        hold(&mut taken, charges, &counters);
        taken
    }

    /// Corrects charges.
    pub(crate) fn correct(&self, corrections: &[Correction]) {
        for Correction { policy, subject, bucket, charged, real, .. } in corrections {
            if let Some(counter) = self.0.counters.get(&KeyRef { policy, subject }) {
                lock(&counter).correct(policy.law(), *bucket, *charged, *real, self.0.now());
            }
        }
    }
}

/// Charges all, or nothing. `places` says which of the counters is whose.
fn take(counters: &mut [MutexGuard<'_, Counter>], places: &[usize], charges: &[Charge], now: u64) -> Taken {
    let mut standings = Vec::with_capacity(charges.len());
    for (index, (charge, place)) in charges.iter().zip(places).enumerate() {
        let Some(counter) = counters.get_mut(*place) else { continue };
        let law = charge.policy.law();
        let bucket = counter.advance(law, now);
        let room = counter.room(law, charge.allowance(), charge.price(), bucket, now);
        if room == Room::Now {
            counter.charge(bucket, charge.price());
        }
        standings.push(Standing::new(index, charge, room, bucket));
    }
    let is_denied = standings.iter().any(Standing::denies);
    if is_denied {
        // In the opposite order, as two may have charged one counter.
        for (charge, (place, standing)) in charges.iter().zip(places.iter().zip(&standings)).rev() {
            if let Some(counter) = counters.get_mut(*place).filter(|_| standing.room == Room::Now) {
                counter.correct(charge.policy.law(), standing.bucket, charge.price(), 0, now);
            }
        }
    }
    for (charge, (place, standing)) in charges.iter().zip(places.iter().zip(&mut standings)) {
        if let Some(counter) = counters.get(*place) {
            let figures = counter.figures(charge.policy.law(), charge.allowance(), standing.bucket, now);
            (standing.used, standing.refill, standing.reset) = (figures.used, figures.refill, figures.reset);
        }
    }
    Taken::new(standings)
}

/// Ties slots that were taken to whoever took them.
fn hold(taken: &mut Taken, charges: &[Charge], counters: &[Shared]) {
    if charges.iter().all(|charge| charge.policy.law() != Law::Slots) || !taken.is_allowed() {
        return;
    }
    for ((charge, counter), standing) in charges.iter().zip(counters).zip(&taken.standings) {
        if charge.policy.law() == Law::Slots && charge.price() > 0 && standing.room == Room::Now {
            taken.slots.push(Slot(counter.clone()));
        }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("subjects", &self.subjects()).finish_non_exhaustive()
    }
}

impl Limiter for Local {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, LimiterError> {
        Ok(self.take_now(charges))
    }

    async fn settle(&self, corrections: &[Correction]) -> Result<(), LimiterError> {
        self.correct(corrections);
        Ok(())
    }

    fn settle_now(&self, corrections: &[Correction]) -> bool {
        self.correct(corrections);
        true
    }
}

impl LocalBuilder {
    /// How many subjects' use is remembered at most, of all limits together. Default: 100,000.
    pub fn max_subjects(mut self, max_subjects: usize) -> Self {
        self.max_subjects = max_subjects;
        self
    }

    /// The limiter.
    #[must_use]
    pub fn build(self) -> Local {
        let most = self.max_subjects.max(1);
        let counters = Cache::with(most, most as u64, UnitWeighter, quick_cache::DefaultHashBuilder::default(), Pins);
        Local(Arc::new(Inner { counters, begun: Instant::now() }))
    }
}

impl Inner {
    /// Microseconds since the limiter was made.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn counter(&self, charge: &Charge) -> Shared {
        let (policy, subject) = (&charge.policy, &charge.subject);
        if let Some(counter) = self.counters.get(&KeyRef { policy, subject }) {
            return counter;
        }
        let key = Key { policy: policy.clone(), subject: subject.clone() };
        let made: Result<Shared, std::convert::Infallible> =
            self.counters.get_or_insert_with(&key, || Ok(Shared::default()));
        made.unwrap_or_else(|never| match never {})
    }
}

/// A slot that is given back when it is dropped.
struct Slot(Shared);

impl Held for Slot {}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.0).correct(Law::Slots, 0, 1, 0, 0);
    }
}

fn lock(counter: &Shared) -> MutexGuard<'_, Counter> {
    counter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose counter it is. Policies of one name and law share it.
#[derive(Clone)]
struct Key {
    policy: Policy,
    subject: Subject,
}

/// The same, borrowed.
struct KeyRef<'a> {
    policy: &'a Policy,
    subject: &'a Subject,
}

impl Key {
    fn by_ref(&self) -> KeyRef<'_> {
        KeyRef { policy: &self.policy, subject: &self.subject }
    }
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.subject == other.subject && self.policy.counts_with(other.policy)
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.policy.name().hash(state);
        self.subject.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.by_ref() == other.by_ref()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_ref().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.by_ref()
    }
}

/// Keeps the counters that somebody holds: those of requests under way.
#[derive(Clone)]
struct Pins;

impl Lifecycle<Key, Shared> for Pins {
    type RequestState = ();

    fn is_pinned(&self, _: &Key, counter: &Shared) -> bool {
        Arc::strong_count(counter) > 1
    }
}
