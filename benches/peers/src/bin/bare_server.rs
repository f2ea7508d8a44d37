//! A hyper server that answers every request from a constant: what no cache can be faster than.

use http::Response;
use http_body_util::Full;
use peers::{origin, server};

fn main() -> Result<(), server::BoxError> {
    let (address, len) = server::arguments("bare_server ADDRESS BODY_BYTES")?;
    let len = len.parse()?;
    let (headers, body) = (origin::headers(len), origin::body(len));
    server::run(address, move |_| {
        let mut response = Response::new(Full::new(body.clone()));
        *response.headers_mut() = headers.clone();
        async { response }
    })
}
