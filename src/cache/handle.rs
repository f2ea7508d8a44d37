//! [`Handle`]: purges and figures, from outside the request's way.

use std::{fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Response, request::Parts};

use super::{body::Served, observe::Answer, shared::Shared, slot::around, wants::Asks};
use crate::{
    entry::Entry,
    fingerprint::{BodyUse, Fingerprint},
    key::Key,
    policy::{Admission, Policy},
    stats::{Outcome, Snapshot},
    store::{Checkup, Health, Listed, Listing, Page, Result, StaleLookup, Store, Tier, Usage},
    tag::Selector,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to purge and to look into a cache; clones share it.
#[derive(Clone)]
pub struct Handle(Arc<dyn Control>);

impl Handle {
    pub(super) fn new<St: Store, F: Fingerprint, P: Policy>(shared: Arc<Shared<St, F, P>>) -> Self {
        Self(shared)
    }

    /// Removes every entry that is meant; how many there were. What is being fetched meanwhile, and is meant, is not stored, and
    /// requests that come later don't join its fetch.
    ///
    /// # Errors
    ///
    /// What kept the store from removing all of them.
    pub async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.0.purge(selector).await
    }

    /// How much the store holds.
    ///
    /// # Errors
    ///
    /// What kept the store from answering.
    pub async fn usage(&self) -> Result<Usage> {
        self.0.usage().await
    }

    /// Whether the store works.
    pub async fn health(&self) -> Health {
        self.0.health().await
    }

    /// How each of the store's tiers is, the nearest first, asked now.
    pub async fn checkup(&self) -> Vec<Checkup> {
        self.0.checkup().await
    }

    /// What is known of the entries that are meant, without their bodies, a page at a time.
    ///
    /// # Errors
    ///
    /// What kept the store from answering; [`StoreError::is_unsupported`](crate::store::StoreError::is_unsupported) if it can't
    /// list its entries, and [`is_bad_cursor`](crate::store::StoreError::is_bad_cursor) for a cursor that it didn't give.
    pub async fn list(&self, listing: &Listing) -> Result<Page> {
        self.0.list(listing).await
    }

    /// What is known of the entry of a key without its body, whether or not the store can list entries. Variants of an answer, and
    /// its parts, have keys of their own, which [`list`](Self::list) gives. Keys are read from text by [`Key::from_str`](std::str::FromStr).
    ///
    /// # Errors
    ///
    /// What kept the store from answering.
    pub async fn entry(&self, key: &Key) -> Result<Option<Listed>> {
        self.0.entry(key).await
    }

    /// What the store's tiers went through, the nearest first.
    #[must_use]
    pub fn tiers(&self) -> Vec<Tier> {
        self.0.tiers()
    }

    /// The time by the cache's clock.
    #[cfg(feature = "admin")]
    pub(crate) fn now(&self) -> std::time::SystemTime {
        self.0.now()
    }

    /// What the cache did so far.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.0.stats()
    }
}

/// Finds an entry that may be used in place of an error, as the layer would. A request that the policy doesn't admit has none.
impl StaleLookup for Handle {
    fn stale<'a>(&'a self, head: &'a Parts, body: &'a Bytes) -> BoxFuture<'a, Option<Entry>> {
        self.0.stale(head.clone(), body)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// A layer without its types.
trait Control: Send + Sync {
    fn purge<'a>(&'a self, selector: &'a Selector) -> BoxFuture<'a, Result<u64>>;
    fn usage(&self) -> BoxFuture<'_, Result<Usage>>;
    fn health(&self) -> BoxFuture<'_, Health>;
    #[cfg(feature = "admin")]
    fn now(&self) -> std::time::SystemTime;
    fn checkup(&self) -> BoxFuture<'_, Vec<Checkup>>;
    fn list<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<Page>>;
    fn entry<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Listed>>>;
    fn stats(&self) -> Snapshot;
    fn tiers(&self) -> Vec<Tier>;
    fn stale<'a>(&'a self, head: Parts, body: &'a Bytes) -> BoxFuture<'a, Option<Entry>>;
}

impl<St: Store, F: Fingerprint, P: Policy> Control for Shared<St, F, P> {
    fn purge<'a>(&'a self, selector: &'a Selector) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.purges.add(selector.clone());
            self.flights.close(selector);
            let mut purged = self.store.purge(selector).await?;
            if let Selector::Key(key) = selector {
                for beside in around(key) {
                    purged += self.store.purge(&Selector::Key(beside)).await?;
                }
            }
            self.stats.purged.add(purged);
            Ok(purged)
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage>> {
        Box::pin(self.store.usage())
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(self.store.health())
    }

    #[cfg(feature = "admin")]
    fn now(&self) -> std::time::SystemTime {
        self.now()
    }

    fn checkup(&self) -> BoxFuture<'_, Vec<Checkup>> {
        Box::pin(self.store.checkup())
    }

    fn list<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<Page>> {
        Box::pin(self.store.list(listing))
    }

    fn entry<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Listed>>> {
        Box::pin(async move {
            match self.store.list(&Listing::new(Selector::Key(key.clone()))).await {
                Ok(page) => Ok(page.entries.into_iter().next()),
                Err(error) if error.is_unsupported() => {
                    let entry = self.store.get(key).await?;
                    Ok(entry.map(|entry| Listed::of(key.clone(), &entry)))
                }
                Err(error) => Err(error),
            }
        })
    }

    fn stats(&self) -> Snapshot {
        self.stats.snapshot()
    }

    fn tiers(&self) -> Vec<Tier> {
        self.store.tiers()
    }

    fn stale<'a>(&'a self, mut head: Parts, body: &'a Bytes) -> BoxFuture<'a, Option<Entry>> {
        Box::pin(async move {
            let Asks { directives, origin, .. } = Asks::of(&head);
            let is_known = match self.fingerprint.body(&head) {
                BodyUse::Empty => body.is_empty(),
                BodyUse::Buffer { limit } => body.len() <= limit,
                BodyUse::Ignore => true,
            };
            if directives.no_store || origin || !is_known || self.policy.admit(&head) != Admission::Admit {
                return None;
            }
            let identity = self.identity(&mut head, body)?;
            let entry = self.slot(&identity, &head, self.deadline()).await.entry?;
            let now = self.now();
            let may = entry.head().lifetime().may_replace_error(now, directives.stale_if_error)
                || entry.head().lifetime().fresh_in(now).is_some();
            may.then(|| {
                self.stats.is_to_be_answered(Outcome::StaleOnError);
                // Who renders it is another layer, and what an observer says of it is lost.
                drop(self.observed(
                    &head,
                    &identity.key,
                    Answer::Fallback,
                    entry.head().noted(),
                    Response::new(Served::Empty),
                ));
                entry
            })
        })
    }
}
