//! A look-up: what is near, what another loads, what is far, and at last a load.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::SystemTime,
};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{
    far::Far,
    shared::{Outcome, Shared, SharedError},
    slot::{Slot, Want},
    stats::Stats,
};
use crate::{
    coalesce::{Detachable, Entered, Followed, Lead, Others, claim},
    entry::Entry,
    key::Key,
    store::Claim,
    tag::Selector,
};

/// After how many loads of others that failed, or took too long, a look-up loads for itself.
const FAILURES: u8 = 2;

/// After how many loads of others that were of no use a look-up loads for itself.
const ROUNDS: u8 = 8;

/// How often the far store is asked again because a value was replaced while it was read.
const READS: u8 = 3;

pub(super) type Load<V, E> = Pin<Box<dyn Future<Output = Result<Option<V>, E>> + Send>>;

/// What those who follow a load are told of its error.
pub(super) struct Errors<E> {
    share: fn(&E) -> Option<SharedError>,
    take: fn(&SharedError) -> Option<E>,
}

impl<E> Errors<E> {
    /// Nothing: each has errors of its own.
    pub(super) fn own() -> Self {
        Self { share: |_| None, take: |_| None }
    }
}

impl<E: Clone + Send + Sync + 'static> Errors<E> {
    /// The error itself, if it is of their type.
    pub(super) fn shared() -> Self {
        Self { share: |error| Some(Arc::new(error.clone())), take: |error| error.downcast_ref().cloned() }
    }
}

impl<E> Clone for Errors<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Errors<E> {}

/// What became of waiting for others.
enum Turn<V, E> {
    Found(Option<Arc<V>>),
    Failed(E),
    /// It loads, for others as well if it leads.
    Load(Option<Lead<Outcome<V>>>),
}

