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
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    Redis,
    message::Message,
    script::{CLAIM, RELEASE, RENEW},
};
use crate::{
    entry::{Entry, codec::received_at_bytes},
    key::Key,
    store::{Claim, Ended, Lease, Waiting},
};

/// How often those who wait look themselves while they can't be woken.
const POLL: Duration = Duration::from_millis(50);

impl Redis {
    pub(super) async fn claim_lease(&self, key: &Key, seen: Option<&Entry>) -> Claim {
        let Self(shared) = self;
        // First the place among those who wait: who is released after the claim was refused must not be missed.
        let mut place = shared.waiters.enter(key, self);
        let token = token();
        let seen = seen.map(|entry| received_at_bytes(entry).to_vec()).unwrap_or_default();
        let ttl = shared.lease.as_millis().to_string();
        let (entry, lease) = (shared.names.entry(key), shared.names.lease(key));
        let call = CLAIM.call().key(entry).key(&lease).arg(&token).arg(ttl).bytes(seen);
        let left = match self.run(vec![call], 0).await.map(|mut answers| answers.pop()) {
            Ok(Some(Value::Int(-1))) => return Claim::Held(self.hold(key, lease, token)),
            Ok(Some(Value::Int(-2))) => return Claim::Changed,
            Ok(Some(Value::Int(left))) => Duration::from_millis(u64::try_from(left).unwrap_or_default()),
            // Without Redis each process fetches for itself.
            Ok(_) | Err(_) => return Claim::Free,
        };
        let hears = shared.hearing.hears();
        Claim::Taken(Waiting::new(async move {
            // A little more than what is left, so that a lease that isn't renewed is over by then.
            let patience = if hears { left + Duration::from_millis(5) } else { left.min(POLL) };
            match timeout(patience, place.woken.changed()).await {
                Ok(Ok(())) if place.store.0.hearing.hears() => Ended::Released,
                Ok(_) | Err(_) => Ended::Lapsed,
            }
        }))
    }

    /// A lease that is renewed until it is dropped, and given back then.
    fn hold(&self, key: &Key, lease: String, token: String) -> Lease {
        let (held, mut dropped) = oneshot::channel::<()>();
        let store = self.clone();
        let message = Message::Released(*key.digest()).encode(&store.0.origin);
        tokio::spawn(async move {
            let time = store.0.lease;
            loop {
                tokio::select! {
                    _ = &mut dropped => break,
                    () = sleep(time / 3) => {}
                }
                let renew = RENEW.call().key(&lease).arg(&token).arg(time.as_millis().to_string());
                match store.run(vec![renew], 0).await {
                    Ok(held) if held.iter().any(|held| *held == Value::Int(0)) => {
                        // Redis forgot it, or was away for too long. Others may fetch as well.
                        tracing::debug!(lease, "a lease was lost");
                        return;
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            let release = RELEASE.call().key(&lease).arg(token).arg(store.0.names.channel()).bytes(message);
            if let Err(error) = store.run(vec![release], 0).await {
                tracing::debug!(error = &error as &dyn std::error::Error, lease, "a lease is left to end by itself");
            }
        });
        Lease::new(held)
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
pub(super) struct Waiters(Mutex<HashMap<[u8; 32], watch::Sender<()>>>);

impl Waiters {
    fn map(&self) -> MutexGuard<'_, HashMap<[u8; 32], watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, key: &Key, store: &Redis) -> Place {
        let woken = self.map().entry(*key.digest()).or_default().subscribe();
        Place { store: store.clone(), digest: *key.digest(), woken }
    }

    pub(super) fn wake(&self, digest: &[u8; 32]) {
        if let Some(waiters) = self.map().get(digest) {
            waiters.send_replace(());
        }
    }

    pub(super) fn wake_all(&self) {
        self.map().values().for_each(|waiters| {
            waiters.send_replace(());
        });
    }
}

/// A place among those who wait for a key.
struct Place {
    store: Redis,
    digest: [u8; 32],
    woken: watch::Receiver<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut map = self.store.0.waiters.map();
        // Its own is still among them.
        if map.get(&self.digest).is_some_and(|waiters| waiters.receiver_count() <= 1) {
            map.remove(&self.digest);
        }
    }
}
