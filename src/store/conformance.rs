//! The suite that every store passes, larder's own and yours.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use larder::store::{Memory, conformance};
//!
//! conformance::check(|clock| Memory::builder(64 << 20).clock(clock).build().unwrap()).await;
//! # });
//! ```

use std::{future::Future, num::NonZeroU8, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Listed, Listing, Peek, Store};
use crate::{
    clock::{Clock as _, ManualClock},
    entry::{Entry, FramesBuilder, Head, Lifetime, Note, Rendering, Variant},
    key::{Key, KeyBuilder},
    tag::{Selector, Tag},
};

/// Runs the whole suite. `make` gives an empty store that takes its time from the clock, each time it is called; a store that
/// can't do so may leave the clock alone, as long as it leaves expired entries to the cache.
///
/// # Panics
///
/// With the name of the law that the store breaks.
pub async fn check<S, M>(make: M)
where
    S: Store,
    M: Fn(ManualClock) -> S,
{
    check_async(|clock| std::future::ready(make(clock))).await;
}

/// The same for a store that takes time to make.
///
/// # Panics
///
/// With the name of the law that the store breaks.
pub async fn check_async<S, M, F>(make: M)
where
    S: Store,
    M: Fn(ManualClock) -> F,
    F: Future<Output = S>,
{
    let clock = ManualClock::new(std::time::SystemTime::now());
    let suite = Suite { clock };
    suite.keeps_what_is_put(&make(suite.clock.clone()).await).await;
    suite.replaces_and_removes(&make(suite.clock.clone()).await).await;
    suite.peeks_only_what_it_has(&make(suite.clock.clone()).await).await;
    suite.never_serves_what_is_gone(&make(suite.clock.clone()).await).await;
    suite.purges_what_is_meant(&make(suite.clock.clone()).await).await;
    suite.keeps_keys_apart(&make(suite.clock.clone()).await).await;
    suite.stands_concurrent_use(&make(suite.clock.clone()).await).await;
    suite.lists_what_it_has(&make(suite.clock.clone()).await).await;
    suite.works_behind_a_pointer(make(suite.clock.clone()).await).await;
}

struct Suite {
    clock: ManualClock,
}

impl Suite {
    async fn keeps_what_is_put<S: Store>(&self, store: &S) {
        let key = key("kept", "a");
        assert!(get(store, &key).await.is_none(), "an empty store has no entries");
        for (name, entry) in self.samples() {
            put(store, &key, &entry).await;
            let Some(kept) = get(store, &key).await else { panic!("an entry that was put is there: {name}") };
            assert_same(&kept, &entry, name);
        }
    }

    async fn replaces_and_removes<S: Store>(&self, store: &S) {
        let key = key("replaced", "a");
        put(store, &key, &self.entry("one", &[])).await;
        put(store, &key, &self.entry("two", &[])).await;
        let kept = get(store, &key).await.map(|entry| entry.body().data().clone());
        assert_eq!(kept.as_deref(), Some(&b"two"[..]), "the last entry that was put is the one that is kept");
        assert!(store.remove(&key).await.expect("remove"), "removing an entry says that there was one");
        assert!(!store.remove(&key).await.expect("remove"), "removing nothing says that there was none");
        assert!(get(store, &key).await.is_none(), "a removed entry is gone");
    }

    async fn peeks_only_what_it_has<S: Store>(&self, store: &S) {
        let key = key("peeked", "a");
        assert!(!matches!(store.peek(&key), Peek::Found(_)), "peek finds nothing in an empty store");
        put(store, &key, &self.entry("one", &[])).await;
        match store.peek(&key) {
            Peek::Found(entry) => assert_same(&entry, &self.entry("one", &[]), "peek"),
            Peek::Unknown => {}
            Peek::Absent => panic!("peek says that an entry is absent that get has"),
        }
    }

