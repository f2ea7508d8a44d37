//! What counting and timing costs a hit in memory: the hit as it is, and beside it what is counted of it, done by itself.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use histogram::AtomicHistogram;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{Empty, Full};
use larder::{CacheLayer, store::Memory};
use tower::{Layer, Service, service_fn};

const ROUNDS: usize = 31;

const CALLS: u32 = 50_000;

/// 64 KiB and eight fields, as with the peers.
fn response() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; 64 * 1024])));
    let fields = [
        ("cache-control", "max-age=3600"),
        ("content-type", "text/plain"),
        ("content-length", "65536"),
        ("etag", "\"abc\""),
        ("server", "bench"),
        ("vary", "accept-encoding"),
        ("x-request-id", "0123456789"),
        ("x-content-type-options", "nosniff"),
    ];
    let fields = fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    response.headers_mut().extend(fields);
    response
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// What a layer counts of a hit: when it came and went, in a histogram; how many; how long, and how many bytes in all.
struct Counted {
    times: AtomicHistogram,
    hits: AtomicU64,
    sum: AtomicU64,
    bytes: AtomicU64,
}

impl Counted {
    fn count(&self, begun: tokio::time::Instant, bytes: u64) {
        let took = begun.elapsed().as_nanos() as u64;
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.times.increment(took).expect("less than five hours");
        self.sum.fetch_add(took, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Nanoseconds for a call, with so many threads at once.
fn measure(threads: usize, call: impl Fn() + Sync) -> f64 {
    let start = Barrier::new(threads);
    let took = |_| -> Duration {
        start.wait();
        let begun = Instant::now();
        (0..CALLS).for_each(|_| call());
        begun.elapsed()
    };
    let total: Duration = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|number| scope.spawn(move || took(number))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    total.as_nanos() as f64 / f64::from(CALLS) / threads as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let layer = CacheLayer::new(Memory::new(64 << 20));
    let cache = layer.layer(service_fn(|_| std::future::ready(Ok::<_, Infallible>(response()))));
    let request = || Request::get("http://example.com/some/path").body(Empty::<Bytes>::new()).expect("a request");
    let hit = || {
        let response = now(cache.clone().call(request())).expect("infallible");
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {}
    };
    hit();
    hit();
    assert_eq!((layer.handle().stats().misses, layer.handle().stats().hits), (1, 1));
    let counted = Counted {
        times: AtomicHistogram::new(5, 44).expect("a histogram"),
        hits: AtomicU64::new(0),
        sum: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    let clock = || {
        black_box(tokio::time::Instant::now());
    };
    let all = || counted.count(black_box(tokio::time::Instant::now()), black_box(65_536));
    println!("| threads | hit, ns | clock, read once, ns | all that is counted, ns | part of the hit |");
    println!("|--:|--:|--:|--:|--:|");
    for threads in [1, 2] {
        let (mut hits, mut clocks, mut counts, mut parts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let [whole, once, part] = [measure(threads, hit), measure(threads, clock), measure(threads, all)];
            hits.push(whole);
            clocks.push(once);
            counts.push(part);
            parts.push(part / whole);
        }
        println!(
            "| {threads} | {:.0} | {:.0} | {:.0} | {:.0} % |",
            median(hits),
            median(clocks),
            median(counts),
            median(parts) * 100.0
        );
    }
}
