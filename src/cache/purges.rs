//! What was purged lately: a fetch that began before a purge is not stored after it.

use std::{
    collections::VecDeque,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{entry::Entry, key::Key, tag::Selector};

/// How many purges are remembered. A fetch that has seen more of them pass is not stored, to be safe.
const REMEMBERED: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Purges {
    /// How many there have been.
    count: AtomicU64,
    /// The last of them, the newest at the back.
    recent: RwLock<VecDeque<Selector>>,
}

impl Purges {
    /// How many there have been; a fetch notes it when it begins.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Adds one, before the store is purged.
    pub(super) fn add(&self, selector: Selector) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(selector);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether one of those since the first `began` means this entry.
    pub(super) fn forbid(&self, began: u64, key: &Key, entry: &Entry) -> bool {
        if self.count() == began {
            return false;
        }
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let since = usize::try_from(self.count() - began).unwrap_or(usize::MAX);
        since > recent.len()
            || recent.iter().rev().take(since).any(|selector| match selector {
                // A variant has a key of its own, but its parent's label.
                Selector::Key(parent) if entry.head().selecting().is_some() => parent.label() == key.label(),
                Selector::Key(_) | Selector::Tag(_) | Selector::Label(_) | Selector::All => {
                    selector.matches(key, entry.head().tag_list())
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::{
        entry::{Frames, Head, Lifetime},
        key::KeyBuilder,
    };

    #[test]
    fn only_a_purge_that_means_the_entry_and_came_later_forbids_it() {
        let lifetime = Lifetime::new(SystemTime::UNIX_EPOCH, Duration::ZERO);
        let entry = Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime), Frames::default());
        let key = |label| KeyBuilder::new("test").label(label).finish();
        let purges = Purges::default();
        purges.add(Selector::All);
        let began = purges.count();
        assert!(!purges.forbid(began, &key("a"), &entry));
        purges.add(Selector::label("b"));
        assert!(!purges.forbid(began, &key("a"), &entry));
        assert!(purges.forbid(began, &key("b"), &entry));
        assert!(purges.forbid(0, &key("a"), &entry), "the first one means all");
        (0..REMEMBERED).for_each(|_| purges.add(Selector::label("c")));
        assert!(purges.forbid(began, &key("a"), &entry), "too many to be remembered");
    }
}
