//! [`Local`]: counts in this process.

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quick_cache::{Equivalent, Lifecycle, UnitWeighter, unsync::Cache};
use tokio::time::Instant;

use super::{Limiter, LimiterError};
use crate::rate_limit::{
    Charge, Correction, Policy, Room, Standing, Subject, Taken,
    decision::Held,
    window::{Counter, Law},
};

/// The most parts that counters are divided into, each with a lock of its own.
const SHARDS: usize = 64;

/// How many counters a part has room for at least.
const SHARD: usize = 128;

/// Counts in this process; clones share their counters.
///
/// Its memory is bounded: of more subjects than it has room for, those that come seldom are forgotten, and begin anew if they come back.
/// Requests under way are never forgotten. Time is measured by a clock that is never set.
///
/// A subject takes about 250 bytes, and 16 for each bucket of its window in which it was active after the fourth.
#[derive(Clone)]
pub struct Local(Arc<Inner>);

struct Inner {
    shards: Box<[Mutex<Shard>]>,
    random: RandomState,
    begun: Instant,
}

type Shard = Cache<Key, Counter, UnitWeighter, BuildHasherDefault<Hashed>, Pins>;

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
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Charges all, or nothing.
    pub(crate) fn take_now(&self, charges: &[Charge]) -> Taken {
        // All that needs no lock is done before there is one.
        let (now, standings) = (self.0.now(), Vec::with_capacity(charges.len()));
        let mut taken = if let [charge] = charges {
            // By far the most frequent: nothing has to be kept in order.
            let hash = self.0.hash(&charge.policy, &charge.subject);
            let mut shard = lock(self.0.shard(hash));
            take(std::slice::from_mut(&mut shard), &[(0, hash)], charges, now, standings)
        } else {
            self.take_several(charges, now, standings)
        };
        if taken.is_allowed() {
            for (charge, standing) in charges.iter().zip(&taken.standings) {
                if charge.policy.law() == Law::Slots && charge.price() > 0 && standing.room == Room::Now {
                    let (local, policy, subject) = (self.clone(), charge.policy.clone(), charge.subject.clone());
                    taken.slots.push(Slot { local, policy, subject });
                }
            }
        }
        taken
    }

    fn take_several(&self, charges: &[Charge], now: u64, standings: Vec<Standing>) -> Taken {
        let hashes: Vec<u64> = charges.iter().map(|charge| self.0.hash(&charge.policy, &charge.subject)).collect();
        let mut order: Vec<usize> = hashes.iter().map(|hash| self.0.place(*hash)).collect();
        // Locked in one order by all, so that none waits for another in a circle.
        order.sort_unstable();
        order.dedup();
        let place = |hash: u64| order.binary_search(&self.0.place(hash)).unwrap_or_default();
        let places: Vec<(usize, u64)> = hashes.into_iter().map(|hash| (place(hash), hash)).collect();
        let mut shards: Vec<_> = order.iter().map(|place| lock(&self.0.shards[*place])).collect();
        take(&mut shards, &places, charges, now, standings)
    }

    /// Corrects charges.
    pub(crate) fn correct(&self, corrections: &[Correction]) {
        for Correction { policy, subject, bucket, charged, real, .. } in corrections {
            let hash = self.0.hash(policy, subject);
            let key = KeyRef { policy, subject, hash };
            let mut shard = lock(self.0.shard(hash));
            let correct = |counter: &mut Counter| counter.correct(policy.law(), *bucket, *charged, *real, self.0.now());
            // Who was charged nothing at first isn't known yet; who was charged something is, or was forgotten.
            if *charged == 0 {
                with_counter(&mut shard, &key, correct);
            } else if let Some(mut counter) = shard.get_mut(&key) {
                correct(&mut counter);
            }
        }
    }
}

