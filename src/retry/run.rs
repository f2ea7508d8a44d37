//! A request's way through its attempts.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::HOST, request::Parts, uri::Authority};
use http_body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{Instrument as _, Span};

use super::{
    Asked, Cause, Classify, FailureKind, IDEMPOTENCY_KEY, RetryBody, Upstream,
    attempt::{Attempted, Bad, drain, until},
    attempts::Made,
    dispatch::Dispatch,
    hint,
    plan::{LARDER_ATTEMPT, Plan},
    shared::Shared,
    trace,
    upstreams::UpstreamState,
    watch::{Watch, now, race},
};
use crate::{
    BoxError,
    body::{Buffered, ReplayBody, buffer},
    breaker::Permit,
    header::host::normal_host,
};

pub(super) type Answer<D> = Result<Response<RetryBody<<D as Dispatch>::Answer>>, <D as Dispatch>::Error>;
pub(super) type BadOf<D> = Bad<<D as Dispatch>::Answer, <D as Dispatch>::Error>;

/// A request under way.
pub(super) struct Run<'a, C, D: Dispatch> {
    pub(super) shared: &'a Shared<C>,
    dispatch: D,
    /// As it came, for the first attempt.
    head: Option<Parts>,
    pub(super) asked: Asked,
    /// What the body is, if it was read.
    pub(super) bytes: Bytes,
    /// To be sent; again, if it was read.
    body: Option<ReplayBody<D::Body>>,
    pub(super) is_whole: bool,
    may_repeat: bool,
    /// The end of the request's time.
    deadline: Option<Instant>,
    pub(super) made: Made,
    pub(super) last_status: Option<StatusCode>,
}

pub(super) async fn run<C, D>(shared: Arc<Shared<C>>, dispatch: D, request: Request<D::Body>) -> Answer<D>
where
    C: Classify<D::Error>,
    D: Dispatch,
    D::Body: Body<Data = Bytes>,
    <D::Body as Body>::Error: Into<BoxError>,
    D::Answer: Body<Data = Bytes> + Unpin,
    <D::Answer as Body>::Error: Into<BoxError>,
{
    shared.known.stats.requests.increment();
    let (head, body) = request.into_parts();
    let mut run = Run::new(&shared, dispatch, head);
    if body.is_end_stream() {
        run.body = Some(ReplayBody::buffered(Bytes::new()));
        run.is_whole = true;
    } else if let Some(body) = until(run.deadline, pin!(buffer(body, shared.settings.max_body))).await {
        // If it doesn't come in time, there is no time left to send it.
        run.read(body);
    }
    run.may_repeat();
    let settings = &shared.settings;
    let main = Plan {
        upstream: None,
        credentials: settings.credentials.as_deref(),
        attempts: run.most(settings.attempts),
        timeout: settings.attempt_timeout,
    };
    let (answer, is_fallen_back) = match run.ask(&main).await {
        Ok(answer) => (run.done(answer, None), false),
        // Apart, for it is large and seldom needed.
        Err(bad) => (Box::pin(run.fall_back(bad)).await, true),
    };
    trace::answered(&answer, is_fallen_back);
    answer
}

