//! [`Redis`]: entries that many processes share.

mod builder;
mod checkup;
mod frame;
mod hearing;
mod lease;
mod list;
mod message;
mod names;
mod purge;
mod script;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::{Cmd, Value};
use bytes::Bytes;
use quick_cache::sync::Cache;
use tokio::runtime::Handle;

pub use self::builder::RedisBuilder;
use self::{
    hearing::Hearing,
    lease::Waiters,
    message::{Message, Origin},
    names::Names,
    purge::Log,
    script::{INDEX, PURGE, PUT, REMOVE, SINCE},
};
use super::{
    Change, Checkup, Claim, Fence, Health, Listener, Listing, Page, Result, Store, StoreError, Tier, TierState, Usage,
};
use crate::{
    ConfigError, breaker,
    clock::Clock,
    entry::{Entry, codec::Codec},
    key::Key,
    redis::{Call, Client, Failure},
    tag::{Selector, Tag},
};

/// What it is called among tiers.
const NAME: &str = "redis";

/// Bytes that Redis is thought to take at least in a millisecond: 16 MiB a second.
const BYTES_PER_MILLISECOND: u64 = 16 << 10;

/// How often a write is tried again because others purged meanwhile.
const TRIES: usize = 4;

/// Entries in Redis, for all processes that use the same prefix and space; clones share one connection.
///
/// Under each key lies one entry, which Redis drops when nothing could be made of it any more: a hit is one `GET`, a write one
/// round trip. While Redis is gone, or too slow, calls fail within the [client's deadline](crate::redis::ClientBuilder::response_timeout),
/// and at once after a few of them; the cache goes on without it.
///
/// What is purged in one process is purged in all: see [`purge`](Store::purge). What one fetches, others wait for:
/// see [`claim`](Store::claim).
///
/// ```no_run
/// use larder::{CacheLayer, store::{Memory, Redis, Tiered}};
///
/// # fn main() -> Result<(), larder::ConfigError> {
/// let far = Redis::new("redis://127.0.0.1:6379")?;
/// let layer = CacheLayer::new(Tiered::new(Memory::new(256 << 20), far));
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    client: Client,
    names: Names,
    codec: Codec,
    clock: Arc<dyn Clock>,
    max_entry: usize,
    lease: Duration,
    /// By which other processes know its messages from their own.
    origin: Origin,
    log: Log,
    hearing: Hearing,
    waiters: Waiters,
    /// When what couldn't be read lately was received, as its bytes say: to who claims it, it is what they saw.
    unread: Cache<[u8; 32], [u8; 8]>,
    unreadable: AtomicU64,
    sealed: AtomicU64,
    too_large: AtomicU64,
}

impl Redis {
    /// The store in the Redis at a [URL](crate::redis#urls), with the default settings.
    ///
    /// Nothing is connected yet: that begins with the first call.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the URL can't be read.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Self::builder(Client::new(url)?).build()
    }

    /// The settings of a store in the Redis of this client.
    pub fn builder(client: Client) -> RedisBuilder {
        RedisBuilder::new(client)
    }

    /// Runs scripts at once, within a call's time and what so many bytes take.
    async fn run(&self, calls: Vec<Call>, bytes: usize) -> Result<Vec<Value>> {
        self.try_run(calls, bytes).await.map_err(failed)
    }

    /// The same, and why not.
    async fn try_run(&self, calls: Vec<Call>, bytes: usize) -> Result<Vec<Value>, Failure> {
        let within = self.0.client.response_timeout() + Duration::from_millis(bytes as u64 / BYTES_PER_MILLISECOND);
        let run = self.0.client.call(within, async move |mut link| {
            let answers = Call::run_all(&calls, &mut link).await?;
            answers.into_iter().collect()
        });
        run.await
    }

    async fn ask(&self, cmd: Cmd) -> Result<Value> {
        let client = &self.0.client;
        let asked = client.call(client.response_timeout(), async move |mut link| link.query(&cmd).await);
        asked.await.map_err(failed)
    }

    /// Writes an entry unless it was purged after the last purge that is known; whether it is kept.
    async fn write(&self, key: &Key, name: &str, frame: &Bytes, tags: &[Tag], ttl: &str, known: u64) -> Result<bool> {
        let Shared { names, origin, .. } = &*self.0;
        let (member, replaced) = (Names::member(key), Bytes::from(Message::Removed(key.clone()).encode(origin)));
        let in_cluster = self.0.client.is_cluster();
        let mut since = known;
        let mut written = false;
        for _ in 0..TRIES {
            // A tag's index first: a purge that the entry is kept after has to find it there.
            let indexes = tags.iter().map(|tag| INDEX.call().key(names.tag(tag)).arg(&member).arg(ttl));
            let mut calls: Vec<_> = indexes.collect();
            let put = PUT.call().key(name);
            let put = if in_cluster { put } else { put.key(names.log()) };
            let put = put.bytes(frame.clone()).arg(ttl).arg(since.to_string());
            calls.push(put.arg(names.channel()).bytes(replaced.clone()));
            let mut newer = self.run(calls, frame.len()).await?.pop().unwrap_or(Value::Nil);
            let kept = matches!(newer, Value::Nil);
            // If Redis had lost the script of the indexes alone, it was put before, and again with them.
            written |= kept || !tags.is_empty();
            if kept && !in_cluster {
                return Ok(true);
            }
            if in_cluster {
                // Written first and looked at after, for the log lies elsewhere.
                let call = SINCE.call().key(names.log()).arg(since.to_string());
                newer = self.run(vec![call], 0).await?.pop().unwrap_or(Value::Nil);
            }
            match self.0.log.news(since, &newer) {
                None if in_cluster => return Ok(true),
                None => {}
                Some(news) if news.may_mean(key, tags) => break,
                Some(_) if in_cluster => return Ok(true),
                Some(news) => since = news.last(),
            }
        }
        if written {
            self.remove(key).await?;
        }
        Ok(false)
    }
}

