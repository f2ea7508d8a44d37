//! A value of 1 KiB that is in memory already, looked up by number: larder's `Cached` beside moka and cached.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin lookups`; `ROUNDS` (21) from the environment.

use std::{
    convert::Infallible,
    future::Future,
    hint::black_box,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use ::cached::{Cached as _, stores::LruTtlCache};
use larder::{
    cached::{Cached, Secret},
    store::Memory,
};
use peers::{
    allocations::{Allocated, Counting},
    machine,
    rounds::{self, Costs},
};
use serde::{Deserialize, Serialize, Serializer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static SERIALISED: AtomicU64 = AtomicU64::new(0);

const TTL: Duration = Duration::from_secs(3600);
const KEYS: u64 = 1000;
const LOOKUPS: u64 = 200_000;

/// 1 KiB of text in a struct.
#[derive(Deserialize)]
struct User {
    id: u64,
    parts: [String; 4],
}

impl User {
    fn new(id: u64) -> Self {
        Self { id, parts: [(); 4].map(|()| "x".repeat(256)) }
    }
}

/// Counts how often it is called.
impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SERIALISED.fetch_add(1, Relaxed);
        (self.id, &self.parts).serialize(serializer)
    }
}

struct Contestant {
    name: String,
    run: Box<dyn Fn(u64) -> u64>,
    costs: Costs,
}

/// A look-up that is done at its first poll costs what its future does, and no runtime.
fn done<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("it is in memory"),
    }
}

async fn never<V>() -> Result<V, Infallible> {
    unreachable!("it is in memory")
}

fn contestants(runtime: &tokio::runtime::Runtime) -> Vec<Contestant> {
    let mut contestants = Vec::new();
    let mut add = |name: String, run: Box<dyn Fn(u64) -> u64>| {
        contestants.push(Contestant { name, run, costs: Costs::default() });
    };
    let larder = |name: &str| format!("larder {}, {name}", machine::version("larder"));

    let users = Cached::<u64, User>::builder("users").ttl(TTL).build();
    runtime.block_on(async {
        for id in 0..KEYS {
            users.insert(&id, User::new(id)).await.expect("memory");
        }
    });
    add(larder("get_or_try_insert"), Box::new(move |id| {
        done(users.get_or_try_insert(&id, never)).unwrap_or_else(|never| match never {}).id
    }));

    let far = Cached::<u64, User>::builder("users").ttl(TTL).store(Memory::new(64 << 20)).build();
    runtime.block_on(async {
        for id in 0..KEYS {
            far.insert(&id, User::new(id)).await.expect("memory");
        }
    });
    add(larder("a store behind it"), Box::new(move |id| {
        done(far.get_or_try_insert(&id, never)).unwrap_or_else(|never| match never {}).id
    }));

    let secrets = Cached::<Secret<String>, User>::builder("users").ttl(TTL).build();
    let keys: Vec<_> = (0..KEYS).map(|id| Secret::new(format!("sk-{id:032}"))).collect();
    runtime.block_on(async {
        for (id, key) in (0..KEYS).zip(&keys) {
            secrets.insert(key, User::new(id)).await.expect("memory");
        }
    });
    add(larder("by a Secret"), Box::new(move |id| {
        done(secrets.get_or_try_insert(&keys[id as usize], never)).unwrap_or_else(|never| match never {}).id
    }));

    let users = moka::future::Cache::builder().max_capacity(10_000).time_to_live(TTL).build();
    runtime.block_on(async {
        for id in 0..KEYS {
            users.insert(id, Arc::new(User::new(id))).await;
        }
    });
    add(format!("moka {}, future, try_get_with", machine::version("moka")), Box::new(move |id| {
        done(users.try_get_with(id, never())).unwrap_or_else(|_| unreachable!("it is in memory")).id
    }));

    let users = moka::sync::Cache::builder().max_capacity(10_000).time_to_live(TTL).build();
    (0..KEYS).for_each(|id| users.insert(id, Arc::new(User::new(id))));
    add(format!("moka {}, sync, get", machine::version("moka")), Box::new(move |id| users.get(&id).expect("it is in memory").id));

    let mut users = LruTtlCache::builder().size(10_000).ttl(TTL).build();
    (0..KEYS).for_each(|id| drop(users.cache_set(id, Arc::new(User::new(id)))));
    let users = Mutex::new(users);
    add(format!("cached {}, LruTtlCache in a mutex", machine::version("cached")), Box::new(move |id| {
        Arc::clone(users.lock().expect("no panic").cache_get(&id).expect("it is in memory")).id
    }));
    contestants
}

fn main() {
    let rounds = rounds::from_env("ROUNDS", 21);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut contestants = contestants(&runtime);
    let written = SERIALISED.load(Relaxed);
    for _ in 0..rounds {
        for contestant in &mut contestants {
            let begin = Instant::now();
            for number in 0..LOOKUPS {
                // Not in order, and the same in every round.
                black_box((contestant.run)(number.wrapping_mul(0x9E37_79B9) % KEYS));
            }
            contestant.costs.record(LOOKUPS, begin.elapsed());
        }
    }
    let written = SERIALISED.load(Relaxed) - written;

    println!("{}\n", machine::description());
    println!("| a value of 1 KiB in memory | ns | ± | × larder | allocations |");
    println!("|---|--:|--:|--:|--:|");
    let own = contestants[0].costs.median();
    for Contestant { name, run, costs } in &contestants {
        let before = Allocated::now();
        black_box(run(7));
        let allocations = (Allocated::now() - before).calls;
        Allocated::stop();
        println!(
            "| {name} | {:.0} | {:.0} % | {:.2} | {allocations} |",
            costs.median(),
            costs.spread() * 100.0,
            costs.median() / own
        );
    }
    println!(
        "\n{written} serialisations in {} look-ups. {KEYS} values, one thread; medians of {rounds} interleaved rounds of \
         {LOOKUPS} look-ups. `cargo run --release --manifest-path benches/peers/Cargo.toml --bin lookups`",
        rounds * LOOKUPS * contestants.len() as u64
    );
}
