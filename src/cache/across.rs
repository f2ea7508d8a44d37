//! One fetch among all processes that share the store.
//!
//! Who leads in this process asks the store for the right to fetch. While another process has it, this one waits, and looks again
//! when that is over. Without an answer from the store, and after the longest wait, it fetches for itself.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    fill::Fill,
    shared::Shared,
    slot::{Slot, head_key},
};
use crate::{
    coalesce::Lead,
    key::Key,
    store::{Claim, Ended, Store},
};

/// How often an entry may have changed since it was looked up, before that is taken to be the store's way.
const CHANGES: u8 = 3;

/// A request's patience with other processes.
#[derive(Debug)]
pub(super) struct Others {
    /// How long it waits for them; `None`: they are not asked.
    within: Option<Duration>,
    until: Option<Instant>,
    /// Whose end was waited for: what it brought is there.
    over: Option<Key>,
    changes: u8,
}

impl Others {
    pub(super) fn new(within: Option<Duration>) -> Self {
        Self { within, until: None, over: None, changes: 0 }
    }
}

impl<St: Store, F, P> Shared<St, F, P> {
    /// Whether this process may fetch now; if not, the request is to be looked up again.
    pub(super) async fn may_fetch(&self, lead: &Lead, slot: &Slot, others: &mut Others, deadline: Instant) -> bool {
        let flight = lead.key();
        let Some(within) = others.within.filter(|_| others.over.as_ref() != Some(flight)) else { return true };
        match self.claim(flight, slot, deadline).await {
            Claim::Free => true,
            Claim::Held(lease) => {
                lead.hold(lease);
                true
            }
            Claim::Changed => {
                others.changes += 1;
                others.changes > CHANGES
            }
            Claim::Taken(waiting) => {
                let until = *others.until.get_or_insert_with(|| Instant::now() + within);
                match timeout_at(until, waiting.ended()).await {
                    // It may lie in the store now. If not, it can't be kept, and isn't waited for again. What turns out to be
                    // another variant is.
                    Ok(Ended::Released) => {
                        others.over = Some(flight.clone());
                        false
                    }
                    Ok(Ended::Lapsed) => false,
                    Err(_) => true,
                }
            }
        }
    }

    async fn claim(&self, flight: &Key, slot: &Slot, deadline: Instant) -> Claim {
        // What a HEAD of a stored GET brings is kept by nobody.
        if *flight == head_key(&slot.key) {
            return Claim::Free;
        }
        // By the place, whatever rendering is fetched: another's may serve, and what lies there is compared.
        let mut asked = pin!(self.store.claim(&slot.key, slot.kept()));
        // A store that nobody shares answers at once, and needs no timer, which would need a runtime.
        match poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await {
            Poll::Ready(claim) => claim,
            Poll::Pending => timeout_at(deadline, asked).await.unwrap_or(Claim::Free),
        }
    }
}

impl<St: Store, F, P> Fill<St, F, P> {
    /// Whether it is for this process to refresh what was served stale; if not, another does, or did.
    pub(crate) async fn may_refresh(&mut self) -> bool {
        let Some(lead) = self.lead.as_ref().filter(|_| self.shared.settings.across.is_some()) else { return true };
        match self.shared.claim(lead.key(), &self.slot, self.shared.deadline()).await {
            Claim::Free => true,
            Claim::Held(lease) => {
                lead.hold(lease);
                true
            }
            Claim::Taken(_) | Claim::Changed => false,
        }
    }
}
