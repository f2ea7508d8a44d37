//! Writes to the store, behind the response where the store takes its time.

use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::{
    purges::Began,
    shared::{FIRSTS, Shared, warn},
};
use crate::{
    coalesce::Lead,
    entry::Entry,
    key::Key,
    store::{Lease, Peek, Store},
};

/// An entry to be written.
pub(super) struct Write {
    /// Under which the answer lies if it doesn't vary, and the first variant of it if it does.
    pub(super) primary: Key,
    pub(super) key: Key,
    pub(super) entry: Entry,
    pub(super) began: Began,
    /// Whether there were variants of it when it was looked up.
    pub(super) beside: bool,
    /// What it brings up to date, and what must not have been replaced meanwhile.
    pub(super) confirms: Option<Entry>,
}

impl<St, F, P> Shared<St, F, P>
where
    Self: Send + Sync + 'static,
    St: Store,
{
    /// Writes an entry, unless it was purged since its fetch began. A store that answers at once has it when this returns; for
    /// another the write goes on behind the response, and the flight stays open until it is done.
    pub(super) fn put(self: &Arc<Self>, write: Write, lead: Option<Lead>) {
        let lease = lead.as_ref().and_then(Lead::lease);
        self.put_under(write, lead, lease);
    }

    /// The same, for a flight that may be over before: the lease isn't.
    pub(super) fn put_under(self: &Arc<Self>, write: Write, lead: Option<Lead>, lease: Option<Lease>) {
        let shared = self.clone();
        self.write(async move {
            let _lead = lead;
            shared.put_now(write).await;
            if let Some(lease) = lease {
                lease.settle();
            }
        });
    }

    /// Writes an entry, and what else has to know of it.
    pub(super) async fn put_now(&self, Write { primary, key, mut entry, began, beside, confirms }: Write) -> bool {
        let variant = entry.head().selecting().cloned();
        let _first = if variant.is_some() { Some(self.first(&primary).await) } else { None };
        // What began earlier may end later. A far store isn't asked for it.
        if let Peek::Found(current) = self.store.peek(&key)
            && current.head().lifetime().received_at > entry.head().lifetime().received_at
        {
            self.stats.outdated.increment();
            return false;
        }
        if let Some(confirmed) = confirms
            && let Ok(Some(current)) = self.store.get(&key).await
            && !current.is_as_old_as(&confirmed)
        {
            // Another answer came while this one was confirmed.
            return false;
        }
        if let Some(variant) = variant.filter(|_| beside && primary == key) {
            // Those that were added since are kept.
            if let Ok(Some(current)) = self.store.get(&primary).await
                && let Some(known) = current.head().selecting().filter(|known| known.is_related(&variant))
            {
                let now = self.now();
                let head = entry.head().clone().variant(Some(variant.with_siblings(known.siblings())));
                let longer = current.head().lifetime().kept_in(now).filter(|_| !known.siblings().is_empty());
                entry = entry.with_head(head.kept_for(longer.unwrap_or_default(), now));
            }
        }
        if !self.keep(&key, entry.clone(), began).await {
            return false;
        }
        if primary != key {
            self.adopt(&primary, &entry, began).await;
        }
        true
    }

    async fn first(&self, primary: &Key) -> MutexGuard<'_, ()> {
        self.firsts[usize::from(primary.digest()[0]) % FIRSTS].lock().await
    }

    /// Writes an entry, unless it was purged since its fetch began; whether it is there.
    pub(super) async fn keep(&self, key: &Key, entry: Entry, began: Began) -> bool {
        if self.purges.forbid(&began, key, &entry) {
            self.stats.outdated.increment();
            return false;
        }
        let kept = self.store.put_fenced(key, entry.clone(), began.fence).await;
        match &kept {
            Ok(true) => {
                self.stats.stored.increment();
                self.stats.stored_bytes.add(entry.body().data().len() as u64);
            }
            Ok(false) => {}
            Err(error) => {
                self.stats.store_write_errors.increment();
                warn("a write failed", error);
            }
        }
        // A purge that came while this was written may have missed it.
        let forbidden = self.purges.forbid(&began, key, &entry);
        // If another process purged it, the store says so, and this process may have heard of it: it is one answer.
        if forbidden || matches!(kept, Ok(false)) {
            self.stats.outdated.increment();
        }
        if forbidden {
            self.forget(key).await;
        }
        matches!(kept, Ok(true)) && !forbidden
    }

    /// Removes an entry, behind the response if need be.
    pub(super) fn remove(self: &Arc<Self>, key: Key) {
        let shared = self.clone();
        self.write(async move { shared.forget(&key).await });
    }

    pub(super) fn write(&self, write: impl Future<Output = ()> + Send + 'static) {
        let stats = self.stats.clone();
        if !self.writes.begin(write, move || stats.store_write_errors.increment()) {
            self.stats.store_writes_dropped.increment();
        }
    }
}
