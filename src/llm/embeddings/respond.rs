//! Answers that are put together.

use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    response,
};

use super::{asked::Asked, item::Item};
use crate::{
    body::ReplayBody,
    header::{cache_status::CacheStatus, of_bytes},
};

/// The name under which larder is known in `Cache-Status`.
const NAME: &str = "larder";

/// The answer to a request, in the order in which it asks. With the head of what was fetched for it, if something was.
pub(super) fn put_together<B>(
    asked: &Asked<'_>,
    items: &[Option<Item>],
    fetched: Option<response::Parts>,
) -> Response<ReplayBody<B>> {
    let in_order = asked.order.iter().filter_map(|at| items[*at].as_ref());
    let body: Bytes = in_order.clone().next().map_or_else(Vec::new, |first| first.frame.around(&in_order)).into();
    let mut response = Response::new(());
    if let Some(parts) = fetched {
        response = Response::from_parts(parts, ());
        of_bytes::remove(response.headers_mut());
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    response.map(|()| ReplayBody::buffered(body))
}

/// Says what was kept, in a field and in the extensions.
pub(super) fn announce<B>(response: &mut Response<B>, status: CacheStatus) {
    status.append(NAME, response.headers_mut());
    response.extensions_mut().insert(status);
}
