//! Down the fallback chain, and what is said of an answer.

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use http_body::Body;

use super::{
    Attempts, Classify, Failure, FallbackKind, RetryBody, Upstream,
    dispatch::Dispatch,
    fallback::{Step, mark},
    plan::Plan,
    run::{Answer, BadOf, Run},
    stale::{at_hand, kept},
};
use crate::{
    BoxError,
    entry::StandIn,
    header::exchange::{self, LARDER_ATTEMPTS},
};

impl<C, D> Run<'_, C, D>
where
    C: Classify<D::Error>,
    D: Dispatch,
    D::Body: Body<Data = Bytes>,
    <D::Body as Body>::Error: Into<BoxError>,
    D::Answer: Body<Data = Bytes> + Unpin,
    <D::Answer as Body>::Error: Into<BoxError>,
{
    /// Takes the steps of the chain, one after another.
    pub(super) async fn fall_back(&mut self, first: BadOf<D>) -> Answer<D> {
        let shared = self.shared;
        let stats = &shared.known.stats;
        let mut failure = self.failure(&first);
        let mut may_send = self.may_send_again(&first);
        for step in &shared.settings.chain {
            if !step.is_for(&failure) {
                continue;
            }
            match &step.step {
                Step::Stale | Step::StaleFrom(_) if !failure.is_outage() => {}
                Step::Stale | Step::StaleFrom(_) => {
                    let body = self.is_whole.then_some(&self.bytes);
                    if let Some((entry, kind)) = at_hand(&step.step, &self.asked, body, self.last_status).await {
                        stats.fallback_stale.increment();
                        let response = kept(&entry, self.last_status, shared.settings.clock.now());
                        return self.stand_in(response, FallbackKind::Stale, kind);
                    }
                }
                Step::Upstream(upstream) if may_send && (self.is_whole || !upstream.rewrites_body()) => {
                    let plan = Plan {
                        upstream: Some(upstream),
                        credentials: upstream.credentials.as_deref(),
                        attempts: self.most(upstream.attempts),
                        timeout: upstream.timeout.or(shared.settings.attempt_timeout),
                    };
                    tracing::debug!(attempts = self.made.here, "another upstream is asked");
                    match self.ask(&plan).await {
                        Ok(answer) => {
                            stats.fallback_upstream.increment();
                            return self.done(answer, Some(upstream));
                        }
                        Err(bad) => {
                            may_send = self.may_send_again(&bad);
                            failure.attempts = self.made.all();
                            if bad.is_turned_away {
                                tracing::debug!(status = ?bad.status, "another upstream turned the request away");
                            // What was not asked tells less than what was.
                            } else if !bad.kind.is_unasked() || failure.kind.is_unasked() {
                                failure = self.failure(&bad);
                            }
                        }
                    }
                }
                Step::Upstream(_) => {}
                Step::Answer(answer) => {
                    if let Some(response) = answer(&self.asked, &failure) {
                        stats.fallback_default.increment();
                        return self.stand_in(response.map(RetryBody::whole), FallbackKind::Default, StandIn::Other);
                    }
                }
            }
        }
        failure.attempts = self.made.all();
        // What is the client's to mend is the client's to read.
        let untouched = self.made.here <= 1 && first.status.is_some_and(|status| status.is_client_error());
        match (first.answer, shared.settings.problem) {
            (Some(mut answer), problem) if untouched || problem.is_none() => {
                stats.handed_on.increment();
                if let Ok(response) = &mut answer {
                    let (headers, idle) = (response.headers().clone(), shared.settings.idle_timeout);
                    response.body_mut().guard(&headers, idle);
                }
                self.done(answer, None)
            }
            (_, problem) => {
                stats.problems.increment();
                tracing::debug!(?failure, "a request failed");
                let response = problem.unwrap_or_default().response(&failure);
                self.stand_in(response.map(RetryBody::whole), FallbackKind::Problem, StandIn::Other)
            }
        }
    }

    fn failure(&self, bad: &BadOf<D>) -> Failure {
        Failure {
            attempts: self.made.all(),
            kind: bad.kind,
            cause: bad.cause,
            last_status: bad.status.or(self.last_status),
            retry_after: bad.hint,
        }
    }

    /// An answer that an upstream gave.
    pub(super) fn done(&self, mut answer: Answer<D>, other: Option<&Upstream>) -> Answer<D> {
        if let Ok(response) = &mut answer {
            let fallback = other.map(|upstream| {
                // What it says of itself is about to be replaced.
                let stands_in = exchange::stands_in(response.headers());
                let stand_in = (stands_in || !upstream.is_storable()).then_some(StandIn::Other);
                mark(response, FallbackKind::Upstream, stand_in);
                FallbackKind::Upstream
            });
            self.sign(response, fallback);
        }
        answer
    }

    /// An answer that no upstream gave.
    fn stand_in(
        &self,
        mut response: Response<RetryBody<D::Answer>>,
        kind: FallbackKind,
        stand_in: StandIn,
    ) -> Answer<D> {
        if self.asked.method() == Method::HEAD {
            *response.body_mut() = RetryBody::whole(Bytes::new());
        }
        mark(&mut response, kind, Some(stand_in));
        self.sign(&mut response, Some(kind));
        Ok(response)
    }

    /// Says what it took, unless it was nothing out of the way.
    fn sign(&self, response: &mut Response<RetryBody<D::Answer>>, fallback: Option<FallbackKind>) {
        let made = self.made.all();
        if made > 1 || fallback.is_some() {
            response.headers_mut().insert(LARDER_ATTEMPTS, HeaderValue::from(made));
            response.extensions_mut().insert(Attempts { made, fallback });
        }
    }
}
