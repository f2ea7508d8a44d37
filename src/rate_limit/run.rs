//! A request's way through its limits.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::{
    Charge, Limiter, Outcome, RateLimitBody, RateLimitStatus, Room, Taken,
    settle::{Settle, Tracking},
    shared::{Decided, Shared},
};
use crate::{
    BoxError,
    body::{Buffered, ReplayBody, buffer},
    header::cache_status::{self, CacheStatus},
};

/// How often it is looked whether a slot is free, by those who wait for one.
const POLL: Duration = Duration::from_millis(20);

pub(super) async fn run<S, L, Req, Res>(
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
    let (places, mut charges): (Vec<usize>, Vec<Charge>) = shared.charges(&head).into_iter().unzip();
    if charges.is_empty() {
        shared.stats.unlimited.increment();
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
    let decided = decide(&shared, &charges).await;
    shared.count(&places, &decided);
    let is_let_through = matches!(decided.outcome, Outcome::Allowed | Outcome::LocalAllowed | Outcome::FailedOpen);
    let Decided { outcome, taken: Taken { standings, slots }, retry_after } = decided;
    let named =
        standings.iter().filter_map(|standing| Some((charges.get(standing.index)?.policy.clone(), standing.clone())));
    let status = RateLimitStatus { outcome, limits: named.collect(), retry_after };
    if !is_let_through {
        tracing::debug!(?outcome, ?retry_after, "a request is denied");
        let mut response = shared.settings.problem.response(&status).map(RateLimitBody::whole);
        shared.settings.fields.write(&status, response.headers_mut(), shared.settings.clock.now());
        response.extensions_mut().insert(status);
        return Ok(response);
    }
    let response = ready.call(Request::from_parts(head, body)).await?;
    shared.learn(&charges, response.status(), response.headers());
    let is_local = outcome == Outcome::LocalAllowed;
    let is_free = shared.settings.hits_are_free && is_hit(&response);
    let (parts, body) = response.into_parts();
    let charged = standings.iter().filter(|standing| standing.room == Room::Now);
    let metered = charged.filter_map(|standing| {
        let (place, charge) = (*places.get(standing.index)?, charges.get(standing.index)?);
        let meter = meter_of(place).filter(|_| shared.is_metered(place))?;
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
async fn decide<L: Limiter>(shared: &Shared<L>, charges: &[Charge]) -> Decided {
    let begun = Instant::now();
    let mut has_waited = false;
    loop {
        let (decided, wait) = match shared.learned(charges) {
            Some(left) => (Decided::learned(left), Some(left)),
            None => {
                let decided = shared.decide(charges).await;
                let wait = match decided.outcome {
                    Outcome::Denied | Outcome::LocalDenied => wait(&decided.taken),
                    Outcome::Allowed
                    | Outcome::LocalAllowed
                    | Outcome::Learned
                    | Outcome::FailedOpen
                    | Outcome::FailedClosed => None,
                };
                (decided, wait)
            }
        };
        let Some(wait) = wait.filter(|wait| begun.elapsed().saturating_add(*wait) <= shared.settings.wait) else {
            return decided;
        };
        if !std::mem::replace(&mut has_waited, true) {
            shared.stats.waited.increment();
        }
        drop(decided);
        sleep(wait).await;
    }
}

/// How long a denied request has to wait; `None` if it waits in vain.
fn wait(taken: &Taken) -> Option<Duration> {
    let denying = || taken.standings.iter().filter(|standing| standing.denies());
    if denying().any(|standing| standing.room == Room::Never) {
        return None;
    }
    let slots = denying().any(|standing| standing.room == Room::Unknown).then_some(POLL);
    // Not before the next tick of the timer, lest it come too early.
    taken.retry_after().or(slots).map(|time| time.max(Duration::from_millis(1)))
}

/// Whether a cache inside answered without asking anybody.
fn is_hit<B>(response: &Response<B>) -> bool {
    let status = response.extensions().get::<CacheStatus>();
    response.status() != StatusCode::GATEWAY_TIMEOUT
        && status.is_some_and(|status| status.outcome == cache_status::Outcome::Hit)
}
