//! The way of a request for embeddings.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AGE, request};
use http_body::Body;
use tower::ServiceExt as _;
use tower_service::Service;

use super::{
    asked::Asked,
    fetch::{Fetched, fetch, in_part},
    flights::{Entered, Follow, Lead},
    item::Item,
    respond::{announce, put_together},
    shared::{Found, Shared},
};
use crate::{
    BoxError,
    body::{Buffered, ReplayBody, buffer},
    header::{
        age,
        cache_control::RequestDirectives,
        cache_status::{CacheStatus, Forward},
    },
    store::Store,
};

/// The answer to a request, of whose body `limit` bytes are read.
pub(super) async fn run<S, St, Req, Res>(
    shared: Arc<Shared<St>>,
    inner: S,
    head: request::Parts,
    body: Req,
    limit: usize,
) -> Result<Response<ReplayBody<Res>>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone,
    St: Store,
    Req: Body<Data = Bytes>,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes>,
    Res::Error: Into<BoxError>,
{
    let (bytes, body) = match buffer(body, limit).await {
        Buffered::Whole(bytes, body) => (bytes, body),
        Buffered::TooLarge(body) | Buffered::Failed(body) => return pass(&shared, inner, head, body).await,
    };
    let Some(asked) = Asked::of(&shared.settings.fingerprint, &head, &bytes) else {
        return pass(&shared, inner, head, body).await;
    };
    let (directives, began) = (RequestDirectives::parse(&head.headers), shared.began());
    let mut found = shared.look_up(&asked.texts, &directives).await;
    agree(&mut found);
    let missing: Vec<_> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
    if directives.only_if_cached && !missing.is_empty() {
        return pass(&shared, inner, head, body).await;
    }
    let stats = &shared.stats;
    stats.requests.increment();
    stats.items_hit.add((found.len() - missing.len()) as u64);
    stats.items_repeated.add((asked.order.len() - asked.texts.len()) as u64);
    let ttl = found.iter().flatten().map(|found| found.ttl).min();
    let oldest = found.iter().flatten().map(|found| found.age).max();
    let had = missing.len() < found.len();
    let mut items: Vec<_> = found.into_iter().map(|found| found.map(|found| found.item)).collect();
    if missing.is_empty() {
        stats.hits.increment();
        let mut response = put_together(&asked, &items, None);
        if let Some(age) = oldest {
            response.headers_mut().insert(AGE, age::format(age));
        }
        announce(&mut response, CacheStatus::hit(ttl.unwrap_or(0)));
        return Ok(response);
    }

    let (leads, follows) = enter(&shared, &asked, &missing, directives.no_cache);
    stats.items_missed.add(leads.len() as u64);
    stats.items_shared.add(follows.len() as u64);
    let mut status = CacheStatus::forward(if had { Forward::Partial } else { Forward::UriMiss });
    status.collapsed = !follows.is_empty();
    let wanted: Vec<_> = leads.iter().map(|(at, _)| *at).collect();
    let is_whole = wanted.len() == asked.order.len();
    let mut answered = None;
    // Kept for when a part is answered with something that is of no use.
    let mut body = Some(body);
    stats.misses.add(u64::from(is_whole));
    stats.partial.add(u64::from(!is_whole));
    if !wanted.is_empty() {
        let request = match body.take_if(|_| is_whole) {
            Some(body) => Request::from_parts(head.clone(), body),
            None => in_part(head.clone(), asked.body_for(&wanted)),
        };
        match fetch(&shared, inner.clone(), request, &asked.lengths(&wanted)).await {
            Ok(Fetched::Items(parts, bought, body)) => {
                let keyed = wanted.iter().map(|at| &asked.texts[*at].key).zip(&bought);
                shared.write(shared.entries(keyed, &head, &parts), began);
                for ((at, lead), item) in leads.into_iter().zip(bought) {
                    if let Some(lead) = lead {
                        lead.land(item.clone());
                    }
                    items[at] = Some(item);
                }
                status.fwd_status = Some(parts.status.as_u16());
                status.stored = true;
                if is_whole {
                    let mut response = Response::from_parts(parts, body);
                    announce(&mut response, status);
                    return Ok(response);
                }
                answered = Some(parts);
            }
            // To ask for more would help neither the client nor a provider that has no time, or no room.
            Ok(Fetched::Other(mut response)) if is_whole || is_for_later(response.status()) => {
                status.fwd_status = Some(response.status().as_u16());
                announce(&mut response, status);
                return Ok(response);
            }
            Err(error) if is_whole => return Err(error),
            Ok(Fetched::Other(_)) | Err(_) => {
                drop(leads);
                return ask_whole(
                    &shared,
                    inner,
                    head,
                    body.unwrap_or_else(|| ReplayBody::buffered(bytes.clone())),
                    status,
                )
                .await;
            }
        }
    }
    for (at, follow) in follows {
        items[at] = follow.wait().await;
    }
    if !is_one_model(&items) {
        return ask_whole(&shared, inner, head, body.unwrap_or_else(|| ReplayBody::buffered(bytes.clone())), status)
            .await;
    }
    let mut response = put_together(&asked, &items, answered);
    announce(&mut response, status);
    Ok(response)
}

