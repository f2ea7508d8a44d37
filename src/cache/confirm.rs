//! What the origin says of a stored response brings it up to date (RFC 9111 §4.3.3 to §4.3.5).

use std::time::SystemTime;

use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{AGE, CONTENT_RANGE},
    request::Parts,
};

use super::{
    body::Served,
    fill::Fill,
    keep::{dated, stored_head},
    observe::Answer,
    shared::Shared,
    write::Write,
};
use crate::{
    coalesce::{self, Lead},
    entry::Entry,
    fingerprint::Fingerprint,
    header::{hop_by_hop, vary::Vary},
    key::Key,
    policy::{
        Exchange, Policy, Skip, Storage,
        rfc9111::validation::{self, Agreement},
    },
    stats::Outcome,
    store::Store,
    tag::{self, Tag},
};

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// A stored response with the fields of a newer one (RFC 9111 §3.2), and fresh by both. An error if it may not be kept any
    /// longer. `times`: when it was asked for, and when the answer came.
    pub(super) fn freshened(
        &self,
        entry: &Entry,
        update: &HeaderMap,
        client: &Parts,
        [requested_at, now]: [SystemTime; 2],
    ) -> Result<Entry, Skip> {
        let mut parts = Response::new(()).into_parts().0;
        parts.status = entry.head().status();
        parts.headers = renewed(entry.head().headers(), update);
        match self.policy.storable(&Exchange::new(client, &parts, requested_at, now)) {
            Storage::Keep { lifetime, without } => {
                without.iter().for_each(|name| {
                    parts.headers.remove(name);
                });
                let variant = entry.head().selecting().cloned();
                let mut tags = self.tags(client, &parts);
                // Those that its fields didn't give, it keeps.
                let gave = Tag::of(entry.head().headers());
                tags.extend(entry.head().tag_list().iter().filter(|tag| !gave.contains(tag)).cloned());
                let tags = tag::sorted(tags);
                let note = entry.head().noted().cloned();
                let head = stored_head(parts.status, parts.headers, lifetime, variant, tags);
                Ok(entry.with_head(head.rendered(entry.head().rendering()).note(note)))
            }
            Storage::Skip(why) => Err(why),
        }
    }
}

