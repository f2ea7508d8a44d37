//! The task that brings the connection back. It runs while there is none, or while the breaker is open; no request waits for it
//! longer than its own deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::redis::{ErrorKind, RedisError, RedisResult, Value};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{Inner, Links, State, now};
use crate::breaker;

/// Between two looks at a breaker that is about to open or to close.
const LOOK: Duration = Duration::from_millis(1);

impl Inner {
    /// Begins to bring the connection back, unless that is under way.
    pub(super) fn keep(self: &Arc<Self>) {
        let well = || matches!(&*self.state.borrow(), State::Up(_)) && self.is_closed();
        if self.keeping.load(Ordering::Acquire) || well() || self.keeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let keeping = Keeping(self.clone());
        // Without a runtime the next call may have one.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { keeping.0.bring_back().await });
        }
    }

    /// Looks whether the connection still works, for something says that it may not: better now than by the next requests.
    pub(super) async fn suspect(self: &Arc<Self>) {
        if !matches!(&*self.state.borrow(), State::Up(_)) || self.keeping.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.connected().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "Redis does not answer");
            self.breaker.trip(now());
        }
    }

    async fn bring_back(self: &Arc<Self>) {
        loop {
            let permit = match self.breaker.admit(now()) {
                Ok(permit) => permit,
                Err(refused) => {
                    sleep(refused.retry_in.max(LOOK)).await;
                    continue;
                }
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
                    if self.is_closed() {
                        return;
                    }
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
        }
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
            None => Arc::new(timeout(self.dial.connect_timeout, self.open()).await.map_err(late)??),
        };
        let Some(mut first) = links.links.first().cloned() else {
            return Err((ErrorKind::Client, "there is no connection").into());
        };
        timeout(self.response_timeout, first.ping()).await.map_err(late)??;
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

/// Says that nobody does it any more, whatever ended it.
struct Keeping(Arc<Inner>);

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.keeping.store(false, Ordering::Release);
    }
}

/// The masters that `CLUSTER SLOTS` names, each once.
pub(super) fn masters_of(slots: &Value) -> Vec<(String, u16)> {
    let mut masters = Vec::new();
    let Value::Array(ranges) = slots else { return masters };
    for range in ranges {
        let Value::Array(range) = range else { continue };
        let Some(Value::Array(master)) = range.get(2) else { continue };
        let (Some(host), Some(Value::Int(port))) = (master.first(), master.get(1)) else { continue };
        let Value::BulkString(host) = host else { continue };
        let host = String::from_utf8_lossy(host).into_owned();
        if let Ok(port) = u16::try_from(*port)
            && !masters.contains(&(host.clone(), port))
        {
            masters.push((host, port));
        }
    }
    masters
}
