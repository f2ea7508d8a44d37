//! Requests alike that wait at the same time are charged by one call.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{LimiterError, Redis};
use crate::rate_limit::{Charge, Taken};

type Waiter = oneshot::Sender<Result<Taken, LimiterError>>;

/// Those who wait, by what they ask for. There is an entry while a call for it is under way.
#[derive(Default)]
pub(super) struct Batches(Mutex<HashMap<String, Vec<Waiter>>>);

/// What one who asks has to do.
pub(super) enum Turn<'a> {
    /// To ask, while this is held.
    First(Lead<'a>),
    /// To wait: the next call is for all that came meanwhile.
    Next(oneshot::Receiver<Result<Taken, LimiterError>>),
}

/// Whoever asks. When it is done, or given up, another call is made for those who came meanwhile.
pub(super) struct Lead<'a> {
    redis: &'a Redis,
    charges: &'a [Charge],
    keys: &'a [String],
    kind: Option<String>,
}

impl Batches {
    pub(super) fn enter<'a>(&self, redis: &'a Redis, charges: &'a [Charge], keys: &'a [String]) -> Turn<'a> {
        let kind = kind(charges, keys);
        let mut map = self.lock();
        if let Some(waiters) = map.get_mut(&kind) {
            let (waiter, answer) = oneshot::channel();
            waiters.push(waiter);
            return Turn::Next(answer);
        }
        map.insert(kind.clone(), Vec::new());
        Turn::First(Lead { redis, charges, keys, kind: Some(kind) })
    }

    /// Those who wait. If there are none, the next to come is the first.
    fn next(&self, kind: &str) -> Vec<Waiter> {
        let mut map = self.lock();
        let waiters = map.get_mut(kind).map(std::mem::take).unwrap_or_default();
        if waiters.is_empty() {
            map.remove(kind);
        }
        waiters
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let Some(kind) = self.kind.take() else { return };
        let waiters = self.redis.0.batches.next(&kind);
        if waiters.is_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            // Those who wait are told by the end of what they wait for.
            self.redis.0.batches.lock().remove(&kind);
            return;
        };
        // Made here, for a runtime that is shutting down drops the task without having run it.
        let service = Service { redis: self.redis.clone(), kind, is_over: false };
        runtime.spawn(service.serve(self.charges.to_vec(), self.keys.to_vec(), waiters));
    }
}

/// Calls for those who wait. Leaves nobody waiting if its task ends with the runtime.
struct Service {
    redis: Redis,
    kind: String,
    /// Whether there is nobody any more.
    is_over: bool,
}

impl Service {
    /// Makes one call after another until nobody waits.
    async fn serve(mut self, charges: Vec<Charge>, keys: Vec<String>, mut waiters: Vec<Waiter>) {
        while !waiters.is_empty() {
            // Whoever has left needs no room.
            waiters.retain(|waiter| !waiter.is_closed());
            if !waiters.is_empty() {
                let answer = self.redis.ask(&charges, &keys, waiters.len(), "").await;
                for (number, waiter) in waiters.into_iter().enumerate() {
                    let share = answer.as_ref().map(|answer| answer.share(number, &charges));
                    let _ = waiter.send(share.map_err(Clone::clone));
                }
            }
            waiters = self.redis.0.batches.next(&self.kind);
        }
        self.is_over = true;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.is_over {
            self.redis.0.batches.lock().remove(&self.kind);
        }
    }
}

/// What is alike: the same counters, charged alike.
fn kind(charges: &[Charge], keys: &[String]) -> String {
    let mut kind = String::with_capacity(keys.iter().map(|key| key.len() + 24).sum());
    for (charge, key) in charges.iter().zip(keys) {
        let shadow = if charge.policy.is_shadow() { "?" } else { "" };
        let _ = writeln!(kind, "{key} {} {}{shadow}", charge.price(), charge.allowance());
    }
    kind
}
