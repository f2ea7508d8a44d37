//! From a request to what is to be done with it. Nothing here knows how the inner service is called.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, UPGRADE},
    request,
};
use http_body::Body;

use super::{
    body::Served,
    fill::{Fill, Miss},
    shared::Shared,
    slot::Slot,
};
use crate::{
    BoxError,
    body::{Buffered, ReplayBody, buffer},
    coalesce::{Entered, Followed, Lead},
    entry::{Entry, StaleEntry},
    fingerprint::{BodyUse, Fingerprint},
    header::{
        cache_control::RequestDirectives,
        cache_status::{CacheStatus, Forward},
        validators::{self, Validators},
    },
    key::Key,
    policy::{Admission, Policy, Reuse},
    store::{Peek, Store},
};

/// What is to be done with a request.
pub(crate) enum Lookup<St, F, P, B> {
    /// Send this response.
    Answer(Response<Served>),
    /// Send this response, and refresh it behind.
    Stale(Response<Served>, Miss<St, F, P, B>),
    /// Ask the inner service, and hand its response to the fill.
    Miss(Miss<St, F, P, B>),
    /// Ask the inner service; the cache has no part in it but to say so.
    Bypass(Request<ReplayBody<B>>, CacheStatus),
}

/// A request as far as it can be dealt with without waiting.
pub(super) enum Begun<B> {
    Answer(Response<Served>),
    Bypass(Request<ReplayBody<B>>, CacheStatus),
    Unread(request::Parts, B, RequestDirectives, usize),
    Keyed(Asked<B>),
}

