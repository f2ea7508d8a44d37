//! A request's way through its limits.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tower_service::Service;

use super::{
    Charge, Limiter, Outcome, RateLimitBody, RateLimitStatus, Room, Standing, Taken,
    decision::Held,
    settle::{Settle, Tracking, Unknown},
    shared::{Decided, Shared, Who},
};
use crate::{
    BoxError,
    body::{Buffered, ReplayBody, buffer},
    header::cache_status::{self, CacheStatus},
    trace,
};

/// How often it is looked whether a slot is free, by those who wait for one that another process holds.
const POLL: Duration = Duration::from_millis(20);

/// In place of a time that no clock can show: a century.
const NEVER: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// What the span of a request is called.
pub(super) const SPAN: &str = "larder.rate_limit";

/// Limits a request, and says in its span what came of it.
pub(super) async fn run<S, L, Req, Res>(
    shared: Arc<Shared<L>>,
    ready: S,
    request: Request<Req>,
) -> Result<Response<RateLimitBody<Res>>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>>,
    L: Limiter,
    Req: Body<Data = Bytes>,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes>,
    Res::Error: Into<BoxError>,
{
    let answer = limited(shared, ready, request).await;
    match &answer {
        Ok(response) => trace::answered(&trace::current(SPAN), response.status()),
        Err(_) => {
            trace::current(SPAN).record("error.type", "connection");
        }
    }
    answer
}

async fn limited<S, L, Req, Res>(
    shared: Arc<Shared<L>>,
    mut ready: S,
    request: Request<Req>,
) -> Result<Response<RateLimitBody<Res>>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>>,
    L: Limiter,
    Req: Body<Data = Bytes>,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes>,
    Res::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let (places, mut charges) = shared.charges(&head);
    if charges.is_empty() {
        shared.stats.unlimited.increment();
        trace::current(SPAN).record("larder.rate_limit.decision", "unlimited");
        let answer = ready.call(Request::from_parts(head, ReplayBody::new(body))).await;
        return answer.map(|response| response.map(RateLimitBody::passed));
    }
    let meter_of = |place: usize| shared.limits.get(place).and_then(|limit| limit.meter.as_deref());
    let reads = places.iter().filter_map(|place| Some(meter_of(*place)?.reads(&head))).max().unwrap_or(0);
    let (bytes, body) = if reads == 0 {
        (Bytes::new(), ReplayBody::new(body))
    } else {
        match pin!(buffer(body, reads.min(shared.settings.max_body))).await {
            Buffered::Whole(bytes, body) => (bytes, body),
            Buffered::TooLarge(body) | Buffered::Failed(body) => (Bytes::new(), body),
        }
    };
    for (place, charge) in places.iter().zip(&mut charges) {
        if let Some(meter) = meter_of(*place) {
            charge.cost = meter.reserve(&head, &bytes);
        }
    }
    let who = shared.who(&places, &charges);
    let decided = decide(&shared, &charges, &who).await;
    shared.count(&places, &decided);
    shared.nearest.see(&places, &charges, &decided.taken.standings);
    trace::current(SPAN).record("larder.rate_limit.decision", decided.outcome.as_str());
    let is_let_through = matches!(decided.outcome, Outcome::Allowed | Outcome::LocalAllowed | Outcome::FailedOpen);
    let Decided { outcome, taken: Taken { standings, mut slots }, retry_after, own } = decided;
    if !slots.is_empty() && !shared.settings.wait.is_zero() {
        slots.push(Bell(shared.freed.clone()));
    }
    let charges = own.unwrap_or(charges);
    let named =
        standings.iter().filter_map(|standing| Some((charges.get(standing.index)?.policy.clone(), standing.clone())));
    let status = RateLimitStatus { outcome, limits: named.collect(), retry_after };
    if !is_let_through {
        tracing::debug!(?outcome, ?retry_after, "a request is denied");
        let mut response = shared.settings.problem.response(&status);
        if head.method == Method::HEAD {
            // The length of what there would be.
            let length = response.body().len();
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
            response.body_mut().clear();
        }
        let mut response = response.map(RateLimitBody::whole);
        shared.settings.fields.write(&status, response.headers_mut(), shared.settings.clock.now());
        response.extensions_mut().insert(status);
        return Ok(response);
    }
    // What a meter told is corrected when the request has ended.
    let is_charged = |standing: &&Standing| {
        standing.room == Room::Now && places.get(standing.index).is_some_and(|place| meter_of(*place).is_some())
    };
    let unknown = Unknown::new(&shared.stats, standings.iter().filter(is_charged).count());
    let response = ready.call(Request::from_parts(head, body)).await?;
    unknown.forget();
    let (is_local, is_hit) = (outcome == Outcome::LocalAllowed, is_hit(&response));
    if !is_hit {
        shared.learn(who, response.status(), response.headers());
    }
    let is_free = shared.settings.hits_are_free && is_hit;
    let (parts, body) = response.into_parts();
    let metered = standings.iter().filter(is_charged).filter_map(|standing| {
        let (place, charge) = (*places.get(standing.index)?, charges.get(standing.index)?);
        let meter = meter_of(place)?;
        let gauge = if is_free { None } else { meter.gauge(&parts, charge.cost) };
        Some(Settle::new(charge, standing.bucket, gauge, is_free))
    });
    let tracking = Tracking::begin(metered.collect(), slots, shared.clone(), is_local);
    let mut response = Response::from_parts(parts, RateLimitBody::tracked(body, tracking));
    shared.settings.fields.write(&status, response.headers_mut(), shared.settings.clock.now());
    response.extensions_mut().insert(status);
    Ok(response)
}

