//! What is served in the place of an answer: by the cache itself, or by a layer inside of it.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;

use super::{
    CacheBody,
    body::Served,
    fill::{Fill, Finished},
    keep::passed,
    observe::{Answer, Fetch, Watched},
    question::Question,
};
use crate::{
    BoxError,
    entry::{Entry, StandIn},
    fingerprint::Fingerprint,
    header::{
        cache_status::CacheStatus,
        exchange::{self, LARDER_ATTEMPTS, LARDER_FALLBACK},
    },
    policy::Policy,
    stats::Outcome,
    store::Store,
};

impl<St, F, P> Fill<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// Hands on what stands in, and keeps none of it.
    pub(super) fn stand_in<B>(
        mut self: Box<Self>,
        kind: StandIn,
        response: Response<B>,
        now: SystemTime,
    ) -> Finished<St, F, P, B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if let StandIn::Stale { .. } = kind {
            // The entry was at hand when the request was sent, and has been purged since, or its time is over.
            return Finished::Response(self.unanswered().map(CacheBody::served));
        }
        // What the cache asked besides is no question of the client's, who would not understand the answer.
        match (std::mem::replace(&mut self.question, Question::Plain), response.status()) {
            (Question::Holds(Some(extensions)) | Question::AnyOf(_, extensions), StatusCode::NOT_MODIFIED)
            | (Question::Rest(_, extensions), StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) => {
                return self.again(extensions, now);
            }
            (Question::Holds(None), StatusCode::NOT_MODIFIED) => {
                return Finished::Response(self.unanswered().map(CacheBody::served));
            }
            (_, _) => {}
        }
        self.count_miss();
        let (mut parts, body) = response.into_parts();
        let watch = self.shared.watch(&self.client, Some(&self.slot.key), Fetch::StandIn, &mut parts);
        let body = Watched::new(body, watch, self.meter());
        let said = self.status(parts.status).with_detail("stand-in");
        self.let_go(false);
        Finished::Response(passed(parts, body, said))
    }

    /// The origin answered neither the cache's question nor the client's.
    pub(crate) fn unanswered(self: Box<Self>) -> Response<Served> {
        self.count_miss();
        let status = CacheStatus::forward(self.reason).with_detail("unanswered");
        let response = self.shared.gateway_timeout(status);
        self.let_go(false);
        response
    }

    /// The inner service failed; a stale response may stand in. Where one must not, the client hears that the origin could not be
    /// asked (RFC 9111 §5.2.2.2).
    pub(crate) fn failed(self) -> Option<Response<Served>> {
        self.shared.stats.errors_connection.increment();
        let mut answer = self.in_place_of_error(self.shared.now(), None, Answer::StaleIfError);
        if answer.is_none() {
            self.count_miss();
            let strict = |entry: &Entry| entry.head().lifetime().must_revalidate;
            if !self.behind_response && self.slot.entry.as_ref().is_some_and(strict) {
                let status = CacheStatus::forward(self.reason).with_detail("must-revalidate");
                answer = Some(self.shared.gateway_timeout(status));
            }
        }
        self.let_go(false);
        answer
    }

    /// An answer came that what is stored is better than.
    #[cfg(feature = "reqwest")]
    pub(crate) fn refused(self, status: StatusCode) {
        self.shared.heard(status);
        self.let_go(false);
    }

    pub(super) fn in_place_of_error(
        &self,
        now: SystemTime,
        error: Option<StatusCode>,
        how: Answer,
    ) -> Option<Response<Served>> {
        let entry = self.slot.entry.as_ref()?;
        let lifetime = entry.head().lifetime();
        let changed = self.shared.purges.invalidated(&self.client, lifetime.received_at);
        if changed || !lifetime.may_replace_error(now, self.directives.stale_if_error) {
            return None;
        }
        let mut status = CacheStatus::forward(self.reason).with_detail("stale-if-error");
        status.fwd_status = error.map(|error| error.as_u16());
        status.ttl = Some(lifetime.ttl(now));
        let response = self.shared.answer_with(entry, &self.slot.key, &self.client, &self.wants, now, status);
        self.answered(Outcome::StaleOnError, &response);
        Some(self.observed(how, entry.head().noted(), response))
    }
}

/// Whether a response stands in for an answer, as the layer that made it says: here, or in another process.
pub(super) fn kind_of<B>(response: &Response<B>) -> Option<StandIn> {
    let said = || exchange::stands_in(response.headers()).then_some(StandIn::Other);
    response.extensions().get().copied().or_else(said)
}

/// The stale response that a layer inside took for want of a better one, with what that layer says of it.
pub(super) fn told<A, B>(mut stale: Response<A>, inner: Response<B>) -> Response<A> {
    let (mut inner, _) = inner.into_parts();
    for name in [LARDER_ATTEMPTS, LARDER_FALLBACK] {
        if let Some(value) = inner.headers.remove(&name) {
            stale.headers_mut().insert(name, value);
        }
    }
    inner.extensions.remove::<StandIn>();
    // What is said of the cache is said by this one.
    inner.extensions.extend(std::mem::take(stale.extensions_mut()));
    *stale.extensions_mut() = inner.extensions;
    stale
}
