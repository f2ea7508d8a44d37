//! What a request asks for: a key, and in which rendering.

pub use crate::entry::Rendering;
use crate::{entry::Entry, key::Key};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Of the answer.
    pub key: Key,
    /// In which form it is wanted; `None` if there is but one.
    pub rendering: Option<Rendering>,
}

impl Identity {
    /// An answer of one form.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key, rendering: None }
    }

    /// Sets the form in which it is wanted.
    #[must_use]
    pub fn rendering(mut self, rendering: Option<Rendering>) -> Self {
        self.rendering = rendering;
        self
    }
}

/// What a kept answer is to a request that wants another rendering of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Rendered {
    /// It will do as it is.
    AsIs,
    /// This is it, in the rendering that is wanted. It has no validators and digests, which were those of other bytes.
    Converted(Entry),
    /// It can't be had from this one exactly: a miss.
    Inexact,
}