impl<St, F, P> Fill<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// The origin says that the stored response still holds (§4.3.4), unless it speaks of another.
    pub(super) fn confirm(
        mut self,
        entry: Entry,
        holds: bool,
        update: &HeaderMap,
        now: SystemTime,
    ) -> Response<Served> {
        let mut status = self.status(StatusCode::NOT_MODIFIED);
        let fresh = if holds { self.freshened(&entry, update, now) } else { Err(Skip::Partial) };
        let entry = match fresh {
            Ok((key, fresh)) => {
                self.put_confirmed(key, fresh.clone(), entry);
                let times = [self.requested_at, now];
                self.shared.freshen_siblings(&self.slot, update, &self.client, self.began, times);
                status.stored = true;
                fresh
            }
            // It holds, but not by what this client alone may know: others ask for themselves.
            Err(Skip::Authorization) => entry,
            Err(_) => {
                self.shared.remove(self.slot.key.clone());
                entry
            }
        };
        let response = self.shared.answer_with(&entry, &self.slot.key, &self.client, &self.wants, now, status.clone());
        self.answered(Outcome::Revalidated, &response);
        let response = self.observed(Answer::Confirmed, entry.head().noted(), response);
        match self.lead.take() {
            Some(lead) if status.stored && self.serves(entry.head()) => lead.share(entry),
            // It has to be confirmed for each request: they need not wait for each other.
            Some(lead) => lead.release(coalesce::until(now, self.shared.settings.uncacheable_for)),
            None => {}
        }
        response
    }

    /// An entry brought up to date, and where it belongs by what it varies by now.
    fn freshened(&self, entry: &Entry, update: &HeaderMap, now: SystemTime) -> Result<(Key, Entry), Skip> {
        let fresh = self.shared.freshened(entry, update, &self.client, [self.requested_at, now])?;
        let vary = Vary::to_keep(fresh.head().headers());
        let (key, variant) = self.slot.place(vary.as_ref(), &self.client.headers).ok_or(Skip::Forbidden)?;
        let head = fresh.head().clone().variant(variant);
        Ok((key, fresh.with_head(head)))
    }

    fn put_confirmed(&self, key: Key, entry: Entry, confirmed: Entry) {
        // What lies elsewhere by now can't be overtaken.
        let confirms = (key == self.slot.key).then_some(confirmed);
        let primary = self.slot.primary.clone();
        let write = Write { primary, key, entry, began: self.began, beside: self.slot.has_variants(), confirms };
        self.shared.put_under(write, None, self.lead.as_ref().and_then(Lead::lease));
    }

    /// The origin says that another variant is the answer to this request as well (§4.3.1, §4.3.4).
    pub(super) fn adopt(self, entry: &Entry, update: &HeaderMap, now: SystemTime) -> Response<Served> {
        let fresh = self.freshened(entry, update, now);
        let mut status = self.status(StatusCode::NOT_MODIFIED);
        status.stored = fresh.is_ok();
        let (key, fresh) = fresh.unwrap_or_else(|_| (self.slot.key.clone(), entry.clone()));
        let response = self.shared.answer_with(&fresh, &key, &self.client, &self.wants, now, status.clone());
        self.answered(Outcome::Revalidated, &response);
        let response = self.observed(Answer::Confirmed, fresh.head().noted(), response);
        if status.stored {
            let primary = self.slot.primary.clone();
            let write = Write { primary, key, entry: fresh.clone(), began: self.began, beside: true, confirms: None };
            self.shared.put_under(write, None, self.lead.as_ref().and_then(Lead::lease));
        }
        match self.lead {
            Some(lead) if status.stored => lead.share(fresh),
            Some(lead) => lead.release(None),
            None => {}
        }
        response
    }

    /// A 200 to HEAD brings a stored answer to GET up to date, if it speaks of the same content; if of another, that is out of
    /// date (§4.3.5). The client's answer, if it can be made of what is stored.
    pub(super) fn update_by_head(
        self: Box<Self>,
        entry: &Entry,
        update: &HeaderMap,
        now: SystemTime,
    ) -> Result<Response<Served>, Box<Self>> {
        match validation::head_agrees(update, entry.head().headers(), entry.body().data().len()) {
            Agreement::Same => {}
            Agreement::Unknown => return Err(self),
            Agreement::Other => {
                self.shared.remove(self.slot.key.clone());
                return Err(self);
            }
        }
        let Ok((key, fresh)) = self.freshened(entry, update, now) else {
            self.shared.remove(self.slot.key.clone());
            return Err(self);
        };
        self.put_confirmed(key, fresh.clone(), entry.clone());
        let mut status = self.status(StatusCode::OK);
        status.stored = true;
        let response = self.shared.answer_with(&fresh, &self.slot.key, &self.client, &self.wants, now, status);
        self.answered(Outcome::Miss, &response);
        let response = self.observed(Answer::Confirmed, fresh.head().noted(), response);
        if let Some(lead) = self.lead {
            lead.share(fresh);
        }
        Ok(response)
    }

    /// Whether a response to HEAD speaks of a stored answer to GET.
    pub(super) fn is_head_of_stored(&self, status: StatusCode) -> Option<Entry> {
        let heads = self.client.method == Method::HEAD && status == StatusCode::OK && !self.slot.of_head;
        self.slot.entry.clone().filter(|entry| heads && entry.head().status() == StatusCode::OK)
    }
}

/// The fields of a response as they count here: without those for the next hop, and with a date. A response without one is
/// dated by who receives it (RFC 9110 §6.6.1); a stored date would make it old.
pub(super) fn received(update: &HeaderMap, now: SystemTime) -> HeaderMap {
    let mut update = update.clone();
    hop_by_hop::remove(&mut update);
    update.remove(CONTENT_RANGE);
    dated(&mut update, now);
    update
}

/// The stored fields with those of a newer response (§3.2). The stored age is said anew each time; the newer one counts.
pub(super) fn renewed(stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    let mut headers = validation::freshened(stored, update);
    headers.remove(AGE);
    if let Some(age) = update.get(AGE) {
        headers.insert(AGE, age.clone());
    }
    headers
}