/// Charges all, or nothing. `places` says which shard is whose, and the key's hash; `standings` has room for them.
fn take(
    shards: &mut [MutexGuard<'_, Shard>],
    places: &[(usize, u64)],
    charges: &[Charge],
    now: u64,
    mut standings: Vec<Standing>,
) -> Taken {
    let mut is_denied = false;
    for (index, (charge, (place, hash))) in charges.iter().zip(places).enumerate() {
        let standing = with_counter(&mut shards[*place], &KeyRef::of(charge, *hash), |counter| {
            let (law, amount) = (charge.policy.law(), charge.allowance());
            let bucket = counter.advance(law, now);
            let room = counter.room(law, amount, charge.price(), bucket, now);
            if room == Room::Now {
                counter.charge(bucket, charge.price());
            }
            let mut standing = Standing::new(index, charge, room, bucket);
            standing.tell(counter.figures(law, amount, bucket, now));
            standing
        });
        is_denied |= standing.denies();
        standings.push(standing);
    }
    if is_denied {
        // In the opposite order, as two may have charged one counter.
        for (charge, ((place, hash), standing)) in charges.iter().zip(places.iter().zip(&mut standings)).rev() {
            if standing.room == Room::Now && charge.price() > 0 {
                with_counter(&mut shards[*place], &KeyRef::of(charge, *hash), |counter| {
                    let (law, amount) = (charge.policy.law(), charge.allowance());
                    counter.correct(law, standing.bucket, charge.price(), 0, now);
                    standing.tell(counter.figures(law, amount, standing.bucket, now));
                });
                forget_if_empty(&mut shards[*place], charge, *hash);
            }
        }
    }
    Taken::new(standings)
}

fn with_counter<T>(shard: &mut Shard, key: &KeyRef<'_>, act: impl FnOnce(&mut Counter) -> T) -> T {
    if let Some(mut counter) = shard.get_mut(key) {
        return act(&mut counter);
    }
    let mut counter = Counter::default();
    let done = act(&mut counter);
    // Nobody who only looked, or was denied, takes another's place.
    if !counter.is_empty() {
        shard.insert(key.to_key(), counter);
    }
    done
}

/// Nobody who was denied elsewhere takes another's place, either.
fn forget_if_empty(shard: &mut Shard, charge: &Charge, hash: u64) {
    let key = KeyRef::of(charge, hash);
    if shard.peek(&key).is_some_and(Counter::is_empty) {
        shard.remove(&key);
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
        let count = (most / SHARD).clamp(1, SHARDS).next_power_of_two();
        let room = most.div_ceil(count);
        let shard = || {
            let room_by_weight = u64::try_from(room).unwrap_or(u64::MAX);
            Mutex::new(Cache::with(room.min(SHARD), room_by_weight, UnitWeighter, BuildHasherDefault::default(), Pins))
        };
        let shards = (0..count).map(|_| shard()).collect();
        Local(Arc::new(Inner { shards, random: RandomState::new(), begun: Instant::now() }))
    }
}

impl Inner {
    /// Microseconds since the limiter was made.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn hash(&self, policy: &Policy, subject: &Subject) -> u64 {
        self.random.hash_one((policy.hash(), subject))
    }

    fn place(&self, hash: u64) -> usize {
        // Its high bits: those that are low are the shard's own.
        usize::try_from(hash >> 48).unwrap_or_default() % self.shards.len()
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[self.place(hash)]
    }
}

/// A slot that is given back when it is dropped.
struct Slot {
    local: Local,
    policy: Policy,
    subject: Subject,
}

impl Held for Slot {}

impl Drop for Slot {
    fn drop(&mut self) {
        let (Self { local, policy, subject }, law) = (&*self, self.policy.law());
        let hash = local.0.hash(policy, subject);
        if let Some(mut counter) = lock(local.0.shard(hash)).get_mut(&KeyRef { policy, subject, hash }) {
            counter.correct(law, 0, 1, 0, 0);
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose counter it is. Policies of one name and law share it.
struct Key {
    policy: Policy,
    subject: Subject,
    hash: u64,
}

/// The same, borrowed.
struct KeyRef<'a> {
    policy: &'a Policy,
    subject: &'a Subject,
    hash: u64,
}

impl<'a> KeyRef<'a> {
    fn of(charge: &'a Charge, hash: u64) -> Self {
        Self { policy: &charge.policy, subject: &charge.subject, hash }
    }

    fn to_key(&self) -> Key {
        Key { policy: self.policy.clone(), subject: self.subject.clone(), hash: self.hash }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        KeyRef { policy: &self.policy, subject: &self.subject, hash: self.hash }.equivalent(other)
    }
}

impl Eq for Key {}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && *self.subject == key.subject && self.policy.counts_with(&key.policy)
    }
}

/// A key's hash is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Keeps the counters of requests under way.
#[derive(Clone)]
struct Pins;

impl Lifecycle<Key, Counter> for Pins {
    type RequestState = ();

    fn is_pinned(&self, key: &Key, counter: &Counter) -> bool {
        key.policy.law() == Law::Slots && !counter.is_empty()
    }
}
