//! [`Flights`]: the texts that are being asked for, so that two requests at once don't buy one twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::item::Item;
use crate::{key::Key, tag::Selector};

type Landed = watch::Receiver<Option<Item>>;

/// By key.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Landed>>);

/// What a request is to do about a text.
pub(super) enum Entered {
    /// Ask for it.
    Lead(Lead),
    /// Wait for another who does.
    Follow(Follow),
}

/// The duty to ask. Dropped before it lands, it lets those down who wait.
pub(super) struct Lead {
    key: Key,
    flights: Arc<Flights>,
    landed: watch::Sender<Option<Item>>,
}

/// A wait for another's answer.
pub(super) struct Follow(Landed);

impl Flights {
    pub(super) fn enter(self: &Arc<Self>, key: &Key) -> Entered {
        let mut flights = self.lock();
        if let Some(landed) = flights.get(key) {
            return Entered::Follow(Follow(landed.clone()));
        }
        let (landed, lands) = watch::channel(None);
        flights.insert(key.clone(), lands);
        Entered::Lead(Lead { key: key.clone(), flights: self.clone(), landed })
    }

    /// From now on nobody waits for what is being asked for and is meant, or may turn out to be.
    pub(super) fn close(&self, selector: &Selector) {
        // Tags come with the answer.
        let is_meant = |key: &Key| matches!(selector, Selector::Tag(_)) || selector.may_mean(key, &[]);
        self.lock().retain(|key, _| !is_meant(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Landed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Here it is.
    pub(super) fn land(self, item: Item) {
        self.landed.send_replace(Some(item));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        // It may have been closed, and another be under way.
        if flights.get(&self.key).is_some_and(|landed| landed.same_channel(&self.landed.subscribe())) {
            flights.remove(&self.key);
        }
    }
}

impl Follow {
    /// What the other got; `None` if that is nothing.
    pub(super) async fn wait(mut self) -> Option<Item> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}
