//! From the inner service's response to the client's, and to the store.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    Extensions, Method, Request, Response, StatusCode,
    header::{AGE, DATE, ETAG},
    request::Parts,
    response,
};
use http_body::Body;

use super::{
    CacheBody,
    body::Served,
    keep::{announced_length, passed, stored_head},
    purges::Began,
    shared::Shared,
    slot::Slot,
};
use crate::{
    BoxError,
    body::ReplayBody,
    coalesce::{self, Interest, Lead},
    entry::{Entry, Head},
    fingerprint::Fingerprint,
    header::{
        age,
        cache_control::RequestDirectives,
        cache_status::{CacheStatus, Forward},
        date, hop_by_hop,
        range::Ranges,
        vary::Vary,
    },
    policy::{Exchange, Policy, Reuse, Storage, rfc9111::validation},
    store::Store,
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
    pub(super) shared: Arc<Shared<St, F, P>>,
    pub(super) slot: Slot,
    pub(super) client: Parts,
    pub(super) directives: RequestDirectives,
    /// The bytes that the client wants, if not all.
    pub(super) ranges: Option<Ranges>,
    pub(super) reason: Forward,
    pub(super) lead: Option<Lead>,
    pub(super) question: Question,
    pub(super) requested_at: SystemTime,
    /// What had been purged when it began.
    pub(super) began: Began,
    /// Whether the request has been answered already, and counted.
    pub(super) behind_response: bool,
}

/// What the cache asks the origin besides what its client asks.
pub(super) enum Question {
    /// Nothing.
    Plain,
    /// Whether what is stored still holds.
    Holds,
    /// Whether one of these variants is the answer; if not, the request can be sent once more without that.
    AnyOf(Vec<Entry>, Extensions),
    /// What is missing behind this part; if that can't be had, the request can be sent once more without that.
    Rest(Entry, Extensions),
}

/// What became of an answer.
pub(crate) enum Finished<St, F, P, B> {
    /// It is the client's.
    Response(Response<CacheBody<B>>),
    /// It answers what the cache asked in a way that helps nobody: the client's request is to be sent as it came.
    Again(Request<()>, Box<Fill<St, F, P>>),
}

