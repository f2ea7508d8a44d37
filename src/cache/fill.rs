//! From the inner service's response to the client's, and to the store.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{AGE, CONTENT_LENGTH, DATE, TRANSFER_ENCODING},
    request, response,
};
use http_body::Body;

use super::{
    CacheBody,
    body::Served,
    serve::{announce, freshened, prepare},
    shared::Shared,
    slot::Slot,
};
use crate::{
    BoxError,
    body::{Ended, ReplayBody, Tee, TeeOptions},
    coalesce::{self, Interest, Lead},
    entry::{Entry, Head, Variant},
    fingerprint::Fingerprint,
    header::{
        cache_control::RequestDirectives,
        cache_status::{CacheStatus, Forward},
        date, hop_by_hop, media_type,
        vary::Vary,
    },
    key::Key,
    policy::{Exchange, Policy, Reuse, Storage, completeness::Verdict},
    store::Store,
    tag::Tag,
};

/// A request that the inner service is to answer.
pub(crate) struct Miss<St, F, P, B> {
    pub(super) request: Request<ReplayBody<B>>,
    /// Boxed, for it passes through many hands.
    pub(super) fill: Box<Fill<St, F, P>>,
}

impl<St, F, P, B> Miss<St, F, P, B> {
    pub(crate) fn split(self) -> (Request<ReplayBody<B>>, Box<Fill<St, F, P>>) {
        (self.request, self.fill)
    }
}

/// What is to be done with the answer.
pub(crate) struct Fill<St, F, P> {
    shared: Arc<Shared<St, F, P>>,
    slot: Slot,
    client: request::Parts,
    directives: RequestDirectives,
    reason: Forward,
    lead: Option<Lead>,
    /// Whether the request was made conditional, so that a 304 is meant for the cache.
    validating: bool,
    requested_at: SystemTime,
    /// How many purges there had been when it began.
    began: u64,
    /// Whether the request has been answered already, and counted.
    behind_response: bool,
}

