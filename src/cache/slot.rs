//! Where a request's entry is kept: under its key, or, if a `Vary` field made that too wide, under that of its variant.
//!
//! The first variant of a key lies under the key itself, so that what doesn't vary, or hardly, takes one look-up. It names the
//! fields that count and a generation; the others lie under keys derived from both. A key that is purged gets a new generation,
//! and what the old one's variants held can't be found any more.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderName, request::Parts};

use tokio::time::Instant;

use super::shared::Shared;
use crate::{
    entry::{Entry, Variant},
    header::{cache_status::Forward, vary::Vary},
    key::Key,
    store::{Peek, Store},
};

/// A request's place in the store.
#[derive(Debug)]
pub(super) struct Slot {
    /// The key that its entry has.
    pub(super) key: Key,
    /// The entry there.
    pub(super) entry: Option<Entry>,
    /// Why there may be none.
    pub(super) reason: Forward,
    /// Whether it is the place of an answer to HEAD, which has no body.
    pub(super) of_head: bool,
    pub(super) primary: Key,
    pub(super) first: First,
}

/// What lies under the primary key, whose variant the others go by.
#[derive(Debug)]
pub(super) enum First {
    Absent,
    Stored(Entry),
    /// It is being fetched.
    Coming(Variant),
}

impl First {
    pub(super) fn variant(&self) -> Option<&Variant> {
        match self {
            Self::Absent => None,
            Self::Stored(entry) => entry.head().selecting(),
            Self::Coming(variant) => Some(variant),
        }
    }
}

impl Slot {
    pub(super) fn primary(key: &Key, entry: Option<Entry>) -> Self {
        let first = entry.clone().map_or(First::Absent, First::Stored);
        Self { key: key.clone(), first, entry, reason: Forward::UriMiss, of_head: false, primary: key.clone() }
    }

    fn variant(primary: &Key, first: First, key: Key, entry: Option<Entry>) -> Self {
        Self { key, entry, reason: Forward::VaryMiss, of_head: false, primary: primary.clone(), first }
    }

    /// The empty place of an answer to HEAD, beside that of the answer to GET.
    pub(super) fn of_head(get: &Key) -> Self {
        Self { of_head: true, ..Self::primary(&head_key(get), None) }
    }

    /// Whether there is a first variant, which others may have been added to since.
    pub(super) fn has_variants(&self) -> bool {
        self.first.variant().is_some()
    }

    /// Whether another look-up found another entry.
    pub(super) fn differs_from(&self, earlier: &Self) -> bool {
        match (&self.entry, &earlier.entry) {
            (Some(now), Some(then)) => !now.is_same(then),
            (now, then) => now.is_some() != then.is_some(),
        }
    }

    /// Where a response with this `Vary` is to be kept, and which requests it answers then. `None`: nowhere.
    pub(super) fn place(&self, vary: Option<&Vary>, request: &HeaderMap) -> Option<(Key, Option<Variant>)> {
        let names = match vary {
            None => return Some((self.primary.clone(), None)),
            Some(Vary::Fields(names)) => names,
            Some(_) => return None,
        };
        match self.first.variant() {
            Some(first) if same_names(first, names) && !first.answers(request) => {
                let variant = first.like(request);
                Some((variant_key(&self.primary, &variant), Some(variant)))
            }
            Some(first) if same_names(first, names) => {
                let variant = Variant::of(names, request, first.generation());
                Some((self.primary.clone(), Some(variant.with_siblings(first.siblings()))))
            }
            Some(_) | None => {
                let generation = RandomState::new().hash_one(0);
                Some((self.primary.clone(), Some(Variant::of(names, request, generation))))
            }
        }
    }
}

/// Where an answer to HEAD is kept, while there is none to GET.
pub(super) fn head_key(get: &Key) -> Key {
    get.derive("head").finish()
}

/// Where a part of an answer is kept, while there is no whole one.
pub(super) fn part_key(get: &Key) -> Key {
    get.derive("part").finish()
}

fn same_names(variant: &Variant, names: &[HeaderName]) -> bool {
    variant.fields().iter().map(|(name, _)| name).eq(names)
}

pub(super) fn variant_key(primary: &Key, variant: &Variant) -> Key {
    let key = primary.derive("variant").field("generation", variant.generation().to_le_bytes());
    let key = variant
        .fields()
        .iter()
        .fold(key, |key, (name, value)| key.field("name", name).optional("value", value.as_ref()));
    key.finish()
}

/// The other key to look under, if the entry there answers other requests than this.
fn elsewhere(primary: &Key, entry: &Entry, request: &HeaderMap) -> Option<Key> {
    let first = entry.head().selecting().filter(|first| !first.answers(request))?;
    Some(variant_key(primary, &first.like(request)))
}

impl<St: Store, F, P> Shared<St, F, P> {
    /// The slot of a request, if the store can tell without waiting.
    pub(super) fn peek(&self, key: &Key, request: &Parts) -> Option<Slot> {
        self.peeked(self.store.peek(key), key, request)
    }

    /// The slot of a request, by what the store says of its key without waiting.
    pub(super) fn peeked(&self, peeked: Peek, key: &Key, request: &Parts) -> Option<Slot> {
        let Some(entry) = self.usable(peeked, request)? else { return Some(Slot::primary(key, None)) };
        let Some(other) = elsewhere(key, &entry, &request.headers) else {
            return Some(Slot::primary(key, Some(entry)));
        };
        let found = self.usable(self.store.peek(&other), request)?;
        Some(Slot::variant(key, First::Stored(entry), other, found))
    }

    /// The slot of a request, beside a variant that is being fetched.
    pub(super) async fn slot_beside(&self, key: &Key, first: &Variant, request: &Parts, deadline: Instant) -> Slot {
        let variant = first.like(&request.headers);
        let other = variant_key(key, &variant);
        let found = self.get(&other, request, deadline).await;
        Slot::variant(key, First::Coming(first.clone()), other, found)
    }

    /// The slot of a request.
    pub(super) async fn slot(&self, key: &Key, request: &Parts, deadline: Instant) -> Slot {
        let Some(entry) = self.get(key, request, deadline).await else { return Slot::primary(key, None) };
        match elsewhere(key, &entry, &request.headers) {
            Some(other) => {
                let found = self.get(&other, request, deadline).await;
                Slot::variant(key, First::Stored(entry), other, found)
            }
            None => Slot::primary(key, Some(entry)),
        }
    }
}
