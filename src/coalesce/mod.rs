//! One fetch for identical requests in flight.
//!
//! The first to [enter](Flights::enter) leads and fetches. Those that come while it is under way follow: they wait for the head,
//! then read the body live. What may happen to a flight:
//!
//! - **published**: the answer can be kept; every follower has a seat at its body.
//! - **kept**: what was stored still holds, or what was loaded is whole; every follower gets it.
//! - **released**: it can't; followers fetch for themselves, in parallel.
//! - **abandoned**: the leader went away before the head came; one of the followers leads instead.

mod across;
mod detach;
mod follow;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;
use tokio::sync::watch;

pub(crate) use self::{
    across::{Others, claim},
    detach::Detachable,
    follow::{Follow, Followed},
};
use crate::{
    body::{Joiner, Tee},
    entry::{Entry, Head},
    key::Key,
    store::Lease,
    tag::Selector,
};

type Digest = [u8; 32];

/// What a flight fetches, by other names than its key: a request that changes one of them closes it.
pub(crate) type Marks = [u64; 2];

const SHARDS: usize = 32;

/// How many keys are remembered as uncacheable.
const REMEMBERED: usize = 16_384;

/// The fetches that are under way, by key; what followers may be given whole is a `T`.
pub(crate) struct Flights<T = Entry> {
    shards: [Mutex<HashMap<Digest, Arc<Flight<T>>>>; SHARDS],
    /// Keys whose answers could not be kept, and until when that is believed.
    uncacheable: Cache<Digest, SystemTime>,
}

struct Flight<T> {
    key: Key,
    marks: Marks,
    state: watch::Sender<State<T>>,
    /// The same for other processes.
    lease: Mutex<Option<Lease>>,
}

#[derive(Clone)]
enum State<T> {
    Pending,
    Live(Live),
    Kept(T),
    Released,
    Abandoned,
}

#[derive(Clone)]
struct Live {
    head: Arc<Head>,
    joiner: Joiner,
    /// A reader for each follower that was waiting, so that the body has readers before the first of them wakes up.
    seats: Option<Arc<Mutex<Vec<Tee>>>>,
}

/// What a request is to do.
pub(crate) enum Entered<T = Entry> {
    /// Fetch, for all that follow.
    Lead(Lead<T>),
    /// Wait for the leader.
    Follow(Follow<T>),
    /// Fetch for itself: answers to such requests can't be kept.
    Alone,
}

impl<T> Flight<T> {
    /// Lets other processes fetch: what this one does is outdated. Never true.
    fn give_up(&self) -> bool {
        drop(lock(&self.lease).take());
        false
    }
}

impl Flight<Entry> {
    fn may_be(&self, selector: &Selector) -> bool {
        match (selector, &*self.state.borrow()) {
            // A variant has a key of its own, but its parent's label.
            (Selector::Key(key), _) => key.label() == self.key.label(),
            (_, State::Live(live)) => selector.matches(&self.key, live.head.tag_list()),
            (_, State::Kept(entry)) => selector.matches(&self.key, entry.head().tag_list()),
            // Its tags are not known yet.
            (Selector::Tag(_), _) => true,
            (_, _) => selector.matches(&self.key, &[]),
        }
    }
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), uncacheable: Cache::new(REMEMBERED) }
    }

    /// Joins the flight of a key, or begins one.
    pub(crate) fn enter(self: &Arc<Self>, key: &Key, marks: Marks, now: SystemTime) -> Entered<T> {
        if let Some(until) = self.uncacheable.get(key.digest()) {
            if now < until {
                return Entered::Alone;
            }
            self.uncacheable.remove(key.digest());
        }
        let mut shard = self.shard(key.digest());
        if let Some(flight) = shard.get(key.digest()) {
            let state = flight.state.subscribe();
            let seated = matches!(*state.borrow(), State::Pending);
            return Entered::Follow(Follow { flights: self.clone(), digest: *key.digest(), state, seated });
        }
        Entered::Lead(self.begin(&mut shard, key, marks))
    }

    /// Leads, unless another does.
    pub(crate) fn lead(self: &Arc<Self>, key: &Key, marks: Marks) -> Option<Lead<T>> {
        let mut shard = self.shard(key.digest());
        (!shard.contains_key(key.digest())).then(|| self.begin(&mut shard, key, marks))
    }

    /// The answers of a key can be kept after all.
    pub(crate) fn can_be_kept(&self, key: &Key) {
        self.uncacheable.remove(key.digest());
    }

    /// From now on nobody joins a fetch that is under way, if this says so of its key, and of what it brought if it has.
    pub(crate) fn close_where(&self, is_outdated: impl Fn(&Key, Option<&T>) -> bool) {
        for shard in &self.shards {
            lock(shard).retain(|_, flight| {
                let outdated = match &*flight.state.borrow() {
                    State::Kept(kept) => is_outdated(&flight.key, Some(kept)),
                    State::Pending | State::Live(_) | State::Released | State::Abandoned => {
                        is_outdated(&flight.key, None)
                    }
                };
                !outdated || flight.give_up()
            });
        }
    }

    /// From now on nobody joins a fetch of this key that is under way.
    pub(crate) fn close_key(&self, key: &Key) {
        let closed = self.shard(key.digest()).remove(key.digest());
        if let Some(flight) = closed {
            flight.give_up();
        }
    }

    fn begin(self: &Arc<Self>, shard: &mut HashMap<Digest, Arc<Flight<T>>>, key: &Key, marks: Marks) -> Lead<T> {
        let flight = Arc::new(Flight {
            key: key.clone(),
            marks,
            state: watch::Sender::new(State::Pending),
            lease: Mutex::default(),
        });
        shard.insert(*key.digest(), flight.clone());
        Lead { flights: self.clone(), digest: *key.digest(), flight }
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, HashMap<Digest, Arc<Flight<T>>>> {
        lock(&self.shards[usize::from(digest[31]) % SHARDS])
    }
}