/// Asks for room, and waits for it as long as is allowed.
async fn decide<L: Limiter>(shared: &Shared<L>, charges: &[Charge], who: &Who) -> Decided {
    let longest = shared.settings.wait;
    if longest.is_zero() {
        return ask(shared, charges, who).await;
    }
    let mut first = None;
    if shared.lines.is_empty(who) {
        let decided = ask(shared, charges, who).await;
        first = wait(&decided, longest);
        if first.is_none() {
            return decided;
        }
    }
    shared.stats.waited.increment();
    // As long as anybody waits, whoever comes later stands behind.
    let place = shared.lines.join(who.clone());
    let deadline = Instant::now().checked_add(longest).unwrap_or_else(|| Instant::now() + NEVER);
    let Some(turn) = place.turn(deadline).await else {
        return ask(shared, charges, who).await;
    };
    if let Some((wait, false)) = first.filter(|_| !turn.has_queued) {
        sleep(wait).await;
    }
    loop {
        // Before the question, lest a slot become free between the answer and the wait.
        let freed = shared.freed.notified();
        let decided = ask(shared, charges, who).await;
        let Some((wait, is_for_slot)) = wait(&decided, deadline.saturating_duration_since(Instant::now())) else {
            return decided;
        };
        drop(decided);
        tokio::select! {
            () = sleep(wait) => {}
            () = freed, if is_for_slot => {}
        }
    }
}

/// Asks for room, unless the provider is known to have none.
async fn ask<L: Limiter>(shared: &Shared<L>, charges: &[Charge], who: &Who) -> Decided {
    match shared.learned(who) {
        Some(left) => Decided::learned(left),
        None => shared.decide(charges).await,
    }
}

/// How long a request has to wait, and whether it is for a slot; `None` if it needs not, if it would in vain, and if there isn't so much
/// time left.
fn wait(decided: &Decided, left: Duration) -> Option<(Duration, bool)> {
    let denying = || decided.taken.standings.iter().filter(|standing| standing.denies());
    let is_for_slot = denying().any(|standing| standing.room == Room::Unknown);
    // Of the other limits that deny: a slot is of no use before they have room.
    let others =
        denying().filter_map(|standing| if let Room::In(time) = standing.room { Some(time) } else { None }).max();
    let wait = match decided.outcome {
        Outcome::Denied | Outcome::LocalDenied if denying().any(|standing| standing.room == Room::Never) => None,
        Outcome::Denied | Outcome::LocalDenied if is_for_slot => Some(others.unwrap_or_default().max(POLL.min(left))),
        Outcome::Denied | Outcome::LocalDenied | Outcome::Learned => decided.retry_after,
        Outcome::Allowed | Outcome::LocalAllowed | Outcome::FailedOpen | Outcome::FailedClosed => None,
    };
    // Not before the next tick of the timer, lest it come too early.
    wait.map(|wait| (wait.max(Duration::from_millis(1)), is_for_slot)).filter(|(wait, _)| *wait <= left)
}

/// Tells those who wait for a slot that there is one.
struct Bell(Arc<Notify>);

impl Held for Bell {}

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

/// Whether a cache inside answered without asking anybody.
fn is_hit<B>(response: &Response<B>) -> bool {
    let status = response.extensions().get::<CacheStatus>();
    response.status() != StatusCode::GATEWAY_TIMEOUT
        && status.is_some_and(|status| status.outcome == cache_status::Outcome::Hit)
}