impl<St, F, P> Fill<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    #[expect(clippy::too_many_arguments, reason = "it has one caller, which has all of them")]
    pub(super) fn new(
        shared: Arc<Shared<St, F, P>>,
        slot: Slot,
        client: request::Parts,
        directives: RequestDirectives,
        reason: Forward,
        lead: Option<Lead>,
        validating: bool,
        requested_at: SystemTime,
        began: u64,
    ) -> Self {
        Self { shared, slot, client, directives, reason, lead, validating, requested_at, began, behind_response: false }
    }

    /// Says that the request has been answered with what is stored, and counted.
    pub(super) fn is_behind_response(&mut self) {
        self.behind_response = true;
    }

    /// Whether others wait for this fetch.
    pub(crate) fn interest(&self) -> Option<Interest> {
        self.lead.as_ref().map(Lead::interest)
    }

    /// For how long the fetch is to go on if nobody waits for it.
    pub(crate) fn finishes(&self) -> Option<Duration> {
        self.shared.settings.finish
    }

    /// Whether a response with this status is an error that a stale one may stand in for.
    #[cfg(feature = "reqwest")]
    pub(crate) fn is_error(&self, status: StatusCode) -> bool {
        self.shared.policy.is_error(status)
    }

    /// Takes the inner service's response, and gives the client's.
    pub(crate) fn finish<B>(self, response: Response<B>) -> Response<CacheBody<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let now = self.shared.now();
        if self.validating && response.status() == StatusCode::NOT_MODIFIED {
            return self.confirm(response.headers(), now).map(CacheBody::served);
        }
        if self.shared.policy.is_error(response.status())
            && let Some(stale) = self.in_place_of_error(now, Some(response.status()))
        {
            self.let_go(false);
            return stale.map(CacheBody::served);
        }
        self.count_miss();
        let (parts, body) = response.into_parts();
        let exchange = Exchange::new(&self.client, &parts, self.requested_at, now);
        match self.shared.policy.storable(&exchange) {
            Storage::Skip(why) => {
                self.shared.stats.not_storable.increment();
                let mut status = self.status(parts.status);
                status.detail = Some(why.as_str());
                self.let_go(why.is_lasting());
                passed(parts, body, status)
            }
            Storage::Keep { lifetime, without } => {
                let announced = announced_length(&self.client.method, &parts).or_else(|| body.size_hint().exact());
                if announced.is_some_and(|length| length > self.shared.settings.max_body as u64) {
                    self.shared.stats.too_large.increment();
                    let mut status = self.status(parts.status);
                    status.detail = Some("too-large");
                    self.let_go(true);
                    return passed(parts, body, status);
                }
                let mut headers = parts.headers.clone();
                hop_by_hop::remove(&mut headers);
                without.iter().for_each(|name| {
                    headers.remove(name);
                });
                let vary = Vary::parse(&headers);
                let Some((key, variant)) = self.slot.place(vary.as_ref(), &self.client.headers) else {
                    let status = self.status(parts.status);
                    self.let_go(true);
                    return passed(parts, body, status);
                };
                let head = stored_head(parts.status, headers, lifetime, variant);
                self.keep(key, head, parts, body, announced)
            }
        }
    }

    /// The inner service failed; a stale response may stand in.
    pub(crate) fn failed(self) -> Option<Response<Served>> {
        let stale = self.in_place_of_error(self.shared.now(), None);
        if stale.is_none() {
            self.count_miss();
        }
        self.let_go(false);
        stale
    }

    fn keep<B>(
        self,
        key: Key,
        head: Head,
        parts: response::Parts,
        body: B,
        announced: Option<u64>,
    ) -> Response<CacheBody<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut status = self.status(parts.status);
        status.stored = true;
        let head = Arc::new(head);
        let serves = self.serves(&head);
        let until = coalesce::until(self.shared.now(), self.shared.settings.uncacheable_for);
        let Self { shared, lead, began, .. } = self;
        let options = TeeOptions {
            limit: shared.settings.max_body,
            announced,
            keep_frames: media_type::is_event_stream(head.headers()),
            finish: shared.settings.finish,
        };
        // The flight is closed by whoever sees the body's end, so the lead goes where that is seen; it has to be there before
        // the body can end.
        let lead = Arc::new(std::sync::Mutex::new(lead));
        let closing = lead.clone();
        let kept = head.clone();
        let tee = Tee::new(body, options, move |ended| {
            let lead = closing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            ended_with(&shared, ended, key, kept, lead, began);
        });
        {
            let mut lead = lead.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if serves {
                if let Some(lead) = &*lead {
                    lead.publish(head, tee.joiner());
                }
            } else if let Some(lead) = lead.take() {
                lead.release(until);
            }
        }
        let mut response = Response::from_parts(parts, CacheBody::served(Served::Live(tee)));
        announce(&mut response, status);
        response
    }

    /// The origin says that the stored response still holds (RFC 9111 §4.3.4).
    fn confirm(mut self, update: &HeaderMap, now: SystemTime) -> Response<Served> {
        if !self.behind_response {
            self.shared.stats.revalidated.increment();
        }
        let mut status = self.status(StatusCode::NOT_MODIFIED);
        let Some(entry) = self.slot.entry.clone() else {
            // It can't have been validating without one.
            return self.shared.only_if_cached(status);
        };
        let mut update = update.clone();
        hop_by_hop::remove(&mut update);
        // A response without a date is dated by who receives it (RFC 9110 §6.6.1); the stored date would make it old.
        if !update.contains_key(DATE) {
            update.insert(DATE, date::format(now));
        }
        let headers = freshened(entry.head().headers(), &update);
        let mut parts = Response::new(()).into_parts().0;
        parts.status = entry.head().status();
        parts.headers = headers;
        parts.headers.remove(AGE);
        if let Some(age) = update.get(AGE) {
            parts.headers.insert(AGE, age.clone());
        }
        let storage = self.shared.policy.storable(&Exchange::new(&self.client, &parts, self.requested_at, now));
        let entry = match storage {
            Storage::Keep { lifetime, without } => {
                without.iter().for_each(|name| {
                    parts.headers.remove(name);
                });
                let variant = entry.head().selecting().cloned();
                let entry = entry.with_head(stored_head(parts.status, parts.headers, lifetime, variant));
                self.shared.put(self.slot.key.clone(), entry.clone(), self.began, None);
                status.stored = true;
                entry
            }
            Storage::Skip(_) => {
                self.shared.remove(self.slot.key.clone());
                entry
            }
        };
        let client = (&self.client.method, &self.client.headers);
        let response = self.shared.serve_if_modified(&entry, &self.slot.key, client, now, status);
        match self.lead.take() {
            Some(lead) if self.serves(entry.head()) => lead.share(entry),
            // It has to be confirmed for each request: they need not wait for each other.
            Some(lead) => lead.release(coalesce::until(now, self.shared.settings.uncacheable_for)),
            None => {}
        }
        response
    }

    /// Whether a response will do for other requests as it is.
    fn serves(&self, head: &Head) -> bool {
        let plain = RequestDirectives::default();
        self.shared.policy.reuse(&plain, head, self.shared.now()) == Reuse::Serve
    }

    fn count_miss(&self) {
        if !self.behind_response {
            self.shared.stats.misses.increment();
        }
    }

    fn in_place_of_error(&self, now: SystemTime, error: Option<StatusCode>) -> Option<Response<Served>> {
        let entry = self.slot.entry.as_ref()?;
        let lifetime = entry.head().lifetime();
        if !lifetime.may_replace_error(now, self.directives.stale_if_error) {
            return None;
        }
        if !self.behind_response {
            self.shared.stats.stale_on_error.increment();
        }
        let mut status = CacheStatus::forward(self.reason);
        status.fwd_status = error.map(|error| error.as_u16());
        status.ttl = Some(lifetime.ttl(now));
        status.detail = Some("stale-if-error");
        let client = (&self.client.method, &self.client.headers);
        Some(self.shared.serve_if_modified(entry, &self.slot.key, client, now, status))
    }

    fn status(&self, fwd_status: StatusCode) -> CacheStatus {
        let mut status = CacheStatus::forward(self.reason);
        status.fwd_status = Some(fwd_status.as_u16());
        self.shared.show_key(&mut status, &self.slot.key);
        status
    }

    /// Sends the followers to fetch for themselves; and those that come later too, for a while, if `lasting`.
    fn let_go(self, lasting: bool) {
        if let Some(lead) = self.lead {
            let until = coalesce::until(self.shared.now(), self.shared.settings.uncacheable_for);
            lead.release(until.filter(|_| lasting));
        }
    }
}

