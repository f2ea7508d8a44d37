//! Instances of one application: each has a client, a store and a layer of its own, over the same Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use larder::{
    CacheLayer,
    cache::{Builder, Cache},
    clock::{Clock, SystemClock},
    redis::Client,
    store::{BoxStore, Change, Memory, Peek, Redis, Store, Tiered},
};
use redis::Value;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tower::Layer as _;

use super::PATIENT;
use crate::support::{Body, Calls, Held, Origin, ask, redis::Server, text};

/// A lease, and a wait, that no test outlives: what ends sooner was ended.
pub(super) const LONG: Duration = Duration::from_secs(600);

/// How long a test waits for what is to happen soon.
pub(super) const SOON: Duration = Duration::from_secs(30);

pub(super) const FRESH: &[(&str, &str)] = &[("cache-control", "public, max-age=3600")];

/// What an instance keeps its entries in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    InRedis,
    /// In a memory in front of Redis, too.
    InTiers,
}

/// An instance to be.
pub(super) struct Joining<'a> {
    url: String,
    kept: Kept,
    lease: Duration,
    deadline: Duration,
    clock: Arc<dyn Clock>,
    set: Box<dyn FnOnce(Builder<BoxStore>) -> Builder<BoxStore> + 'a>,
}

pub(super) struct Instance {
    pub(super) near: Memory,
    pub(super) far: Redis,
    pub(super) store: BoxStore,
    pub(super) layer: CacheLayer<BoxStore>,
    pub(super) cache: Cache<Origin, BoxStore>,
}

impl<'a> Joining<'a> {
    pub(super) fn new(url: impl Into<String>, kept: Kept) -> Self {
        let clock = Arc::new(SystemClock);
        Self { url: url.into(), kept, lease: LONG, deadline: PATIENT, clock, set: Box::new(|builder| builder) }
    }

    pub(super) fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// How long a call may take.
    pub(super) fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    pub(super) fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    pub(super) fn set(self, set: impl FnOnce(Builder<BoxStore>) -> Builder<BoxStore> + 'a) -> Self {
        Self { set: Box::new(set), ..self }
    }

    /// Without waiting for Redis.
    pub(super) fn begin(self, origin: &Origin) -> Instance {
        let client = Client::builder(&self.url).response_timeout(self.deadline).build().expect("a URL");
        let far = Redis::builder(client).lease(self.lease).clock(self.clock.clone()).build().expect("a store");
        let near = Memory::builder(64 << 20).clock(self.clock.clone()).build().expect("a sensible capacity");
        let store = match self.kept {
            Kept::InRedis => far.clone().boxed(),
            Kept::InTiers => Tiered::new(near.clone(), far.clone()).boxed(),
        };
        let builder = CacheLayer::builder(store.clone()).clock(self.clock).lookup_timeout(PATIENT * 2);
        let layer = (self.set)(builder.coalesce_across(LONG)).build();
        let cache = layer.layer(origin.clone());
        Instance { near, far, store, layer, cache }
    }

    /// When it hears of what others change.
    pub(super) async fn join(self, origin: &Origin) -> Instance {
        let instance = self.begin(origin);
        instance.hears().await;
        instance
    }
}

impl Instance {
    /// Waits until it hears of what others change.
    pub(super) async fn hears(&self) {
        self.told(|change| matches!(change, Change::Hearing)).await;
    }

    /// Waits until it is told of such a change, if it isn't at once.
    pub(super) async fn told(&self, such: impl Fn(&Change) -> bool) {
        told(&mut self.changes(), such).await;
    }

    /// What it is told from now on; when it comes, its layer and near store know it.
    pub(super) fn changes(&self) -> mpsc::UnboundedReceiver<Change> {
        changes(&self.far)
    }

    /// How many entries are near.
    pub(super) async fn nearby(&self) -> u64 {
        self.near.usage().await.expect("memory").entries
    }

    /// Whether it serves what is near without a word to Redis; it has one entry, under this key.
    pub(super) fn trusts_its_memory(&self, key: &larder::key::Key) -> bool {
        matches!(self.store.peek(key), Peek::Found(_))
    }
}

/// What a store tells from now on; who began to listen before knows it when it comes.
pub(super) fn changes(store: &Redis) -> mpsc::UnboundedReceiver<Change> {
    let (tell, told) = mpsc::unbounded_channel();
    store.listen(Arc::new(move |change| {
        let _ = tell.send(change.clone());
    }));
    told
}

/// Waits until such a change is told.
pub(super) async fn told(changes: &mut mpsc::UnboundedReceiver<Change>, such: impl Fn(&Change) -> bool) {
    let told = async { while !such(&changes.recv().await.expect("the store is there")) {} };
    timeout(SOON, told).await.expect("it is told");
}

/// Waits until a purge by another has been told whole: before what is meant is removed, and after it. A fetch that
/// began between the two is not kept either.
pub(super) async fn purged(changes: &mut mpsc::UnboundedReceiver<Change>) {
    for _ in 0..2 {
        told(changes, |change| matches!(change, Change::Purged(_))).await;
    }
}

/// A request under way.
pub(super) fn asking(cache: &Cache<Origin, BoxStore>, request: http::Request<Body>) -> JoinHandle<String> {
    let cache = cache.clone();
    tokio::spawn(async move { text(ask(&cache, request).await).await })
}

pub(super) async fn answered(asked: JoinHandle<String>) -> String {
    timeout(SOON, asked).await.expect("an answer").expect("no panic")
}

/// The origin's next call.
pub(super) async fn next(calls: &mut Calls) -> Held {
    timeout(SOON, calls.next()).await.expect("a call")
}

/// Waits until others wait for so many leases.
pub(super) async fn waits(server: &Server, count: usize) {
    let waited = async || {
        let mut waited = 0;
        for lease in server.keys("*!lease").await {
            waited += usize::from(server.command(&["HGET", &lease, "waited"]).await != Value::Nil);
        }
        waited >= count
    };
    until("others wait", waited).await;
}

/// Waits until something is so, but not for ever.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
