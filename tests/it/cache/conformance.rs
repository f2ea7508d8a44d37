//! The suite for stores, held against stores that keep its laws and one that doesn't.

use larder::{
    entry::Entry,
    key::Key,
    store::{Listing, Memory, Page, Peek, Result, Store, Usage, conformance},
    tag::Selector,
};

use crate::support::{Far, memory};

#[tokio::test]
async fn the_memory_store_keeps_the_laws() {
    conformance::check(|clock| memory(&clock)).await;
}

#[tokio::test]
async fn a_store_that_has_to_be_asked_keeps_the_laws() {
    conformance::check(|clock| Far::new(memory(&clock))).await;
    conformance::check_async(|clock| async move { Far::new(memory(&clock)).boxed() }).await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    ForgetsWrites,
    LosesRenderings,
    KeepsTheFirst,
    RemovesNothing,
    PurgesTooMuch,
    MiscountsPurges,
    PeeksAbsent,
    MixesUpKeys,
    ListsAll,
    ListsOnePage,
}

#[derive(Debug)]
struct Broken(Memory, Flaw);

impl Store for Broken {
    fn peek(&self, key: &Key) -> Peek {
        if self.1 == Flaw::PeeksAbsent { Peek::Absent } else { self.0.peek(key) }
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.0.get(&self.place(key)).await
    }

    async fn put(&self, key: &Key, mut entry: Entry) -> Result<()> {
        if self.1 == Flaw::LosesRenderings {
            entry = entry.with_head(entry.head().clone().rendered(None));
        }
        let forgets = self.1 == Flaw::ForgetsWrites;
        if forgets || (self.1 == Flaw::KeepsTheFirst && self.0.get(key).await?.is_some()) {
            return Ok(());
        }
        self.0.put(&self.place(key), entry).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        if self.1 == Flaw::RemovesNothing { Ok(true) } else { self.0.remove(&self.place(key)).await }
    }

    async fn purge(&self, selector: &Selector) -> Result<u64> {
        if self.1 == Flaw::PurgesTooMuch {
            return self.0.purge(&Selector::All).await;
        }
        Ok(self.0.purge(selector).await? + u64::from(self.1 == Flaw::MiscountsPurges))
    }

    async fn usage(&self) -> Result<Usage> {
        self.0.usage().await
    }

    async fn list(&self, listing: &Listing) -> Result<Page> {
        let mut listing = listing.clone();
        if self.1 == Flaw::ListsAll {
            listing.selector = Selector::All;
        }
        let mut page = self.0.list(&listing).await?;
        page.next = page.next.filter(|_| self.1 != Flaw::ListsOnePage);
        Ok(page)
    }
}

impl Broken {
    fn place(&self, key: &Key) -> Key {
        if self.1 == Flaw::MixesUpKeys {
            return larder::key::KeyBuilder::new("mixed up").label(key.label()).finish();
        }
        key.clone()
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_law_is_found_out() {
    use Flaw::{
        ForgetsWrites, KeepsTheFirst, ListsAll, ListsOnePage, LosesRenderings, MiscountsPurges, MixesUpKeys,
        PeeksAbsent, PurgesTooMuch, RemovesNothing,
    };
    let flaws = [
        ForgetsWrites,
        LosesRenderings,
        KeepsTheFirst,
        RemovesNothing,
        PurgesTooMuch,
        MiscountsPurges,
        PeeksAbsent,
        MixesUpKeys,
        ListsAll,
        ListsOnePage,
    ];
    for flaw in flaws {
        let check = conformance::check(move |clock| Broken(memory(&clock), flaw));
        let found = tokio::task::LocalSet::new().run_until(async { tokio::task::spawn_local(check).await }).await;
        assert!(found.expect_err("a law is broken").is_panic(), "{flaw:?}");
    }
}
