//! From a request to its key; and to its answer, if that takes no waiting.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::{
    body::Served,
    observe::Answer,
    pass::Pass,
    shared::Shared,
    slot::Slot,
    wants::{Asks, Wants},
};
use crate::{
    BoxError,
    body::{Buffered, ReplayBody, buffer},
    entry::Entry,
    fingerprint::{BodyUse, Fingerprint, Identity},
    header::{
        cache_control::RequestDirectives,
        cache_status::{CacheStatus, Forward},
    },
    key::Key,
    policy::{Admission, Policy, Reuse},
    stats::{Counter, Outcome},
    store::{Peek, Store},
};

/// A request as far as it can be dealt with without waiting.
pub(crate) enum Begun<B> {
    Answer(Response<Served>),
    Bypass(Box<(Request<ReplayBody<B>>, Pass)>),
    Unread(Box<Unread<B>>),
    Keyed(Box<Asked<B>>),
}

impl<B> Begun<B> {
    /// What was asked for, if it wasn't answered.
    pub(super) fn head(&self) -> Option<(&Method, &Uri, &HeaderMap)> {
        match self {
            Self::Answer(_) => None,
            Self::Bypass(passing) => Some((passing.0.method(), passing.0.uri(), passing.0.headers())),
            Self::Unread(unread) => Some((&unread.head.method, &unread.head.uri, &unread.head.headers)),
            Self::Keyed(asked) => Some((&asked.head.method, &asked.head.uri, &asked.head.headers)),
        }
    }
}

/// A request whose key needs up to `limit` bytes of its body.
pub(crate) struct Unread<B> {
    head: Parts,
    body: B,
    directives: RequestDirectives,
    wants: Wants,
    limit: usize,
    begun: Instant,
}

/// A request and its key.
pub(crate) struct Asked<B> {
    pub(super) head: Parts,
    pub(super) body: ReplayBody<B>,
    pub(super) identity: Identity,
    pub(super) directives: RequestDirectives,
    pub(super) wants: Wants,
    pub(super) slot: Option<Slot>,
    /// When the request came.
    pub(super) begun: Instant,
}

/// Who asks, what for, and since when.
pub(super) struct Client<'a> {
    head: &'a Parts,
    wants: &'a Wants,
    begun: Instant,
}

