//! Hits in Redis through the layer beside bare GETs of the same bytes, and what a Redis that is down costs each request.
//!
//! ```text
//! cargo bench --features redis --bench redis
//! ```
//!
//! Starts a `redis-server` of its own. What is compared takes turns within one run, so that the ratios mean something on a machine
//! that has other things to do, too.

mod server;
mod turns;

use std::{
    convert::Infallible,
    env,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use larder::{
    CacheLayer,
    entry::{Entry, codec::Compression},
    header::date,
    key::Key,
    redis::Client,
    store::{self, BoxStore, Memory, Redis, Store, Tiered, Usage},
    tag::Selector,
};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use self::{
    server::Server,
    turns::{TURN, TURNS, median, rate, runtimes},
};

const KEYS: usize = 64;

/// A store that never has anything.
struct Nothing;

impl Store for Nothing {
    async fn get(&self, _: &Key) -> store::Result<Option<Entry>> {
        Ok(None)
    }

    async fn put(&self, _: &Key, _: Entry) -> store::Result<()> {
        Ok(())
    }

    async fn remove(&self, _: &Key) -> store::Result<bool> {
        Ok(false)
    }

    async fn purge(&self, _: &Selector) -> store::Result<u64> {
        Ok(0)
    }

    async fn usage(&self) -> store::Result<Usage> {
        Ok(Usage::default())
    }
}

fn response(body: Bytes) -> Response<Full<Bytes>> {
    let length = body.len().to_string();
    let mut response = Response::new(Full::new(body));
    for (name, value) in [
        ("cache-control", "max-age=3600"),
        ("content-type", "text/plain"),
        ("content-length", &length),
        ("etag", "\"abc\""),
        ("server", "bench"),
        ("vary", "accept-encoding"),
        ("x-request-id", "0123456789"),
        ("x-content-type-options", "nosniff"),
    ] {
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    response.headers_mut().insert("date", date::format(SystemTime::now()));
    response
}

fn request(path: usize) -> Request<Empty<Bytes>> {
    Request::get(format!("http://example.com/{path}")).body(Empty::new()).expect("a request")
}

/// An origin that answers at once, and counts.
fn origin(
    body: Bytes,
    calls: Arc<AtomicUsize>,
) -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(move |_| {
        calls.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, Infallible>(response(body.clone())))
    })
}

type B = larder::body::ReplayBody<Empty<Bytes>>;

