//! Those who wait for another's fetch.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Digest, Flights, Live, State, lock};
use crate::{
    body::Tee,
    entry::{Entry, Head},
};

/// A place in the queue for another's fetch.
pub(crate) struct Follow<T = Entry> {
    pub(super) flights: Arc<Flights<T>>,
    pub(super) digest: Digest,
    pub(super) state: watch::Receiver<State<T>>,
    /// Whether a seat is kept for it once the flight is live.
    pub(super) seated: bool,
}

/// What became of the flight.
pub(crate) enum Followed<T = Entry> {
    /// Here is the answer.
    Live(Arc<Head>, Tee),
    /// Here is the answer, which was stored before.
    Kept(T),
    /// Fetch for yourself.
    Released,
    /// Begin again: look the key up, and lead if nobody does.
    Abandoned,
}

impl<T: Clone> Follow<T> {
    /// Waits for the head.
    pub(crate) async fn wait(mut self) -> Followed<T> {
        self.ended().await
    }

    /// The same until then; `None`: it takes too long, and nobody joins the flight any more.
    pub(crate) async fn wait_until(mut self, until: Instant) -> Option<Followed<T>> {
        if let Ok(followed) = timeout_at(until, self.ended()).await {
            return Some(followed);
        }
        let mut shard = self.flights.shard(&self.digest);
        if shard.get(&self.digest).is_some_and(|flight| flight.state.subscribe().same_channel(&self.state))
            && let Some(flight) = shard.remove(&self.digest)
        {
            flight.give_up();
        }
        None
    }

    async fn ended(&mut self) -> Followed<T> {
        let state = match self.state.wait_for(|state| !matches!(state, State::Pending)).await {
            Ok(state) => state.clone(),
            Err(_) => return Followed::Abandoned,
        };
        match state {
            State::Live(live) => match self.take_seat(&live).or_else(|| live.joiner.join()) {
                Some(reader) => Followed::Live(live.head, reader),
                None => Followed::Released,
            },
            State::Kept(kept) => Followed::Kept(kept),
            State::Released => Followed::Released,
            State::Abandoned | State::Pending => Followed::Abandoned,
        }
    }
}

impl<T> Follow<T> {
    fn take_seat(&mut self, live: &Live) -> Option<Tee> {
        std::mem::take(&mut self.seated).then(|| lock(live.seats.as_ref()?).pop()).flatten()
    }
}

impl<T> Drop for Follow<T> {
    fn drop(&mut self) {
        if !self.seated {
            return;
        }
        let shard = self.flights.shard(&self.digest);
        let live = if let State::Live(live) = &*self.state.borrow() { Some(live.clone()) } else { None };
        // Gives up the place in the count while nobody counts.
        self.state = watch::channel(State::Abandoned).1;
        drop(shard);
        if let Some(live) = live {
            drop(self.take_seat(&live));
        }
    }
}
