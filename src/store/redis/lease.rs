//! One fetch among all processes: a lease for each, and those who wait for it.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::redis::Value;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Redis,
    message::Message,
    script::{CLAIM, RELEASE, RENEW},
};
use crate::{
    entry::{Entry, codec::received_at_bytes},
    key::Key,
    redis::Failure,
    store::{Claim, Ended, Lease, Waiting},
};

/// How often those who wait look themselves while they can't be woken.
const POLL: Duration = Duration::from_millis(50);

/// How long a lease is renewed at most: those who come later fetch for themselves.
const LONGEST: Duration = Duration::from_secs(30);

impl Redis {
    pub(super) async fn claim_lease(&self, key: &Key, seen: Option<&Entry>) -> Claim {
        let Self(shared) = self;
        if shared.client.admit().is_err() {
            return Claim::Free;
        }
        // First the place among those who wait: who is released after the claim was refused must not be missed.
        let mut place = shared.waiters.enter(key, self);
        let asked = Asked(Some(Held { store: self.clone(), key: key.clone(), token: token() }));
        let seen = seen.map(received_at_bytes).or_else(|| shared.unread.get(key.digest()));
        let seen = seen.map(Vec::from).unwrap_or_default();
        let ttl = shared.lease.as_millis().to_string();
        let call = CLAIM.call().key(shared.names.entry(key)).key(shared.names.lease(key));
        let call = call.arg(asked.token()).arg(ttl).bytes(seen);
        let left = match self.try_run(vec![call], 0).await.map(|mut answers| answers.pop()) {
            Ok(Some(Value::Int(-1))) => return asked.answered().map_or(Claim::Free, |held| Claim::Held(held.hold())),
            Ok(Some(Value::Int(answer))) => {
                asked.answered();
                if answer == -2 {
                    return Claim::Changed;
                }
                Duration::from_millis(u64::try_from(answer).unwrap_or_default())
            }
            // Without Redis each process fetches for itself.
            Err(Failure::Refused) => {
                asked.answered();
                return Claim::Free;
            }
            Ok(_) | Err(Failure::Late | Failure::Failed(_)) => return Claim::Free,
        };
        let hears = shared.hearing.hears();
        Claim::Taken(Waiting::new(async move {
            // A little more than what is left, so that a lease that isn't renewed is over by then.
            let patience = if hears { left + Duration::from_millis(5) } else { left.min(POLL) };
            let until = Instant::now() + patience;
            loop {
                let soon = until.min(Instant::now() + POLL);
                match timeout_at(soon, place.woken.changed()).await {
                    Ok(Ok(())) => return *place.woken.borrow(),
                    // Nobody can give it back to a Redis that is gone.
                    Err(_) if soon < until && place.store.0.client.is_asked() => {}
                    Ok(Err(_)) | Err(_) => return Ended::Lapsed,
                }
            }
        }))
    }
}

/// A lease that is this process's.
struct Held {
    store: Redis,
    key: Key,
    token: String,
}

impl Held {
    /// Renews it until it is dropped, and gives it back then.
    fn hold(self) -> Lease {
        let (end, mut ended) = oneshot::channel();
        tokio::spawn(async move {
            let begun = Instant::now();
            let settled = loop {
                tokio::select! {
                    settled = &mut ended => break settled.unwrap_or(false),
                    () = sleep(self.store.0.lease / 3) => {}
                }
                // A slow reader must not hold up a fleet.
                if begun.elapsed() > LONGEST || !self.renew().await {
                    return;
                }
            };
            self.release(settled).await;
        });
        Lease::new(move |settled| {
            let _ = end.send(settled);
        })
    }

    /// Whether it may still be held.
    async fn renew(&self) -> bool {
        let Redis(shared) = &self.store;
        let (lease, time) = (shared.names.lease(&self.key), shared.lease.as_millis().to_string());
        let renewed = self.store.run(vec![RENEW.call().key(&lease).arg(&self.token).arg(time)], 0).await;
        let lost = renewed.is_ok_and(|held| held.contains(&Value::Int(0)));
        if lost {
            // Redis forgot it, or was away for too long. Others may fetch as well.
            tracing::debug!(lease, "a lease was lost");
        }
        !lost
    }