impl<St, F, P> Fill<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// For the answer to a request that had no part in the cache until it came.
    pub(super) fn beside(
        shared: Arc<Shared<St, F, P>>,
        slot: Slot,
        client: Parts,
        reason: Forward,
        requested_at: SystemTime,
    ) -> Self {
        let began = shared.purges.begin(&client);
        Self {
            shared,
            slot,
            client,
            directives: RequestDirectives::default(),
            ranges: None,
            reason,
            lead: None,
            question: Question::Plain,
            requested_at,
            began,
            behind_response: false,
        }
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

    /// Whether the request may have to be sent twice.
    pub(crate) fn may_ask_again(&self) -> bool {
        matches!(self.question, Question::AnyOf(..) | Question::Rest(..))
    }

    /// Takes the inner service's response, and gives the client's.
    pub(crate) fn finish<B>(mut self: Box<Self>, response: Response<B>) -> Finished<St, F, P, B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let now = self.shared.now();
        let status = response.status();
        if self.shared.policy.is_error(status)
            && let Some(stale) = self.in_place_of_error(now, Some(status))
        {
            self.let_go(false);
            return Finished::Response(stale.map(CacheBody::served));
        }
        match (std::mem::replace(&mut self.question, Question::Plain), status) {
            (Question::Holds, StatusCode::NOT_MODIFIED) => {
                if let Some(entry) = self.slot.entry.clone() {
                    let response = self.confirm(entry, response.headers(), now);
                    return Finished::Response(response.map(CacheBody::served));
                }
            }
            (Question::AnyOf(offered, extensions), StatusCode::NOT_MODIFIED) => {
                let meant = offered.iter().find(|entry| validation::tells(response.headers(), entry.head().headers()));
                // Without a tag it can only mean the one that was asked about.
                let untagged = !response.headers().contains_key(ETAG) && offered.len() == 1;
                let meant = meant.or_else(|| offered.first().filter(|_| untagged));
                return match meant {
                    Some(entry) => {
                        Finished::Response(self.adopt(entry, response.headers(), now).map(CacheBody::served))
                    }
                    None => self.again(extensions),
                };
            }
            (Question::Rest(part, extensions), StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) => {
                let (parts, body) = response.into_parts();
                return match self.complete(&part, parts, body, now) {
                    Ok(response) => Finished::Response(response.map(CacheBody::served)),
                    Err(this) => this.again(extensions),
                };
            }
            (_, _) => {}
        }
        let (parts, body) = response.into_parts();
        if let Some(entry) = self.is_head_of_stored(status) {
            match self.update_by_head(&entry, &parts.headers, now) {
                Ok(response) => return Finished::Response(response.map(CacheBody::served)),
                Err(this) => self = this,
            }
        }
        if self.client.method == Method::HEAD && !self.slot.of_head {
            self.slot = Slot::of_head(&self.slot.primary);
        }
        self.count_miss();
        let exchange = Exchange::new(&self.client, &parts, self.requested_at, now);
        let storage = self.shared.policy.storable(&exchange);
        Finished::Response(self.settle(storage, parts, body))
    }

    /// Keeps a response as far as the policy says so, and gives the client's.
    pub(super) fn settle<B>(self, storage: Storage, mut parts: response::Parts, body: B) -> Response<CacheBody<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (lifetime, without) = match storage {
            Storage::Keep { lifetime, without } => (lifetime, without),
            Storage::Skip(why) => {
                self.shared.stats.not_storable.increment();
                let status = self.status(parts.status).with_detail(why.as_str());
                self.let_go(why.is_lasting());
                return passed(parts, body, status);
            }
        };
        let announced = announced_length(&self.client.method, &parts).or_else(|| body.size_hint().exact());
        if announced.is_some_and(|length| length > self.shared.settings.max_body as u64) {
            self.shared.stats.too_large.increment();
            let status = self.status(parts.status).with_detail("too-large");
            self.let_go(true);
            return passed(parts, body, status);
        }
        // A response without a date is dated by who receives it (RFC 9110 §6.6.1).
        if !parts.headers.contains_key(DATE) {
            parts.headers.insert(DATE, date::format(lifetime.received_at));
        }
        // How long it took counts as age (RFC 9111 §4.2.3), and those behind this cache can't know it.
        if lifetime.initial_age.as_secs() > 0 {
            parts.headers.insert(AGE, age::format(lifetime.initial_age));
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
        if parts.status == StatusCode::PARTIAL_CONTENT {
            return self.pass_part(key, head, parts, body);
        }
        self.keep(key, head, parts, body, announced).map(CacheBody::served)
    }

    /// The client's request once more, as it came.
    fn again<B>(self: Box<Self>, extensions: Extensions) -> Finished<St, F, P, B> {
        let mut request = Request::new(());
        *request.method_mut() = self.client.method.clone();
        *request.uri_mut() = self.client.uri.clone();
        *request.headers_mut() = self.client.headers.clone();
        *request.extensions_mut() = extensions;
        Finished::Again(request, self)
    }

    /// The origin answered neither the cache's question nor the client's.
    pub(crate) fn unanswered(self: Box<Self>) -> Response<Served> {
        let status = CacheStatus::forward(self.reason).with_detail("unanswered");
        let response = self.shared.gateway_timeout(status);
        self.let_go(false);
        response
    }

    /// The inner service failed; a stale response may stand in. Where one must not, the client hears that the origin could not be
    /// asked (RFC 9111 §5.2.2.2).
    pub(crate) fn failed(self) -> Option<Response<Served>> {
        let now = self.shared.now();
        let mut answer = self.in_place_of_error(now, None);
        let strict = |entry: &Entry| entry.head().lifetime().must_revalidate;
        if answer.is_none() && !self.behind_response && self.slot.entry.as_ref().is_some_and(strict) {
            let status = CacheStatus::forward(self.reason).with_detail("must-revalidate");
            answer = Some(self.shared.gateway_timeout(status));
        }
        if answer.is_none() {
            self.count_miss();
        }
        self.let_go(false);
        answer
    }

    /// Whether a response will do for other requests as it is.
    pub(super) fn serves(&self, head: &Head) -> bool {
        let plain = RequestDirectives::default();
        self.shared.policy.reuse(&plain, head, self.shared.now()) == Reuse::Serve
    }

    pub(super) fn count_miss(&self) {
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
        let mut status = CacheStatus::forward(self.reason).with_detail("stale-if-error");
        status.fwd_status = error.map(|error| error.as_u16());
        status.ttl = Some(lifetime.ttl(now));
        Some(self.shared.answer_with(entry, &self.slot.key, &self.client, self.ranges.as_ref(), now, status))
    }

    pub(super) fn status(&self, fwd_status: StatusCode) -> CacheStatus {
        let mut status = CacheStatus::forward(self.reason);
        status.fwd_status = Some(fwd_status.as_u16());
        self.shared.show_key(&mut status, &self.slot.key);
        status
    }

    /// Sends the followers to fetch for themselves; and those that come later too, for a while, if `lasting`.
    pub(super) fn let_go(self, lasting: bool) {
        if let Some(lead) = self.lead {
            let until = coalesce::until(self.shared.now(), self.shared.settings.uncacheable_for);
            lead.release(until.filter(|_| lasting));
        }
    }
}