impl Store for Redis {
    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.hear();
        let name = self.0.names.entry(key);
        let mut get = Cmd::with_capacity(2, name.len() + 3);
        get.arg("GET").arg(&name);
        if self.0.log.is_known() {
            let found = self.ask(get).await?;
            return self.found(key, name, found).await;
        }
        // Once: what was purged before this process began is none of its business.
        let _reading = self.0.log.read();
        let client = &self.0.client;
        let log = SINCE.call().key(self.0.names.log()).arg("0");
        let asked = client.call(client.response_timeout(), async move |mut link| {
            let mut last = link.clone();
            let (found, log) = tokio::join!(link.query(&get), log.run(&mut last));
            Ok((found?, log))
        });
        let (found, log) = asked.await.map_err(failed)?;
        // In a Cluster the log lies elsewhere; it may be out of reach by itself.
        if let Ok(log) = log {
            self.0.log.begin(&log);
        }
        self.found(key, name, found).await
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<()> {
        self.know_log().await?;
        self.put_fenced(key, entry, self.fence()).await.map(drop)
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.hear();
        let message = Message::Removed(key.clone()).encode(&self.0.origin);
        let call = REMOVE.call().key(self.0.names.entry(key)).arg(self.0.names.channel()).bytes(message);
        let removed = self.run(vec![call], 0).await?;
        Ok(removed.iter().any(|count| matches!(count, Value::Int(1..))))
    }

