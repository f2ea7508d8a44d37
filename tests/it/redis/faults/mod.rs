//! What one Redis may do to a cache that uses it: no client sees an error or a wrong body, or waits much longer than a call to Redis
//! may take, and all is well again when Redis is.

mod damaged;
mod dropped;
mod keys;
mod logins;
mod outages;
mod refusals;
mod runtimes;
mod scripts;
mod writes;

use std::{
    error::Error,
    fmt::Write as _,
    time::{Duration, Instant},
};

use larder::{
    CacheLayer,
    cache::{Cache, Handle},
    entry::codec::Compression,
    fingerprint::RequestFingerprint,
    policy::Rfc9111,
    redis::Client,
    store::{BoxStore, Health, Memory, Redis, Store as _, Tier, TierState, Tiered},
};
use tokio::time::timeout;
use tower::Layer as _;

use super::PATIENT;
use crate::support::{Origin, ask, full, get, redis::Server, reply, said, text};

/// How long a call to Redis may take where that matters.
const DEADLINE: Duration = Duration::from_millis(100);

/// How long a request may take: a few calls at a time when the machine is busy, and less than any outage lasts, or a look-up may.
const WITHIN: Duration = Duration::from_secs(4);

/// How long it may take until all is well again.
const SOON: Duration = Duration::from_secs(20);

/// A cache over Redis, and an origin whose answers say what was asked for.
struct Site {
    cache: Cache<Origin, BoxStore, RequestFingerprint, Rfc9111>,
    origin: Origin,
    handle: Handle,
    space: &'static str,
}

impl Site {
    fn new(store: BoxStore, space: &'static str) -> Self {
        // What bounds a look-up is the store's own deadline.
        let layer = CacheLayer::builder(store).lookup_timeout(PATIENT).build();
        let origin = Origin::by_request(|request| {
            let path = request.uri().path();
            let fields = [("cache-control", "max-age=600"), ("surrogate-key", "all")];
            reply(200, &fields, full(body_of(path)))
        });
        Self { cache: layer.layer(origin.clone()), origin, handle: layer.handle(), space }
    }

    /// A cache that has nothing but Redis.
    fn alone(client: Client) -> Self {
        Self::new(store(client, "alone").boxed(), "alone")
    }

    /// A cache that has memory besides.
    fn tiered(client: Client) -> Self {
        Self::new(Tiered::new(Memory::new(64 << 20), store(client, "tiered")).boxed(), "tiered")
    }

    /// Both, with a deadline that matters.
    fn both(url: &str) -> [Self; 2] {
        [Self::alone(hurried(url)), Self::tiered(hurried(url))]
    }

    /// Both, for what is not about time.
    fn patient(url: &str) -> [Self; 2] {
        [Self::alone(patient(url)), Self::tiered(patient(url))]
    }

    /// Asks, and holds the answer against what it has to be; what the cache says that it did.
    async fn ask(&self, path: &str) -> String {
        let asked = async {
            let answer = ask(&self.cache, get(&format!("http://a{path}"), &[])).await;
            (said(&answer).to_owned(), answer.status().as_u16(), text(answer).await)
        };
        let (said, status, text) = timeout(WITHIN, asked).await.expect("no request waits for Redis that long");
        assert!((status, &text) == (200, &body_of(path)), "{path}: {status} {text:.100}");
        said
    }

    async fn hits(&self, path: &str) -> bool {
        self.ask(path).await.starts_with("larder; hit")
    }

    /// Asks until the answer comes out of a store.
    async fn warm(&self, path: &str) {
        eventually("a hit", async || self.hits(path).await).await;
    }

    /// Asks until the answer comes out of memory, which is so once changes by other processes are heard.
    async fn warm_near(&self, path: &str, server: &Server) {
        let looked_up = async || server.commandstats().await.get("get").copied();
        eventually("trust in what lies near", async || {
            let before = looked_up().await;
            self.hits(path).await && looked_up().await == before
        })
        .await;
    }

    /// What Redis went through.
    fn redis(&self) -> Tier {
        self.handle.tiers().into_iter().find(|tier| tier.name == "redis").expect("it is one of the tiers")
    }

    fn is_closed(&self) -> bool {
        self.redis().state == TierState::Closed
    }

    /// Why the store doesn't work, down to the first cause.
    async fn illness(&self) -> Option<String> {
        let Health::Down(error) = self.handle.health().await else { return None };
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(text, ": {error}").expect("a text takes all");
            cause = error.source();
        }
        Some(text)
    }

    /// A glob for the names of its entries.
    fn entries(&self) -> String {
        format!("larder:{}:*", self.space)
    }
}

fn store(client: Client, space: &str) -> Redis {
    Redis::builder(client).space(space).compression(Compression::Off).build().expect("sensible settings")
}

fn hurried(url: &str) -> Client {
    Client::builder(url).response_timeout(DEADLINE).build().expect("a URL")
}

fn patient(url: &str) -> Client {
    Client::builder(url).response_timeout(PATIENT).build().expect("a URL")
}

/// No two paths have the same; those that begin with `/big` have one that doesn't come in one piece.
fn body_of(path: &str) -> String {
    let times = if path.starts_with("/big") { 200_000 / path.len() } else { 10 };
    path.repeat(times)
}

/// Asks again and again until it is so, but not for ever.
async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < SOON, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
