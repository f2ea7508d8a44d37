//! [`Watch`]: how long an attempt may take, and who is told what came of it.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::time::Instant;

use super::{
    Asked, Cause, Classify, FailureKind, Hedge, Verdict,
    attempt::{Attempted, Bad, attempt, until},
    plan::Plan,
    shared::Shared,
    stats::error_of,
    trace,
    upstreams::UpstreamState,
};
use crate::{
    BoxError,
    breaker::{Outcome, Permit},
};

/// The longest that a breaker stays open because an upstream says so.
const LONGEST_OPEN: Duration = Duration::from_secs(60 * 60);

/// What is told of an attempt, and how long it may take.
pub(super) struct Watch<'a, C> {
    pub(super) shared: &'a Shared<C>,
    pub(super) state: &'a UpstreamState,
    pub(super) permit: Option<Permit>,
    pub(super) begun: Instant,
    pub(super) timeout: Option<Duration>,
    pub(super) deadline: Option<Instant>,
}

impl<C> Watch<'_, C> {
    /// Watches over an attempt. Of one that is cancelled nothing is told, nor of one that had less than its time.
    pub(super) async fn over<F, A, E>(self, asked: &Asked, plan: &Plan<'_>, sent: Pin<&mut F>) -> Attempted<A, E>
    where
        C: Classify<E>,
        F: Future<Output = Result<Response<A>, E>>,
        A: Body<Data = Bytes> + Unpin,
        A::Error: Into<BoxError>,
    {
        let ends = self.timeout.and_then(|time| self.begun.checked_add(time));
        let end = ends.into_iter().chain(self.deadline).min();
        let attempted = until(end, pin!(attempt(self.shared, asked, plan, sent))).await;
        let late = attempted.is_none();
        let attempted = attempted.unwrap_or_else(|| {
            self.shared.known.stats.timeouts.increment();
            let kind = if end == ends { FailureKind::TimedOut } else { FailureKind::DeadlineExceeded };
            let verdict = self.shared.classify.classify(asked, super::Outcome::TimedOut);
            let may_retry = matches!(verdict, Verdict::Retry(_)) && kind == FailureKind::TimedOut;
            Attempted::Bad(Bad { may_retry, ..Bad::nothing(kind, Cause::Failed, None) })
        });
        let error = error_of(&attempted);
        if let Some(kind) = error {
            self.shared.known.stats.count_error(kind);
        }
        trace::attempted(&attempted, error);
        let (failed, hint) = match &attempted {
            Attempted::Bad(bad) => (bad.cause == Cause::Failed && !bad.is_client_s(), bad.hint),
            Attempted::Final(_) => (false, None),
        };
        match self.permit {
            Some(_) if late && end != ends => {}
            Some(permit) => permit.record(if failed { Outcome::Failure } else { Outcome::Success }, now()),
            None => {}
        }
        if let (true, Some(hint), Some(breaker)) = (failed, hint, &self.state.breaker) {
            breaker.stay_open(now(), hint.min(LONGEST_OPEN));
        }
        if matches!(attempted, Attempted::Final(Ok(_))) && self.shared.settings.hedge.is_some_and(Hedge::measures) {
            self.state.latencies.add(self.begun.elapsed());
        }
        attempted
    }
}

/// The first that is final, or else the last; and whether that is the second.
pub(super) async fn race<A, E>(
    first: Pin<&mut impl Future<Output = Attempted<A, E>>>,
    second: Pin<&mut impl Future<Output = Attempted<A, E>>>,
) -> (Attempted<A, E>, bool) {
    let (mut first, mut second) = (first, second);
    tokio::select! {
        done = &mut first => match done {
            Attempted::Final(_) => (done, false),
            Attempted::Bad(_) => (second.await, true),
        },
        done = &mut second => match done {
            Attempted::Final(_) => (done, true),
            Attempted::Bad(_) => (first.await, false),
        },
    }
}

/// The time as breakers count it.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
