//! Look-ups of values: in memory, in Redis, and in both.

mod auth;
mod coalesce;
mod errors;
mod faults;
mod fleet;
mod invalidate;
mod laws;
mod lifetimes;
mod overtaken;
mod secrets;
mod values;

use std::{
    cell::Cell,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use larder::{
    cached::{Builder, Cached},
    redis::Client,
    store::{Change, Redis, Store as _},
    tag::Tag,
};
use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::Semaphore;

use crate::support::redis::Server;

/// How long a test waits for what is to happen soon.
const SOON: Duration = Duration::from_secs(30);

thread_local! {
    static SERIALISED: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread wrote a row.
fn serialised() -> u64 {
    SERIALISED.get()
}

/// A row of a table.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Row {
    version: u64,
    group: String,
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        SERIALISED.set(SERIALISED.get() + 1);
        let mut row = serializer.serialize_struct("Row", 2)?;
        row.serialize_field("version", &self.version)?;
        row.serialize_field("group", &self.group)?;
        row.end()
    }
}

fn row(version: u64) -> Row {
    Row { version, group: "all".to_owned() }
}

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a tag")
}

/// What holds loads up until it is opened.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    fn open(&self) {
        self.0.close();
    }

    async fn opened(&self) {
        let _ = self.0.acquire().await;
    }
}

/// A database of one row, which counts what it is asked.
#[derive(Clone, Default)]
struct Db(Arc<(AtomicU64, AtomicU64)>);

impl Db {
    fn load(&self) -> impl Future<Output = Result<Row, Infallible>> + Send + use<> {
        let db = self.clone();
        async move {
            db.0.0.fetch_add(1, Ordering::SeqCst);
            Ok(row(db.version()))
        }
    }

    /// Loads once the gate is opened.
    fn load_behind(&self, gate: &Gate) -> impl Future<Output = Result<Row, Infallible>> + Send + use<> {
        let (db, gate) = (self.clone(), gate.clone());
        async move {
            db.0.0.fetch_add(1, Ordering::SeqCst);
            let read = row(db.version());
            gate.opened().await;
            Ok(read)
        }
    }

    fn loads(&self) -> u64 {
        self.0.0.load(Ordering::SeqCst)
    }

    fn version(&self) -> u64 {
        self.0.1.load(Ordering::SeqCst)
    }

    fn write(&self) -> u64 {
        self.0.1.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Where an instance keeps its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Memory,
    Redis,
    Both,
}

const KINDS: [Kept; 3] = [Kept::Memory, Kept::Redis, Kept::Both];
const SHARED: [Kept; 2] = [Kept::Redis, Kept::Both];

/// Where instances have what they share.
struct Place {
    kept: Kept,
    server: Option<Server>,
}

impl Place {
    async fn new(kept: Kept) -> Self {
        let server = if kept == Kept::Memory { None } else { Some(Server::start().await) };
        Self { kept, server }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("values are in Redis")
    }

    /// Waits until a value that was loaded lies where it is kept.
    async fn has_it(&self) {
        if let Some(server) = &self.server {
            until("it is far", async || !server.keys("larder:default:rows:*").await.is_empty()).await;
            until("its lease is given back", async || server.keys("*!lease").await.is_empty()).await;
        }
    }

    async fn cached(&self) -> Cached<str, Row> {
        self.with(|builder| builder).await
    }

    /// An instance that hears of what others change.
    async fn with(&self, set: impl FnOnce(Builder<str, Row>) -> Builder<str, Row>) -> Cached<str, Row> {
        let builder = Cached::<str, Row>::builder("rows").tags(|row| vec![tag(&row.group)]).label(str::to_owned);
        let builder = set(builder.jitter(0.0).lookup_timeout(SOON));
        let builder = if self.kept == Kept::Redis { builder.entries(0) } else { builder };
        match &self.server {
            None => builder.build(),
            Some(server) => {
                let store = redis(&server.url());
                let cached = builder.store(store.clone()).build();
                hears(&store).await;
                cached
            }
        }
    }
}

fn redis(url: &str) -> Redis {
    let client = Client::builder(url).response_timeout(Duration::from_secs(5)).build().expect("a URL");
    Redis::builder(client).lease(Duration::from_secs(600)).build().expect("a store")
}

/// Waits until a store hears of what others change; those who listened before know it then.
async fn hears(store: &Redis) {
    told(store, |change| matches!(change, Change::Hearing)).await;
}

/// Waits until a store is told of such a change.
async fn told(store: &Redis, such: impl Fn(&Change) -> bool) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    store.listen(Arc::new(move |change| {
        let _ = tell.send(change.clone());
    }));
    let told = async { while !such(&told.recv().await.expect("the store is there")) {} };
    tokio::time::timeout(SOON, told).await.expect("it is told");
}

/// Waits until something is so, but not for ever.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn version(cached: &Cached<str, Row>, key: &str, db: &Db) -> u64 {
    cached.get_or_try_insert(key, || db.load()).await.expect("a row").version
}