impl<B> Asked<B> {
    pub(super) fn client(&self) -> Client<'_> {
        Client { head: &self.head, wants: &self.wants, begun: self.begun }
    }
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
        let begun = Instant::now();
        let (mut head, body) = request.into_parts();
        let Asks { directives, wants, origin } = Asks::of(&head);
        if let Some((reason, counter)) = self.bypass(&head, &directives, origin) {
            if directives.only_if_cached {
                return Begun::Answer(self.only_if_cached(CacheStatus::forward(reason), begun));
            }
            let status = CacheStatus::forward(reason);
            return self.bypassed(head, ReplayBody::new(body), status, counter, begun);
        }
        match self.fingerprint.body(&head) {
            BodyUse::Buffer { .. } if body.is_end_stream() => {}
            BodyUse::Buffer { limit } => {
                // What a body asks for has no ranges.
                let wants = Wants { ranges: None, ..wants };
                return Begun::Unread(Box::new(Unread { head, body, directives, wants, limit, begun }));
            }
            BodyUse::Empty if !body.is_end_stream() => {
                let status = CacheStatus::forward(Forward::Bypass).with_detail("request-body");
                let counter = &self.stats.bypassed_body;
                return self.bypassed(head, ReplayBody::new(body), status, counter, begun);
            }
            BodyUse::Empty | BodyUse::Ignore => {}
        }
        let Some(identity) = self.identity(&mut head, &Bytes::new()) else {
            let (status, counter) = (CacheStatus::forward(Forward::Bypass), &self.stats.bypassed_by_fingerprint);
            return self.bypassed(head, ReplayBody::new(body), status, counter, begun);
        };
        let client = |head, wants| Client { head, wants, begun };
        let peeked = self.store.peek(&identity.key);
        if let (Peek::Found(entry), None) = (&peeked, identity.rendering)
            && entry.head().selecting().is_none_or(|variant| variant.answers(&head.headers))
            && !self.is_invalidated(entry, &head)
            && let Some(response) = self.fresh(entry, &identity.key, None, &client(&head, &wants), &directives)
        {
            return Begun::Answer(response);
        }
        let slot = self.peeked(peeked, &identity, &head);
        if let Some(slot @ Slot { entry: Some(entry), key, .. }) = &slot
            && let Some(response) = self.fresh(entry, key, slot.origin.as_ref(), &client(&head, &wants), &directives)
        {
            return Begun::Answer(response);
        }
        Begun::Keyed(Box::new(Asked { head, body: ReplayBody::new(body), identity, directives, wants, slot, begun }))
    }

    /// Why a request passes by, and where that is counted.
    fn bypass(&self, head: &Parts, directives: &RequestDirectives, origin: bool) -> Option<(Forward, &Counter)> {
        let stats = &self.stats;
        if let Admission::Bypass(reason) = self.policy.admit(head) {
            let is_method = reason == Forward::Method;
            return Some((reason, if is_method { &stats.bypassed_method } else { &stats.bypassed_by_policy }));
        }
        if directives.no_store {
            return Some((Forward::Request, &stats.bypassed_directive));
        }
        origin.then_some((Forward::Bypass, &stats.bypassed_origin))
    }

    /// What is asked for by the fingerprint; a HEAD asks for what a GET does, whose answer holds its own.
    pub(super) fn identity(&self, head: &mut Parts, body: &Bytes) -> Option<Identity> {
        let identify = |head: &Parts| self.fingerprint.identify(head, body);
        if head.method == Method::HEAD { as_get(head, identify) } else { identify(head) }
    }

    /// The key that a GET with this head, and no body, has.
    pub(super) fn key_of_get(&self, head: &mut Parts) -> Option<Key> {
        as_get(head, |head| self.fingerprint.key(head, &Bytes::new()))
    }

    fn bypassed<B>(
        &self,
        head: Parts,
        body: ReplayBody<B>,
        status: CacheStatus,
        counter: &Counter,
        begun: Instant,
    ) -> Begun<B> {
        Begun::Bypass(self.passing(head, body, status, counter, begun))
    }

    fn passing<B>(
        &self,
        head: Parts,
        body: ReplayBody<B>,
        status: CacheStatus,
        counter: &Counter,
        begun: Instant,
    ) -> Box<(Request<ReplayBody<B>>, Pass)> {
        self.stats.is_to_be_answered(Outcome::Bypass);
        counter.increment();
        let pass = self.pass(&head, status, begun);
        Box::new((Request::from_parts(head, body), pass))
    }

    /// A hit, if the entry can be served as it is.
    fn fresh(
        &self,
        entry: &Entry,
        key: &Key,
        origin: Option<&Entry>,
        client: &Client<'_>,
        directives: &RequestDirectives,
    ) -> Option<Response<Served>> {
        let now = self.now();
        let serves = entry.head().lifetime().kept_in(now).is_some()
            && self.policy.reuse(directives, entry.head(), now) == Reuse::Serve;
        serves.then(|| self.hit(entry, key, origin, client, now))
    }

    pub(super) fn hit(
        &self,
        entry: &Entry,
        key: &Key,
        origin: Option<&Entry>,
        client: &Client<'_>,
        now: SystemTime,
    ) -> Response<Served> {
        let Client { head, wants, begun } = *client;
        let mut status = CacheStatus::hit(entry.head().lifetime().ttl(now));
        if origin.is_some() {
            self.stats.converted.increment();
            status = status.with_detail("converted");
        }
        let response = self.answer_with(entry, key, head, wants, now, status);
        self.answered(Outcome::Hit, begun, &response);
        self.observed(head, key, Answer::Hit, entry.head().noted(), response)
    }

    /// Reads the body that the key needs.
    pub(super) async fn read<B>(&self, unread: Unread<B>) -> Result<Box<Asked<B>>, Box<(Request<ReplayBody<B>>, Pass)>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let Unread { mut head, body, directives, wants, limit, begun } = unread;
        let stats = &self.stats;
        let status = CacheStatus::forward(Forward::Bypass);
        let (body, status, counter) = match buffer(body, limit).await {
            Buffered::Whole(bytes, body) => match self.identity(&mut head, &bytes) {
                Some(identity) => {
                    let slot = self.peek(&identity, &head);
                    return Ok(Box::new(Asked { head, body, identity, directives, wants, slot, begun }));
                }
                None => (body, status, &stats.bypassed_by_fingerprint),
            },
            Buffered::TooLarge(body) => (body, status.with_detail("request-too-large"), &stats.bypassed_too_large),
            Buffered::Failed(body) => (body, status.with_detail("request-broken"), &stats.bypassed_broken),
        };
        Err(self.passing(head, body, status, counter, begun))
    }
}

/// What is made of a head while it is that of a GET.
fn as_get<T>(head: &mut Parts, make: impl FnOnce(&Parts) -> T) -> T {
    let method = std::mem::replace(&mut head.method, Method::GET);
    let made = make(head);
    head.method = method;
    made
}