    async fn never_serves_what_is_gone<S: Store>(&self, store: &S) {
        let key = key("expired", "a");
        let mut lifetime = Lifetime::new(self.clock.now(), Duration::from_secs(10));
        lifetime.stale_if_error = Duration::from_secs(5);
        put(store, &key, &Entry::new(head(lifetime), FramesBuilder::new(0, false).finish())).await;
        self.clock.advance(Duration::from_secs(14));
        assert!(get(store, &key).await.is_some(), "an entry is kept through its stale windows");
        self.clock.advance(Duration::from_secs(1));
        if let Some(entry) = get(store, &key).await {
            // Left to the cache, which looks at the lifetime: then it has to be the right one.
            assert!(entry.head().lifetime().kept_in(self.clock.now()).is_none(), "a lifetime is kept as it was put");
        }
    }

    async fn purges_what_is_meant<S: Store>(&self, store: &S) {
        let names = [("chat:gpt-4o", "a"), ("chat:gpt-4o", "b"), ("chat:claude", "c"), ("models:all", "d")];
        let fill = async || {
            for (label, name) in names {
                let tags: &[&str] = if name < "c" { &["openai", name] } else { &[name] };
                put(store, &key(label, name), &self.entry(name, tags)).await;
            }
        };
        let left = async || {
            let mut left = String::new();
            for (label, name) in names {
                left.push_str(if get(store, &key(label, name)).await.is_some() { name } else { "" });
            }
            left
        };
        let tag = |text| Selector::Tag(Tag::new(text).expect("tag"));
        let cases = [
            (Selector::Key(key("chat:gpt-4o", "a")), 1, "bcd"),
            (tag("openai"), 2, "cd"),
            (tag("c"), 1, "abd"),
            (tag("absent"), 0, "abcd"),
            (Selector::label("chat:*"), 3, "d"),
            (Selector::label("chat:gpt-4?"), 2, "cd"),
            (Selector::label("chat"), 0, "abcd"),
            (Selector::All, 4, ""),
        ];
        for (selector, count, expected) in cases {
            fill().await;
            let purged = store.purge(&selector).await.expect("purge");
            assert_eq!(purged, count, "a purge says how many entries it removed: {selector:?}");
            assert_eq!(left().await, expected, "a purge removes what is meant, and nothing else: {selector:?}");
        }
        assert_eq!(store.purge(&Selector::All).await.expect("purge"), 0, "an empty store has nothing to purge");
    }

    async fn keeps_keys_apart<S: Store>(&self, store: &S) {
        let keys = ["a", "b", "c"].map(|name| key("same label", name));
        for (index, key) in keys.iter().enumerate() {
            put(store, key, &self.entry(&index.to_string(), &[])).await;
        }
        for (index, key) in keys.iter().enumerate() {
            let kept = get(store, key).await.map(|entry| entry.body().data().clone());
            assert_eq!(kept, Some(Bytes::from(index.to_string())), "keys with one label are kept apart");
        }
        let usage = store.usage().await.expect("usage");
        assert!(usage.entries >= 3, "usage counts entries: {usage:?}");
    }

    async fn stands_concurrent_use<S: Store>(&self, store: &S) {
        let work = (0..32u8).map(|worker| async move {
            for round in 0..8u8 {
                let key = key("busy", &format!("{}", (worker + round) % 4));
                let text = format!("{worker}-{round}");
                put(store, &key, &self.entry(&text, &[&text])).await;
                if let Some(entry) = get(store, &key).await {
                    let text = String::from_utf8_lossy(entry.body().data()).into_owned();
                    let tags: Vec<_> = entry.head().tag_list().iter().map(Tag::as_str).collect();
                    assert_eq!(tags, [text.as_str()], "an entry is never put together from two");
                }
                if round == 3 {
                    store.purge(&Selector::Tag(Tag::new(&text).expect("tag"))).await.expect("purge");
                }
            }
        });
        all(work).await;
    }

