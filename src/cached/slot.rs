//! [`Slot`]: a value as this process keeps it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};

use crate::{
    entry::{Entry, Frames, Head, Lifetime},
    key::Key,
    store::{Fence, Seen},
    tag::Tag,
};

/// For how long a value that couldn't be refreshed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// How far things were when a load, or a look-up in the far store, began.
#[derive(Debug)]
pub(super) struct Began {
    pub(super) seen: Seen,
    pub(super) fence: Fence,
    /// Those that are begun later have greater ones.
    pub(super) number: u64,
    /// Counts it among those under way until what it brought is verified.
    pub(super) _under_way: UnderWay,
}

/// One of those that are under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    pub(super) fn count(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::SeqCst);
        Self(all.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A value, or that there is none.
#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) key: Key,
    pub(super) value: Option<Arc<V>>,
    pub(super) lifetime: Lifetime,
    pub(super) tags: Box<[Tag]>,
    pub(super) weight: u64,
    pub(super) seen: Seen,
    pub(super) number: u64,
    /// How far the numbers were when its load ended; `None`: it was read from the far store.
    loaded: Option<u64>,
    /// Whether it was looked at, when it was near already, that no invalidation since its load began means it. One that comes later
    /// finds it there.
    verified: AtomicBool,
    /// Until when it isn't refreshed, in nanoseconds since 1970: that was tried, or is.
    paused_until: AtomicU64,
}

/// What a caller can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A value.
    Value,
    /// A value, or that there is none.
    Either,
}

impl<V> Slot<V> {
    pub(super) fn new(
        key: Key,
        value: Option<Arc<V>>,
        lifetime: Lifetime,
        tags: Vec<Tag>,
        weight: u64,
        began: &Began,
    ) -> Self {
        Self {
            key,
            value,
            lifetime,
            tags: tags.into(),
            weight,
            seen: began.seen,
            number: began.number,
            loaded: None,
            verified: AtomicBool::new(false),
            paused_until: AtomicU64::new(0),
        }
    }

    /// It was loaded here, and that ended just now.
    pub(super) fn loaded(mut self, number: u64) -> Self {
        self.loaded = Some(number);
        self
    }

    /// As if it had been loaded then.
    pub(super) fn begin_anew(&mut self, began: &Began) {
        (self.seen, self.number, self.loaded) = (began.seen, began.number, Some(began.number));
    }

    /// Whether another that comes now is older: of two loads the one that began earlier, and what was read from the far store while a
    /// load ended, or before.
    pub(super) fn outlives(&self, other: &Self) -> bool {
        match (self.loaded, other.loaded) {
            (Some(loaded), None) => loaded > other.number,
            (None, Some(_)) => false,
            (Some(_), Some(_)) | (None, None) => self.number > other.number,
        }
    }

    pub(super) fn serves(&self, want: Want) -> bool {
        self.value.is_some() || want == Want::Either
    }

    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        self.lifetime.fresh_in(now).is_some()
    }

    /// Whether it may be served while it is refreshed.
    pub(super) fn may_be_refreshed_behind(&self, now: SystemTime) -> bool {
        self.lifetime.stale_for(now) < self.lifetime.stale_while_revalidate
    }

    /// Whether it may be given to who waited for it. One that isn't kept at all was loaded just now.
    pub(super) fn is_of_use(&self, now: SystemTime) -> bool {
        self.lifetime.fresh_for.is_zero() || self.is_fresh(now) || self.may_be_refreshed_behind(now)
    }

    /// Whether it may be served in place of an error.
    pub(super) fn may_replace_error(&self, now: SystemTime) -> bool {
        self.lifetime.may_replace_error(now, None)
    }

    pub(super) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    pub(super) fn verify(&self) {
        self.verified.store(true, Ordering::Release);
    }

    /// Whether a refresh that failed, or is under way, was begun just now.
    pub(super) fn is_paused(&self, now: SystemTime) -> bool {
        nanos(now) < self.paused_until.load(Ordering::Acquire)
    }

    /// Begins a pause; `false` if there is one.
    pub(super) fn pause(&self, now: SystemTime) -> bool {
        let until = nanos(now.checked_add(PAUSE).unwrap_or(now));
        let begin = |before: u64| (before <= nanos(now)).then_some(until);
        self.paused_until.fetch_update(Ordering::AcqRel, Ordering::Acquire, begin).is_ok()
    }

    /// An entry that is as old, for who compares ages.
    pub(super) fn as_seen(&self) -> Entry {
        Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), self.lifetime.clone()), Frames::default())
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
