//! From the inner service's response to the client's, and to the store.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, header::AGE, request::Parts, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    CacheBody,
    confirm::received,
    keep::{announced_length, dated, passed, stored_head},
    observe::{Answer, Watched},
    pass::head_of,
    purges::Began,
    question::Question,
    shared::Shared,
    slot::Slot,
    stand_in::{kind_of, told},
    wants::Wants,
};
use crate::{
    BoxError,
    body::ReplayBody,
    coalesce::{self, Interest, Lead},
    entry::{Head, Rendering, StandIn},
    fingerprint::Fingerprint,
    header::{
        age,
        cache_control::RequestDirectives,
        cache_status::{CacheStatus, Forward},
        hop_by_hop,
        vary::Vary,
    },
    key::Key,
    policy::{Exchange, Policy, Reuse, Skip, Storage, rfc9111::validation},
    store::Store,
};

/// A request that the inner service is to answer.
pub(crate) struct Miss<St, F, P, B> {
    pub(super) request: Request<ReplayBody<B>>,
    /// Boxed, for it passes through many hands.
    pub(super) fill: Box<Fill<St, F, P>>,
}

impl<St: Store, F, P, B> Miss<St, F, P, B> {
    /// Whether what was served stale is for this process to refresh.
    #[cfg(feature = "reqwest")]
    pub(crate) async fn may_refresh(&mut self) -> bool {
        self.fill.may_refresh().await
    }
}

impl<St, F, P, B> Miss<St, F, P, B> {
    /// What the inner service is to be asked.
    pub(super) fn head(&self) -> (&Method, &Uri, &HeaderMap) {
        (self.request.method(), self.request.uri(), self.request.headers())
    }

    pub(crate) fn split(self) -> (Request<ReplayBody<B>>, Box<Fill<St, F, P>>) {
        (self.request, self.fill)
    }
}

/// What is to be done with the answer.
pub(crate) struct Fill<St, F, P> {
    pub(super) shared: Arc<Shared<St, F, P>>,
    pub(super) slot: Slot,
    /// In which the answer is asked for.
    pub(super) rendering: Option<Rendering>,
    pub(super) client: Parts,
    pub(super) directives: RequestDirectives,
    pub(super) wants: Wants,
    pub(super) reason: Forward,
    pub(super) lead: Option<Lead>,
    pub(super) question: Question,
    pub(super) requested_at: SystemTime,
    /// What had been purged when it began.
    pub(super) began: Began,
    /// When the request came, unless it is counted elsewhere.
    pub(super) begun: Option<Instant>,
    /// Whether the request has been answered already, and counted.
    pub(super) behind_response: bool,
}

