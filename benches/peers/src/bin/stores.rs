//! In-memory stores that a cache could be built on: 100,000 entries under 32-byte digests, weighed by their bytes,
//! asked for with a Zipf distribution.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin stores`; `ROUNDS` (9) from the environment.

use foyer::S3FifoConfig;
use peers::{
    machine,
    rounds::{self, Costs},
};
use quick_cache::{DefaultHashBuilder, sync::DefaultLifecycle};
use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

const ENTRIES: usize = 100_000;
const ACCESSES: usize = 1 << 20;
/// The exponent that YCSB uses.
const EXPONENT: f64 = 0.99;

/// A digest: uniform already, so that its first eight bytes are as good a hash as any.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Key([u8; 32]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Digest(u64);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key writes one u64");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Digests = BuildHasherDefault<Digest>;
type Value = Arc<[u8]>;

trait Store: Send + Sync {
    fn get(&self, key: &Key) -> Option<Value>;
    fn insert(&self, key: Key, value: Value);
}

#[derive(Clone)]
struct Bytes;

impl quick_cache::Weighter<Key, Value> for Bytes {
    fn weight(&self, _: &Key, value: &Value) -> u64 {
        weight(value)
    }
}

struct QuickCache<B>(quick_cache::sync::Cache<Key, Value, Bytes, B>);

impl<B: std::hash::BuildHasher + Clone + Send + Sync> Store for QuickCache<B> {
    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key)
    }

    fn insert(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }
}

struct Moka<B>(moka::sync::Cache<Key, Value, B>);

impl<B: std::hash::BuildHasher + Clone + Send + Sync + 'static> Store for Moka<B> {
    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key)
    }

    fn insert(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }
}

struct Foyer<B: std::hash::BuildHasher + Send + Sync + 'static>(foyer::Cache<Key, Value, B>);

impl<B: std::hash::BuildHasher + Send + Sync + 'static> Store for Foyer<B> {
    fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key).map(|entry| Arc::clone(entry.value()))
    }

    fn insert(&self, key: Key, value: Value) {
        self.0.insert(key, value);
    }
}

fn weight(value: &Value) -> u64 {
    (size_of::<Key>() + value.len()) as u64
}

/// What is stored, and in which order it is asked for.
struct Workload {
    entries: Vec<(Key, Value)>,
    /// Indices into `entries`; every thread begins somewhere else.
    accesses: Vec<u32>,
    bytes: u64,
}

impl Workload {
    fn new() -> Self {
        let mut random = Xorshift(0x9E37_79B9_7F4A_7C15);
        let entries: Vec<_> = (0..ENTRIES)
            .map(|_| {
                let mut key = [0; 32];
                for part in key.chunks_mut(8) {
                    part.copy_from_slice(&random.next().to_le_bytes());
                }
                let len = 256 + random.next() as usize % (4096 - 256);
                (Key(key), Value::from(vec![0; len]))
            })
            .collect();

        let mut sum = 0.0;
        let cumulative: Vec<f64> = (1..=ENTRIES)
            .map(|rank| {
                sum += (rank as f64).powf(-EXPONENT);
                sum
            })
            .collect();
        let accesses = (0..ACCESSES)
            .map(|_| {
                let at = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
                cumulative.partition_point(|reached| *reached < at).min(ENTRIES - 1) as u32
            })
            .collect();
        let bytes = entries.iter().map(|(_, value)| weight(value)).sum();
        Self { entries, accesses, bytes }
    }

    fn accesses(&self, thread: usize) -> impl Iterator<Item = &(Key, Value)> {
        let (before, after) = self.accesses.split_at(thread * ACCESSES / 3);
        after.iter().chain(before).map(|index| &self.entries[*index as usize])
    }
}

/// Marsaglia's xorshift64*: the same accesses in every run.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// A store large enough for everything, and one for a tenth of it.
struct Contestant {
    name: String,
    whole: Box<dyn Store>,
    tenth: Box<dyn Store>,
    get: [Costs; 2],
    mixed: [Costs; 2],
    hit_ratio: f64,
}

impl Contestant {
    fn new<S: Store + 'static>(name: String, workload: &Workload, make: impl Fn(u64, usize) -> S) -> Self {
        // Twice the bytes: shards fill unevenly, and nothing is to be evicted.
        let whole = make(workload.bytes * 2, ENTRIES);
        for (key, value) in &workload.entries {
            whole.insert(*key, Arc::clone(value));
        }
        let tenth = make(workload.bytes / 10, ENTRIES / 10);
        Self {
            name,
            whole: Box::new(whole),
            tenth: Box::new(tenth),
            get: Default::default(),
            mixed: Default::default(),
            hit_ratio: 0.0,
        }
    }

    /// Warm-up, and the share of hits in a second pass.
    fn warm_up(&mut self, workload: &Workload) {
        run(workload, 1, |key, _| self.whole.get(key).is_some());
        run(workload, 1, |key, value| through(self.tenth.as_ref(), key, value));
        let (_, hits) = run(workload, 1, |key, value| through(self.tenth.as_ref(), key, value));
        self.hit_ratio = hits as f64 / ACCESSES as f64;
    }

    fn round(&mut self, workload: &Workload) {
        for threads in 1..=2 {
            let (elapsed, hits) = run(workload, threads, |key, _| self.whole.get(key).is_some());
            assert_eq!(hits, threads * ACCESSES, "{} keeps what fits", self.name);
            self.get[threads - 1].record((threads * ACCESSES) as u64, elapsed);
            let (elapsed, _) = run(workload, threads, |key, value| through(self.tenth.as_ref(), key, value));
            self.mixed[threads - 1].record((threads * ACCESSES) as u64, elapsed);
        }
    }
}

