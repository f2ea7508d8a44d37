//! What is asked of the inner service, and what is made of its answer.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request, response,
};
use http_body::Body;
use tower::ServiceExt as _;
use tower_service::Service;

use super::{answer, item::Item, shared::Shared};
use crate::{
    BoxError,
    body::{self, Buffered, ReplayBody, buffer},
    header::{content_encoding, media_type},
};

/// Says of a request that it is the same as another; one that was changed is not.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What came of a request.
pub(super) enum Fetched<B> {
    /// Exactly what was asked for, and the body that it came in.
    Items(response::Parts, Vec<Item>, ReplayBody<B>),
    /// Anything else.
    Other(Response<ReplayBody<B>>),
}

/// The request for some of its texts.
pub(super) fn in_part<B>(mut head: request::Parts, body: Bytes) -> Request<ReplayBody<B>> {
    head.headers.remove(IDEMPOTENCY_KEY);
    if head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    // Its length is known now.
    head.headers.remove(TRANSFER_ENCODING);
    Request::from_parts(head, ReplayBody::buffered(body))
}

/// Sends a request for texts of these lengths.
pub(super) async fn fetch<S, St, Req, Res>(
    shared: &Shared<St>,
    inner: S,
    request: Request<ReplayBody<Req>>,
    lengths: &[u64],
) -> Result<Fetched<Res>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>>,
    Res: Body<Data = Bytes>,
    Res::Error: Into<BoxError>,
{
    let (parts, body) = inner.oneshot(request).await?.into_parts();
    let codings = content_encoding::codings(&parts.headers);
    let codings = codings.filter(|_| parts.status == StatusCode::OK && media_type::is_json(&parts.headers));
    let Some(codings) = codings else {
        return Ok(Fetched::Other(Response::from_parts(parts, ReplayBody::new(body))));
    };
    Ok(match buffer(body, shared.settings.max_body).await {
        Buffered::Whole(bytes, body) => {
            let text = body::decode(&codings, &bytes).ok();
            match text.and_then(|text| answer::items(&text, lengths)) {
                Some(items) => Fetched::Items(parts, items, body),
                None => Fetched::Other(Response::from_parts(parts, body)),
            }
        }
        Buffered::TooLarge(body) | Buffered::Failed(body) => Fetched::Other(Response::from_parts(parts, body)),
    })
}