/// Those texts that the request asks for, and those that another asks for at the time.
#[expect(clippy::type_complexity, reason = "two lists of two")]
fn enter<St>(
    shared: &Shared<St>,
    asked: &Asked<'_>,
    missing: &[usize],
    alone: bool,
) -> (Vec<(usize, Option<Lead>)>, Vec<(usize, Follow)>) {
    let (mut leads, mut follows) = (Vec::with_capacity(missing.len()), Vec::new());
    for at in missing {
        if alone || !shared.settings.coalesce {
            leads.push((*at, None));
            continue;
        }
        match shared.flights.enter(&asked.texts[*at].key) {
            Entered::Lead(lead) => leads.push((*at, Some(lead))),
            Entered::Follow(follow) => follows.push((*at, follow)),
        }
    }
    (leads, follows)
}

/// Takes out what another model made than the one that made the newest: it is asked for again.
fn agree(found: &mut [Option<Found>]) {
    let newest = found.iter().flatten().max_by_key(|found| found.received_at);
    let Some(frame) = newest.map(|newest| newest.item.frame.clone()) else { return };
    for found in found {
        found.take_if(|found| found.item.frame.model() != frame.model());
    }
}

/// Whether all are there, and of one model.
fn is_one_model(items: &[Option<Item>]) -> bool {
    let mut models = items.iter().map(|item| item.as_ref().map(|item| item.frame.model()));
    let first = models.next().flatten();
    first.is_some() && models.all(|model| model == first)
}

/// Whether a provider says that it couldn't answer now, whatever it was asked.
fn is_for_later(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) || status.is_server_error()
}

/// Hands a request on as it came, since a part of it didn't help.
async fn ask_whole<S, St, Req, Res>(
    shared: &Shared<St>,
    inner: S,
    head: request::Parts,
    body: ReplayBody<Req>,
    mut status: CacheStatus,
) -> Result<Response<ReplayBody<Res>>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>>,
{
    shared.stats.asked_whole.increment();
    let mut response = inner.oneshot(Request::from_parts(head, body)).await?.map(ReplayBody::new);
    status.fwd_status = Some(response.status().as_u16());
    status.stored = false;
    announce(&mut response, status.with_detail("asked-whole"));
    Ok(response)
}

/// Hands a request on that isn't taken apart.
async fn pass<S, St, Req, Res>(
    shared: &Shared<St>,
    inner: S,
    head: request::Parts,
    body: ReplayBody<Req>,
) -> Result<Response<ReplayBody<Res>>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>>,
{
    shared.stats.passed.increment();
    Ok(inner.oneshot(Request::from_parts(head, body)).await?.map(ReplayBody::new))
}
