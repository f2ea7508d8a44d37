//! A stale answer, as it is served.

use std::time::SystemTime;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{AGE, CACHE_STATUS},
};

use super::RetryBody;
use crate::{
    entry::Entry,
    header::{
        age,
        cache_status::{CacheStatus, Forward},
    },
};

/// What a stored head holds in the place of what is said anew each time.
const PLACEHOLDER: &str = "0";

/// A stored response in place of an error. A `CacheLayer` outside makes of it what its client asked for.
pub(super) fn kept<B>(
    entry: &Entry,
    method: &Method,
    last_status: Option<StatusCode>,
    now: SystemTime,
) -> Response<RetryBody<B>> {
    let (head, lifetime) = (entry.head(), entry.head().lifetime());
    let body = if method == Method::HEAD { RetryBody::whole(Bytes::new()) } else { RetryBody::kept(entry.clone()) };
    let mut response = Response::new(body);
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
