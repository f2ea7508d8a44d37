//! What a first attempt that succeeds costs in `RetryFallbackLayer`, beside the service itself.

use std::{
    convert::Infallible,
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use larder::{RetryFallbackLayer, body::ReplayBody, llm};
use tokio::runtime;
use tower::{Layer, Service, ServiceExt as _, service_fn};

const ROUNDS: usize = 31;

const CALLS: u32 = 20_000;

const BODY: &[u8] =
    br#"{"model":"gpt-4o","messages":[{"role":"user","content":"What is kept has been paid for."}],"stream":false}"#;

fn fields() -> HeaderMap {
    let fields = [
        ("host", "api.example.com"),
        ("accept", "application/json"),
        ("authorization", "Bearer 0123456789"),
        ("content-type", "application/json"),
        ("user-agent", "bench"),
        ("accept-encoding", "identity"),
        ("x-request-id", "0123456789"),
        ("x-client-version", "1.2.3"),
    ];
    fields.into_iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn request(method: &'static str, headers: &HeaderMap, body: &Bytes) -> Request<ReplayBody<Full<Bytes>>> {
    let mut request = Request::new(ReplayBody::new(Full::new(body.clone())));
    *request.method_mut() = method.parse().expect("a method");
    *request.uri_mut() = http::Uri::from_static("http://api.example.com/v1/chat/completions");
    *request.headers_mut() = headers.clone();
    request
}

/// Answers, at once or when it is polled again.
async fn answer<B>(request: Request<B>, later: bool) -> Result<Response<Full<Bytes>>, Infallible> {
    if later {
        tokio::task::yield_now().await;
    }
    drop(black_box(request));
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// Nanoseconds for a call.
async fn measure<S, B>(service: &mut S, method: &'static str, body: &Bytes, headers: &HeaderMap) -> f64
where
    S: Service<Request<ReplayBody<Full<Bytes>>>, Response = Response<B>, Error = Infallible>,
{
    let begun = Instant::now();
    for _ in 0..CALLS {
        let ready = service.ready().await.expect("infallible");
        drop(black_box(ready.call(request(method, headers, body)).await));
    }
    begun.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (headers, none, json, large) =
        (fields(), Bytes::new(), Bytes::from_static(BODY), Bytes::from(vec![b'x'; 60 * 1024]));
    let minute = Duration::from_secs(60);
    println!("| request | service | layer | bare, ns | through the layer, ns | added, ns |");
    println!("|---|---|---|--:|--:|--:|");
    for (name, method, body) in [("GET", "GET", &none), ("PUT, 60 KiB", "PUT", &large), ("POST, JSON", "POST", &json)] {
        for later in [false, true] {
            let plain = RetryFallbackLayer::new();
            let timed = RetryFallbackLayer::builder().attempt_timeout(minute).deadline(minute).build();
            let model = llm::retry().build();
            let mut bare = service_fn(move |request| answer(request, later));
            let inner = service_fn(move |request| answer(request, later));
            let mut layered = (plain.layer(inner), timed.layer(inner), model.layer(inner));
            let names = ["defaults", "timeout and deadline", "llm"];
            let mut results = vec![(Vec::new(), Vec::new(), Vec::new()); names.len()];
            for _ in 0..ROUNDS {
                for (number, (bares, through, added)) in results.iter_mut().enumerate() {
                    let one = runtime.block_on(measure(&mut bare, method, body, &headers));
                    let other = match number {
                        0 => runtime.block_on(measure(&mut layered.0, method, body, &headers)),
                        1 => runtime.block_on(measure(&mut layered.1, method, body, &headers)),
                        _ => runtime.block_on(measure(&mut layered.2, method, body, &headers)),
                    };
                    bares.push(one);
                    through.push(other);
                    added.push(other - one);
                }
            }
            for (layer, (bares, through, added)) in names.iter().zip(results) {
                let answers = if later { "ready when polled again" } else { "ready at once" };
                println!(
                    "| {name} | {answers} | {layer} | {:.0} | {:.0} | {:.0} |",
                    median(bares),
                    median(through),
                    median(added)
                );
            }
        }
    }
}
