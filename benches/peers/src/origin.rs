//! The answer that everything here caches: cacheable for an hour, eight header fields.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::time::SystemTime;

/// The header fields that an origin sends besides `Date`: seven.
pub fn headers(body: usize) -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, HeaderValue::from(body)),
        (header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600")),
        (header::ETAG, HeaderValue::from_static("\"5d8c72a5edda8d6a\"")),
        (header::LAST_MODIFIED, HeaderValue::from_static("Sun, 01 Nov 2026 08:00:00 GMT")),
        (header::SERVER, HeaderValue::from_static("origin")),
        (HeaderName::from_static("x-request-id"), HeaderValue::from_static("req_011CQ8vJm3kT5f7bYw2nXzAe")),
    ])
}

/// `Date`, as a server would send it now.
pub fn date() -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())).expect("a date is visible ASCII")
}

/// A body of that many bytes.
pub fn body(len: usize) -> Bytes {
    (0..len).map(|i| b'a' + (i % 26) as u8).collect()
}
