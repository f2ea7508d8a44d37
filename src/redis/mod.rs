//! The way to Redis: standalone, behind Sentinels, or a Cluster, with TLS (feature `redis`).
//!
//! A [`Client`] is what the layers that use Redis share. It has one multiplexed connection to each node and connects in the
//! background, so that nothing waits for Redis to be there. Each call has a deadline, and a [`Breaker`](crate::breaker) that
//! refuses at once while Redis is known to be gone; it is a task of its own, and no request, that finds out when Redis is back.
//!
//! ```no_run
//! use larder::{redis::Client, store::Redis};
//!
//! # fn main() -> Result<(), larder::ConfigError> {
//! let client = Client::new("redis://:secret@127.0.0.1:6379/0")?;
//! let responses = Redis::builder(client.clone()).space("responses").build()?;
//! let users = Redis::builder(client).space("users").build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # URLs
//!
//! | URL | what it means |
//! |---|---|
//! | `redis://[user][:password]@host[:port][/db]` | one server; `valkey://` is the same |
//! | `rediss://…`, or `redis://…?ssl=true` | with TLS |
//! | `unix:///path/to/socket[?db=0&user=…&pass=…]` | a server behind a Unix socket |
//! | `redis://[user][:password]@s1[:26379],s2,…[/db]?sentinel=NAME` | the master that these Sentinels know by this name; the login is the master's, that of the Sentinels is in `sentinel_username` and `sentinel_password` |
//! | `redis://[user][:password]@n1[:6379],n2,…?cluster_enabled=true` | a Cluster, by some of its nodes |
//!
//! With TLS a process needs a `CryptoProvider` of rustls. If none is installed when a client is built, *ring*'s is.

mod builder;
mod failure;
mod keeper;
mod link;
mod listen;
mod masters;
mod script;
mod target;

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

pub use self::builder::ClientBuilder;
use self::link::Dial;
pub(crate) use self::{
    failure::Failure,
    link::Link,
    listen::{Heard, listen},
    masters::{Identity, Master},
    script::{Call, Script},
};
use crate::{
    ConfigError,
    breaker::{Breaker, Permit},
};

/// How long a connection is used at least before another is opened because a server refuses to write, or hangs.
const SETTLED: Duration = Duration::from_secs(1);

/// For how many deadlines after an answer a Cluster counts as there: a node that fails meanwhile takes along its own keys only.
const ANSWERED: u32 = 20;

/// The way to one Redis; clones share its connections and its breaker.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    dial: Dial,
    response_timeout: Duration,
    connections: usize,
    breaker: Breaker,
    state: watch::Sender<State>,
    /// Whether a task is about to bring the connection back.
    keeping: AtomicBool,
    /// Whether it was told that Redis is down.
    down: AtomicBool,
    /// Whether a task is about to open another in its place.
    renewing: AtomicBool,
    timeouts: AtomicU64,
    errors: AtomicU64,
    /// When the client was made.
    made: Instant,
    /// The same Cluster, by connections that never ask again by themselves.
    once: Option<Arc<Self>>,
    /// When any node of a Cluster answered last, in milliseconds since then; zero: never.
    answered: AtomicU64,
}

/// The connection.
#[derive(Clone)]
enum State {
    /// Nobody has asked for it, or it is being opened.
    Pending,
    Up(Arc<Links>),
    /// The last try to open it failed.
    Down(Arc<RedisError>),
}

struct Links {
    links: Vec<Link>,
    next: AtomicUsize,
    since: Instant,
}

impl Links {
    fn pick(&self) -> Option<Link> {
        let at = if self.links.len() > 1 { self.next.fetch_add(1, Ordering::Relaxed) % self.links.len() } else { 0 };
        self.links.get(at).cloned()
    }
}

/// What a client went through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) breaker: crate::breaker::Snapshot,
    pub(crate) timeouts: u64,
    pub(crate) errors: u64,
}

