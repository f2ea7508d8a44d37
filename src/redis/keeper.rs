//! The task that brings the connection back. It runs while there is none, or while the breaker is open; no request waits for it
//! longer than its own deadline.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::redis::{ErrorKind, RedisError, RedisResult, Value};
use futures_util::future::try_join_all;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{Inner, Links, SETTLED, State, now};
use crate::breaker;

/// Between two looks at a breaker that is about to open or to close.
const LOOK: Duration = Duration::from_millis(1);

impl Inner {
    /// Begins to bring the connection back, unless that is under way.
    pub(super) fn keep(self: &Arc<Self>) {
        if self.keeping.load(Ordering::Acquire) || self.is_well() || self.keeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let keeping = Keeping(Arc::downgrade(self));
        // Without a runtime the next call may have one.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                keeping.bring_back().await;
                let inner = keeping.0.upgrade();
                drop(keeping);
                // Whoever broke it in this moment took it to be kept.
                if let Some(inner) = inner {
                    inner.keep();
                }
            });
        }
    }

    /// Opens another connection to a Cluster of which a node hangs, and takes it once it is there: the node's keys may be
    /// another's by now, and a connection finds that out by itself only when the node's is closed.
    pub(super) fn renew(self: &Arc<Self>, used: Arc<Links>) {
        if used.since.elapsed() < SETTLED || self.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let renewing = Renewing(self.clone());
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let Renewing(inner) = &renewing;
            let Ok(Ok(links)) = timeout(inner.dial.patience(), inner.open()).await else { return };
            tracing::debug!("a connection to Redis is replaced by another");
            inner.state.send_if_modified(|state| {
                let current = matches!(state, State::Up(links) if Arc::ptr_eq(links, &used));
                if current {
                    *state = State::Up(Arc::new(links));
                }
                current
            });
        });
    }

    /// Looks whether the connection still works, for something says that it may not: better now than by the next requests.
    pub(super) async fn suspect(&self) {
        if !matches!(&*self.state.borrow(), State::Up(_)) || self.keeping.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.connected().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "Redis does not answer");
            self.state.send_replace(State::Down(Arc::new(error)));
            self.breaker.trip(now());
        }
    }

    /// Tries once; the pause before the next try, unless all is well.
    async fn try_to_bring_back(&self) -> Option<Duration> {
        let permit = match self.breaker.admit(now()) {
            Ok(permit) => permit,
            Err(refused) => return Some(refused.retry_in.max(LOOK)),
        };
        match self.connected().await {
            Ok(links) => {
                // First the connection, then the way to it.
                self.state.send_if_modified(|state| {
                    let other = !matches!(state, State::Up(current) if Arc::ptr_eq(current, &links));
                    if other {
                        *state = State::Up(links);
                    }
                    other
                });
                permit.success(now());
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "Redis does not answer");
                self.state.send_replace(State::Down(Arc::new(error)));
                permit.failure(now());
                if self.is_closed() {
                    self.breaker.trip(now());
                }
            }
        }
        (!self.is_well()).then_some(Duration::ZERO)
    }

    fn is_well(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(_)) && self.is_closed()
    }

    /// A connection that answers: the one there is, or another.
    async fn connected(&self) -> RedisResult<Arc<Links>> {
        let late = |_| RedisError::from((ErrorKind::Io, "no answer in time"));
        let held = match &*self.state.borrow() {
            State::Up(links) => Some(links.clone()),
            State::Pending | State::Down(_) => None,
        };
        let links = match held {
            Some(links) => links,
            None => Arc::new(timeout(self.dial.patience(), self.open()).await.map_err(late)??),
        };
        let pings = links.links.iter().cloned().map(|mut link| async move { link.ping().await });
        timeout(self.response_timeout, try_join_all(pings)).await.map_err(late)??;
        Ok(links)
    }

    async fn open(&self) -> RedisResult<Links> {
        let mut links = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            links.push(self.dial.open().await?);
        }
        Ok(Links { links, next: AtomicUsize::new(0), since: Instant::now() })
    }

    fn is_closed(&self) -> bool {
        self.breaker.state(now()) == breaker::State::Closed
    }
}

/// Brings the connection back for as long as anyone has the client, and says that nobody does it any more, whatever ended it.
struct Keeping(Weak<Inner>);

impl Keeping {
    async fn bring_back(&self) {
        while let Some(inner) = self.0.upgrade() {
            let Some(pause) = inner.try_to_bring_back().await else { return };
            drop(inner);
            sleep(pause).await;
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.keeping.store(false, Ordering::Release);
        }
    }
}

/// Says that nobody does it any more, whatever ended it.
struct Renewing(Arc<Inner>);

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.renewing.store(false, Ordering::Release);
    }
}

/// The masters that `CLUSTER SLOTS` names, each once.
pub(super) fn masters_of(slots: &Value) -> Vec<(String, u16)> {
    let mut masters = Vec::new();
    for (_, host, port) in ranges_of(slots) {
        if !masters.contains(&(host.clone(), port)) {
            masters.push((host, port));
        }
    }
    masters
}

/// The ranges that `CLUSTER SLOTS` names: the first slot, and the master.
pub(super) fn ranges_of(slots: &Value) -> Vec<(u16, String, u16)> {
    let Value::Array(ranges) = slots else { return Vec::new() };
    let range = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let (Value::Int(first), Value::Array(master)) = (range.first()?, range.get(2)?) else { return None };
        let (Value::BulkString(host), Value::Int(port)) = (master.first()?, master.get(1)?) else { return None };
        Some((u16::try_from(*first).ok()?, String::from_utf8_lossy(host).into_owned(), u16::try_from(*port).ok()?))
    };
    ranges.iter().filter_map(range).collect()
}
