//! What a hit and a first attempt cost in memory. Counts are exact, so this is a test and not a benchmark.

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Empty, Full};
use larder::{BoxError, CacheLayer, RetryFallbackLayer, body::ReplayBody, cache::Cache, store::Memory};
use tower::{Layer, Service, service_fn};

const BODY: usize = 64 * 1024;

/// The response that the peers are measured with: 64 KiB and eight fields.
fn response() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; BODY])));
    for (name, value) in [
        ("cache-control", "max-age=3600"),
        ("content-type", "text/plain"),
        ("content-length", "65536"),
        ("etag", "\"abc\""),
        ("server", "test"),
        ("vary", "accept-encoding"),
        ("x-request-id", "0123456789"),
        ("x-content-type-options", "nosniff"),
    ] {
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    response
}

fn request() -> Request<Empty<Bytes>> {
    Request::get("http://example.com/some/path?with=query").body(Empty::new()).expect("a request")
}

/// Polls once: what is ready at once is what a hit has to be.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn drain(body: impl Body<Data = Bytes, Error = BoxError>) -> Vec<Bytes> {
    let mut body = pin!(body);
    let mut frames = Vec::with_capacity(4);
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        frames.extend(frame.expect("no error").into_data());
    }
    frames
}

#[test]
fn a_memory_hit_makes_few_allocations_and_copies_no_body() {
    let origin = service_fn(|_| async { Ok::<_, Infallible>(response()) });
    let mut cache: Cache<_, Memory> = CacheLayer::new(Memory::new(64 << 20)).layer(origin);
    let missed = now(cache.call(request())).expect("the origin answers at once").expect("infallible");
    drain(missed.into_body());

    let first = now(cache.call(request())).expect("a hit is ready at once").expect("infallible");
    let first = drain(first.into_body());
    let mut again = Vec::new();
    let ask = request();
    let cost = allocation_counter::measure(|| {
        let hit = now(cache.call(ask)).expect("a hit is ready at once").expect("infallible");
        assert_eq!(hit.headers()["cache-status"], "larder; hit; ttl=3600");
        again = drain(hit.into_body());
    });
    assert_eq!(again.iter().map(Bytes::len).sum::<usize>(), BODY);
    assert_eq!(again[0].as_ptr(), first[0].as_ptr(), "both hits hand out the same bytes");
    // One of them is the test's own list of frames.
    let allocations = cost.count_total - 1;
    println!("{allocations} allocations, {} bytes", cost.bytes_total);
    assert!(allocations <= 8, "{allocations} allocations, {} bytes", cost.bytes_total);
    assert!(cost.bytes_total < 4096, "{} bytes", cost.bytes_total);
}

#[test]
fn a_first_attempt_that_succeeds_makes_two_allocations_and_copies_no_body() {
    let sent = Bytes::from(vec![b'q'; BODY]);
    let inner = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async move {
        let (head, body) = request.into_parts();
        let mut response = Response::new(body);
        *response.headers_mut() = head.headers;
        Ok::<_, Infallible>(response)
    });
    let mut retry = RetryFallbackLayer::new().layer(inner);
    let ask = || {
        let mut request =
            Request::put("http://example.com/some/path").body(Full::new(sent.clone())).expect("a request");
        *request.headers_mut() = response().headers().clone();
        request
    };
    // The first request makes its upstream known.
    now(retry.call(ask())).expect("ready at once").expect("infallible");
    let request = ask();
    let mut answer = None;
    let cost = allocation_counter::measure(|| answer = now(retry.call(request)));
    let answer = answer.expect("ready at once").expect("infallible");
    assert_eq!(drain(answer.into_body())[0].as_ptr(), sent.as_ptr());
    println!("{} allocations, {} bytes", cost.count_total, cost.bytes_total);
    assert!(cost.count_total <= 2, "{} allocations, {} bytes", cost.count_total, cost.bytes_total);
}
