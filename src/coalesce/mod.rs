//! One fetch for identical requests in flight.
//!
//! The first to [enter](Flights::enter) leads and fetches. Those that come while it is under way follow: they wait for the head,
//! then read the body live. What may happen to a flight:
//!
//! - **published**: the answer can be kept; every follower has a seat at its body.
//! - **kept**: what was stored still holds; every follower gets it.
//! - **released**: it can't; followers fetch for themselves, in parallel.
//! - **abandoned**: the leader went away before the head came; one of the followers leads instead.

mod detach;
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

pub(crate) use self::detach::Detachable;
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

/// The fetches that are under way, by key.
pub(crate) struct Flights {
    shards: [Mutex<HashMap<Digest, Arc<Flight>>>; SHARDS],
    /// Keys whose answers could not be kept, and until when that is believed.
    uncacheable: Cache<Digest, SystemTime>,
}

struct Flight {
    key: Key,
    marks: Marks,
    state: watch::Sender<State>,
    /// The same for other processes.
    lease: Mutex<Option<Lease>>,
}

#[derive(Clone)]
enum State {
    Pending,
    Live(Live),
    Kept(Entry),
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
pub(crate) enum Entered {
    /// Fetch, for all that follow.
    Lead(Lead),
    /// Wait for the leader.
    Follow(Follow),
    /// Fetch for itself: answers to such requests can't be kept.
    Alone,
}

impl Flight {
    /// Lets other processes fetch: what this one does is outdated. Never true.
    fn give_up(&self) -> bool {
        drop(lock(&self.lease).take());
        false
    }

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

impl Flights {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), uncacheable: Cache::new(REMEMBERED) }
    }

    /// Joins the flight of a key, or begins one.
    pub(crate) fn enter(self: &Arc<Self>, key: &Key, marks: Marks, now: SystemTime) -> Entered {
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
    pub(crate) fn lead(self: &Arc<Self>, key: &Key, marks: Marks) -> Option<Lead> {
        let mut shard = self.shard(key.digest());
        (!shard.contains_key(key.digest())).then(|| self.begin(&mut shard, key, marks))
    }

    /// The answers of a key can be kept after all.
    pub(crate) fn can_be_kept(&self, key: &Key) {
        self.uncacheable.remove(key.digest());
    }

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

    fn begin(self: &Arc<Self>, shard: &mut HashMap<Digest, Arc<Flight>>, key: &Key, marks: Marks) -> Lead {
        let flight = Arc::new(Flight {
            key: key.clone(),
            marks,
            state: watch::Sender::new(State::Pending),
            lease: Mutex::default(),
        });
        shard.insert(*key.digest(), flight.clone());
        Lead { flights: self.clone(), digest: *key.digest(), flight }
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, HashMap<Digest, Arc<Flight>>> {
        lock(&self.shards[usize::from(digest[31]) % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// The duty to fetch. Dropped before anything is published or released, it passes to a follower; dropped later, it closes the
/// flight.
pub(crate) struct Lead {
    flights: Arc<Flights>,
    digest: Digest,
    flight: Arc<Flight>,
}

impl Lead {
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
    pub(crate) fn share(self, entry: Entry) {
        self.flight.state.send_replace(State::Kept(entry));
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
    pub(crate) fn interest(&self) -> Interest {
        Interest(self.flight.clone())
    }
}

impl Drop for Lead {
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

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").finish_non_exhaustive()
    }
}

/// Whether anyone waits for a flight's head.
pub(crate) struct Interest(Arc<Flight>);

impl Interest {
    pub(crate) fn is_there(&self) -> bool {
        self.0.state.receiver_count() > 0
    }

    /// Returns when nobody waits any more.
    pub(crate) async fn gone(&self) {
        self.0.state.closed().await;
    }
}

/// A place in the queue for another's fetch.
pub(crate) struct Follow {
    flights: Arc<Flights>,
    digest: Digest,
    state: watch::Receiver<State>,
    /// Whether a seat is kept for it once the flight is live.
    seated: bool,
}

/// What became of the flight.
pub(crate) enum Followed {
    /// Here is the answer.
    Live(Arc<Head>, Tee),
    /// Here is the answer, which was stored before.
    Kept(Entry),
    /// Fetch for yourself.
    Released,
    /// Begin again: look the key up, and lead if nobody does.
    Abandoned,
}

impl Follow {
    /// Waits for the head.
    pub(crate) async fn wait(mut self) -> Followed {
        let state = match self.state.wait_for(|state| !matches!(state, State::Pending)).await {
            Ok(state) => state.clone(),
            Err(_) => return Followed::Abandoned,
        };
        match state {
            State::Live(live) => match self.take_seat(&live).or_else(|| live.joiner.join()) {
                Some(reader) => Followed::Live(live.head, reader),
                None => Followed::Released,
            },
            State::Kept(entry) => Followed::Kept(entry),
            State::Released => Followed::Released,
            State::Abandoned | State::Pending => Followed::Abandoned,
        }
    }

    fn take_seat(&mut self, live: &Live) -> Option<Tee> {
        std::mem::take(&mut self.seated).then(|| lock(live.seats.as_ref()?).pop()).flatten()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if !self.seated {
            return;
        }
        let shard = self.flights.shard(&self.digest);
        let state = self.state.borrow().clone();
        // Gives up the place in the count while nobody counts.
        self.state = watch::channel(State::Abandoned).1;
        drop(shard);
        if let State::Live(live) = state {
            drop(self.take_seat(&live));
        }
    }
}

/// Until when a key whose answer could not be kept is believed to be uncacheable.
pub(crate) fn until(now: SystemTime, uncacheable_for: Duration) -> Option<SystemTime> {
    now.checked_add(uncacheable_for)
}