    /// A store that lists nothing says so, and is excused.
    async fn lists_what_it_has<S: Store>(&self, store: &S) {
        let names: Vec<_> = (0..50).map(|number| number.to_string()).collect();
        let of = |name: &String| key(if name.len() < 2 { "listed:short" } else { "listed:long" }, name);
        if store.list(&Listing::new(Selector::All)).await.is_err_and(|error| error.is_unsupported()) {
            return;
        }
        assert!(listed(store, Selector::All, 7).await.is_empty(), "an empty store lists nothing");
        for name in &names {
            put(store, &of(name), &self.entry(name, &[if name.ends_with('0') { "round" } else { "odd" }])).await;
        }
        let tag = |text| Selector::Tag(Tag::new(text).expect("tag"));
        let cases = [
            (Selector::All, names.clone()),
            (Selector::label("listed:*"), names.clone()),
            (Selector::label("listed:sh*"), names[..10].to_vec()),
            (Selector::label("other"), Vec::new()),
            (tag("round"), names.iter().step_by(10).cloned().collect()),
            (tag("absent"), Vec::new()),
            (Selector::Key(of(&names[3])), vec![names[3].clone()]),
            (Selector::Key(key("listed:short", "absent")), Vec::new()),
        ];
        for (selector, names) in cases {
            for limit in [1, 7, 1000] {
                let mut found: Vec<_> = listed(store, selector.clone(), limit).await;
                found.sort_by_key(|listed| *listed.key.digest());
                found.dedup_by(|one, other| one.key == other.key);
                let mut expected: Vec<_> = names.iter().map(&of).collect();
                expected.sort_by_key(|key| *key.digest());
                let keys: Vec<_> = found.iter().map(|listed| listed.key.clone()).collect();
                assert_eq!(
                    keys, expected,
                    "a listing has every entry that is meant, and no other: {selector:?}, {limit}"
                );
            }
        }
        let selector = Selector::Key(of(&names[20]));
        let page = store.list(&Listing::new(selector)).await.expect("list");
        let [one] = &page.entries[..] else { panic!("there is one entry of a key: {page:?}") };
        let entry = self.entry("20", &["round"]);
        assert_eq!((one.key.label(), one.received_at), ("listed:long", entry.head().lifetime().received_at));
        assert_eq!(one.status, Some(StatusCode::OK), "a listing has the status");
        assert_eq!(one.lifetime.as_ref(), Some(entry.head().lifetime()), "a listing has the lifetime");
        assert_eq!(one.tags, entry.head().tag_list(), "a listing has the tags");
        assert!(one.size > 0, "an entry takes room");
        let wrong = Listing::new(Selector::All).after(super::Cursor::new("no cursor at all"));
        let error = store.list(&wrong).await.expect_err("a cursor that the store didn't give");
        assert!(error.is_bad_cursor(), "it says that of the cursor: {error}");
    }

    async fn works_behind_a_pointer<S: Store>(&self, store: S) {
        let store = store.boxed();
        let key = key("boxed", "a");
        put(&store, &key, &self.entry("one", &["t"])).await;
        assert!(get(&store, &key).await.is_some(), "a boxed store is the same store");
        assert!(store.health().await.is_up(), "a working store says so");
        let tiers = store.checkup().await;
        assert!(!tiers.is_empty() && tiers.iter().all(|tier| tier.health.is_up()), "and so does each of its tiers");
        assert_eq!(store.purge(&Selector::All).await.expect("purge"), 1, "a boxed store purges");
    }

    fn entry(&self, body: &str, tags: &[&str]) -> Entry {
        let tags = tags.iter().map(|tag| Tag::new(tag).expect("tag")).collect();
        let head = head(Lifetime::new(self.clock.now(), Duration::from_secs(60))).tags(tags);
        let mut frames = FramesBuilder::new(0, false);
        frames.push(body.as_bytes());
        Entry::new(head, frames.finish())
    }