impl Flights {
    /// From now on nobody joins a fetch that is under way and is meant, or may turn out to be.
    pub(crate) fn close(&self, selector: &Selector) {
        for shard in &self.shards {
            lock(shard).retain(|_, flight| !flight.may_be(selector) || flight.give_up());
        }
    }

    /// From now on nobody joins a fetch that is under way and has one of these marks.
    pub(crate) fn close_marked(&self, marks: Marks) {
        for shard in &self.shards {
            lock(shard).retain(|_, flight| {
                let is_marked = flight.marks.iter().any(|mark| marks.contains(mark));
                !is_marked || flight.give_up()
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// The duty to fetch. Dropped before anything is published or released, it passes to a follower; dropped later, it closes the
/// flight.
pub(crate) struct Lead<T = Entry> {
    flights: Arc<Flights<T>>,
    digest: Digest,
    flight: Arc<Flight<T>>,
}

impl<T> Lead<T> {
    /// What is fetched.
    pub(crate) fn key(&self) -> &Key {
        &self.flight.key
    }

    /// Leads other processes, too.
    pub(crate) fn hold(&self, lease: Lease) {
        let shard = self.flights.shard(&self.digest);
        // A flight that was closed meanwhile leads nobody.
        if shard.get(&self.digest).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            *lock(&self.flight.lease) = Some(lease);
        }
    }

    /// The lease, for what ends later than the flight.
    pub(crate) fn lease(&self) -> Option<Lease> {
        lock(&self.flight.lease).take()
    }

    /// Lets the followers read along.
    pub(crate) fn publish(&self, head: Arc<Head>, joiner: Joiner) {
        self.flights.uncacheable.remove(&self.digest);
        // The shard's lock keeps followers from coming and going while their seats are counted.
        let _shard = self.flights.shard(&self.digest);
        let followers = self.flight.state.receiver_count();
        let seats = (followers > 0).then(|| (0..followers).map_while(|_| joiner.join()).collect());
        let live = Live { head, joiner, seats: seats.map(|seats| Arc::new(Mutex::new(seats))) };
        self.flight.state.send_replace(State::Live(live));
    }

    /// Gives the followers what is stored.
    pub(crate) fn share(self, kept: T) {
        self.give(kept);
    }

    /// The same, and leads on: those that come until it is dropped get it too.
    pub(crate) fn give(&self, kept: T) {
        self.flight.state.send_replace(State::Kept(kept));
    }

    /// Sends the followers to fetch for themselves. With a time, those that come until then don't wait for each other either.
    pub(crate) fn release(self, uncacheable_until: Option<SystemTime>) {
        if let Some(until) = uncacheable_until {
            self.flights.uncacheable.insert(self.digest, until);
        }
        if let Some(lease) = self.lease() {
            lease.settle();
        }
        self.flight.state.send_replace(State::Released);
    }

    /// A way to see whether anyone waits for this flight.
    pub(crate) fn interest(&self) -> Interest<T> {
        Interest(self.flight.clone())
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        let mut shard = self.flights.shard(&self.digest);
        if shard.get(&self.digest).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            shard.remove(&self.digest);
        }
        drop(shard);
        self.flight.state.send_if_modified(|state| {
            let pending = matches!(state, State::Pending);
            if pending {
                *state = State::Abandoned;
            }
            pending
        });
        drop(self.lease());
    }
}

impl<T> fmt::Debug for Lead<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").finish_non_exhaustive()
    }
}

/// Whether anyone waits for a flight's head.
pub(crate) struct Interest<T = Entry>(Arc<Flight<T>>);

impl<T> Interest<T> {
    pub(crate) fn is_there(&self) -> bool {
        self.0.state.receiver_count() > 0
    }

    /// Returns when nobody waits any more.
    pub(crate) async fn gone(&self) {
        self.0.state.closed().await;
    }
}

/// Until when a key whose answer could not be kept is believed to be uncacheable.
pub(crate) fn until(now: SystemTime, uncacheable_for: Duration) -> Option<SystemTime> {
    now.checked_add(uncacheable_for)
}