/// As a cache is used: what is not there is put there.
fn through(store: &dyn Store, key: &Key, value: &Value) -> bool {
    let hit = store.get(key).is_some();
    if !hit {
        store.insert(*key, Arc::clone(value));
    }
    hit
}

/// All accesses on each of so many threads: the time until the last has ended, and how many were hits.
fn run(workload: &Workload, threads: usize, access: impl Fn(&Key, &Value) -> bool + Sync) -> (Duration, usize) {
    let barrier = Barrier::new(threads);
    let (access, barrier) = (&access, &barrier);
    let runs: Vec<(Instant, Instant, usize)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    let hits = workload.accesses(thread).filter(|(key, value)| access(key, value)).count();
                    (start, Instant::now(), hits)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that does not panic")).collect()
    });
    let start = runs.iter().map(|run| run.0).min().expect("a thread");
    let end = runs.iter().map(|run| run.1).max().expect("a thread");
    (end - start, runs.iter().map(|run| run.2).sum())
}

fn contestants(workload: &Workload) -> Vec<Contestant> {
    fn quick<B: std::hash::BuildHasher + Clone + Default>(bytes: u64, entries: usize) -> QuickCache<B> {
        QuickCache(quick_cache::sync::Cache::with(entries, bytes, Bytes, B::default(), DefaultLifecycle::default()))
    }
    fn moka<B: std::hash::BuildHasher + Clone + Default + Send + Sync + 'static>(bytes: u64, _: usize) -> Moka<B> {
        let builder = moka::sync::Cache::builder().max_capacity(bytes);
        Moka(builder.weigher(|_, value| weight(value) as u32).build_with_hasher(B::default()))
    }
    fn foyer<B: std::hash::BuildHasher + Default + Send + Sync + 'static>(bytes: u64, _: usize) -> Foyer<B> {
        let builder = foyer::CacheBuilder::new(bytes as usize).with_eviction_config(S3FifoConfig::default());
        Foyer(builder.with_weighter(|_, value| weight(value) as usize).with_hash_builder(B::default()).build())
    }
    let name = |name: &str, krate: &str, hasher: &str| format!("{name} {}, {hasher}", machine::version(krate));
    let (digest, own) = ("digest as hash", "its own hash");
    vec![
        Contestant::new(name("quick_cache", "quick_cache", digest), workload, quick::<Digests>),
        Contestant::new(name("moka", "moka", digest), workload, moka::<Digests>),
        Contestant::new(name("foyer S3-FIFO", "foyer", digest), workload, foyer::<Digests>),
        Contestant::new(name("quick_cache", "quick_cache", own), workload, quick::<DefaultHashBuilder>),
        Contestant::new(name("moka", "moka", own), workload, moka::<std::hash::RandomState>),
        Contestant::new(name("foyer S3-FIFO", "foyer", own), workload, foyer::<foyer::DefaultHasher>),
    ]
}

fn main() {
    let rounds = rounds::from_env("ROUNDS", 9);
    let workload = Workload::new();
    let mut contestants = contestants(&workload);
    for contestant in &mut contestants {
        contestant.warm_up(&workload);
    }
    for _ in 0..rounds {
        for contestant in &mut contestants {
            contestant.round(&workload);
        }
    }

    println!("{}\n", machine::description());
    println!("| store | get, 1 thread | 2 threads | mixed, 1 thread | 2 threads | hits at a tenth |");
    println!("|---|--:|--:|--:|--:|--:|");
    for Contestant { name, get: [get, gets], mixed: [mixed, mixeds], hit_ratio, .. } in &contestants {
        println!(
            "| {name} | {:.0} ns | {:.0} ns | {:.0} ns | {:.0} ns | {:.1} % |",
            get.median(),
            gets.median(),
            mixed.median(),
            mixeds.median(),
            hit_ratio * 100.0,
        );
    }
    println!(
        "\n{ENTRIES} entries of 0.25–4 KiB ({} MiB) under 32-byte digests, Zipf {EXPONENT}; time per operation over all \
         threads (wall time by operations). get: everything fits. mixed: room for a tenth of the bytes, a miss is \
         inserted. Medians of {rounds} interleaved rounds of {ACCESSES} operations a thread. \
         `cargo run --release --manifest-path benches/peers/Cargo.toml --bin stores`",
        workload.bytes >> 20
    );
}
