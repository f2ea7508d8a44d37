//! Invalidations that the far store has not done yet: until it has, what it gives of them counts for nothing in this process.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, time::sleep};

use super::shared::Shared;
use crate::{
    key::Key,
    store::Store,
    tag::{Selector, Tag},
};

/// How many are held apart. With more than that, nothing of the space counts, and all of it is removed in their stead.
const MOST: usize = 1024;

/// How long is waited before the first new try, and before the last of them.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

#[derive(Debug, Default)]
pub(super) struct Owed {
    count: AtomicU64,
    list: Mutex<List>,
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct List {
    selectors: Vec<(u64, Selector)>,
    removal: Removal,
}

/// Whether all of the space is being removed, in the stead of those that were too many.
#[derive(Debug, Default, PartialEq, Eq)]
enum Removal {
    #[default]
    None,
    Tried,
    /// It is, and more came meanwhile.
    ToBeRepeated,
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a value is meant by one of them.
    pub(super) fn means(&self, key: &Key, tags: &[Tag]) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self.lock().selectors.iter().any(|(_, selector)| selector.matches(key, tags))
    }

    fn add(&self, selector: Selector, all: impl FnOnce() -> Selector) -> u64 {
        let selectors = &mut self.lock().selectors;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let selector = if selectors.len() < MOST { selector } else { all() };
        selectors.push((number, selector));
        self.count.store(selectors.len() as u64, Ordering::Release);
        number
    }

    fn done(&self, number: u64) {
        self.strike(&mut self.lock(), number);
    }

    fn strike(&self, list: &mut List, number: u64) {
        list.selectors.retain(|(other, _)| *other != number);
        self.count.store(list.selectors.len() as u64, Ordering::Release);
    }

    /// What is to be tried for one that failed, and whether that is the removal of all; `None`: that is tried already.
    fn to_try(&self, number: u64, own: &Selector, all: impl FnOnce() -> Selector) -> Option<(Selector, bool)> {
        let mut list = self.lock();
        if list.selectors.len() <= MOST {
            return Some((own.clone(), false));
        }
        if list.removal != Removal::None {
            list.removal = Removal::ToBeRepeated;
            self.strike(&mut list, number);
            return None;
        }
        list.removal = Removal::Tried;
        let all = all();
        // It may be one of the first, which has its own.
        list.selectors
            .iter_mut()
            .filter(|(other, _)| *other == number)
            .for_each(|(_, selector)| *selector = all.clone());
        Some((all, true))
    }

    /// Whether all is to be removed once more, for those that came while it was.
    fn is_to_be_repeated(&self) -> bool {
        let mut list = self.lock();
        let repeated = list.removal == Removal::ToBeRepeated;
        list.removal = if repeated { Removal::Tried } else { Removal::None };
        repeated
    }
}

/// One of them. Dropped before it is [done](Self::done), it is tried again until it is.
pub(super) struct Debt<V: Send + Sync + 'static> {
    shared: Option<Arc<Shared<V>>>,
    selector: Selector,
    number: u64,
}

impl<V: Send + Sync + 'static> Debt<V> {
    pub(super) fn new(shared: &Arc<Shared<V>>, selector: &Selector) -> Self {
        let number = shared.owed.add(selector.clone(), || shared.space.all());
        Self { shared: Some(shared.clone()), selector: selector.clone(), number }
    }

    pub(super) fn done(mut self) {
        if let Some(shared) = self.shared.take() {
            shared.owed.done(self.number);
        }
    }
}

impl<V: Send + Sync + 'static> Drop for Debt<V> {
    fn drop(&mut self) {
        let (Some(shared), Ok(runtime)) = (self.shared.take(), Handle::try_current()) else { return };
        let number = self.number;
        let Some((selector, is_all)) = shared.owed.to_try(number, &self.selector, || shared.space.all()) else {
            return;
        };
        let shared = Arc::downgrade(&shared);
        runtime.spawn(async move {
            let mut wait = WAITS.0;
            loop {
                sleep(wait).await;
                wait = (wait * 2).min(WAITS.1);
                let Some(shared) = shared.upgrade() else { return };
                let Some(far) = &shared.far else { return };
                if far.store.purge(&selector).await.is_ok() {
                    shared.forget(&selector);
                    if is_all && shared.owed.is_to_be_repeated() {
                        wait = WAITS.0;
                        continue;
                    }
                    tracing::debug!(space = shared.space.0, "an invalidation was made good for");
                    return shared.owed.done(number);
                }
            }
        });
    }
}