impl<'a, C, D> Run<'a, C, D>
where
    C: Classify<D::Error>,
    D: Dispatch,
    D::Body: Body<Data = Bytes>,
    <D::Body as Body>::Error: Into<BoxError>,
    D::Answer: Body<Data = Bytes> + Unpin,
    <D::Answer as Body>::Error: Into<BoxError>,
{
    fn new(shared: &'a Shared<C>, dispatch: D, head: Parts) -> Self {
        Self {
            shared,
            dispatch,
            asked: Asked::new(&head),
            head: Some(head),
            bytes: Bytes::new(),
            body: None,
            is_whole: false,
            may_repeat: false,
            deadline: shared.settings.deadline.and_then(|time| Instant::now().checked_add(time)),
            made: Made::default(),
            last_status: None,
        }
    }

    fn read(&mut self, body: Buffered<D::Body>) {
        let body = match body {
            Buffered::Whole(bytes, body) => {
                (self.bytes, self.is_whole) = (bytes, true);
                body
            }
            Buffered::TooLarge(body) | Buffered::Failed(body) => body,
        };
        self.body = Some(body);
    }

    /// Finds out whether it may be sent again, or sees to it.
    fn may_repeat(&mut self) {
        let settings = &self.shared.settings;
        self.may_repeat = settings.may_repeat(&self.asked);
        if self.may_repeat || !self.is_whole || !settings.idempotency_key {
            return;
        }
        if let Ok(key) = HeaderValue::try_from(uuid::Uuid::new_v4().to_string()) {
            if let Some(head) = &mut self.head {
                head.headers.insert(IDEMPOTENCY_KEY, key.clone());
            }
            self.asked.set(IDEMPOTENCY_KEY, key);
            self.may_repeat = true;
        }
    }

    /// Whether it is a further attempt of a layer further out. Then one at each upstream is enough.
    fn is_retry(&self) -> bool {
        self.asked.field(&LARDER_ATTEMPT).is_some()
    }

    /// How many attempts are made at most where so many are allowed.
    pub(super) fn most(&self, attempts: u32) -> u32 {
        if self.is_retry() { 1 } else { attempts }
    }

    /// Makes attempts at one upstream, until one will do.
    pub(super) async fn ask(&mut self, plan: &Plan<'_>) -> Result<Answer<D>, BadOf<D>> {
        let shared = self.shared;
        let (settings, stats) = (&shared.settings, &shared.known.stats);
        let state = self.state(plan.upstream);
        let (mut tried, mut retries, mut last_wait) = (Vec::new(), 0, Duration::ZERO);
        let mut is_again = false;
        loop {
            let begun = Instant::now();
            if self.deadline.is_some_and(|deadline| deadline <= begun) {
                return Err(Bad::nothing(FailureKind::DeadlineExceeded, Cause::Failed, None));
            }
            let key =
                match plan.credentials.map(|credentials| (credentials, credentials.pick(&tried, begun.into_std()))) {
                    None => None,
                    Some((_, Ok(index))) => Some(index),
                    Some((_, Err(left))) => return Err(Bad::nothing(FailureKind::NoCredential, Cause::Refused, left)),
                };
            let permit = match state.breaker.as_ref().map(|breaker| breaker.admit(begun.into_std())).transpose() {
                Ok(permit) => permit,
                Err(refused) => {
                    stats.circuit_open.increment();
                    let left = Some(refused.retry_in);
                    return Err(Bad::nothing(FailureKind::CircuitOpen, Cause::Failed, left));
                }
            };
            if retries == 0 && tried.is_empty() {
                state.deposit();
            }
            let mut bad = match self.attempt(plan, key, &state, permit, begun).await {
                Attempted::Final(answer) => {
                    if is_again {
                        stats.retried_successfully.increment();
                    }
                    return Ok(answer);
                }
                Attempted::Bad(bad) => bad,
            };
            if !bad.is_turned_away {
                self.last_status = bad.status.or(self.last_status);
            }
            self.made.further_in += bad.made_further_in();
            if let (Some(credentials), Some(index), Some(status)) = (plan.credentials, key, bad.status)
                && credentials.are_to_rest(status, bad.cause, bad.hint)
            {
                credentials.rest(index, bad.hint, now());
                tried.push(index);
                if self.is_whole && credentials.pick(&tried, now()).is_ok() {
                    if !self.is_paid_for(&state) {
                        return Err(bad);
                    }
                    stats.credential_changes.increment();
                    if !std::mem::replace(&mut is_again, true) {
                        stats.retried.increment();
                    }
                    tracing::debug!(%status, "another credential takes its turn");
                    continue;
                }
            }
            if !bad.may_retry || retries + 1 >= plan.attempts || !self.may_send_again(&bad) {
                return Err(bad);
            }
            let wait = match bad.hint {
                Some(hint) if hint > settings.max_hint => None,
                Some(hint) => Some(hint::wait(hint, (settings.random)())),
                None => Some(settings.backoff.delay(retries, bad.cause, last_wait, (settings.random)())),
            };
            // Whoever can't wait as long goes on at once, and so does whoever would have no credential then.
            let wake = wait.and_then(|wait| Some((wait, Instant::now().checked_add(wait)?)));
            let rested = |wake: Instant| plan.credentials.is_none_or(|keys| keys.pick(&[], wake.into_std()).is_ok());
            let in_time = |wake| self.deadline.is_none_or(|deadline| wake < deadline) && rested(wake);
            let Some((wait, wake)) = wake.filter(|(_, wake)| in_time(*wake)) else {
                stats.too_long_to_wait.increment();
                return Err(bad);
            };
            if !self.is_paid_for(&state) {
                return Err(bad);
            }
            tracing::debug!(attempt = self.made.here, cause = ?bad.cause, status = ?bad.status, ?wait, "retried");
            if let Some(Ok(response)) = &mut bad.answer {
                let _ = timeout_at(wake, drain(response.body_mut())).await;
            }
            drop(bad);
            sleep_until(wake).await;
            stats.retries.increment();
            if !std::mem::replace(&mut is_again, true) {
                stats.retried.increment();
            }
            (retries, last_wait) = (retries + 1, wait);
            tried.clear();
        }
    }

    /// Makes an attempt, and perhaps another beside it.
    async fn attempt(
        &mut self,
        plan: &Plan<'_>,
        key: Option<usize>,
        state: &UpstreamState,
        permit: Option<Permit>,
        begun: Instant,
    ) -> Attempted<D::Answer, D::Error> {
        let shared = self.shared;
        let Some(request) = self.request(plan, key) else {
            return Attempted::Bad(Bad::nothing(FailureKind::Error, Cause::Failed, None));
        };
        self.made.here += 1;
        shared.known.stats.attempts.increment();
        let watch = Watch { shared, state, permit, begun, timeout: plan.timeout, deadline: self.deadline };
        let hedge = shared.settings.hedge.filter(|_| self.is_whole && self.may_repeat && !self.is_retry());
        let wake = hedge.and_then(|hedge| hedge.delay(state)).and_then(|delay| begun.checked_add(delay));
        let span = trace::attempt(&request, self.made.here);
        let sent = pin!(span.in_scope(|| self.dispatch.send(request)));
        match wake {
            None => watch.over(&self.asked, plan, sent).instrument(span).await,
            Some(wake) => Box::pin(self.hedged(plan, key, watch, (sent, span), wake)).await,
        }
    }

    /// Makes another attempt if one takes too long.
    async fn hedged(
        &mut self,
        plan: &Plan<'_>,
        key: Option<usize>,
        watch: Watch<'_, C>,
        (sent, span): (Pin<&mut D::Sent>, Span),
        wake: Instant,
    ) -> Attempted<D::Answer, D::Error> {
        let (shared, state) = (watch.shared, watch.state);
        let mut first = pin!(watch.over(&self.asked, plan, sent).instrument(span));
        if let Some(done) = until(Some(wake), first.as_mut()).await {
            return done;
        }
        let Ok(permit) = state.breaker.as_ref().map(|breaker| breaker.admit(now())).transpose() else {
            return first.await;
        };
        let body = self.body.as_ref().and_then(ReplayBody::try_clone);
        let Some(request) = plan.request(self.asked.to_parts(), &self.bytes, body, key, self.made.here + 1) else {
            return first.await;
        };
        if !self.is_paid_for(state) {
            return first.await;
        }
        self.made.here += 1;
        shared.known.stats.attempts.increment();
        shared.known.stats.hedges.increment();
        let begun = Instant::now();
        let watch = Watch { shared, state, permit, begun, timeout: plan.timeout, deadline: self.deadline };
        let span = trace::attempt(&request, self.made.here);
        let sent = pin!(span.in_scope(|| self.dispatch.send(request)));
        let second = pin!(watch.over(&self.asked, plan, sent).instrument(span));
        let (done, won) = race(first, second).await;
        if won && matches!(done, Attempted::Final(_)) {
            shared.known.stats.hedges_won.increment();
        }
        done
    }

    /// The request as it is sent to this upstream; `None` if it can't be.
    fn request(&mut self, plan: &Plan<'_>, key: Option<usize>) -> Option<Request<ReplayBody<D::Body>>> {
        let body = if self.is_whole { self.body.as_ref()?.try_clone() } else { self.body.take() };
        let head = self.head.take().unwrap_or_else(|| self.asked.to_parts());
        plan.request(head, &self.bytes, body, key, self.made.here + 1)
    }

    pub(super) fn may_send_again(&self, bad: &BadOf<D>) -> bool {
        // A refusal says that nothing was done.
        let may = self.may_repeat || bad.is_unsent || bad.cause == Cause::Refused;
        may && (self.is_whole || self.body.is_some())
    }

    /// Whether the budget has what another attempt costs, which is taken from it.
    fn is_paid_for(&self, state: &UpstreamState) -> bool {
        let is_paid_for = state.withdraw();
        if !is_paid_for {
            self.shared.known.stats.over_budget.increment();
            tracing::debug!("not sent again: the budget is spent");
        }
        is_paid_for
    }

    fn state(&self, upstream: Option<&Upstream>) -> Arc<UpstreamState> {
        let uri = upstream.map_or_else(|| self.asked.uri(), Upstream::base);
        let field = || self.asked.field(&HOST).and_then(|host| host.to_str().ok());
        let named = uri.authority().map(Authority::as_str).or_else(field).unwrap_or_default();
        // The same, however it is written, and without a user's name and password: it is logged.
        let host = normal_host(uri.scheme_str().unwrap_or("http"), named);
        let label = self.shared.settings.label.as_ref().and_then(|label| {
            // As it is sent: another model is another upstream.
            let sent = upstream.map(|upstream| upstream.body(&self.bytes));
            label(&self.asked, sent.as_ref().unwrap_or(&self.bytes))
        });
        match label {
            Some(label) => self.shared.known.upstreams.get(&format!("{host} {label}")),
            None => self.shared.known.upstreams.get(&host),
        }
    }
}
