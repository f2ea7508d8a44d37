//! What is done to the variants of an answer together: they are counted, offered, and brought up to date.
//!
//! The first variant, which lies under the key itself, knows its siblings: their values and entity tags. It is written anew when
//! one is added; its body is not copied for that.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, header::ETAG, request::Parts};

use super::{
    shared::Shared,
    slot::{First, Slot, variant_key},
};
use crate::{
    entry::{Entry, Variant},
    fingerprint::Fingerprint,
    header::validators::EntityTag,
    key::Key,
    policy::{Policy, rfc9111::validation},
    store::Store,
};

/// How many variants are offered to the origin at most, when one is missing.
const OFFERED: usize = 16;

impl<St: Store, F, P> Shared<St, F, P> {
    /// The variants that might be the answer to a request for which there is none yet (RFC 9111 §4.3.1): those with an entity
    /// tag that the store has at hand.
    pub(super) fn offered(&self, slot: &Slot, request: &Parts) -> Vec<Entry> {
        let First::Stored(first) = &slot.first else { return Vec::new() };
        let Some(variant) = first.head().selecting() else { return Vec::new() };
        let tagged = |entry: &Entry| entry.head().headers().get(ETAG).and_then(EntityTag::parse).is_some();
        let siblings =
            variant.siblings().iter().rev().filter(|sibling| sibling.etag().is_some()).filter_map(|sibling| {
                let peeked = self.store.peek(&variant_key(&slot.primary, &variant.beside(sibling)));
                self.usable(peeked, request).flatten()
            });
        siblings.chain([first.clone()]).filter(tagged).take(OFFERED).collect()
    }

    /// Tells the first variant of another that is being stored; the oldest gives way if there are too many.
    pub(super) async fn adopt(&self, primary: &Key, variant: &Variant, etag: Option<&[u8]>) {
        let Ok(Some(first)) = self.store.get(primary).await else { return };
        let Some(known) = first.head().selecting().filter(|known| known.is_related(variant)) else { return };
        // The first is one of them.
        let most = self.settings.max_variants - 1;
        let (known, dropped) = known.clone().adopt(variant, etag, most);
        for sibling in dropped {
            self.forget(&variant_key(primary, &known.beside(&sibling))).await;
        }
        let head = first.head().clone().variant(Some(known));
        if let Err(error) = self.store.put(primary, first.with_head(head)).await {
            self.stats.store_write_errors.increment();
            tracing::warn!(error = &error as &dyn std::error::Error, "a write failed");
        }
    }
}

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// A 304 speaks of every variant that has its strong validator (RFC 9111 §4.3.4); the one that was asked about has been
    /// brought up to date already.
    pub(super) fn freshen_siblings(
        self: &Arc<Self>,
        slot: &Slot,
        update: &HeaderMap,
        client: &Parts,
        times: [SystemTime; 2],
    ) {
        let Some(known) = slot.first.variant().filter(|known| !known.siblings().is_empty()) else { return };
        let Some(tag) = update.get(ETAG).and_then(EntityTag::parse).filter(|tag| !tag.is_weak()) else { return };
        let selected = |etag: &[u8]| EntityTag::parse(etag).is_some_and(|etag| etag.strong_eq(&tag));
        let siblings = known.siblings().iter().filter(|sibling| sibling.etag().is_some_and(selected));
        let keys: Vec<_> = siblings
            .map(|sibling| variant_key(&slot.primary, &known.beside(sibling)))
            .chain([slot.primary.clone()])
            .filter(|key| *key != slot.key)
            .collect();
        let (shared, update, client) = (self.clone(), update.clone(), client.clone());
        self.write(async move {
            for key in keys {
                let Ok(Some(entry)) = shared.store.get(&key).await else { continue };
                if !validation::selects_also(&update, entry.head().headers()) {
                    continue;
                }
                let Some(entry) = shared.freshened(&entry, &update, &client, times) else { continue };
                if shared.store.put(&key, entry).await.is_err() {
                    shared.stats.store_write_errors.increment();
                }
            }
        });
    }
}
