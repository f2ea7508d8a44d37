//! [`Note`]: what is known of an answer only when it has ended.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;

/// A few bytes that somebody notes of an answer: kept with its entry, and seen by no client.
///
/// It is written once, when the answer has ended. Until then all who share the answer while it passes hold it,
/// unwritten. Clones are one note.
#[derive(Clone)]
pub struct Note(Arc<Inner>);

struct Inner {
    text: OnceLock<Option<Bytes>>,
    waiting: Mutex<Vec<Waiter>>,
}

type Waiter = Box<dyn FnOnce(Option<&Bytes>) + Send>;

impl Note {
    /// A note with this text.
    #[must_use]
    pub fn new(text: Bytes) -> Self {
        let note = Self::open();
        note.write(Some(text));
        note
    }

    /// A note that is still to be written.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(Inner { text: OnceLock::new(), waiting: Mutex::default() }))
    }

    /// Writes it, and tells those who wait for that; `None`: there is nothing to be noted. Once written, it doesn't
    /// change.
    pub fn write(&self, text: Option<Bytes>) {
        let waiting = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if self.0.text.set(text).is_err() {
                return;
            }
            std::mem::take(&mut *waiting)
        };
        let text = self.text();
        waiting.into_iter().for_each(|waiter| waiter(text));
    }

    /// What it says; `None` if it says nothing, or nothing yet.
    #[must_use]
    pub fn text(&self) -> Option<&Bytes> {
        self.0.text.get()?.as_ref()
    }

    /// Whether it has been written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.0.text.get().is_some()
    }

    /// Tells what it says, at once or when it is written. Never, if nobody writes it.
    pub fn then(&self, waiter: impl FnOnce(Option<&Bytes>) + Send + 'static) {
        if !self.is_written() {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // Written under the lock, and so not after this.
            if !self.is_written() {
                waiting.push(Box::new(waiter));
                return;
            }
        }
        waiter(self.text());
    }

    /// The bytes of memory that it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Inner>() + self.text().map_or(0, Bytes::len)
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Note").field(&self.0.text.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_note_is_told_once_to_each_whenever_they_ask() {
        let (note, (told, hears)) = (Note::open(), mpsc::channel());
        let ask = || {
            let told = told.clone();
            note.then(move |text| told.send(text.cloned()).expect("a listener"));
        };
        ask();
        assert!(!note.is_written() && hears.try_recv().is_err());
        note.write(Some(Bytes::from_static(b"one")));
        note.write(Some(Bytes::from_static(b"two")));
        ask();
        drop(told);
        assert_eq!(hears.iter().collect::<Vec<_>>(), [(); 2].map(|()| Some(Bytes::from_static(b"one"))));
    }

    #[test]
    fn a_note_may_say_nothing() {
        let (note, (told, hears)) = (Note::open(), mpsc::channel());
        note.then(move |text| told.send(text.is_none()).expect("a listener"));
        note.write(None);
        assert!(note.is_written() && note.text().is_none());
        assert_eq!(hears.iter().collect::<Vec<_>>(), [true]);
    }
}
