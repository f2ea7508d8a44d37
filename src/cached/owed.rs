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

/// How many are held apart; with more than that, nothing of the space counts.
const MOST: usize = 1024;

/// How long is waited before the first new try, and before the last of them.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

#[derive(Debug, Default)]
pub(super) struct Owed {
    count: AtomicU64,
    selectors: Mutex<Vec<(u64, Selector)>>,
    numbers: AtomicU64,
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Selector)>> {
        self.selectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a value is meant by one of them.
    pub(super) fn means(&self, key: &Key, tags: &[Tag]) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.lock().iter().any(|(_, selector)| selector.matches(key, tags))
    }

    fn add(&self, selector: Selector, all: impl FnOnce() -> Selector) -> u64 {
        let mut selectors = self.lock();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let selector = if selectors.len() < MOST { selector } else { all() };
        selectors.push((number, selector));
        self.count.store(selectors.len() as u64, Ordering::Release);
        number
    }

    fn done(&self, number: u64) {
        let mut selectors = self.lock();
        selectors.retain(|(other, _)| *other != number);
        self.count.store(selectors.len() as u64, Ordering::Release);
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
        let (shared, selector, number) = (Arc::downgrade(&shared), self.selector.clone(), self.number);
        runtime.spawn(async move {
            let mut wait = WAITS.0;
            loop {
                sleep(wait).await;
                wait = (wait * 2).min(WAITS.1);
                let Some(shared) = shared.upgrade() else { return };
                let Some(far) = &shared.far else { return };
                if far.store.purge(&selector).await.is_ok() {
                    shared.forget(&selector);
                    tracing::debug!(space = shared.space.0, "an invalidation was made good for");
                    return shared.owed.done(number);
                }
            }
        });
    }
}
