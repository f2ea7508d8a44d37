//! [`BoxStore`]: any store behind a pointer. The trait for users has `async` methods; its twin here is object-safe.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use super::{Change, Checkup, Claim, Fence, Health, Listener, Listing, Page, Peek, Result, Store, Tier, Usage};
use crate::{entry::Entry, key::Key, tag::Selector};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait ErasedStore: Send + Sync + 'static {
    fn peek(&self, key: &Key) -> Peek;
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>>;
    fn put<'a>(&'a self, key: &'a Key, entry: Entry) -> BoxFuture<'a, Result<()>>;
    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>>;
    fn purge<'a>(&'a self, selector: &'a Selector) -> BoxFuture<'a, Result<u64>>;
    fn usage(&self) -> BoxFuture<'_, Result<Usage>>;
    fn health(&self) -> BoxFuture<'_, Health>;
    fn list<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<Page>>;
    fn checkup(&self) -> BoxFuture<'_, Vec<Checkup>>;
    fn fence(&self) -> Fence;
    fn put_fenced<'a>(&'a self, key: &'a Key, entry: Entry, fence: Fence) -> BoxFuture<'a, Result<bool>>;
    fn claim<'a>(&'a self, key: &'a Key, seen: Option<&'a Entry>) -> BoxFuture<'a, Claim>;
    fn listen(&self, listener: Listener);
    fn announce(&self, change: &Change);
    fn tiers(&self) -> Vec<Tier>;
}

impl<S: Store> ErasedStore for S {
    fn peek(&self, key: &Key) -> Peek {
        Store::peek(self, key)
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Entry>>> {
        Box::pin(Store::get(self, key))
    }

    fn put<'a>(&'a self, key: &'a Key, entry: Entry) -> BoxFuture<'a, Result<()>> {
        Box::pin(Store::put(self, key, entry))
    }

    fn remove<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<bool>> {
        Box::pin(Store::remove(self, key))
    }

    fn purge<'a>(&'a self, selector: &'a Selector) -> BoxFuture<'a, Result<u64>> {
        Box::pin(Store::purge(self, selector))
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage>> {
        Box::pin(Store::usage(self))
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(Store::health(self))
    }

    fn list<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<Page>> {
        Box::pin(Store::list(self, listing))
    }

    fn checkup(&self) -> BoxFuture<'_, Vec<Checkup>> {
        Box::pin(Store::checkup(self))
    }

    fn fence(&self) -> Fence {
        Store::fence(self)
    }

    fn put_fenced<'a>(&'a self, key: &'a Key, entry: Entry, fence: Fence) -> BoxFuture<'a, Result<bool>> {
        Box::pin(Store::put_fenced(self, key, entry, fence))
    }

    fn claim<'a>(&'a self, key: &'a Key, seen: Option<&'a Entry>) -> BoxFuture<'a, Claim> {
        Box::pin(Store::claim(self, key, seen))
    }

    fn listen(&self, listener: Listener) {
        Store::listen(self, listener);
    }

    fn announce(&self, change: &Change) {
        Store::announce(self, change);
    }

    fn tiers(&self) -> Vec<Tier> {
        Store::tiers(self)
    }
}

/// Any store behind a pointer; clones share it. Made by [`Store::boxed`].
#[derive(Clone)]
pub struct BoxStore(Arc<dyn ErasedStore>);

impl BoxStore {
    pub(super) fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for BoxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxStore").finish_non_exhaustive()
    }
}

impl Store for BoxStore {
    fn peek(&self, key: &Key) -> Peek {
        self.0.peek(key)
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.0.get(key).await
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<()> {
        self.0.put(key, entry).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.0.remove(key).await
    }

    async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.0.purge(selector).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.0.usage().await
    }

    async fn health(&self) -> Health {
        self.0.health().await
    }

    async fn list(&self, listing: &Listing) -> Result<Page> {
        self.0.list(listing).await
    }

    async fn checkup(&self) -> Vec<Checkup> {
        self.0.checkup().await
    }

    fn fence(&self) -> Fence {
        self.0.fence()
    }

    async fn put_fenced(&self, key: &Key, entry: Entry, fence: Fence) -> Result<bool> {
        self.0.put_fenced(key, entry, fence).await
    }

    async fn claim(&self, key: &Key, seen: Option<&Entry>) -> Claim {
        self.0.claim(key, seen).await
    }

    fn listen(&self, listener: Listener) {
        self.0.listen(listener);
    }

    fn announce(&self, change: &Change) {
        self.0.announce(change);
    }

    fn tiers(&self) -> Vec<Tier> {
        self.0.tiers()
    }

    fn boxed(self) -> BoxStore {
        self
    }
}