    /// Removes every entry that is meant, and tells all processes that share the store.
    ///
    /// By key: one entry. By tag: the entries in the tag's index. By label, and all: a `SCAN` of every master's keys. Entries are
    /// removed a few hundred at a time, so that Redis is never held up, and without `KEYS` or `FLUSHDB`. What was fetched
    /// before a purge, and is meant, is not kept after it, in any process.
    async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.hear();
        // Others in this process hear of it even if Redis doesn't.
        self.0.hearing.tell(&Change::Purged(selector.clone()));
        self.know_log().await?;
        let record = self.note_purge(selector).await?;
        let purged = self.purge_entries(selector).await;
        // Once more: who heard of it may have read an entry since that was still to be removed.
        self.0.hearing.tell(&Change::Purged(selector.clone()));
        let mut publish = Cmd::new();
        publish.arg("PUBLISH").arg(self.0.names.channel()).arg(Message::Purged(record).encode(&self.0.origin));
        self.ask(publish).await?;
        purged
    }

    /// What the servers hold in all: Redis counts keys and bytes for a whole database, whoever they belong to.
    async fn usage(&self) -> Result<Usage> {
        self.usage_of_servers().await
    }

    async fn health(&self) -> Health {
        match self.0.client.ping().await {
            Ok(()) => Health::Up,
            Err(failure) => Health::Down(failed(failure)),
        }
    }

    /// By tag: the entries in the tag's index, those that expire first first. By label, and all: a `SCAN` of one master's keys after
    /// the other, of which a page takes a few steps. Of each entry the beginning is read, so that nothing of it is checked; what is
    /// encrypted has to be read to its end, and above 64 KiB is listed with what its name and its header say.
    ///
    /// While slots of a Cluster move, entries may be missed, or come twice.
    async fn list(&self, listing: &Listing) -> Result<Page> {
        self.list_entries(listing).await
    }

    async fn checkup(&self) -> Vec<Checkup> {
        vec![self.checkup_of_servers().await]
    }

    fn fence(&self) -> Fence {
        self.0.log.fence()
    }

    async fn put_fenced(&self, key: &Key, entry: Entry, fence: Fence) -> Result<bool> {
        self.hear();
        let Some(kept) = entry.head().lifetime().kept_in(self.0.clock.now()) else { return Ok(true) };
        let ttl = milliseconds(kept).to_string();
        let name = self.0.names.entry(key);
        let tags: Box<[_]> = entry.head().tag_list().into();
        // While Redis is gone, encoding would cost a request more than all else.
        drop(self.0.client.admit().map_err(failed)?);
        let frame = self.encoded(&name, entry).await;
        if frame.len() > self.0.max_entry {
            self.0.too_large.fetch_add(1, Ordering::Relaxed);
            return Ok(true);
        }
        let kept = self.write(key, &name, &frame, &tags, &ttl, self.0.log.known_by(fence)).await;
        // It may lie there although a tag's index doesn't have it, or a Cluster's log couldn't be asked: no purge would find it.
        if kept.is_err() && (self.0.client.is_cluster() || !tags.is_empty()) {
            self.remove(key).await?;
        }
        kept
    }

    /// Asks for the right to fetch, by a lease in Redis that is renewed while it is held. A process that dies with it holds up the
    /// others for no longer than the [lease's time](RedisBuilder::lease).
    async fn claim(&self, key: &Key, seen: Option<&Entry>) -> Claim {
        self.hear();
        self.claim_lease(key, seen).await
    }

    fn listen(&self, listener: Listener) {
        self.0.hearing.add(listener);
        self.hear();
    }

    fn announce(&self, change: &Change) {
        // Other layers over this store hear of it here.
        self.0.hearing.tell(change);
        let message = match change {
            Change::Removed(key) => Message::Removed(key.clone()),
            Change::Invalidated(marks, at) => Message::Invalidated(*marks, *at),
            // The others hear of a purge when it is made; what this process hears is its own.
            Change::Purged(_) | Change::Hearing | Change::Deaf => return,
        };
        let mut publish = Cmd::new();
        publish.arg("PUBLISH").arg(self.0.names.channel()).arg(message.encode(&self.0.origin));
        let this = self.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = this.ask(publish).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a change is not told to other processes");
                }
            });
        }
    }

    fn tiers(&self) -> Vec<Tier> {
        let report = self.0.client.report();
        let mut tier = Tier::new(NAME);
        tier.state = match report.breaker.state {
            breaker::State::Closed => TierState::Closed,
            breaker::State::Open => TierState::Open,
            breaker::State::HalfOpen => TierState::HalfOpen,
        };
        tier.opened = report.breaker.opened;
        tier.refused = report.breaker.refused;
        (tier.timeouts, tier.errors) = (report.timeouts, report.errors);
        tier.unreadable = self.0.unreadable.load(Ordering::Relaxed);
        tier.sealed = self.0.sealed.load(Ordering::Relaxed);
        tier.too_large = self.0.too_large.load(Ordering::Relaxed);
        tier.deafened = self.0.hearing.deafened();
        vec![tier]
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("client", &self.0.client).field("names", &self.0.names).finish_non_exhaustive()
    }
}

fn failed(failure: Failure) -> StoreError {
    match failure {
        Failure::Refused => StoreError::refused(),
        Failure::Late => StoreError::timeout(),
        Failure::Failed(error) if error.is_timeout() => StoreError::timeout(),
        Failure::Failed(error) => StoreError::unavailable(error),
    }
}

/// Rounded up: what is kept too long is seen to be gone when it is read.
fn milliseconds(time: Duration) -> u64 {
    /// Redis counts in milliseconds since 1970, with 63 bits.
    const MAX: u64 = 100 * 366 * 24 * 60 * 60 * 1000;
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(MAX).clamp(1, MAX)
}
