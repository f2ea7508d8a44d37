//! Where a request's entry is kept: under its key, or, if a `Vary` field made that too wide, under that of its variant.
//!
//! The first variant of a key lies under the key itself, so that what doesn't vary, or hardly, takes one look-up. It names the
//! fields that count and a generation; the others lie under keys derived from both. A key that is purged gets a new generation,
//! and what the old one's variants held can't be found any more.
//!
//! An answer that is wanted in another rendering than it lies there in is converted. If that can't be done exactly, there is one more
//! place beside, so that two renderings that don't become each other don't drive each other out.

use std::hash::{BuildHasher, RandomState};

use http::{HeaderMap, HeaderName, request::Parts};

use tokio::time::Instant;

use super::shared::Shared;
use crate::{
    entry::{Entry, Rendering, Variant},
    fingerprint::{Fingerprint, Identity, Rendered},
    header::{cache_status::Forward, vary::Vary},
    key::Key,
    store::{Peek, Store},
};

/// A request's place in the store.
#[derive(Debug)]
pub(super) struct Slot {
    /// The key that its entry has.
    pub(super) key: Key,
    /// The entry there, in the rendering that is wanted.
    pub(super) entry: Option<Entry>,
    /// What it was made of, if it is kept in another.
    pub(super) origin: Option<Entry>,
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
        let (key, primary) = (key.clone(), key.clone());
        Self { key, first, entry, origin: None, reason: Forward::UriMiss, of_head: false, primary }
    }

    fn variant(primary: &Key, first: First, key: Key, entry: Option<Entry>) -> Self {
        let primary = primary.clone();
        Self { key, entry, origin: None, reason: Forward::VaryMiss, of_head: false, primary, first }
    }

    /// The empty place of an answer to HEAD, beside that of the answer to GET.
    pub(super) fn of_head(get: &Key) -> Self {
        Self { of_head: true, ..Self::primary(&head_key(get), None) }
    }

    /// Whether there is a first variant, which others may have been added to since.
    pub(super) fn has_variants(&self) -> bool {
        self.first.variant().is_some()
    }

    /// The entry as it is kept.
    pub(super) fn kept(&self) -> Option<&Entry> {
        self.origin.as_ref().or(self.entry.as_ref())
    }

    /// Whether another look-up found another entry.
    pub(super) fn differs_from(&self, earlier: &Self) -> bool {
        match (self.kept(), earlier.kept()) {
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

/// Where an answer is kept while another rendering, that it can't be made of, lies in its place.
pub(super) fn beside_key(key: &Key) -> Key {
    key.derive("beside").finish()
}

/// All places but its own where something of an answer may be kept, variants aside.
pub(super) fn around(key: &Key) -> [Key; 3] {
    [head_key(key), part_key(key), beside_key(key)]
}

/// The fetches of a place that are one: those for the same rendering.
pub(super) fn flight_key(place: &Key, rendering: Option<Rendering>) -> Key {
    rendering.map_or_else(
        || place.clone(),
        |rendering| place.derive("rendering").field("number", [rendering.number().get()]).finish(),
    )
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

impl<St: Store, F: Fingerprint, P> Shared<St, F, P> {
    /// The slot of a request, if the store can tell without waiting.
    pub(super) fn peek(&self, identity: &Identity, request: &Parts) -> Option<Slot> {
        self.peeked(self.store.peek(&identity.key), identity, request)
    }

    /// The slot of a request, by what the store says of its key without waiting.
    pub(super) fn peeked(&self, peeked: Peek, identity: &Identity, request: &Parts) -> Option<Slot> {
        let mut slot = self.peeked_at(peeked, &identity.key, request)?;
        if !self.render(&mut slot, identity.rendering, request) {
            let beside = beside_key(&identity.key);
            slot = self.peeked_at(self.store.peek(&beside), &beside, request)?;
            self.render_or_leave(&mut slot, identity.rendering, request);
        }
        Some(slot)
    }

    fn peeked_at(&self, peeked: Peek, key: &Key, request: &Parts) -> Option<Slot> {
        let Some(entry) = self.usable(peeked, request)? else { return Some(Slot::primary(key, None)) };
        let Some(other) = elsewhere(key, &entry, &request.headers) else {
            return Some(Slot::primary(key, Some(entry)));
        };
        let found = self.usable(self.store.peek(&other), request)?;
        Some(Slot::variant(key, First::Stored(entry), other, found))
    }

    /// The slot of a request, beside a variant that is being fetched, in whatever rendering.
    pub(super) async fn slot_beside(&self, asked: &Slot, first: &Variant, request: &Parts, deadline: Instant) -> Slot {
        let variant = first.like(&request.headers);
        let other = variant_key(&asked.primary, &variant);
        let found = self.get(&other, request, deadline).await;
        Slot::variant(&asked.primary, First::Coming(first.clone()), other, found)
    }

    /// The slot of a request.
    pub(super) async fn slot(&self, identity: &Identity, request: &Parts, deadline: Instant) -> Slot {
        let mut slot = self.slot_at(&identity.key, request, deadline).await;
        if !self.render(&mut slot, identity.rendering, request) {
            slot = self.slot_at(&beside_key(&identity.key), request, deadline).await;
            self.render_or_leave(&mut slot, identity.rendering, request);
        }
        slot
    }

    /// The slot of a key, in whatever rendering.
    pub(super) async fn slot_at(&self, key: &Key, request: &Parts, deadline: Instant) -> Slot {
        let Some(entry) = self.get(key, request, deadline).await else { return Slot::primary(key, None) };
        match elsewhere(key, &entry, &request.headers) {
            Some(other) => {
                let found = self.get(&other, request, deadline).await;
                Slot::variant(key, First::Stored(entry), other, found)
            }
            None => Slot::primary(key, Some(entry)),
        }
    }

    /// Puts the entry into the rendering that is wanted; whether that can be done.
    fn render(&self, slot: &mut Slot, wanted: Option<Rendering>, request: &Parts) -> bool {
        let (Some(entry), Some(wanted)) = (&slot.entry, wanted) else { return true };
        if entry.head().rendering() == Some(wanted) {
            return true;
        }
        match self.fingerprint.render(request, wanted, entry) {
            Rendered::AsIs => true,
            Rendered::Converted(converted) => {
                slot.origin = slot.entry.replace(converted);
                true
            }
            Rendered::Inexact => false,
        }
    }

    /// The same in the last place where the answer may lie: what can't be had there gives way.
    pub(super) fn render_or_leave(&self, slot: &mut Slot, wanted: Option<Rendering>, request: &Parts) {
        if !self.render(slot, wanted, request) {
            slot.entry = None;
        }
    }
}
