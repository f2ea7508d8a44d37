//! What was purged or invalidated lately: a fetch that began before is not stored after it, and what an unsafe request changed is
//! not served.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use http::request::Parts;
use quick_cache::sync::Cache;

use super::slot::around;
use crate::{
    coalesce::Marks,
    entry::Entry,
    fingerprint::normalized,
    header::host::authority,
    key::{Key, KeyBuilder},
    store::{Fence, Recent, Seen},
    tag::Selector,
};

/// For how many URIs it is remembered that they were invalidated. What the request that changed one can be answered with is
/// removed from the store besides; this is for what other credentials can be answered with.
const TARGETS: usize = 65_536;

pub(super) struct Purges {
    recent: Recent,
    /// How many invalidations there have been.
    invalidations: AtomicU64,
    /// When the last of them was, in nanoseconds since 1970.
    latest: AtomicU64,
    /// The last for each URI, and for each key that was made for one.
    targets: Cache<u64, Invalidated>,
}

#[derive(Clone, Copy, Debug)]
struct Invalidated {
    number: u64,
    at: SystemTime,
}

/// How far things were when a fetch began, and what it fetches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    purges: Seen,
    /// How far the purges of other processes were known.
    pub(super) fence: Fence,
    invalidations: u64,
    pub(super) marks: Marks,
}

impl Default for Purges {
    fn default() -> Self {
        Self {
            recent: Recent::default(),
            invalidations: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            targets: Cache::new(TARGETS),
        }
    }
}

impl Purges {
    /// Noted by a fetch when it begins. `key` is that of the whole answer to GET.
    pub(super) fn begin(&self, request: &Parts, key: Option<&Key>, fence: Fence) -> Began {
        Began {
            purges: self.recent.seen(),
            fence,
            invalidations: self.invalidations.load(Ordering::Acquire),
            marks: self.marks(request, key),
        }
    }

    /// The same, after what was changed since: the fetch is of what came of it.
    pub(super) fn past_changes(&self, began: Began) -> Began {
        Began { invalidations: self.invalidations.load(Ordering::Acquire), ..began }
    }

    /// Adds a purge, before the store is purged.
    pub(super) fn add(&self, selector: Selector) {
        self.recent.add(selector);
    }

    /// From now on nothing that was received before is served for this request's URI, or stored under its key.
    pub(super) fn invalidate(&self, request: &Parts, key: Option<&Key>, at: SystemTime) -> Marks {
        let marks = self.marks(request, key);
        self.invalidate_marked(marks, at);
        marks
    }

    /// The same, as another process says it.
    pub(super) fn invalidate_marked(&self, marks: Marks, at: SystemTime) {
        let number = self.invalidations.fetch_add(1, Ordering::AcqRel) + 1;
        self.latest.fetch_max(nanos(at), Ordering::AcqRel);
        for mark in marks {
            // Another may have been quicker.
            if self.targets.get(&mark).is_none_or(|last| last.number < number) {
                self.targets.insert(mark, Invalidated { number, at });
            }
        }
    }

    /// Whether the URI of a request was invalidated after an entry was received.
    pub(super) fn invalidated(&self, request: &Parts, received_at: SystemTime) -> bool {
        // Most entries are younger than the last of them.
        let latest = self.latest.load(Ordering::Acquire);
        latest > 0
            && nanos(received_at) < latest
            && self.targets.get(&self.target(request)).is_some_and(|invalidated| received_at < invalidated.at)
    }

    /// Whether anything since it began forbids an entry to be stored.
    pub(super) fn forbid(&self, began: &Began, key: &Key, entry: &Entry) -> bool {
        self.purged(began, key, entry) || self.has_changed(began)
    }

    /// Whether what is being fetched was invalidated since.
    pub(super) fn has_changed(&self, began: &Began) -> bool {
        let since = |mark| self.targets.get(mark).is_some_and(|last| last.number > began.invalidations);
        self.invalidations.load(Ordering::Acquire) > began.invalidations && began.marks.iter().any(since)
    }