/// Bare GETs and hits take turns; the medians of both rates and of their ratio.
async fn hits(server: &Server, body: Bytes, compression: Compression, callers: usize) -> [f64; 3] {
    let mut bare = server.connect().await;
    redis::cmd("FLUSHALL").exec_async(&mut bare).await.expect("it runs");
    let client = Client::builder(&server.url()).response_timeout(Duration::from_secs(1)).build().expect("a URL");
    let store = Redis::builder(client).compression(compression).build().expect("a store");
    let calls = Arc::default();
    let service = CacheLayer::new(store).layer(origin(body.clone(), Arc::clone(&calls)));
    let hit = move |path: usize| {
        let (service, length) = (service.clone(), body.len());
        async move {
            let Ok(response) = service.oneshot(request(path % KEYS)).await;
            let body = response.into_body().collect().await.expect("a whole body").to_bytes();
            assert_eq!(body.len(), length);
        }
    };
    for path in 0..KEYS {
        hit(path).await;
    }
    let names: Arc<[String]> = loop {
        let names: Vec<String> =
            redis::cmd("KEYS").arg("larder:default:*").query_async(&mut bare).await.expect("it runs");
        if names.len() == KEYS {
            break names.into();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let get = move |at: usize| {
        let (mut bare, names) = (bare.clone(), names.clone());
        async move {
            let frame: Vec<u8> =
                redis::cmd("GET").arg(&names[at % KEYS]).query_async(&mut bare).await.expect("it runs");
            assert!(!frame.is_empty());
        }
    };
    let (mut gets, mut hits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let (bare, larder) = (rate(callers, get.clone()).await, rate(callers, hit.clone()).await);
        // The first is for warming up.
        if turn > 0 {
            gets.push(bare);
            hits.push(larder);
            ratios.push(larder / bare);
        }
    }
    assert_eq!(calls.load(Ordering::Relaxed), KEYS, "all the rest were hits");
    [gets, hits, ratios].map(median)
}

/// What each of some layers takes for a request, in microseconds; they take turns.
async fn outage(stores: Vec<(&'static str, BoxStore)>, keys: Option<usize>, bytes: usize) -> Vec<(&'static str, f64)> {
    let layers: Vec<_> = stores
        .into_iter()
        .map(|(name, store)| (name, CacheLayer::new(store).layer(origin(vec![b'x'; bytes].into(), Arc::default()))))
        .collect();
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut times = vec![Vec::new(); layers.len()];
    for turn in 0..=TURNS {
        for ((_, service), times) in layers.iter().zip(&mut times) {
            let begun = Instant::now();
            let mut done = 0;
            while begun.elapsed() < TURN / 2 {
                let next = NEXT.fetch_add(1, Ordering::Relaxed);
                let path = keys.map_or(next, |keys| next % keys);
                let Ok(response) = service.clone().oneshot(request(path)).await;
                response.into_body().collect().await.expect("a whole body");
                // What goes on behind the response has to be paid for, too.
                tokio::task::yield_now().await;
                done += 1;
            }
            if turn > 0 {
                times.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(done));
            }
        }
    }
    layers.iter().zip(times).map(|((name, _), times)| (*name, median(times))).collect()
}

/// A store in a Redis that is gone, whose breaker is open.
async fn dead(url: &str) -> Redis {
    let store = Redis::new(url).expect("a URL");
    let key = larder::key::KeyBuilder::new("bench").finish();
    for _ in 0..20 {
        let _ = store.get(&key).await;
    }
    assert!(store.tiers().iter().all(|tier| tier.opened > 0), "its breaker is open");
    store
}

fn main() {
    // Not when it is run as a test.
    if !env::args().any(|arg| arg == "--bench") {
        return;
    }
    let random: Vec<u8> = (0..16 << 10).map(|at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8).collect();
    let text = Bytes::from("A larder keeps what has already been paid for. ".repeat(400)).slice(..16 << 10);
    let bodies = [
        ("1 KiB", Bytes::from(random[..1024].to_vec()), Compression::Off),
        ("16 KiB", Bytes::from(random), Compression::Off),
        ("16 KiB of text, zstd", text, Compression::Zstd(3)),
    ];
    let server = Server::start();
    println!("| body | threads | callers | bare GETs/s | hits/s | hits ÷ GETs |\n|---|--:|--:|--:|--:|--:|");
    for (body, bytes, compression) in bodies {
        for (threads, runtime) in runtimes() {
            for callers in [1, 16, 64] {
                let [bare, larder, ratio] = runtime.block_on(hits(&server, bytes.clone(), compression, callers));
                println!("| {body} | {threads} | {callers} | {bare:.0} | {larder:.0} | {ratio:.2} |");
            }
        }
    }
    let url = server.url();
    drop(server);
    println!("\n| request, Redis down | threads | µs | added |\n|---|--:|--:|--:|");
    for (threads, runtime) in runtimes() {
        runtime.block_on(async {
            for (kind, keys, bytes) in
                [("miss, 1 KiB", None, 1024), ("miss, 16 KiB", None, 16 << 10), ("hit, 1 KiB", Some(KEYS), 1024)]
            {
                let far = dead(&url).await;
                let (memory, near) = (Memory::new(64 << 20), Memory::new(64 << 20));
                let mut stores =
                    vec![("memory", memory.boxed()), ("memory, Redis", Tiered::new(near, far.clone()).boxed())];
                if keys.is_none() {
                    stores.extend([("nothing", Nothing.boxed()), ("Redis", far.boxed())]);
                }
                let times = outage(stores, keys, bytes).await;
                for pair in times.chunks(2) {
                    let [(without, base), (with, time)] = pair else { continue };
                    println!("| {kind}; store: {without} | {threads} | {base:.2} | |");
                    println!("| {kind}; store: {with} | {threads} | {time:.2} | {:.2} |", time - base);
                }
            }
        });
    }
}