impl<V: Send + Sync + 'static> Shared<V> {
    /// What there is of a key, or what the load brings.
    pub(super) async fn find<E: Send + 'static>(
        self: &Arc<Self>,
        key: &Key,
        want: Want,
        load: impl FnOnce() -> Load<V, E>,
        errors: Errors<E>,
    ) -> Result<Option<Arc<V>>, E> {
        let now = self.now();
        let stale = self.nearby(key, want, now).filter(|_| self.trusts_near());
        if let Some(slot) = &stale {
            if slot.is_fresh(now) {
                self.stats.hits.increment();
                return Ok(slot.value.clone());
            }
            if slot.may_be_refreshed_behind(now) {
                self.refresh_behind(slot, now, load);
                self.stats.stale_hits.increment();
                return Ok(slot.value.clone());
            }
            // A load has failed just now. Not everybody has to wait for the next to fail.
            if slot.is_paused(now) && slot.may_replace_error(now) {
                self.stats.stale_on_error.increment();
                return Ok(slot.value.clone());
            }
        }
        match self.turn(key, want, errors).await {
            Turn::Found(value) => Ok(value),
            Turn::Failed(error) => self.or_stale(stale, error),
            Turn::Load(lead) => self.fetch(key, lead, want, load, errors, stale).await,
        }
    }

    /// Waits for those who load the same already.
    async fn turn<E>(self: &Arc<Self>, key: &Key, want: Want, errors: Errors<E>) -> Turn<V, E> {
        let (mut failures, mut rounds) = (0, 0);
        while failures < FAILURES && rounds < ROUNDS {
            let follow = match self.flights.enter(key, [0; 2], SystemTime::UNIX_EPOCH) {
                Entered::Lead(lead) => return Turn::Load(Some(lead)),
                Entered::Alone => break,
                Entered::Follow(follow) => follow,
            };
            match follow.wait_until(Instant::now() + self.settings.patience).await {
                Some(Followed::Kept(Outcome::Loaded(slot))) => {
                    // It may have been loaded before what it shows was changed, and that known before this began.
                    if slot.serves(want) && slot.is_of_use(self.now()) && self.is_current(&slot) {
                        let served_stale = slot.may_be_refreshed_behind(self.now()) && !slot.is_fresh(self.now());
                        let stats = &self.stats;
                        if served_stale { &stats.stale_hits } else { &stats.collapsed }.increment();
                        return Turn::Found(slot.value.clone());
                    }
                    rounds += 1;
                }
                Some(Followed::Kept(Outcome::Failed(error))) => {
                    if let Some(error) = error.as_ref().and_then(errors.take) {
                        return Turn::Failed(error);
                    }
                    failures += 1;
                }
                Some(Followed::Abandoned) => rounds += 1,
                Some(Followed::Live(..) | Followed::Released) => break,
                None => failures += 1,
            }
        }
        Turn::Load(None)
    }

    /// Looks at what others brought meanwhile, and loads.
    async fn fetch<E: Send + 'static>(
        self: &Arc<Self>,
        key: &Key,
        lead: Option<Lead<Outcome<V>>>,
        want: Want,
        load: impl FnOnce() -> Load<V, E>,
        errors: Errors<E>,
        mut stale: Option<Arc<Slot<V>>>,
    ) -> Result<Option<Arc<V>>, E> {
        let found = |slot: Arc<Slot<V>>, lead: Option<Lead<Outcome<V>>>| {
            let value = slot.value.clone();
            if let Some(lead) = lead {
                lead.share(Outcome::Loaded(slot));
            }
            Ok(value)
        };
        if let Some(slot) = self.at_hand(key, want) {
            self.stats.hits.increment();
            return found(slot, lead);
        }
        if let Some(far) = &self.far {
            let mut others = Others::new(self.settings.across.filter(|_| lead.is_some()));
            loop {
                let (slot, seen) = match self.ask(far, key, want).await {
                    Asked::Far(slot, seen) => (slot, seen),
                    // Better than nothing: without the far store nobody could have said that it changed.
                    Asked::Near(slot) => {
                        self.stats.hits.increment();
                        return found(slot, lead);
                    }
                };
                let now = self.now();
                if let Some(slot) = slot {
                    if slot.is_fresh(now) {
                        self.stats.far_hits.increment();
                        return found(slot, lead);
                    }
                    if slot.may_be_refreshed_behind(now) {
                        self.stats.stale_hits.increment();
                        let value = found(slot.clone(), lead);
                        self.refresh_behind(&slot, now, load);
                        return value;
                    }
                    stale = Some(slot);
                }
                let Some(lead) = lead.as_ref().filter(|_| others.are_asked(key)) else { break };
                let claim = claim(&far.store, key, seen.as_ref(), self.deadline()).await;
                if others.may_fetch(lead, claim).await {
                    break;
                }
            }
        }
        match self.detached(key.clone(), lead, load(), errors).await {
            Ok(slot) => {
                self.stats.misses.increment();
                Ok(slot.value.clone())
            }
            Err(error) => self.or_stale(stale, error),
        }
    }

    /// What the far store has that can be used, and the entry; what is near if it fails.
    async fn ask(&self, far: &Far<V>, key: &Key, want: Want) -> Asked<V> {
        for _ in 0..READS {
            let began = self.begin();
            match self.get_far(far, key, &began).await {
                Ok((None, seen)) => {
                    // What is near in spite of that is gone; it must not come back when the far store fails.
                    if seen.is_none() && !self.trusts_near() {
                        self.near.purge(&Selector::Key(key.clone()));
                    }
                    return Asked::Far(None, seen);
                }
                Ok((Some(slot), seen)) => {
                    if self.keep_near(&slot) {
                        return Asked::Far(Some(slot).filter(|slot| slot.serves(want)), seen);
                    }
                    // It was replaced while it was read, by the one that was read or by another.
                }
                Err(_) => {
                    let now = self.now();
                    let near = self.nearby(key, want, now).filter(|slot| slot.is_fresh(now));
                    return near.map_or(Asked::Far(None, None), Asked::Near);
                }
            }
        }
        Asked::Far(None, None)
    }

    /// What is far and fresh, or near if that fails.
    pub(super) async fn fresh(&self, far: &Far<V>, key: &Key) -> Option<Arc<Slot<V>>> {
        match self.ask(far, key, Want::Either).await {
            Asked::Far(slot, _) => slot.filter(|slot| slot.is_fresh(self.now())),
            Asked::Near(slot) => Some(slot),
        }
    }

    /// Loads, also when the caller goes away, as long as others wait for it.
    pub(super) async fn detached<E: Send + 'static>(
        self: &Arc<Self>,
        key: Key,
        lead: Option<Lead<Outcome<V>>>,
        load: Load<V, E>,
        errors: Errors<E>,
    ) -> Result<Arc<Slot<V>>, E> {
        let interest = lead.as_ref().map(Lead::interest);
        Detachable::new(self.clone().load(key, lead, load, errors), interest, None).await
    }

    async fn load<E>(
        self: Arc<Self>,
        key: Key,
        lead: Option<Lead<Outcome<V>>>,
        load: Load<V, E>,
        errors: Errors<E>,
    ) -> Result<Arc<Slot<V>>, E> {
        let began = self.begin();
        self.stats.loads.increment();
        let unfinished = Unfinished(&self.stats);
        let loaded = load.await;
        std::mem::forget(unfinished);
        match loaded {
            Ok(value) => {
                let slot = Arc::new(self.slot(key, value, &began));
                self.keep(&slot, lead, began);
                Ok(slot)
            }
            Err(error) => {
                self.stats.load_errors.increment();
                if let Some(lead) = lead {
                    lead.share(Outcome::Failed((errors.share)(&error)));
                }
                Err(error)
            }
        }
    }

    /// Loads behind the caller, unless that is done already, or was just now.
    fn refresh_behind<E: Send + 'static>(
        self: &Arc<Self>,
        stale: &Arc<Slot<V>>,
        now: SystemTime,
        load: impl FnOnce() -> Load<V, E>,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !stale.pause(now) {
            return;
        }
        let Some(lead) = self.flights.lead(&stale.key, [0; 2]) else { return };
        if !self.near.is_there() {
            // Those who come meanwhile find it here.
            lead.give(Outcome::Loaded(stale.clone()));
        }
        let (shared, stale, load) = (self.clone(), stale.clone(), load());
        runtime.spawn(async move {
            if let Some(far) = shared.far.as_ref().filter(|_| shared.settings.across.is_some()) {
                match claim(&far.store, &stale.key, Some(&stale.as_seen()), shared.deadline()).await {
                    Claim::Free => {}
                    Claim::Held(lease) => lead.hold(lease),
                    // Another process has refreshed it: what is far is newer.
                    Claim::Changed => {
                        let _ = shared.ask(far, &stale.key, Want::Either).await;
                        return;
                    }
                    Claim::Taken(_) => return,
                }
            }
            let mut load = pin!(shared.clone().load(stale.key.clone(), Some(lead), load, Errors::own()));
            // What it failed with is counted; there is nobody to be told.
            if timeout(shared.settings.patience, &mut load).await.is_err() {
                // It may hang. Nobody waits for it who could let go of it.
                shared.flights.close_key(&stale.key);
                let _ = load.await;
            }
        });
    }

    /// A stale value in place of an error, if there is one that may be.
    fn or_stale<E>(&self, stale: Option<Arc<Slot<V>>>, error: E) -> Result<Option<Arc<V>>, E> {
        let now = self.now();
        let usable = |slot: &Arc<Slot<V>>| slot.may_replace_error(now) && self.is_current(slot);
        match stale.filter(usable) {
            Some(slot) => {
                slot.pause(now);
                self.stats.stale_on_error.increment();
                Ok(slot.value.clone())
            }
            None => {
                self.stats.misses.increment();
                Err(error)
            }
        }
    }
}

/// What came of asking the far store.
enum Asked<V> {
    /// What can be used of what it has.
    Far(Option<Arc<Slot<V>>>, Option<Entry>),
    /// What is near, for it failed.
    Near(Arc<Slot<V>>),
}

/// Counts a load that panics, or is given up.
struct Unfinished<'a>(&'a Stats);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.loads_unfinished.increment();
    }
}
