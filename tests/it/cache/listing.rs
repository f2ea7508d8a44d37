//! Listings of entries: by memory, and by tiers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use larder::{
    clock::{Clock as _, ManualClock},
    entry::{Entry, Frames, Head, Lifetime},
    key::{Key, KeyBuilder},
    store::{Listed, Listing, Page, Store, Tiered},
    tag::{Selector, Tag},
};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{Far, Fault, Origin, ask, full, get, memory, reply, settle, text};

fn key(name: &str) -> Key {
    KeyBuilder::new("test").field("name", name).label(name).finish()
}

fn entry(clock: &ManualClock, body: &'static str, tags: &[&str]) -> Entry {
    let head = Head::new(StatusCode::OK, HeaderMap::new(), Lifetime::new(clock.now(), 60 * SECOND));
    let head = head.tags(tags.iter().map(|tag| Tag::new(tag).expect("a tag")).collect());
    Entry::new(head, Frames::whole(Bytes::from_static(body.as_bytes())))
}

async fn page<S: Store>(store: &S, listing: &Listing) -> Page {
    store.list(listing).await.expect("a listing")
}

/// All entries, by label.
async fn all<S: Store>(store: &S, limit: usize) -> Vec<Listed> {
    let (mut listing, mut found) = (Listing::new(Selector::All).limit(limit), Vec::new());
    loop {
        let page = page(store, &listing).await;
        found.extend(page.entries);
        let Some(next) = page.next else { break };
        listing = listing.after(next);
    }
    found.sort_by(|one, other| one.key.label().cmp(other.key.label()));
    found
}

fn labels(entries: &[Listed]) -> Vec<&str> {
    entries.iter().map(|listed| listed.key.label()).collect()
}

#[tokio::test]
async fn pages_are_no_longer_than_they_are_asked_for_and_what_comes_meanwhile_shifts_none() {
    let clock = ManualClock::default();
    let store = memory(&clock);
    for name in 0..10 {
        store.put(&key(&format!("old-{name}")), entry(&clock, "", &[])).await.expect("put");
    }
    let mut found = Vec::new();
    let mut listing = Listing::new(Selector::label("old-*")).limit(3);
    for number in 0.. {
        store.put(&key(&format!("new-{number}")), entry(&clock, "", &[])).await.expect("put");
        let page = page(&store, &listing).await;
        assert!(page.entries.len() <= 3, "{page:?}");
        found.extend(page.entries);
        let Some(next) = page.next else { break };
        listing = listing.after(next);
    }
    found.sort_by(|one, other| one.key.label().cmp(other.key.label()));
    let expected: Vec<_> = (0..10).map(|name| format!("old-{name}")).collect();
    assert_eq!(labels(&found), expected);
}

#[tokio::test]
async fn what_has_expired_is_not_listed() {
    let clock = ManualClock::default();
    let store = memory(&clock);
    store.put(&key("a"), entry(&clock, "", &[])).await.expect("put");
    clock.advance(Duration::from_secs(59));
    assert_eq!(labels(&all(&store, 9).await), ["a"]);
    clock.advance(SECOND);
    assert!(all(&store, 9).await.is_empty());
    assert!(page(&store, &Listing::new(Selector::Key(key("a")))).await.entries.is_empty());
}

