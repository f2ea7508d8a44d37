//! What a hit, a miss, a fingerprint and a store cost in process, in time and in allocations.
//!
//! ```text
//! cargo bench --bench cache
//! ```

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body::Body;
use http_body_util::{Empty, Full};
use larder::{
    CacheLayer,
    entry::{Entry, Frames, Head, Lifetime},
    fingerprint::{Fingerprint, Rendered, RequestFingerprint},
    header::date,
    key::{Key, KeyBuilder},
    llm,
    store::{Memory, Peek, Store},
};
use tower::{Layer, Service, service_fn};

const BODY: usize = 64 * 1024;

fn response(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    for (name, value) in [
        ("cache-control", "max-age=3600"),
        ("content-type", "text/plain"),
        ("content-length", "65536"),
        ("etag", "\"abc\""),
        ("server", "bench"),
        ("vary", "accept-encoding"),
        ("x-request-id", "0123456789"),
        ("x-content-type-options", "nosniff"),
    ] {
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    // As every origin with a clock does; who keeps the response adds it else.
    response.headers_mut().insert("date", date::format(SystemTime::now()));
    response
}

fn request(path: usize) -> Request<Empty<Bytes>> {
    Request::get(format!("http://example.com/{path}")).body(Empty::new()).expect("a request")
}

/// The output of a future that doesn't wait for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn drain<B: Body<Data = Bytes>>(body: B) -> usize {
    let mut body = pin!(body);
    let mut bytes = 0;
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    bytes
}

/// A cache in front of an origin that answers at once.
fn cache() -> impl Service<Request<Empty<Bytes>>, Response = Response<impl Body<Data = Bytes>>, Error = Infallible> {
    let body = Bytes::from(vec![b'x'; BODY]);
    let origin = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(response(body.clone()))));
    CacheLayer::new(Memory::new(256 << 20)).layer(origin)
}

fn ask<S, B>(service: &mut S, request: Request<Empty<Bytes>>) -> usize
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    match now(service.call(request)) {
        Ok(response) => drain(response.into_body()),
        Err(never) => match never {},
    }
}

