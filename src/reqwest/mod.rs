//! The layers as middleware of a reqwest client (feature `reqwest`).

mod cache;
mod retry;

use ::reqwest::{Body, Request, Response, ResponseBuilderExt as _, Url};
use reqwest_middleware::{Error, Result};

use crate::body::{ReplayBody, Restored};

/// The request for the next middleware. A body that could be sent again before can be sent again after.
fn restored(request: http::Request<ReplayBody<Body>>, bare: bool) -> Result<Request> {
    let request = request.map(|body| match body.restore() {
        Restored::Untouched(body) => body,
        Restored::Whole(data) => Body::from(data),
        Restored::Mixed(body) => Body::wrap(body),
    });
    let mut request: Request = request.try_into().map_err(Error::Reqwest)?;
    if bare {
        *request.body_mut() = None;
    }
    Ok(request)
}

/// The response with the URL that it came from, which a plain `http::Response` doesn't have.
fn located(mut response: http::Response<Body>, url: Url) -> Response {
    if let Ok(marked) = http::Response::builder().url(url).body(()) {
        response.extensions_mut().extend(marked.into_parts().0.extensions);
    }
    response.into()
}
