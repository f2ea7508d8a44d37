//! A response as it is kept: an [`Entry`] is a [`Head`] and the body's [`Frames`].
//!
//! Entries are cheap to clone and never change: what looks like a change (a 304 that freshens an entry) makes a new one that
//! shares the body.

#[cfg(feature = "codec")]
#[cfg_attr(docsrs, doc(cfg(feature = "codec")))]
pub mod codec;
mod frames;
mod head;
mod lifetime;
mod note;
mod rendering;
mod variant;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderValue, StatusCode};

pub use self::{
    frames::{Frames, FramesBuilder},
    head::Head,
    lifetime::Lifetime,
    note::Note,
    rendering::Rendering,
    variant::Variant,
};

/// A stored response. Cloning it copies a pointer.
#[derive(Clone, Debug)]
pub struct Entry(Arc<Stored>);

#[derive(Debug)]
struct Stored {
    head: Arc<Head>,
    body: Frames,
    size: usize,
    /// Beside the count of its holders, which a look-up has to raise in any case.
    hits: AtomicU64,
    said: Mutex<Option<Said>>,
}

/// What was said of an entry last: it holds for a second, in which it may be served many times.
#[derive(Debug)]
struct Said {
    age: u64,
    ttl: i64,
    fields: [HeaderValue; 2],
}

impl Entry {
    /// Puts a head and a body together.
    #[must_use]
    pub fn new(head: impl Into<Arc<Head>>, body: Frames) -> Self {
        let head = head.into();
        let size = size_of::<Stored>() + head.size() + body.size();
        Self(Arc::new(Stored { head, body, size, hits: AtomicU64::new(0), said: Mutex::new(None) }))
    }

    /// Status, fields, lifetime, tags, variant, rendering and note.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// The body, in the frames in which it is to be sent.
    #[must_use]
    pub fn body(&self) -> &Frames {
        &self.0.body
    }

    /// The same body under another head.
    #[must_use]
    pub fn with_head(&self, head: Head) -> Self {
        Self::new(head, self.0.body.clone())
    }

    /// The fields that say its age and ttl, both in seconds; made anew only when either has changed.
    pub(crate) fn said(&self, age: u64, ttl: i64, say: impl FnOnce() -> [HeaderValue; 2]) -> [HeaderValue; 2] {
        // Who would have to wait for another is faster alone.
        let Ok(mut said) = self.0.said.try_lock() else { return say() };
        match &*said {
            Some(said) if said.age == age && said.ttl == ttl => said.fields.clone(),
            Some(_) | None => {
                let fields = say();
                *said = Some(Said { age, ttl, fields: fields.clone() });
                fields
            }
        }
    }

    /// Counts a look-up that found it.
    pub(crate) fn count_hit(&self) {
        self.0.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// How many look-ups found it in this process.
    pub(crate) fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::Relaxed)
    }

    /// Whether both are one entry, not only alike.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether both were received at once, and so are one answer, wherever they were kept meanwhile.
    pub(crate) fn is_as_old_as(&self, other: &Self) -> bool {
        self.head().lifetime().received_at == other.head().lifetime().received_at
    }

    /// The bytes of memory that the entry takes: body, fields, and what it takes to keep them.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }
}

/// An entry that has become stale and may be served if nothing better is to be had.
///
/// `CacheLayer` puts it into the extensions of a request that it lets through, so that a layer inside can serve it without
/// a second look-up.
#[derive(Clone, Debug)]
pub struct StaleEntry(pub Entry);

/// What a layer inside of a `CacheLayer` says of a response that isn't the answer to its request: an extension that keeps it from
/// being stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StandIn {
    /// The [`StaleEntry`] that came with the request.
    Stale {
        /// The status for which it stands in, if a response came at all.
        last_status: Option<StatusCode>,
    },
    /// A default answer, an error of the layer's own, or somebody else's answer.
    Other,
}