fn layer(c: &mut Criterion) {
    let mut service = cache();
    assert_eq!(ask(&mut service, request(0)), BODY);
    // The first hit shares the body, which later ones find shared.
    ask(&mut service, request(0));
    let hit = allocation_counter::measure(|| assert_eq!(ask(&mut service, request(0)), BODY));
    let made = allocation_counter::measure(|| drop(request(0)));
    let miss = allocation_counter::measure(|| assert_eq!(ask(&mut service, request(1)), BODY));
    println!(
        "allocations beside the request's own: hit {} ({} bytes), miss {} ({} bytes)",
        hit.count_total - made.count_total,
        hit.bytes_total - made.bytes_total,
        miss.count_total - made.count_total,
        miss.bytes_total - made.bytes_total,
    );
    let mut group = c.benchmark_group("layer, 64 KiB and 8 fields");
    group.bench_function("hit", |b| {
        b.iter_batched(|| request(0), |request| ask(&mut service, request), BatchSize::SmallInput);
    });
    let mut path = 2;
    group.bench_function("miss", |b| {
        b.iter_batched(
            || {
                path += 1;
                request(path)
            },
            |request| ask(&mut service, request),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn head(uri: &str) -> Parts {
    let request = Request::post(uri).header("content-type", "application/json").header("authorization", "Bearer x");
    request.body(()).expect("a request").into_parts().0
}

fn fingerprint(c: &mut Criterion) {
    let mut group = c.benchmark_group("fingerprint");
    let get = Request::get("http://example.com/some/path?with=query").body(()).expect("a request").into_parts().0;
    let plain = RequestFingerprint::new();
    group.bench_function("method and URI", |b| b.iter(|| plain.key(black_box(&get), &Bytes::new())));
    let chat = head("http://example.com/v1/chat/completions");
    let kit = llm::Fingerprint::new();
    for messages in [1, 100, 1000] {
        let message =
            r#"{"role":"user","content":"What is a larder, and what is it good for? Say it in a few words."}"#;
        let messages = vec![message; messages].join(",");
        let body = Bytes::from(format!(r#"{{"model":"gpt-4o","temperature":0.5,"messages":[{messages}]}}"#));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("chat of {} bytes", body.len()), |b| {
            b.iter(|| kit.key(black_box(&chat), black_box(&body)));
        });
    }
    group.finish();
}

/// What a hit costs besides if the answer was kept in the other form.
fn renderings(c: &mut Criterion) {
    const CHUNK: &str =
        r#""id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","system_fingerprint":"fp""#;
    let kit = llm::Fingerprint::new();
    let chat = head("http://example.com/v1/chat/completions");
    let lifetime = Lifetime::new(SystemTime::now(), Duration::from_secs(3600));
    let kept = |media_type: &str, body: String| {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().expect("a value"))]);
        Entry::new(Head::new(StatusCode::OK, headers, lifetime.clone()), Frames::whole(body.into()))
    };
    let asked = |stream: &str| {
        let body = Bytes::from(format!(r#"{{"model":"gpt-4o","messages":[]{stream}}}"#));
        kit.identify(&chat, &body).and_then(|identity| identity.rendering).expect("a rendering")
    };
    let (plain, streamed) = (asked(""), asked(r#","stream":true"#));
    let mut group = c.benchmark_group("a chat's answer in its other form");
    for tokens in [40, 400] {
        let choice = |delta: &str, finish: &str| {
            let choice = format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}"#);
            format!("data: {{{CHUNK},\"choices\":[{choice}],\"usage\":null}}\n\n")
        };
        let mut events = choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null");
        events.extend((0..tokens).map(|_| choice(r#"{"content":" larder"}"#, "null")));
        events.push_str(&choice("{}", r#""stop""#));
        let usage = r#"{"prompt_tokens":9,"completion_tokens":400,"total_tokens":409}"#;
        events.push_str(&format!("data: {{{CHUNK},\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n"));
        let stream = kept("text/event-stream", events);
        let Rendered::Converted(whole) = kit.render(&chat, plain, &stream) else { panic!("it can be converted") };
        for (name, entry, wanted) in [("stream to plain", &stream, plain), ("plain to stream", &whole, streamed)] {
            group.throughput(Throughput::Bytes(entry.body().data().len() as u64));
            group.bench_function(format!("{name}, {} bytes", entry.body().data().len()), |b| {
                b.iter(|| kit.render(&chat, wanted, black_box(entry)));
            });
        }
    }
    group.finish();
}

fn store(c: &mut Criterion) {
    const ENTRIES: usize = 100_000;
    let memory = Memory::new(1 << 30);
    let key = |name: usize| -> Key { KeyBuilder::new("bench").field("name", name.to_le_bytes()).finish() };
    let lifetime = Lifetime::new(SystemTime::now(), Duration::from_secs(3600));
    let entry = Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime), Frames::whole(vec![0; 256].into()));
    let keys: Vec<_> = (0..ENTRIES).map(key).collect();
    for key in &keys {
        now(memory.put(key, entry.clone())).expect("memory doesn't fail");
    }
    let mut group = c.benchmark_group("store::Memory, 100,000 entries");
    // A step that is coprime to the count visits all of them in no order that a prefetcher knows.
    let mut at = 0;
    group.bench_function("peek", |b| {
        b.iter(|| {
            at = (at + 61_803) % ENTRIES;
            matches!(memory.peek(&keys[at]), Peek::Found(_))
        });
    });
    group.bench_function("put", |b| {
        b.iter(|| {
            at = (at + 61_803) % ENTRIES;
            now(memory.put(&keys[at], entry.clone()))
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = layer, fingerprint, renderings, store
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