    fn samples(&self) -> Vec<(&'static str, Entry)> {
        let mut lifetime = Lifetime::new(self.clock.now(), Duration::from_millis(60_500));
        lifetime.initial_age = Duration::from_secs(3);
        lifetime.stale_while_revalidate = Duration::from_secs(4);
        lifetime.stale_if_error = Duration::from_secs(5);
        lifetime.retain = Duration::from_secs(6);
        lifetime.must_revalidate = true;
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.insert("x-bytes", HeaderValue::from_bytes(b"\xfe\xff").expect("obs-text"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        let mut request = HeaderMap::new();
        request.insert("accept", HeaderValue::from_static("text/html"));
        let names = [HeaderName::from_static("accept"), HeaderName::from_static("x-absent")];
        let rich = Head::new(StatusCode::from_u16(599).expect("status"), headers.clone(), lifetime)
            .tags(vec![Tag::new("one").expect("tag"), Tag::new("two").expect("tag")])
            .variant(Some(Variant::of(&names, &request, u64::MAX)))
            .rendered(Some(Rendering::new(NonZeroU8::MAX)))
            .note(Some(Note::new(Bytes::from_static(b"a note"))));
        let mut stream = FramesBuilder::new(0, true);
        (0..100).for_each(|event| stream.push(format!("data: {event}\n\n").as_bytes()));
        stream.trailers(headers);
        let mut large = FramesBuilder::new(0, false);
        large.push(&(0..1_000_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
        vec![
            ("an empty body", self.entry("", &[])),
            ("a short body", self.entry("hello", &["tag"])),
            ("every field that there is", Entry::new(rich, stream.finish())),
            ("a megabyte", Entry::new(head(Lifetime::new(self.clock.now(), Duration::from_secs(60))), large.finish())),
        ]
    }
}

fn key(label: &str, name: &str) -> Key {
    KeyBuilder::new("conformance").field("name", name).label(label).finish()
}

fn head(lifetime: Lifetime) -> Head {
    Head::new(StatusCode::OK, HeaderMap::new(), lifetime)
}

async fn get<S: Store>(store: &S, key: &Key) -> Option<Entry> {
    store.get(key).await.expect("get")
}

async fn put<S: Store>(store: &S, key: &Key, entry: &Entry) {
    store.put(key, entry.clone()).await.expect("put");
}

/// Every page of a listing.
async fn listed<S: Store>(store: &S, selector: Selector, limit: usize) -> Vec<Listed> {
    let mut listing = Listing::new(selector).limit(limit);
    let mut found = Vec::new();
    for _ in 0..10_000 {
        let page = store.list(&listing).await.expect("list");
        assert!(page.entries.len() <= 2 * limit + 100, "a page has about as many entries as it was asked for");
        assert!(!page.is_partial, "nothing is left out where all is well");
        found.extend(page.entries);
        match page.next {
            Some(next) => listing = listing.after(next),
            None => return found,
        }
    }
    panic!("a listing comes to an end");
}

/// Polls all of them, in turn, until each is done.
async fn all(work: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut work: Vec<_> = work.map(|one| Some(Box::pin(one))).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut work {
            if slot.as_mut().is_some_and(|one| one.as_mut().poll(cx).is_ready()) {
                *slot = None;
            }
        }
        if work.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn assert_same(kept: &Entry, put: &Entry, what: &str) {
    let (a, b) = (kept.head(), put.head());
    assert_eq!(a.status(), b.status(), "the status comes back: {what}");
    assert_eq!(a.headers(), b.headers(), "the fields come back: {what}");
    assert_eq!(a.lifetime(), b.lifetime(), "the lifetime comes back: {what}");
    assert_eq!(a.tag_list(), b.tag_list(), "the tags come back: {what}");
    assert_eq!(a.selecting(), b.selecting(), "the variant comes back: {what}");
    assert_eq!(a.rendering(), b.rendering(), "the rendering comes back: {what}");
    assert_eq!(a.noted().and_then(Note::text), b.noted().and_then(Note::text), "the note comes back: {what}");
    let (a, b) = (kept.body(), put.body());
    assert_eq!(a.data(), b.data(), "the body comes back: {what}");
    assert_eq!(a.trailers(), b.trailers(), "the trailers come back: {what}");
    let frames = |frames: &crate::entry::Frames| (0..frames.count()).map(|at| frames.get(at)).collect::<Vec<_>>();
    assert_eq!(frames(a), frames(b), "the frames come back: {what}");
}