/// A request and its key.
pub(super) struct Asked<B> {
    head: request::Parts,
    body: ReplayBody<B>,
    key: Key,
    directives: RequestDirectives,
    slot: Option<Slot>,
}

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// The part that needs no waiting; a fresh hit in memory needs no more.
    pub(super) fn begin<B>(&self, request: Request<B>) -> Begun<B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let directives = RequestDirectives::parse(&head.headers);
        if let Some(reason) = self.bypass(&head, &directives) {
            if directives.only_if_cached {
                return Begun::Answer(self.only_if_cached(CacheStatus::forward(reason)));
            }
            return self.bypassed(head, ReplayBody::new(body), CacheStatus::forward(reason));
        }
        match self.fingerprint.body(&head) {
            BodyUse::Buffer { .. } if body.is_end_stream() => {}
            BodyUse::Buffer { limit } => return Begun::Unread(head, body, directives, limit),
            BodyUse::Empty if !body.is_end_stream() => {
                let status = detailed(CacheStatus::forward(Forward::Bypass), "request-body");
                return self.bypassed(head, ReplayBody::new(body), status);
            }
            BodyUse::Empty | BodyUse::Ignore => {}
        }
        let Some(key) = self.key(&head, &Bytes::new()) else {
            return self.bypassed(head, ReplayBody::new(body), CacheStatus::forward(Forward::Bypass));
        };
        let peeked = self.store.peek(&key);
        if let Peek::Found(entry) = &peeked
            && entry.head().selecting().is_none_or(|variant| variant.answers(&head.headers))
            && let Some(response) = self.fresh(entry, &key, &head, &directives)
        {
            return Begun::Answer(response);
        }
        let slot = self.peeked(peeked, &key, &head.headers);
        if let Some(Slot { entry: Some(entry), key, .. }) = &slot
            && let Some(response) = self.fresh(entry, key, &head, &directives)
        {
            return Begun::Answer(response);
        }
        Begun::Keyed(Asked { head, body: ReplayBody::new(body), key, directives, slot })
    }

    fn bypass(&self, head: &request::Parts, directives: &RequestDirectives) -> Option<Forward> {
        if let Admission::Bypass(reason) = self.policy.admit(head) {
            return Some(reason);
        }
        if directives.no_store {
            return Some(Forward::Request);
        }
        // Parts, conditions on what is at the origin, and other protocols are for the origin to judge.
        let origins = [RANGE, IF_RANGE, IF_MATCH, IF_UNMODIFIED_SINCE, UPGRADE];
        let its = head.method == Method::CONNECT || origins.iter().any(|name| head.headers.contains_key(name));
        its.then_some(Forward::Bypass)
    }

    /// The fingerprint's key; a HEAD gets one of its own whatever the fingerprint makes of the method, for its answer has no body.
    fn key(&self, head: &request::Parts, body: &Bytes) -> Option<Key> {
        let key = self.fingerprint.key(head, body)?;
        Some(if head.method == Method::HEAD { key.derive("head").finish() } else { key })
    }

    fn bypassed<B>(&self, head: request::Parts, body: ReplayBody<B>, status: CacheStatus) -> Begun<B> {
        self.stats.bypassed.increment();
        Begun::Bypass(Request::from_parts(head, body), status)
    }

    /// A hit, if the entry can be served as it is.
    fn fresh(
        &self,
        entry: &Entry,
        key: &Key,
        head: &request::Parts,
        directives: &RequestDirectives,
    ) -> Option<Response<Served>> {
        let now = self.now();
        let serves = entry.head().lifetime().kept_in(now).is_some()
            && self.policy.reuse(directives, entry.head(), now) == Reuse::Serve;
        serves.then(|| self.hit(entry, key, (&head.method, &head.headers), now))
    }

    fn hit(&self, entry: &Entry, key: &Key, request: (&Method, &HeaderMap), now: SystemTime) -> Response<Served> {
        self.stats.hits.increment();
        self.serve_if_modified(entry, key, request, now, CacheStatus::hit(entry.head().lifetime().ttl(now)))
    }

    /// All the rest.
    pub(super) async fn lookup<B>(self: Arc<Self>, begun: Begun<B>) -> Lookup<St, F, P, B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let asked = match begun {
            Begun::Answer(response) => return Lookup::Answer(response),
            Begun::Bypass(request, status) => return Lookup::Bypass(request, status),
            Begun::Keyed(asked) => asked,
            Begun::Unread(head, body, directives, limit) => match self.read(head, body, directives, limit).await {
                Ok(asked) => asked,
                Err((request, status)) => return Lookup::Bypass(request, status),
            },
        };
        self.resolve(asked).await
    }

    async fn read<B>(
        &self,
        head: request::Parts,
        body: B,
        directives: RequestDirectives,
        limit: usize,
    ) -> Result<Asked<B>, (Request<ReplayBody<B>>, CacheStatus)>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let status = CacheStatus::forward(Forward::Bypass);
        let (body, status) = match buffer(body, limit).await {
            Buffered::Whole(bytes, body) => match self.key(&head, &bytes) {
                Some(key) => {
                    let slot = self.peek(&key, &head.headers);
                    return Ok(Asked { head, body, key, directives, slot });
                }
                None => (body, status),
            },
            Buffered::TooLarge(body) => (body, detailed(status, "request-too-large")),
            Buffered::Failed(body) => (body, detailed(status, "request-broken")),
        };
        self.stats.bypassed.increment();
        Err((Request::from_parts(head, body), status))
    }

    async fn resolve<B>(self: Arc<Self>, mut asked: Asked<B>) -> Lookup<St, F, P, B> {
        let mut looked_again = false;
        loop {
            let slot = match asked.slot.take() {
                Some(slot) => slot,
                None => self.slot(&asked.key, &asked.head.headers).await,
            };
            let now = self.now();
            let mut reason = slot.reason;
            if let Some(entry) = &slot.entry {
                match self.policy.reuse(&asked.directives, entry.head(), now) {
                    Reuse::Serve => {
                        let request = (&asked.head.method, &asked.head.headers);
                        return Lookup::Answer(self.hit(entry, &slot.key, request, now));
                    }
                    Reuse::ServeStale => return self.stale(asked, slot, now),
                    Reuse::Validate(why) => reason = why,
                }
            }
            if asked.directives.only_if_cached {
                return Lookup::Answer(self.only_if_cached(CacheStatus::forward(reason)));
            }
            if slot.entry.is_none() && validators::is_conditional(&asked.head.headers) {
                // The answer to a condition is for this client alone, and a part of nothing that could be kept.
                self.stats.bypassed.increment();
                let request = Request::from_parts(asked.head, asked.body);
                return Lookup::Bypass(request, detailed(CacheStatus::forward(reason), "conditional"));
            }
            // What is being fetched since before a request can't be the new answer that it asks for.
            let joins = self.settings.coalesce && reason != Forward::Request && !asked.directives.no_cache;
            let entered = if joins {
                self.flights.enter(&slot.key, now)
            } else {
                self.flights.lead(&slot.key).filter(|_| self.settings.coalesce).map_or(Entered::Alone, Entered::Lead)
            };
            match entered {
                Entered::Lead(lead) => {
                    // Somebody may have landed since the look-up. Once is enough: what is found then may differ for ever, with a
                    // store that makes its entries anew, or beside a variant that is still being fetched.
                    let again = joins && !std::mem::replace(&mut looked_again, true);
                    if again && self.peek(&asked.key, &asked.head.headers).is_some_and(|now| now.differs_from(&slot)) {
                        continue;
                    }
                    return Lookup::Miss(self.miss(asked, slot, reason, Some(lead), now));
                }
                Entered::Alone => return Lookup::Miss(self.miss(asked, slot, reason, None, now)),
                Entered::Follow(follow) => match follow.wait().await {
                    Followed::Live(head, body) => {
                        let now = self.now();
                        let headers = &asked.head.headers;
                        if let Some(variant) = head.selecting().filter(|variant| !variant.answers(headers)) {
                            // Not for this request; but now it is known what counts.
                            asked.slot = Some(self.slot_beside(&asked.key, variant, headers).await);
                            continue;
                        }
                        if self.policy.reuse(&asked.directives, &head, now) == Reuse::Serve {
                            let status = self.collapsed(reason, head.status());
                            return Lookup::Answer(self.serve_live(&head, &slot.key, body, now, status));
                        }
                        return Lookup::Miss(self.miss(asked, slot, reason, None, now));
                    }
                    Followed::Kept(entry) => {
                        let now = self.now();
                        let headers = &asked.head.headers;
                        if let Some(variant) = entry.head().selecting().filter(|variant| !variant.answers(headers)) {
                            asked.slot = Some(self.slot_beside(&asked.key, variant, headers).await);
                            continue;
                        }
                        if self.policy.reuse(&asked.directives, entry.head(), now) == Reuse::Serve {
                            let status = self.collapsed(reason, StatusCode::NOT_MODIFIED);
                            let client = (&asked.head.method, &asked.head.headers);
                            return Lookup::Answer(self.serve_if_modified(&entry, &slot.key, client, now, status));
                        }
                        return Lookup::Miss(self.miss(asked, slot, reason, None, now));
                    }
                    Followed::Released => {
                        let now = self.now();
                        return Lookup::Miss(self.miss(asked, slot, reason, None, now));
                    }
                    Followed::Abandoned => {}
                },
            }
        }
    }

    fn collapsed(&self, reason: Forward, fwd_status: StatusCode) -> CacheStatus {
        self.stats.collapsed.increment();
        let mut status = CacheStatus::forward(reason);
        status.fwd_status = Some(fwd_status.as_u16());
        status.collapsed = true;
        status
    }

    fn stale<B>(self: Arc<Self>, asked: Asked<B>, slot: Slot, now: SystemTime) -> Lookup<St, F, P, B> {
        let Some(entry) = slot.entry.clone() else {
            return Lookup::Miss(self.miss(asked, slot, Forward::Stale, None, now));
        };
        self.stats.stale_hits.increment();
        let status = detailed(CacheStatus::hit(entry.head().lifetime().ttl(now)), "stale-while-revalidate");
        let response =
            self.serve_if_modified(&entry, &slot.key, (&asked.head.method, &asked.head.headers), now, status);
        match self.flights.lead(&slot.key) {
            Some(lead) => {
                let mut miss = self.miss(asked, slot, Forward::Stale, Some(lead), now);
                miss.fill.is_behind_response();
                Lookup::Stale(response, miss)
            }
            None => Lookup::Answer(response),
        }
    }

    fn miss<B>(
        self: Arc<Self>,
        asked: Asked<B>,
        slot: Slot,
        reason: Forward,
        lead: Option<Lead>,
        now: SystemTime,
    ) -> Miss<St, F, P, B> {
        let mut request = Request::from_parts(asked.head, asked.body);
        // What decides is the client's request, not what the cache adds to it; its extensions decide nothing.
        let mut client = Request::new(());
        *client.method_mut() = request.method().clone();
        *client.uri_mut() = request.uri().clone();
        *client.headers_mut() = request.headers().clone();
        let mut validating = false;
        if let Some(entry) = &slot.entry {
            let validators = Validators::of(entry.head().headers());
            validating = !validators.is_empty() && matches!(*request.method(), Method::GET | Method::HEAD);
            // What is asked of the origin is the cache's question; the client's own is answered from the outcome.
            request.headers_mut().remove(IF_NONE_MATCH);
            request.headers_mut().remove(IF_MODIFIED_SINCE);
            if validating {
                validators.apply_to(request.headers_mut());
            }
            if entry.head().lifetime().may_replace_error(now, asked.directives.stale_if_error) {
                request.extensions_mut().insert(StaleEntry(entry.clone()));
            }
        }
        let began = self.purges.count();
        let client = client.into_parts().0;
        let fill = Fill::new(self, slot, client, asked.directives, reason, lead, validating, now, began);
        Miss { request, fill: Box::new(fill) }
    }
}

fn detailed(mut status: CacheStatus, detail: &'static str) -> CacheStatus {
    status.detail = Some(detail);
    status
}