#[tokio::test]
async fn hits_are_counted_for_each_entry_and_looking_at_a_list_is_no_hit() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[("cache-control", "max-age=60"), ("cache-tag", "t")], full("hello")));
    let layer = http(&clock).build();
    let (cache, handle) = (layer.layer(origin), layer.handle());
    for (path, times) in [("http://host/a", 4), ("http://host/b", 1)] {
        for _ in 0..times {
            text(ask(&cache, get(path, &[])).await).await;
        }
    }
    for _ in 0..2 {
        let page = handle.list(&Listing::new(Selector::All)).await.expect("a listing");
        let mut hits: Vec<_> = page.entries.iter().map(|listed| (listed.key.label(), listed.hits)).collect();
        hits.sort_unstable();
        assert_eq!(hits.iter().map(|(_, hits)| *hits).collect::<Vec<_>>(), [Some(3), Some(0)], "{hits:?}");
        let listed = &page.entries[0];
        assert_eq!((listed.status, &*listed.tiers), (Some(StatusCode::OK), &["memory"][..]));
        assert_eq!(listed.tags, [Tag::new("t").expect("a tag")]);
        assert!(listed.size > 5, "a body takes room");
        let key: Key = listed.key.to_string().parse().expect("a key is read from its text");
        assert_eq!(handle.entry(&key).await.expect("an answer").as_ref(), Some(listed));
    }
    assert_eq!(handle.entry(&key("absent")).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_store_that_cannot_list_says_so_and_still_finds_one_by_its_key() {
    struct Plain(larder::store::Memory);
    impl Store for Plain {
        async fn get(&self, key: &Key) -> larder::store::Result<Option<Entry>> {
            self.0.get(key).await
        }
        async fn put(&self, key: &Key, entry: Entry) -> larder::store::Result<()> {
            self.0.put(key, entry).await
        }
        async fn remove(&self, key: &Key) -> larder::store::Result<bool> {
            self.0.remove(key).await
        }
        async fn purge(&self, selector: &Selector) -> larder::store::Result<u64> {
            self.0.purge(selector).await
        }
        async fn usage(&self) -> larder::store::Result<larder::store::Usage> {
            self.0.usage().await
        }
    }
    let clock = ManualClock::default();
    let plain = std::sync::Arc::new(Plain(memory(&clock)));
    plain.put(&key("a"), entry(&clock, "", &[])).await.expect("put");
    let handle = larder::CacheLayer::new(plain.clone()).handle();
    let error = handle.list(&Listing::new(Selector::All)).await.expect_err("it can't");
    assert!(error.is_unsupported() && error.to_string().contains("by its key"), "{error}");
    let listed = handle.entry(&key("a")).await.expect("an answer").expect("it is there");
    assert_eq!((listed.key.label(), listed.status), ("a", Some(StatusCode::OK)));
    let checkup = handle.checkup().await;
    assert!(checkup.len() == 1 && checkup[0].name == "store" && checkup[0].health.is_up(), "{checkup:?}");
    // Before a store that can, it is left out, and that is said.
    let tiered = Tiered::new(memory(&clock), plain);
    let found = page(&tiered, &Listing::new(Selector::All)).await;
    assert!(found.is_partial && found.entries.is_empty(), "{found:?}");
}

#[tokio::test]
async fn tiers_are_listed_as_one_with_the_near_one_s_hits() {
    let clock = ManualClock::default();
    let (near, far) = (memory(&clock), memory(&clock));
    let store = Tiered::new(near.clone(), Far::new(far.clone()));
    for name in ["both-1", "both-2"] {
        store.put(&key(name), entry(&clock, "", &["t"])).await.expect("put");
    }
    near.put(&key("near"), entry(&clock, "", &["t"])).await.expect("put");
    far.put(&key("far"), entry(&clock, "", &["t"])).await.expect("put");
    settle().await;
    for _ in 0..3 {
        store.get(&key("both-1")).await.expect("an answer");
    }
    for limit in [1, 2, 3, 100] {
        let found = all(&store, limit).await;
        assert_eq!(labels(&found), ["both-1", "both-2", "far", "near"], "{limit}");
        assert_eq!(found[0].hits, Some(3));
        let tiers: Vec<_> = found.iter().map(|listed| listed.tiers.len()).collect();
        assert_eq!(tiers, [2, 2, 1, 1]);
    }
    for (name, tiers) in [("both-1", 2), ("near", 1), ("far", 1)] {
        let found = page(&store, &Listing::new(Selector::Key(key(name)))).await;
        assert_eq!(found.entries.iter().map(|listed| listed.tiers.len()).collect::<Vec<_>>(), [tiers], "{name}");
    }
    // What is served is what counts: the near one has lost the tag.
    near.put(&key("both-2"), entry(&clock, "", &[])).await.expect("put");
    let tag = Selector::Tag(Tag::new("t").expect("a tag"));
    let found = page(&store, &Listing::new(tag)).await;
    assert_eq!(found.entries.len(), 3, "{found:?}");
}

#[tokio::test]
async fn a_far_store_that_fails_leaves_the_near_one_s_entries_listed() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let store = Tiered::new(memory(&clock), far.clone());
    for name in ["a", "b", "c"] {
        store.put(&key(name), entry(&clock, "", &[])).await.expect("put");
    }
    settle().await;
    let first = page(&store, &Listing::new(Selector::All).limit(1)).await;
    far.gets(Fault::Fail);
    let found = page(&store, &Listing::new(Selector::All).limit(2)).await;
    assert!(found.is_partial && found.entries.len() == 2, "{found:?}");
    let rest = page(&store, &Listing::new(Selector::All).limit(2).after(found.next)).await;
    assert!(rest.is_partial && rest.entries.len() == 1 && rest.next.is_none(), "{rest:?}");
    let one = page(&store, &Listing::new(Selector::Key(key("a")))).await;
    assert!(one.is_partial && one.entries.len() == 1, "{one:?}");
    let error = store.list(&Listing::new(Selector::All).after(first.next)).await.expect_err("it can't go on");
    assert!(!error.is_bad_cursor(), "it may be able to later: {error}");
}