/// A body came to its end, in one way or another.
fn ended_with<St, F, P>(
    shared: &Arc<Shared<St, F, P>>,
    ended: Ended,
    key: Key,
    head: Arc<Head>,
    lead: Option<Lead>,
    began: u64,
) where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    match ended {
        Ended::Complete(frames) => {
            match shared.settings.completeness.check(head.status(), head.headers(), frames.data()) {
                // The flight is closed when the store has the entry, so that nobody falls in between.
                Verdict::Complete => shared.put(key, Entry::new(head, frames), began, lead),
                Verdict::Incomplete(reason) => {
                    shared.stats.incomplete.increment();
                    tracing::debug!(label = key.label(), reason, "not kept: the body is not whole");
                }
            }
        }
        Ended::TooLarge => {
            shared.stats.too_large.increment();
            tracing::debug!(label = key.label(), "not kept: the body is too large");
            if let Some(lead) = lead {
                lead.release(coalesce::until(shared.now(), shared.settings.uncacheable_for));
            }
        }
        Ended::Broken => {
            shared.stats.incomplete.increment();
            tracing::debug!(label = key.label(), "not kept: the body broke");
        }
    }
}

fn passed<B>(parts: response::Parts, body: B, status: CacheStatus) -> Response<CacheBody<B>> {
    let mut response = Response::from_parts(parts, CacheBody::passed(body));
    announce(&mut response, status);
    response
}

fn stored_head(
    status: StatusCode,
    mut headers: HeaderMap,
    lifetime: crate::entry::Lifetime,
    variant: Option<Variant>,
) -> Head {
    headers.remove(AGE);
    let tags = Tag::of(&headers);
    prepare(&mut headers);
    Head::new(status, headers, lifetime).tags(tags).variant(variant)
}

/// The length that the body is to have, by its head; responses to HEAD, 204 and 304 have none whatever the head says.
fn announced_length(method: &Method, parts: &response::Parts) -> Option<u64> {
    if *method == Method::HEAD || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return None;
    }
    // Read by its Transfer-Encoding, a message has no announced length (RFC 9112 §6.3).
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    lengths.next()?.to_str().ok()?.parse().ok()
}
