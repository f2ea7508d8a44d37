//! Slots of concurrent requests: leased, renewed while they are held, and given back.

use std::time::Duration;

use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{RELEASE, RENEW, Redis};
use crate::rate_limit::decision::Held;

/// Between two tries to give a slot back.
const AGAIN: Duration = Duration::from_secs(1);

/// How often a slot is looked for that may not have been taken: it may be that it is about to be, by another connection.
const LOOKS: usize = 3;

/// A slot's name, which no other slot has.
pub(super) fn name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A slot that Redis is asked for. Dropped, it is given back: nobody knows whether it was taken.
pub(super) struct Asked(Option<Place>);

/// A slot in Redis.
struct Place {
    redis: Redis,
    key: String,
    name: String,
}

/// A slot that was taken, and is renewed and given back by a task of its own.
pub(super) struct Slot {
    /// Dropped, it tells the task.
    _held: oneshot::Sender<()>,
}

impl Held for Slot {}

impl Asked {
    pub(super) fn new(redis: &Redis, key: &str, name: &str) -> Self {
        Self(Some(Place { redis: redis.clone(), key: key.to_owned(), name: name.to_owned() }))
    }

    /// It was not taken.
    pub(super) fn forget(mut self) {
        self.0 = None;
    }

    /// It was taken. Renews it until the slot is dropped, and gives it back then.
    pub(super) fn keep(mut self) -> Option<Slot> {
        let place = self.0.take()?;
        let (held, mut ended) = oneshot::channel();
        tokio::spawn(async move {
            let lease = place.redis.0.lease;
            loop {
                tokio::select! {
                    _ = &mut ended => break,
                    () = sleep(lease / 3) => {}
                }
                // By the same task that gives it back, so that it comes before that. One that was not answered in time may come after
                // it all the same, by another of several connections; then the slot is taken until its lease runs out.
                place.renew(lease).await;
            }
            place.give_back(1).await;
        });
        Some(Slot { _held: held })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let (Some(place), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { place.give_back(LOOKS).await });
        }
    }
}

impl Place {
    async fn renew(&self, lease: Duration) {
        let call = RENEW.call().key(&self.key).arg(&self.name).arg(lease.as_micros().to_string());
        if let Err(error) = self.redis.run(call).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a slot was not renewed");
        }
    }

    /// Tries until it is known to be gone, or has run out by itself: Redis may be away.
    async fn give_back(&self, mut looks: usize) {
        let lease = self.redis.0.lease;
        let begun = Instant::now();
        loop {
            let call = RELEASE.call().key(&self.key).arg(&self.name);
            match self.redis.run(call).await {
                Ok(::redis::Value::Int(0)) if looks > 1 => looks -= 1,
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "a slot was not given back yet");
                }
            }
            let pause = AGAIN.min(lease / 3);
            if begun.elapsed() + pause >= lease {
                return;
            }
            sleep(pause).await;
        }
    }
}
