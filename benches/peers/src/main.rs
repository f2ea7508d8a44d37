//! larder's memory hits and misses beside those of the other caching layers for tower, in one process.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`; `ROUNDS` (31) and `ROUND_MS` (50) from the
//! environment, and for a profile `ONLY` (a layer's name) and `WORK` (`Hit` or `Miss`).

mod contestant;

use axum::body::Body;
use cached::stores::LruTtlCache;
use contestant::{BODY, Contestant, Layered, Origin, Work};
use http::Response;
use http_cache::{MokaCache, MokaManager};
use http_cache_tower::HttpCacheLayer;
use peers::{
    allocations::Counting,
    machine,
    rounds::{self, Costs},
};
use std::{env, error::Error, time::Duration};
use tokio::runtime::{self, Runtime};
use tower::ServiceBuilder;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The capacity of every cache here, in bytes and in entries of that body.
const CAPACITY: usize = 64 << 20;
const ENTRIES: usize = CAPACITY / BODY;

const LARDER: &str = "larder";
const BARE: &str = "no cache";

struct Row {
    name: &'static str,
    costs: Costs,
    allocations: f64,
    bytes: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = rounds::from_env("ROUNDS", 31);
    let length = Duration::from_millis(rounds::from_env("ROUND_MS", 50));
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;

    println!("{}\n", machine::description());
    for (title, work) in [("Hit", Work::Hit), ("Miss", Work::Miss)] {
        if env::var("WORK").is_ok_and(|only| only != title) {
            continue;
        }
        let rows = measure(&runtime, &mut contestants(&runtime), work, rounds, length);
        print(&format!("{title}, {} KiB body, 8 header fields", BODY >> 10), &rows);
    }
    println!(
        "Medians of {rounds} interleaved rounds of {} ms. `cargo run --release --manifest-path benches/peers/Cargo.toml`",
        length.as_millis()
    );
    Ok(())
}

/// All of them, with an origin each.
fn contestants(runtime: &Runtime) -> Vec<Box<dyn Contestant>> {
    // Some of them spawn their housekeeping when they are made.
    let _entered = runtime.enter();
    let stack = ServiceBuilder::new;

    let origin = Origin::new();
    let layer = larder::CacheLayer::new(larder::store::Memory::new(CAPACITY as u64));
    let larder = Layered::new(LARDER, &origin, stack().layer(layer).service(origin.clone()));

    let origin = Origin::new();
    let layer = HttpCacheLayer::new(MokaManager::new(MokaCache::new(ENTRIES as u64)));
    let http_cache = Layered::new("http-cache-tower", &origin, stack().layer(layer).service(origin.clone()));

    let origin = Origin::new();
    let layer = tower_http_cache::prelude::CacheLayer::new_in_memory(ENTRIES as u64);
    let tower_http_cache = Layered::new("tower-http-cache", &origin, stack().layer(layer).service(origin.clone()));

    let origin = Origin::new();
    let store = LruTtlCache::with_size_and_ttl(ENTRIES, Duration::from_secs(3600));
    let service = stack()
        .layer(axum_response_cache::CacheLayer::with(store))
        .map_response(|response: Response<_>| response.map(Body::new))
        .service(origin.clone());
    let axum_response_cache = Layered::with_body("axum-response-cache", &origin, service, Body::empty);

    let origin = Origin::new();
    let bare = Layered::new(BARE, &origin, origin.clone());

    let mut all: Vec<Box<dyn Contestant>> = vec![
        Box::new(larder),
        Box::new(http_cache),
        Box::new(tower_http_cache),
        Box::new(axum_response_cache),
        Box::new(bare),
    ];
    if let Ok(only) = env::var("ONLY") {
        all.retain(|contestant| contestant.name() == only);
    }
    all
}

fn measure(
    runtime: &Runtime,
    contestants: &mut [Box<dyn Contestant>],
    work: Work,
    rounds: u64,
    length: Duration,
) -> Vec<Row> {
    let mut measured: Vec<_> = contestants
        .iter_mut()
        .map(|contestant| {
            verify(runtime, contestant.as_mut(), work);
            let requests = calibrate(runtime, contestant.as_mut(), work, length);
            (contestant, requests, Costs::default())
        })
        .collect();

    for _ in 0..rounds {
        for (contestant, requests, costs) in &mut measured {
            let before = contestant.origin_calls();
            costs.record(*requests, contestant.time(runtime, work, *requests));
            check(contestant.as_ref(), work, *requests, contestant.origin_calls() - before);
        }
    }

    measured
        .into_iter()
        .map(|(contestant, _, costs)| {
            const REQUESTS: u64 = 1000;
            let made = contestant.allocations(runtime, work, REQUESTS);
            Row {
                name: contestant.name(),
                costs,
                allocations: made.calls as f64 / REQUESTS as f64,
                bytes: made.bytes as f64 / REQUESTS as f64,
            }
        })
        .collect()
}

/// That it caches at all, before anything is timed.
fn verify(runtime: &Runtime, contestant: &mut dyn Contestant, work: Work) {
    // The first stores it; the second gives whatever runs behind a response its time.
    contestant.time(runtime, work, 1);
    contestant.time(runtime, Work::Miss, 1);
    let before = contestant.origin_calls();
    contestant.time(runtime, work, 10);
    check(contestant, work, 10, contestant.origin_calls() - before);
}

fn check(contestant: &dyn Contestant, work: Work, requests: u64, calls: u64) {
    let expected = match work {
        Work::Hit if contestant.name() != BARE => 0,
        _ => requests,
    };
    assert_eq!(calls, expected, "{}: calls of the origin in {requests} requests", contestant.name());
}

/// How many requests fill a round. The first calls only warm up.
fn calibrate(runtime: &Runtime, contestant: &mut dyn Contestant, work: Work, length: Duration) -> u64 {
    let mut requests = 64;
    loop {
        let elapsed = contestant.time(runtime, work, requests);
        if elapsed * 4 >= length {
            return (requests as f64 * length.as_secs_f64() / elapsed.as_secs_f64()).ceil() as u64;
        }
        requests *= 2;
    }
}

fn print(title: &str, rows: &[Row]) {
    let larder = rows.iter().find(|row| row.name == LARDER).map_or(f64::NAN, |row| row.costs.median());
    println!("| {title} | ns | ± | × larder | allocations | bytes allocated |");
    println!("|---|--:|--:|--:|--:|--:|");
    for row in rows {
        let version = match row.name {
            BARE => "",
            name => machine::version(name),
        };
        println!(
            "| {} {version} | {:.0} | {:.0} % | {:.2} | {:.1} | {:.0} |",
            row.name,
            row.costs.median(),
            row.costs.spread() * 100.0,
            row.costs.median() / larder,
            row.allocations,
            row.bytes,
        );
    }
    println!();
}