/// Why nothing is kept of an answer.
#[derive(Clone, Copy)]
pub(super) struct Unkept {
    detail: Option<&'static str>,
    /// Whether the next one will probably not be kept either.
    lasting: bool,
    /// Whether it says nothing of what is stored: that is another client's to be answered with, not this one's to be kept for.
    private: bool,
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
        requested_at: SystemTime,
        began: Began,
    ) -> Self {
        Self {
            shared,
            slot,
            rendering: None,
            client,
            directives: RequestDirectives::default(),
            wants: Wants::default(),
            reason: Forward::Method,
            lead: None,
            question: Question::Plain,
            requested_at,
            began,
            begun: None,
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
        matches!(self.question, Question::AnyOf(..) | Question::Rest(..) | Question::Holds(Some(_)))
    }

    /// Takes the inner service's response, and gives the client's.
    pub(crate) fn finish<B>(mut self: Box<Self>, response: Response<B>) -> Finished<St, F, P, B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let now = self.shared.now();
        let status = response.status();
        self.shared.heard(status);
        let stand_in = kind_of(&response);
        let (error, how) = match stand_in {
            Some(StandIn::Stale { last_status }) => (Some(last_status), Answer::Fallback),
            Some(StandIn::Other) | None => {
                (self.shared.policy.is_error(status).then_some(Some(status)), Answer::StaleIfError)
            }
        };
        if let Some(error) = error
            && let Some(stale) = self.in_place_of_error(now, error, how)
        {
            self.let_go(false);
            let stale = if how == Answer::Fallback { told(stale, response) } else { stale };
            return Finished::Response(stale.map(CacheBody::served));
        }
        if let Some(kind) = stand_in {
            return self.stand_in(kind, response, now);
        }
        match (std::mem::replace(&mut self.question, Question::Plain), status) {
            (Question::Holds(extensions), StatusCode::NOT_MODIFIED) => {
                let update = received(response.headers(), now);
                if let Some(entry) = self.slot.entry.clone() {
                    let holds = validation::selects(&update, entry.head().headers());
                    if let (false, Some(extensions)) = (holds, extensions) {
                        // It speaks of a response that isn't stored: the one that is can't be right.
                        self.shared.remove(self.slot.key.clone());
                        return self.again(extensions, now);
                    }
                    return Finished::Response(self.confirm(entry, holds, &update, now).map(CacheBody::served));
                }
            }
            (Question::AnyOf(offered, extensions), StatusCode::NOT_MODIFIED) => {
                let update = received(response.headers(), now);
                // An origin that has one tag for all renderings speaks of none of them.
                let mut wanted = offered.iter().filter(|entry| entry.head().rendering() == self.rendering);
                let meant = wanted.find(|entry| validation::selects_also(&update, entry.head().headers()));
                return match meant {
                    Some(entry) => Finished::Response(self.adopt(entry, &update, now).map(CacheBody::served)),
                    None => self.again(extensions, now),
                };
            }
            (Question::Rest(part, extensions), StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) => {
                let (parts, body) = response.into_parts();
                return match self.complete(&part, parts, body, now) {
                    Ok(response) => Finished::Response(response.map(CacheBody::served)),
                    Err(this) => this.again(extensions, now),
                };
            }
            (_, _) => {}
        }
        let (parts, body) = response.into_parts();
        if let Some(entry) = self.is_head_of_stored(status) {
            match self.update_by_head(&entry, &received(&parts.headers, now), now) {
                Ok(response) => return Finished::Response(response.map(CacheBody::served)),
                Err(this) => self = this,
            }
        }
        if self.client.method == Method::HEAD && !self.slot.of_head {
            self.slot = Slot::of_head(&self.slot.primary);
        }
        self.count_miss();
        let exchange = Exchange::new(&self.client, &parts, self.requested_at, now);
        let storage = match status {
            // Asked for a range, the origin may have answered that alone.
            _ if self.wants.ranges.is_some() && !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) => {
                Storage::Skip(Skip::Partial)
            }
            _ => self.shared.policy.storable(&exchange),
        };
        Finished::Response(self.settle(storage, parts, body))
    }

    /// Keeps a response as far as the policy says so, and gives the client's.
    pub(super) fn settle<B>(self, storage: Storage, mut parts: response::Parts, body: B) -> Response<CacheBody<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let length = announced_length(&self.client.method, &parts).or_else(|| body.size_hint().exact());
        let planned = self.plan(storage, &mut parts, length);
        // What an observer says of it isn't kept.
        let watch = self.watch(&mut parts);
        let body = Watched::new(body, watch, self.meter());
        match planned {
            Ok((key, head)) if parts.status == StatusCode::PARTIAL_CONTENT => self.pass_part(key, head, parts, body),
            Ok((key, head)) => {
                let status = self.status(parts.status);
                self.keep(key, head, parts, body, length, status).map(CacheBody::served)
            }
            Err(unkept) => {
                let status = self.unkept(parts.status, unkept);
                passed(parts, body, status)
            }
        }
    }

    /// Where a response is to be kept, and how; it gets the fields that it lacks.
    pub(super) fn plan(
        &self,
        storage: Storage,
        parts: &mut response::Parts,
        length: Option<u64>,
    ) -> Result<(Key, Head), Unkept> {
        dated(&mut parts.headers, self.shared.now());
        let (lifetime, without) = match storage {
            Storage::Keep { lifetime, without } => (lifetime, without),
            Storage::Skip(why) => {
                self.shared.stats.not_storable.increment();
                let private = why == Skip::Authorization;
                return Err(Unkept { detail: Some(why.as_str()), lasting: why.is_lasting(), private });
            }
        };
        if length.is_some_and(|length| length > self.shared.settings.max_body as u64) {
            self.shared.stats.too_large.increment();
            return Err(Unkept { detail: Some("too-large"), lasting: true, private: false });
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
        let vary = Vary::to_keep(&headers);
        let place = self.slot.place(vary.as_ref(), &self.client.headers);
        let (key, variant) = place.ok_or(Unkept { detail: None, lasting: true, private: false })?;
        let tags = self.shared.tags(&self.client, parts);
        Ok((key, stored_head(parts.status, headers, lifetime, variant, tags).rendered(self.rendering)))
    }

    /// Nothing is kept of an answer; what is to be said of it.
    pub(super) fn unkept(self, code: StatusCode, unkept: Unkept) -> CacheStatus {
        let mut status = self.status(code);
        status.detail = unkept.detail;
        // What it says of the resource outdates what is stored.
        let speaks = code.is_success() || matches!(code.as_u16(), 300..=303 | 307 | 308 | 404 | 410);
        if speaks
            && !unkept.private
            && self.slot.entry.is_some()
            && self.client.method == Method::GET
            && self.wants.ranges.is_none()
        {
            self.shared.remove(self.slot.key.clone());
        }
        self.let_go(unkept.lasting);
        status
    }

    /// The client's request once more, as it came.
    pub(super) fn again<B>(mut self: Box<Self>, extensions: Extensions, now: SystemTime) -> Finished<St, F, P, B> {
        self.requested_at = now;
        let client = head_of(&self.client.method, &self.client.uri, &self.client.headers);
        let mut request = Request::from_parts(client, ());
        *request.extensions_mut() = extensions;
        Finished::Again(request, self)
    }

    /// Whether a response will do for other requests as it is.
    pub(super) fn serves(&self, head: &Head) -> bool {
        let plain = RequestDirectives::default();
        self.shared.policy.reuse(&plain, head, self.shared.now()) == Reuse::Serve
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
