//! The last purges, for what was read or fetched before them and is to be kept after.

use std::{
    collections::VecDeque,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::tag::Selector;

/// How many purges are remembered. What has seen more of them pass is taken to be meant, to be safe.
const REMEMBERED: usize = 4096;

/// The last purges, in order.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    count: AtomicU64,
    /// The newest at the back.
    last: RwLock<VecDeque<Selector>>,
}

/// How many purges there had been at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u64);

impl Recent {
    /// How many there have been.
    pub(crate) fn seen(&self) -> Seen {
        Seen(self.count.load(Ordering::Acquire))
    }

    /// Adds one, before it is done.
    pub(crate) fn add(&self, selector: Selector) {
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(selector);
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether any since then means it; also if that is not known any more.
    pub(crate) fn any_since(&self, seen: Seen, means: impl Fn(&Selector) -> bool) -> bool {
        if self.seen() == seen {
            return false;
        }
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let since = usize::try_from(self.seen().0 - seen.0).unwrap_or(usize::MAX);
        since > last.len() || last.iter().rev().take(since).any(means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_since_count_and_too_many_count_as_one_that_means_it() {
        let recent = Recent::default();
        let is_all = |selector: &Selector| matches!(selector, Selector::All);
        let first = recent.seen();
        recent.add(Selector::All);
        let second = recent.seen();
        recent.add(Selector::label("a"));
        assert!(recent.any_since(first, is_all));
        assert!(!recent.any_since(second, is_all));
        (1..REMEMBERED).for_each(|_| recent.add(Selector::label("a")));
        assert!(!recent.any_since(second, is_all));
        recent.add(Selector::label("a"));
        assert!(recent.any_since(second, is_all), "not known any more");
        assert!(!recent.any_since(recent.seen(), |_| true));
    }
}
