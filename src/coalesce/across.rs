//! One fetch among all processes that share the store.
//!
//! Who leads in this process asks the store for the right to fetch. While another process has it, this one waits, and looks again
//! when that is over. Without an answer from the store, and after the longest wait, it fetches for itself.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::Lead;
use crate::{
    entry::Entry,
    key::Key,
    store::{Claim, Ended, Store},
};

/// How often an entry may have changed since it was looked up, before that is taken to be the store's way.
const CHANGES: u8 = 3;

/// A request's patience with other processes.
#[derive(Debug)]
pub(crate) struct Others {
    /// How long it waits for them; `None`: they are not asked.
    within: Option<Duration>,
    until: Option<Instant>,
    /// Whose end was waited for: what it brought is there.
    over: Option<Key>,
    changes: u8,
}

impl Others {
    pub(crate) fn new(within: Option<Duration>) -> Self {
        Self { within, until: None, over: None, changes: 0 }
    }

    /// Whether they are to be asked before this is fetched.
    pub(crate) fn are_asked(&self, flight: &Key) -> bool {
        self.within.is_some() && self.over.as_ref() != Some(flight)
    }

    /// Whether this process may fetch now, with what the store said to its claim; if not, the store is to be asked again.
    pub(crate) async fn may_fetch<T>(&mut self, lead: &Lead<T>, claim: Claim) -> bool {
        match claim {
            Claim::Free => true,
            Claim::Held(lease) => {
                lead.hold(lease);
                true
            }
            Claim::Changed => {
                self.changes += 1;
                self.changes > CHANGES
            }
            Claim::Taken(waiting) => {
                let within = self.within.unwrap_or_default();
                let until = *self.until.get_or_insert_with(|| Instant::now() + within);
                match timeout_at(until, waiting.ended()).await {
                    // It may lie in the store now. If not, it can't be kept, and isn't waited for again. What turns out to be
                    // another variant is.
                    Ok(Ended::Released) => {
                        self.over = Some(lead.key().clone());
                        false
                    }
                    Ok(Ended::Lapsed) => false,
                    Err(_) => true,
                }
            }
        }
    }
}

/// Asks a store for the right to fetch, if it answers in time.
pub(crate) async fn claim(store: &impl Store, key: &Key, seen: Option<&Entry>, deadline: Instant) -> Claim {
    let mut asked = pin!(store.claim(key, seen));
    // A store that nobody shares answers at once, and needs no timer, which would need a runtime.
    match poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await {
        Poll::Ready(claim) => claim,
        Poll::Pending => timeout_at(deadline, asked).await.unwrap_or(Claim::Free),
    }
}
