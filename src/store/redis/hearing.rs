//! What other processes tell, and to whom it is told on.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    Redis, Shared,
    message::{Message, record},
};
use crate::{
    redis::{Heard, listen},
    store::{Change, Listener},
};

#[derive(Default)]
pub(super) struct Hearing {
    listeners: RwLock<Vec<Listener>>,
    /// Whether a task hears.
    begun: AtomicBool,
    hears: AtomicBool,
    deafened: AtomicU64,
}

impl Hearing {
    pub(super) fn add(&self, listener: Listener) {
        // Nothing can be told between the first word and the place in the list.
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listener(&if self.hears() { Change::Hearing } else { Change::Deaf });
        listeners.push(listener);
    }

    /// Whether messages arrive.
    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Acquire)
    }

    /// How often they ceased to.
    pub(super) fn deafened(&self) -> u64 {
        self.deafened.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, change: &Change) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().for_each(|listener| listener(change));
    }
}

impl Redis {
    /// Begins to hear, unless that is so already.
    pub(super) fn hear(&self) {
        let Self(shared) = self;
        if shared.hearing.begun.load(Ordering::Acquire) || shared.hearing.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        // It ends with the store, and with its runtime; then the next call begins anew.
        let task = Task(Arc::downgrade(shared));
        listen(&shared.client, shared.names.channel(), move |heard| match task.0.upgrade() {
            Some(shared) => {
                shared.heard(heard);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        });
    }
}

impl Shared {
    pub(super) fn heard(&self, heard: Heard) {
        match heard {
            Heard::Hearing => {
                self.hearing.hears.store(true, Ordering::Release);
                tracing::debug!("changes by other processes are heard");
                self.hearing.tell(&Change::Hearing);
                // Who began to wait before may have missed the end.
                self.waiters.wake_all();
            }
            Heard::Deaf => {
                self.hearing.hears.store(false, Ordering::Release);
                self.hearing.deafened.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("changes by other processes may be missed");
                self.hearing.tell(&Change::Deaf);
                // Nobody would wake them.
                self.waiters.wake_all();
            }
            Heard::Message(text) => match Message::decode(&text) {
                Some((origin, message)) => self.told(origin == self.origin, message),
                None => tracing::warn!("a message can't be read"),
            },
            Heard::Nothing => {}
        }
    }

    fn told(&self, own: bool, message: Message) {
        match message {
            Message::Purged(text) => {
                if let Some((number, selector)) = record(&text) {
                    self.log.hear(number);
                    if !own {
                        self.hearing.tell(&Change::Purged(selector));
                    }
                }
            }
            Message::Removed(key) if !own => self.hearing.tell(&Change::Removed(key)),
            Message::Invalidated(marks, at) if !own => self.hearing.tell(&Change::Invalidated(marks, at)),
            Message::Removed(_) | Message::Invalidated(..) => {}
            Message::Released(digest, settled) => self.waiters.wake(&digest, settled),
        }
    }
}

/// Says that nothing is heard any more, whatever ended it.
struct Task(Weak<Shared>);

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.hearing.begun.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn who_begins_to_listen_while_something_is_told_hears_it() {
        let hearing = Arc::new(Hearing::default());
        let (sender, last) = mpsc::channel();
        let (own, sender) = (hearing.clone(), std::sync::Mutex::new(sender));
        hearing.add(Arc::new(move |change| {
            sender.lock().expect("no panic").send(matches!(change, Change::Hearing)).expect("the test listens");
            if matches!(change, Change::Deaf) {
                let (own, (told, is_told)) = (own.clone(), mpsc::channel());
                thread::spawn(move || {
                    own.hears.store(true, Ordering::Release);
                    own.tell(&Change::Hearing);
                    let _ = told.send(());
                });
                // As long as it takes, unless it has to wait for this.
                let _ = is_told.recv_timeout(Duration::from_millis(200));
            }
        }));
        assert_eq!(last.recv(), Ok(false));
        assert_eq!(last.recv_timeout(Duration::from_secs(10)), Ok(true));
    }
}
