//! What is done to the variants of an answer together: they are counted, offered, and brought up to date.
//!
//! The first variant, which lies under the key itself, knows its siblings: their values and entity tags. It is written anew when
//! one is added; its body is not copied for that.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderValue, header::ETAG, request::Parts};

use super::{
    purges::Began,
    shared::Shared,
    slot::{First, Slot, variant_key},
    write::Write,
};
use crate::{
    entry::Entry,
    fingerprint::Fingerprint,
    header::{validators::EntityTag, vary::Vary},
    key::Key,
    policy::{Policy, rfc9111::validation},
    store::Store,
};

/// How many variants are offered to the origin at most, when one is missing.
const OFFERED: usize = 16;

impl<St: Store, F, P> Shared<St, F, P> {
    /// The variants that might be the answer to a request for which there is none yet (RFC 9111 §4.3.1): those with a strong
    /// entity tag that the store has at hand. A weak one may be the same for a body that this client can't read.
    pub(super) fn offered(&self, slot: &Slot, request: &Parts) -> Vec<Entry> {
        let First::Stored(first) = &slot.first else { return Vec::new() };
        let Some(variant) = first.head().selecting() else { return Vec::new() };
        let tagged = |entry: &Entry| EntityTag::strong_of(entry.head().headers()).is_some();
        let siblings =
            variant.siblings().iter().rev().filter(|sibling| sibling.etag().is_some()).filter_map(|sibling| {
                let peeked = self.store.peek(&variant_key(&slot.primary, &variant.beside(sibling)));
                self.usable(peeked, request).flatten()
            });
        siblings.chain([first.clone()]).filter(tagged).take(OFFERED).collect()
    }

    /// Tells the first variant of another that was stored; the oldest gives way if there are too many. The first is kept as long
    /// as the other, which can't be found without it. To be called with the lock on the first.
    pub(super) async fn adopt(&self, primary: &Key, other: &Entry, began: Began) {
        let Some(variant) = other.head().selecting() else { return };
        let Ok(Some(first)) = self.store.get(primary).await else { return };
        let Some(known) = first.head().selecting().filter(|known| known.is_related(variant)) else { return };
        // The first is one of them.
        let most = self.settings.max_variants - 1;
        let etag = other.head().headers().get(ETAG).map(HeaderValue::as_bytes);
        let (known, dropped) = known.clone().adopt(variant, etag, most);
        for sibling in dropped {
            self.forget(&variant_key(primary, &known.beside(&sibling))).await;
        }
        let now = self.now();
        let longer = other.head().lifetime().kept_in(now).unwrap_or_default();
        let head = first.head().clone().variant(Some(known)).kept_for(longer, now);
        let first = first.with_head(head);
        if !self.purges.forbid(&began, primary, &first)
            && self.store.put_fenced(primary, first.clone(), began.fence).await.is_err()
        {
            self.stats.store_write_errors.increment();
        }
        if self.purges.forbid(&began, primary, &first) {
            self.forget(primary).await;
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
        began: Began,
        times: [SystemTime; 2],
    ) {
        let Some(known) = slot.first.variant().filter(|known| !known.siblings().is_empty()) else { return };
        let Some(tag) = EntityTag::strong_of(update) else { return };
        let selected = |etag: &[u8]| EntityTag::parse(etag).is_some_and(|etag| etag.strong_eq(&tag));
        let siblings = known.siblings().iter().filter(|sibling| sibling.etag().is_some_and(selected));
        let keys: Vec<_> = siblings
            .map(|sibling| variant_key(&slot.primary, &known.beside(sibling)))
            .chain([slot.primary.clone()])
            .filter(|key| *key != slot.key)
            .collect();
        let (shared, update, client, primary) = (self.clone(), update.clone(), client.clone(), slot.primary.clone());
        self.write(async move {
            for key in keys {
                let Ok(Some(entry)) = shared.store.get(&key).await else { continue };
                if !validation::selects_also(&update, entry.head().headers()) {
                    continue;
                }
                let Ok(fresh) = shared.freshened(&entry, &update, &client, times) else { continue };
                // What is to vary by other fields from now on has to be asked for anew.
                if Vary::to_keep(fresh.head().headers()) != Vary::to_keep(entry.head().headers()) {
                    continue;
                }
                let confirms = Some(entry);
                shared
                    .put_now(Write { primary: primary.clone(), key, entry: fresh, began, beside: true, confirms })
                    .await;
            }
        });
    }
}
