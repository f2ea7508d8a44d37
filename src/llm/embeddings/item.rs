//! [`Item`]: one embedding, as it is kept and given.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{frame::Frame, usage::Counts};
use crate::entry::{Entry, Frames, Head, Note};

/// The version of what is noted of an item; notes of others are no items.
const VERSION: u32 = 1;

/// One embedding: an element of an answer's `data`, but for its index.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The element without the digits of its index.
    text: Bytes,
    /// Where they belong.
    index_at: usize,
    /// What stood around it.
    pub(super) frame: Arc<Frame>,
    /// Its part of the usage, if there was one.
    pub(super) usage: Option<Counts>,
}

/// What is noted of an item; the bytes outlive releases.
#[derive(Deserialize, Serialize)]
struct Noted {
    #[serde(rename = "v")]
    version: u32,
    #[serde(rename = "at")]
    index_at: usize,
    frame: Box<RawValue>,
    usage: Option<Counts>,
}

impl Item {
    pub(super) fn new(text: Bytes, index_at: usize, frame: Arc<Frame>, usage: Option<Counts>) -> Self {
        Self { text, index_at, frame, usage }
    }

    /// What is kept of it.
    pub(super) fn entry(&self, head: Head) -> Option<Entry> {
        let noted =
            Noted { version: VERSION, index_at: self.index_at, frame: self.frame.to_raw()?, usage: self.usage.clone() };
        let note = Note::new(serde_json::to_vec(&noted).ok()?.into());
        Some(Entry::new(head.note(Some(note)), Frames::whole(self.text.clone())))
    }

    /// What an entry keeps; `None` if it is something else.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let noted: Noted = serde_json::from_slice(entry.head().noted()?.text()?).ok()?;
        let text = entry.body().data().clone();
        let Noted { version: VERSION, index_at, frame, usage } = noted else { return None };
        let frame = Arc::new(Frame::of_raw(&frame)?);
        (index_at <= text.len()).then_some(Self { text, index_at, frame, usage })
    }

    /// Writes it as the element with this index.
    pub(super) fn write(&self, index: usize, out: &mut Vec<u8>) {
        let (before, after) = self.text.split_at(self.index_at);
        out.extend_from_slice(before);
        out.extend_from_slice(index.to_string().as_bytes());
        out.extend_from_slice(after);
    }

    /// The bytes that it takes in an answer, about.
    pub(super) fn size(&self) -> usize {
        self.text.len() + 8
    }
}