impl Client {
    /// A client of the Redis at a [URL](self#urls), with the default settings.
    ///
    /// Nothing is connected yet: that begins with the first call.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the URL can't be read.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// The settings of a client of the Redis at a [URL](self#urls).
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// How long a call may take.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.0.response_timeout
    }

    /// The same, for what must not be done twice: a Cluster's connections ask again by themselves if one breaks, though what they
    /// asked for may have been done.
    pub(crate) fn once(&self) -> Self {
        Self(self.0.once.as_ref().unwrap_or(&self.0).clone())
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.0.is_cluster()
    }

    /// Whether it is asked.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.breaker.state(now()) == crate::breaker::State::Closed
    }

    pub(crate) fn report(&self) -> Report {
        Report {
            breaker: self.0.breaker.snapshot(now()),
            timeouts: self.0.timeouts.load(Ordering::Relaxed),
            errors: self.0.errors.load(Ordering::Relaxed),
        }
    }

    /// Fails if a call would be refused now: then nothing need be prepared for it.
    pub(crate) fn admit(&self) -> Result<Permit, Failure> {
        self.0.breaker.try_pass(now()).ok_or_else(|| {
            // Whoever opened it may have had no runtime, or one that is gone.
            self.0.keep();
            Failure::Refused
        })
    }

    /// Asks Redis, within a time.
    pub(crate) async fn call<T, F>(&self, within: Duration, ask: impl FnOnce(Link) -> F) -> Result<T, Failure>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let inner = &self.0;
        let permit = self.admit()?;
        let mut asking = Asking { inner, permit: Some(permit), until: Instant::now() + within / 2 };
        let mut used = None;
        let asked = async {
            let links = inner.links().await?;
            let link = links.pick();
            used = Some(links);
            match link {
                Some(link) => ask(link).await.map_err(Arc::new),
                None => Err(Arc::new(RedisError::from((ErrorKind::Client, "there is no connection")))),
            }
        };
        let answer = timeout(within, asked).await;
        let Some(permit) = asking.permit.take() else { return Err(Failure::Refused) };
        match answer {
            Ok(Ok(answer)) => {
                inner.well(permit);
                Ok(answer)
            }
            Ok(Err(error)) => {
                inner.errors.fetch_add(1, Ordering::Relaxed);
                if failure::is_fault(&error) {
                    inner.failed(permit);
                } else {
                    inner.well(permit);
                }
                if let Some(links) = used {
                    inner.doubt(&links, &error);
                }
                Err(Failure::Failed(error))
            }
            Err(_) => {
                inner.timeouts.fetch_add(1, Ordering::Relaxed);
                inner.failed(permit);
                if let Some(links) = used.filter(|_| inner.is_cluster()) {
                    inner.renew(links);
                }
                Err(Failure::Late)
            }
        }
    }

    /// Whether there is a connection that answers; and if it isn't asked because there is none, why.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let answer = self.call(self.0.response_timeout, async |mut link| link.ping().await).await;
        match (answer, &*self.0.state.borrow()) {
            (Err(Failure::Refused), State::Down(error)) => Err(Failure::Failed(error.clone())),
            (answer, _) => answer,
        }
    }
}

impl Inner {
    fn is_cluster(&self) -> bool {
        self.dial.target.topology == target::Topology::Cluster
    }

    /// Milliseconds since the client was made, and one.
    fn age(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn well(&self, permit: Permit) {
        if self.is_cluster() {
            self.answered.store(self.age(), Ordering::Relaxed);
        }
        permit.success(now());
    }

    /// Counts a failure, unless it is that of one node among others that answer.
    fn failed(&self, permit: Permit) {
        let answered = self.answered.load(Ordering::Relaxed);
        let others_answer = answered > 0
            && u128::from(self.age().saturating_sub(answered)) < (self.response_timeout * ANSWERED).as_millis();
        if !others_answer {
            permit.failure(now());
        }
    }

    /// The connection, as soon as there is one; or why there is none.
    async fn links(self: &Arc<Self>) -> Result<Arc<Links>, Arc<RedisError>> {
        if let State::Up(links) = &*self.state.borrow() {
            return Ok(links.clone());
        }
        let mut state = self.state.subscribe();
        loop {
            self.keep();
            match &*state.borrow_and_update() {
                State::Up(links) => return Ok(links.clone()),
                State::Down(error) => return Err(error.clone()),
                State::Pending => {}
            }
            if state.changed().await.is_err() {
                return Err(Arc::new((ErrorKind::Client, "the client is gone").into()));
            }
        }
    }

    /// Lets go of a connection that broke, or that leads to a server which is no master any more.
    fn doubt(self: &Arc<Self>, used: &Arc<Links>, error: &RedisError) {
        let demoted = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) && used.since.elapsed() > SETTLED;
        let broken = !self.is_cluster() && (error.is_unrecoverable_error() || error.kind() == ErrorKind::Parse);
        if !(demoted || broken) {
            return;
        }
        let dropped = self.state.send_if_modified(|state| {
            let current = matches!(state, State::Up(links) if Arc::ptr_eq(links, used));
            if current {
                *state = State::Pending;
            }
            current
        });
        if dropped {
            tracing::debug!(error = error as &dyn std::error::Error, "a connection to Redis is given up");
            self.keep();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", &self.0.dial.target).finish_non_exhaustive()
    }
}

/// A call under way. Given up by who made it when half of its time was over, it failed: they may have less patience.
struct Asking<'a> {
    inner: &'a Inner,
    permit: Option<Permit>,
    until: Instant,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take().filter(|_| Instant::now() > self.until) {
            self.inner.failed(permit);
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
