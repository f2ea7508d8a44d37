//! The origin behind every proxy: a cacheable answer for any path, and `/count` says how many it has given.

use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::Full;
use peers::{origin, server};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

fn main() -> Result<(), server::BoxError> {
    let (address, len) = server::arguments("origin ADDRESS BODY_BYTES")?;
    let len = len.parse()?;
    let (headers, body) = (origin::headers(len), origin::body(len));
    let uncacheable = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    let answers = Arc::new(AtomicU64::new(0));
    server::run(address, move |request| {
        let (headers, body) = if request.uri().path() == "/count" {
            (uncacheable.clone(), answers.load(Relaxed).to_string().into())
        } else {
            answers.fetch_add(1, Relaxed);
            (headers.clone(), body.clone())
        };
        let mut response = Response::new(Full::new(body));
        *response.headers_mut() = headers;
        async { response }
    })
}
