//! A stale answer, as it is served.

use std::time::SystemTime;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{AGE, CACHE_STATUS},
};

use super::{Asked, RetryBody, fallback::Step};
use crate::{
    entry::{Entry, StaleEntry, StandIn},
    header::{
        age,
        cache_status::{CacheStatus, Forward},
    },
};

/// What a stored head holds in the place of what is said anew each time.
const PLACEHOLDER: &str = "0";

/// The entry that a cache outside handed down, or else one that is looked for.
pub(super) async fn at_hand(
    step: &Step,
    asked: &Asked,
    body: Option<&Bytes>,
    last_status: Option<StatusCode>,
) -> Option<(Entry, StandIn)> {
    if let Some(StaleEntry(entry)) = asked.extensions().get() {
        return Some((entry.clone(), StandIn::Stale { last_status }));
    }
    // A body that wasn't read could be any.
    let (Step::StaleFrom(lookup), Some(body)) = (step, body) else { return None };
    let entry = lookup.stale(&asked.to_parts(), body).await?;
    Some((entry, StandIn::Other))
}

/// A stored response in place of an error. A `CacheLayer` outside makes of it what its client asked for.
pub(super) fn kept<B>(entry: &Entry, last_status: Option<StatusCode>, now: SystemTime) -> Response<RetryBody<B>> {
    let (head, lifetime) = (entry.head(), entry.head().lifetime());
    let mut response = Response::new(RetryBody::kept(entry.clone()));
    *response.status_mut() = head.status();
    *response.headers_mut() = head.headers().clone();
    let mut status = CacheStatus::forward(Forward::Stale).with_detail("stale-if-error");
    status.fwd_status = last_status.map(|status| status.as_u16());
    status.ttl = Some(lifetime.ttl(now));
    let headers = response.headers_mut();
    headers.insert(AGE, age::format(lifetime.age(now)));
    if headers.get(CACHE_STATUS).is_some_and(|first: &HeaderValue| first == PLACEHOLDER) {
        headers.remove(CACHE_STATUS);
    }
    status.append("larder", headers);
    response.extensions_mut().insert(status);
    response
}