    /// `settled`: whether whoever waits finds what there is to be had.
    async fn release(&self, settled: bool) {
        let Redis(shared) = &self.store;
        let lease = shared.names.lease(&self.key);
        let message = Message::Released(*self.key.digest(), settled).encode(&shared.origin);
        let call = RELEASE.call().key(&lease).arg(&self.token).arg(shared.names.channel()).bytes(message);
        if let Err(error) = self.store.run(vec![call], 0).await {
            tracing::debug!(error = &error as &dyn std::error::Error, lease, "a lease is left to end by itself");
        }
    }
}

/// A lease that Redis may grant after nobody waits for it any more: then it is given back, lest it hold up the next to ask.
struct Asked(Option<Held>);

impl Asked {
    fn token(&self) -> &str {
        self.0.as_ref().map_or("", |held| &held.token)
    }

    /// Nothing is granted any more without a word.
    fn answered(mut self) -> Option<Held> {
        self.0.take()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let (Some(held), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            // On the same connection, and so after the claim.
            runtime.spawn(async move { held.release(false).await });
        }
    }
}

/// A text that no other claim has.
fn token() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{:016x}", RandomState::new().hash_one(count), RandomState::new().hash_one(count))
}

/// Those who wait for other processes, by key.
#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<[u8; 32], watch::Sender<Ended>>>);

impl Waiters {
    fn map(&self) -> MutexGuard<'_, HashMap<[u8; 32], watch::Sender<Ended>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, key: &Key, store: &Redis) -> Place {
        let nothing_yet = || watch::Sender::new(Ended::Lapsed);
        let woken = self.map().entry(*key.digest()).or_insert_with(nothing_yet).subscribe();
        Place { store: store.clone(), digest: *key.digest(), woken }
    }

    /// The lease on a key was given back.
    pub(super) fn wake(&self, digest: &[u8; 32], settled: bool) {
        if let Some(waiters) = self.map().get(digest) {
            waiters.send_replace(if settled { Ended::Released } else { Ended::Lapsed });
        }
    }

    /// It may have been missed that one was.
    pub(super) fn wake_all(&self) {
        self.map().values().for_each(|waiters| {
            waiters.send_replace(Ended::Lapsed);
        });
    }
}

/// A place among those who wait for a key.
struct Place {
    store: Redis,
    digest: [u8; 32],
    woken: watch::Receiver<Ended>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut map = self.store.0.waiters.map();
        // Given up while nobody counts: of two who leave at once, one is the last.
        self.woken = watch::channel(Ended::Lapsed).1;
        if map.get(&self.digest).is_some_and(|waiters| waiters.receiver_count() == 0) {
            map.remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::KeyBuilder,
        redis::{Client, Heard},
    };

    #[test]
    fn those_who_leave_at_once_leave_nothing() {
        let store = Redis::new("redis://127.0.0.1:1").expect("a URL");
        let keys: Vec<_> = (0..20_000).map(|id| KeyBuilder::new("test").field("id", id.to_string()).finish()).collect();
        let together = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for key in &keys {
                        let place = store.0.waiters.enter(key, &store);
                        together.wait();
                        drop(place);
                    }
                });
            }
        });
        assert_eq!(store.0.waiters.map().len(), 0);
    }

    #[test]
    fn who_waits_when_hearing_begins_or_ends_asks_again() {
        let store = Redis::builder(Client::new("redis://127.0.0.1").expect("a URL")).build().expect("a store");
        let key = KeyBuilder::new("test").finish();
        let mut place = store.0.waiters.enter(&key, &store);
        for heard in [Heard::Hearing, Heard::Deaf, Heard::Hearing] {
            store.0.heard(heard);
            assert!(place.woken.has_changed().expect("it is open"), "the end of the lease may have been missed");
            assert_eq!(*place.woken.borrow_and_update(), Ended::Lapsed);
        }
        store.0.waiters.wake(key.digest(), true);
        assert_eq!(*place.woken.borrow_and_update(), Ended::Released);
        drop(place);
        assert!(store.0.waiters.map().is_empty(), "places don't pile up");
    }
}