    fn purged(&self, began: &Began, key: &Key, entry: &Entry) -> bool {
        self.recent.any_since(began.purges, |selector| match selector {
            Selector::Key(parent) if entry.head().selecting().is_none() => {
                parent == key || around(parent).contains(key)
            }
            Selector::Key(_) | Selector::Tag(_) | Selector::Label(_) | Selector::All => {
                selector.may_mean(key, entry.head().tag_list())
            }
        })
    }

    fn marks(&self, request: &Parts, key: Option<&Key>) -> Marks {
        let target = self.target(request);
        [target, key.map_or(target, mark_of)]
    }

    fn target(&self, request: &Parts) -> u64 {
        let uri = &request.uri;
        // All processes that share a store make the same of it, and nobody can make two URIs the same.
        let target = KeyBuilder::new("target").field("authority", &*authority(request));
        let target = target.field("path", normalized(uri.path())).optional("query", uri.query().map(normalized));
        mark_of(&target.finish())
    }
}

/// Any eight bytes of a digest are a hash of it.
fn mark_of(key: &Key) -> u64 {
    key.digest().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Purges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Purges").field("recent", &self.recent).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, Request, StatusCode};

    use super::*;
    use crate::{
        entry::{Frames, Head, Lifetime},
        key::KeyBuilder,
    };

    fn get(uri: &str) -> Parts {
        Request::get(uri).body(()).expect("request").into_parts().0
    }

    #[test]
    fn an_invalidation_means_what_was_fetched_for_its_uri_before() {
        let purges = Purges::default();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        let entry = Entry::new(
            Head::new(StatusCode::OK, HeaderMap::new(), Lifetime::new(at, Duration::ZERO)),
            Frames::default(),
        );
        let key = KeyBuilder::new("test").finish();
        let (before, other) = (
            purges.begin(&get("http://a/x?q"), None, Fence::default()),
            purges.begin(&get("http://a/x"), None, Fence::default()),
        );
        purges.invalidate(&get("http://A:80/%78?q"), Some(&key), at);
        let (spelled, later) = (get("http://a/y"), get("http://a/z"));
        let same_key = Began { invalidations: 0, ..purges.begin(&spelled, Some(&key), Fence::default()) };
        assert!(purges.forbid(&same_key, &key, &entry), "another URI, but the same key");
        assert!(!purges.forbid(
            &Began { invalidations: 0, ..purges.begin(&later, None, Fence::default()) },
            &key,
            &entry
        ));
        let after = purges.begin(&get("http://a/x?q"), None, Fence::default());
        assert!(purges.forbid(&before, &key, &entry));
        assert!(!purges.forbid(&other, &key, &entry) && !purges.forbid(&after, &key, &entry));
        assert!(purges.invalidated(&get("http://a/x?q"), at - Duration::from_secs(1)));
        assert!(!purges.invalidated(&get("http://a/x?q"), at), "what came after it is good");
        assert!(!purges.invalidated(&get("http://b/x?q"), SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn only_a_purge_that_means_the_entry_and_came_later_forbids_it() {
        let lifetime = Lifetime::new(SystemTime::UNIX_EPOCH, Duration::ZERO);
        let entry = Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime), Frames::default());
        let key = |label| KeyBuilder::new("test").label(label).finish();
        let purges = Purges::default();
        let request = get("/");
        let first = purges.begin(&request, None, Fence::default());
        purges.add(Selector::All);
        let began = purges.begin(&request, None, Fence::default());
        assert!(!purges.forbid(&began, &key("a"), &entry));
        purges.add(Selector::label("b"));
        assert!(!purges.forbid(&began, &key("a"), &entry));
        assert!(purges.forbid(&began, &key("b"), &entry));
        assert!(purges.forbid(&first, &key("a"), &entry), "the first one means all");
    }
}
