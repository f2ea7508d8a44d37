//! The body of an entry: its bytes in one piece, and where its frames ended.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// A complete body: one allocation, the ends of its frames where they matter, and its trailers.
///
/// The bytes are copied once, when the body is kept: what arrives from a socket are slices of read buffers, and an entry
/// that held on to them would take many times the memory that it is counted for.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    data: Bytes,
    /// Where each frame ends; empty if the body is to be sent in one.
    ends: Option<Arc<[usize]>>,
    trailers: Option<Arc<HeaderMap>>,
    /// The bytes of memory that `data` keeps besides its own, being a slice of something larger.
    beside: usize,
}

impl Frames {
    /// A body of one frame; the bytes are taken as they are.
    #[must_use]
    pub fn whole(data: Bytes) -> Self {
        Self::from_parts(data, Vec::new(), None, 0)
    }

    /// The ends rise to the length of the data, or there are none. `beside` counts what the data keeps in memory besides its
    /// own bytes.
    pub(super) fn from_parts(data: Bytes, ends: Vec<usize>, trailers: Option<HeaderMap>, beside: usize) -> Self {
        let ends = (!ends.is_empty()).then(|| ends.into());
        Self { data, ends, trailers: trailers.map(Arc::new), beside }
    }

    /// All bytes of the body.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The trailer fields, if the body has any.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// Where each frame ends; empty if the body is sent in one.
    pub(super) fn ends(&self) -> &[usize] {
        self.ends.as_deref().unwrap_or_default()
    }

    /// How many frames there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.as_ref().map_or_else(|| usize::from(!self.data.is_empty()), |ends| ends.len())
    }

    /// One frame, in order, without a copy; `None` behind the last.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Bytes> {
        if index >= self.count() {
            return None;
        }
        let Some(ends) = &self.ends else { return Some(self.data.clone()) };
        let start = index.checked_sub(1).map_or(0, |before| ends[before]);
        Some(self.data.slice(start..ends[index]))
    }

    /// The bytes of memory that the body takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let trailers = self.trailers.as_deref().map_or(0, super::head::fields_size);
        self.data.len() + self.beside + size_of_val(self.ends()) + trailers
    }
}

/// Puts [`Frames`] together.
#[derive(Debug)]
pub struct FramesBuilder {
    data: BytesMut,
    ends: Option<Vec<usize>>,
    trailers: Option<HeaderMap>,
}

impl FramesBuilder {
    /// For a body of `bytes`; `keep_frames` if it matters where its frames end, as in an event stream.
    #[must_use]
    pub fn new(bytes: usize, keep_frames: bool) -> Self {
        Self { data: BytesMut::with_capacity(bytes), ends: keep_frames.then(Vec::new), trailers: None }
    }

    /// Adds a frame of data; an empty one is left out.
    pub fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.data.extend_from_slice(data);
        if let Some(ends) = &mut self.ends {
            ends.push(self.data.len());
        }
    }

    /// Sets the trailer fields.
    pub fn trailers(&mut self, trailers: HeaderMap) {
        self.trailers = Some(trailers);
    }

    /// The finished body.
    #[must_use]
    pub fn finish(self) -> Frames {
        let ends = self.ends.filter(|ends| ends.len() > 1).unwrap_or_default();
        Frames::from_parts(self.data.freeze(), ends, self.trailers, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(keep: bool, parts: &[&str]) -> Frames {
        let mut builder = FramesBuilder::new(0, keep);
        parts.iter().for_each(|part| builder.push(part.as_bytes()));
        builder.finish()
    }

    #[test]
    fn frames_come_back_as_they_went_in() {
        let kept = frames(true, &["data: 1\n\n", "", "data: 2\n\n"]);
        assert_eq!(kept.count(), 2);
        assert_eq!(kept.get(0).as_deref(), Some(&b"data: 1\n\n"[..]));
        assert_eq!(kept.get(1).as_deref(), Some(&b"data: 2\n\n"[..]));
        assert_eq!(kept.get(2), None);
    }

    #[test]
    fn a_plain_body_is_one_frame_and_an_empty_one_none() {
        let whole = frames(false, &["a", "b"]);
        assert_eq!((whole.count(), whole.get(0)), (1, Some(Bytes::from_static(b"ab"))));
        assert_eq!((frames(false, &[]).count(), frames(true, &[""]).get(0)), (0, None));
    }
}
