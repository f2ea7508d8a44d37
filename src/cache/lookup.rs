//! From a request to what is to be done with it. Nothing here knows how the inner service is called.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE},
};
use http_body::Body;
use tokio::time::Instant;

use super::{
    across::Others,
    ask::{Asked, Begun},
    body::Served,
    fill::{Fill, Miss},
    observe::Answer,
    pass::{Pass, head_of},
    purges::Began,
    question::validators_of,
    shared::Shared,
    slot::{Slot, flight_key, head_key},
    trace::{named, told},
    wants::Wants,
};
use crate::{
    BoxError,
    body::ReplayBody,
    coalesce::{Entered, Followed, Lead},
    entry::{Entry, Head, StaleEntry},
    fingerprint::Fingerprint,
    header::cache_status::{CacheStatus, Forward},
    key::Key,
    policy::{Policy, Reuse},
    stats,
    store::Store,
};

/// What is to be done with a request.
pub(crate) enum Lookup<St, F, P, B> {
    /// Send this response.
    Answer(Response<Served>),
    /// Send this response, and refresh it behind.
    Stale(Response<Served>, Miss<St, F, P, B>),
    /// Ask the inner service, and hand its response to the fill.
    Miss(Miss<St, F, P, B>),
    /// Ask the inner service, and say so; the cache wants no more than to hear whether anything was changed.
    Bypass(Request<ReplayBody<B>>, Pass),
}

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// All that [`begin`](Self::begin) leaves to do.
    pub(super) async fn lookup<B>(self: Arc<Self>, begun: Begun<B>) -> Lookup<St, F, P, B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let asked = match begun {
            Begun::Answer(response) => return Lookup::Answer(response),
            Begun::Bypass(passing) => return Lookup::Bypass(passing.0, passing.1),
            Begun::Keyed(asked) => asked,
            Begun::Unread(unread) => match self.read(*unread).await {
                Ok(asked) => asked,
                Err(passing) => return Lookup::Bypass(passing.0, passing.1),
            },
        };
        self.resolve(asked).await
    }

    async fn resolve<B>(self: Arc<Self>, mut asked: Box<Asked<B>>) -> Lookup<St, F, P, B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        named(&asked.identity.key);
        let mut looked_again = false;
        let mut others = Others::new(self.settings.across);
        // Held while it is looked whether another process fetched: those who follow needn't look, too.
        let mut leading: Option<Lead> = None;
        let mut deadline = self.deadline();
        loop {
            let began = self.note(&asked.head, Some(&asked.identity.key));
            let slot = self.place_of(&mut asked, deadline).await;
            let now = self.now();
            let mut reason = slot.reason;
            if let Some(entry) = &slot.entry {
                match self.policy.reuse(&asked.directives, entry.head(), now) {
                    Reuse::Serve => {
                        told(stats::Outcome::Hit);
                        let response = self.hit(entry, &slot.key, slot.origin.as_ref(), &asked.client(), now);
                        if let Some(lead) = leading.filter(|lead| *lead.key() == asked.flight(&slot)) {
                            lead.share(entry.clone());
                        }
                        return Lookup::Answer(response);
                    }
                    Reuse::ServeStale => {
                        drop(leading);
                        let entry = entry.clone();
                        return self.stale(*asked, slot, &entry, began, now);
                    }
                    Reuse::Validate(why) => reason = why,
                }
            }
            let part = self.part(&slot, &asked.head, asked.wants.ranges.is_some(), deadline).await;
            let part = part.filter(|part| part.head().rendering() == asked.identity.rendering);
            if let Some(part) = &part {
                reason = Forward::Partial;
                if let Some(response) = self.answer_with_part(part, &asked, now) {
                    told(stats::Outcome::Hit);
                    return Lookup::Answer(response);
                }
            }
            if asked.directives.only_if_cached {
                told(stats::Outcome::OnlyIfCached);
                return Lookup::Answer(self.only_if_cached(CacheStatus::forward(reason), asked.begun));
            }
            if is_for_one(&asked, &slot) {
                return Lookup::Miss(self.miss(*asked, slot, reason, began, None, None, now));
            }
            // What is being fetched since before a request can't be the new answer that it asks for.
            let joins = self.settings.coalesce && reason != Forward::Request && !asked.directives.no_cache;
            let flight = asked.flight(&slot);
            let entered = if let Some(lead) = leading.take().filter(|lead| *lead.key() == flight) {
                Entered::Lead(lead)
            } else if joins {
                self.flights.enter(&flight, began.marks, now)
            } else {
                self.flights
                    .lead(&flight, began.marks)
                    .filter(|_| self.settings.coalesce)
                    .map_or(Entered::Alone, Entered::Lead)
            };
            match entered {
                Entered::Lead(lead) => {
                    // Somebody may have landed since the look-up. Once is enough: what is found then may differ for ever, with a
                    // store that makes its entries anew, or beside a variant that is still being fetched.
                    let again = joins && !slot.of_head && !std::mem::replace(&mut looked_again, true);
                    if again && self.peek(&asked.identity, &asked.head).is_some_and(|now| now.differs_from(&slot)) {
                        continue;
                    }
                    if joins && !self.may_fetch(&lead, &slot, &mut others, deadline).await {
                        (leading, deadline) = (Some(lead), self.deadline());
                        continue;
                    }
                    let now = self.now();
                    return Lookup::Miss(self.miss(*asked, slot, reason, began, part, Some(lead), now));
                }
                Entered::Alone => return Lookup::Miss(self.miss(*asked, slot, reason, began, part, None, now)),
                Entered::Follow(follow) => {
                    let followed = follow.wait().await;
                    deadline = self.deadline();
                    match self.follow(followed, &mut asked, &slot, reason, deadline).await {
                        Outcome::Answer(response) => {
                            told(stats::Outcome::Collapsed);
                            return Lookup::Answer(response);
                        }
                        Outcome::Fetch => {
                            let now = self.now();
                            return Lookup::Miss(self.miss(*asked, slot, reason, began, part, None, now));
                        }
                        Outcome::Again => {}
                    }
                }
            }
        }
    }

    /// Where the answer to a request is, or will be, kept. While there is none to GET, one to HEAD has a place of its own.
    async fn place_of<B>(&self, asked: &mut Asked<B>, deadline: Instant) -> Slot {
        let slot = match asked.slot.take() {
            Some(slot) => slot,
            None => self.slot(&asked.identity, &asked.head, deadline).await,
        };
        if asked.head.method != Method::HEAD || slot.entry.is_some() {
            return slot;
        }
        let mut slot = self.slot_at(&head_key(&asked.identity.key), &asked.head, deadline).await;
        // What a head says of one rendering, such as its length, it doesn't say of another.
        slot.entry.take_if(|entry| entry.head().rendering() != asked.identity.rendering);
        Slot { of_head: true, ..slot }
    }

    /// What a leader fetched, for one that followed.
    async fn follow<B>(
        &self,
        followed: Followed,
        asked: &mut Asked<B>,
        slot: &Slot,
        reason: Forward,
        deadline: Instant,
    ) -> Outcome {
        let now = self.now();
        let serves = |head: &Head| self.policy.reuse(&asked.directives, head, now) == Reuse::Serve;
        let other = |head: &Head| head.selecting().filter(|variant| !variant.answers(&asked.head.headers)).cloned();
        let variant = match &followed {
            Followed::Live(head, _) => other(head),
            Followed::Kept(entry) => other(entry.head()),
            Followed::Released => return Outcome::Fetch,
            Followed::Abandoned => return Outcome::Again,
        };
        if let Some(variant) = variant {
            // Not for this request; but now it is known what counts.
            let mut beside = self.slot_beside(slot, &variant, &asked.head, deadline).await;
            // It may have been fetched meanwhile for somebody who wants another rendering.
            self.render_or_leave(&mut beside, asked.identity.rendering, &asked.head);
            asked.slot = Some(beside);
            return Outcome::Again;
        }
        match followed {
            Followed::Live(head, body) if serves(&head) => {
                let status = collapsed(reason, head.status());
                let response = self.serve_live(&head, &slot.key, body, now, status);
                self.answered(stats::Outcome::Collapsed, asked.begun, &response);
                Outcome::Answer(self.observed(&asked.head, &slot.key, Answer::Coalesced, head.noted(), response))
            }
            Followed::Kept(entry) if serves(entry.head()) => {
                let status = collapsed(reason, StatusCode::NOT_MODIFIED);
                let response = self.answer_with(&entry, &slot.key, &asked.head, &asked.wants, now, status);
                self.answered(stats::Outcome::Collapsed, asked.begun, &response);
                let note = entry.head().noted();
                Outcome::Answer(self.observed(&asked.head, &slot.key, Answer::Coalesced, note, response))
            }
            Followed::Live(..) | Followed::Kept(_) | Followed::Released | Followed::Abandoned => Outcome::Fetch,
        }
    }

    fn stale<B>(
        self: Arc<Self>,
        mut asked: Asked<B>,
        slot: Slot,
        entry: &Entry,
        began: Began,
        now: SystemTime,
    ) -> Lookup<St, F, P, B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let status = CacheStatus::hit(entry.head().lifetime().ttl(now)).with_detail("stale-while-revalidate");
        let response = self.answer_with(entry, &slot.key, &asked.head, &asked.wants, now, status);
        told(stats::Outcome::StaleHit);
        self.answered(stats::Outcome::StaleHit, asked.begun, &response);
        let response = self.observed(&asked.head, &slot.key, Answer::Stale, entry.head().noted(), response);
        if asked.directives.only_if_cached {
            return Lookup::Answer(response);
        }
        // What is refreshed is the whole, whatever of it the client wants.
        if asked.head.method == Method::HEAD && !slot.of_head {
            asked.head.method = Method::GET;
        }
        let lead = self.flights.lead(&asked.flight(&slot), began.marks);
        // Another may have refreshed it since the look-up.
        let refreshed =
            || !slot.of_head && self.peek(&asked.identity, &asked.head).is_some_and(|now| now.differs_from(&slot));
        match lead.filter(|_| !refreshed()) {
            Some(lead) => {
                asked.wants = Wants::default();
                for name in [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE] {
                    asked.head.headers.remove(name);
                }
                let mut miss = self.miss(asked, slot, Forward::Stale, began, None, Some(lead), now);
                miss.fill.is_behind_response();
                Lookup::Stale(response, miss)
            }
            None => Lookup::Answer(response),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are what is known of a request by then")]
    fn miss<B>(
        self: Arc<Self>,
        asked: Asked<B>,
        slot: Slot,
        reason: Forward,
        began: Began,
        part: Option<Entry>,
        lead: Option<Lead>,
        now: SystemTime,
    ) -> Miss<St, F, P, B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let Asked { head, body, identity, directives, wants, begun, .. } = asked;
        let mut request = Request::from_parts(head, body);
        // What decides is the client's request, not what the cache adds to it; its extensions are for who observes.
        let mut client = head_of(request.method(), request.uri(), request.headers());
        if self.settings.observer.is_some() {
            client.extensions = request.extensions().clone();
        }
        let question = self.question(&mut request, &client, &slot, part, wants.ranges.is_some(), now);
        if let Some(entry) = &slot.entry
            && entry.head().lifetime().may_replace_error(now, directives.stale_if_error)
        {
            request.extensions_mut().insert(StaleEntry(entry.clone()));
        }
        let fill = Fill {
            shared: self,
            slot,
            rendering: identity.rendering,
            client,
            directives,
            wants,
            reason,
            lead,
            question,
            requested_at: now,
            began,
            begun: Some(begun),
            behind_response: false,
        };
        Miss { request, fill: Box::new(fill) }
    }
}

impl<B> Asked<B> {
    /// The fetch that it shares with others like it. That of a HEAD brings no body, and that of another rendering other bytes.
    fn flight(&self, slot: &Slot) -> Key {
        let is_beside = self.head.method == Method::HEAD && !slot.of_head;
        if is_beside { head_key(&slot.key) } else { flight_key(&slot.key, self.identity.rendering) }
    }
}

fn collapsed(reason: Forward, fwd_status: StatusCode) -> CacheStatus {
    let mut status = CacheStatus::forward(reason);
    status.fwd_status = Some(fwd_status.as_u16());
    status.collapsed = true;
    status
}

/// What following came to.
enum Outcome {
    Answer(Response<Served>),
    Fetch,
    Again,
}

/// Whether the origin's answer will be for this client alone: to a range, or to a condition of its own.
fn is_for_one<B>(asked: &Asked<B>, slot: &Slot) -> bool {
    let validates = || slot.entry.as_ref().is_some_and(|entry| !validators_of(entry).is_empty());
    asked.wants.ranges.is_some() || (asked.wants.conditional && !validates())
}
