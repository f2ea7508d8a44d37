//! Where a request's entry is kept: under its key, or, if a `Vary` field made that too wide, under that of its variant.
//!
//! The first variant of a key lies under the key itself, so that what doesn't vary, or hardly, takes one look-up. It names the
//! fields that count and a generation; the others lie under keys derived from both. A key that is purged gets a new generation,
//! and what the old one's variants held can't be found any more.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderName};

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
    primary: Key,
    first: First,
}

/// What lies under the primary key, whose variant the others go by.
#[derive(Debug)]
enum First {
    Absent,
    Stored(Entry),
    /// It is being fetched.
    Coming(Variant),
}

impl First {
    fn variant(&self) -> Option<&Variant> {
        match self {
            Self::Absent => None,
            Self::Stored(entry) => entry.head().selecting(),
            Self::Coming(variant) => Some(variant),
        }
    }
}

impl Slot {
    fn primary(key: &Key, entry: Option<Entry>) -> Self {
        let first = entry.clone().map_or(First::Absent, First::Stored);
        Self { key: key.clone(), first, entry, reason: Forward::UriMiss, primary: key.clone() }
    }

    fn variant(primary: &Key, first: First, key: Key, entry: Option<Entry>) -> Self {
        Self { key, entry, reason: Forward::VaryMiss, primary: primary.clone(), first }
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
                Some((self.primary.clone(), Some(Variant::of(names, request, first.generation()))))
            }
            Some(_) | None => {
                let generation = RandomState::new().hash_one(0);
                Some((self.primary.clone(), Some(Variant::of(names, request, generation))))
            }
        }
    }
}

fn same_names(variant: &Variant, names: &[HeaderName]) -> bool {
    variant.fields().iter().map(|(name, _)| name).eq(names)
}

fn variant_key(primary: &Key, variant: &Variant) -> Key {
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
    pub(super) fn peek(&self, key: &Key, request: &HeaderMap) -> Option<Slot> {
        self.peeked(self.store.peek(key), key, request)
    }

    /// The slot of a request, by what the store says of its key without waiting.
    pub(super) fn peeked(&self, peeked: Peek, key: &Key, request: &HeaderMap) -> Option<Slot> {
        let Some(entry) = self.unexpired(peeked)? else { return Some(Slot::primary(key, None)) };
        let Some(other) = elsewhere(key, &entry, request) else { return Some(Slot::primary(key, Some(entry))) };
        let found = self.unexpired(self.store.peek(&other))?;
        Some(Slot::variant(key, First::Stored(entry), other, found))
    }

    /// What a store says without waiting, less what it should have dropped.
    pub(super) fn unexpired(&self, peeked: Peek) -> Option<Option<Entry>> {
        match peeked {
            Peek::Found(entry) => {
                Some(Some(entry).filter(|entry| entry.head().lifetime().kept_in(self.now()).is_some()))
            }
            Peek::Absent => Some(None),
            Peek::Unknown => None,
        }
    }

    /// The slot of a request, beside a variant that is being fetched.
    pub(super) async fn slot_beside(&self, key: &Key, first: &Variant, request: &HeaderMap) -> Slot {
        let variant = first.like(request);
        let other = variant_key(key, &variant);
        let found = self.get(&other).await;
        Slot::variant(key, First::Coming(first.clone()), other, found)
    }

    /// The slot of a request.
    pub(super) async fn slot(&self, key: &Key, request: &HeaderMap) -> Slot {
        let Some(entry) = self.get(key).await else { return Slot::primary(key, None) };
        match elsewhere(key, &entry, request) {
            Some(other) => {
                let found = self.get(&other).await;
                Slot::variant(key, First::Stored(entry), other, found)
            }
            None => Slot::primary(key, Some(entry)),
        }
    }
}
