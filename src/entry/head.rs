//! What is known of a stored response besides its body.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Lifetime, Note, Rendering, Variant};
use crate::tag::Tag;

/// Status, fields, lifetime, tags, which requests it answers, and what was noted of it.
#[derive(Clone, Debug)]
pub struct Head {
    status: StatusCode,
    headers: HeaderMap,
    lifetime: Lifetime,
    tags: Box<[Tag]>,
    variant: Option<Variant>,
    rendering: Option<Rendering>,
    note: Option<Note>,
}

impl Head {
    /// A head without tags or note that answers whatever request has its key.
    ///
    /// The values of the fields are copied into one piece of memory of their own: as they come from a connection, they
    /// would keep its read buffer alive.
    #[must_use]
    pub fn new(status: StatusCode, mut headers: HeaderMap, lifetime: Lifetime) -> Self {
        compact(&mut headers);
        Self::uncopied(status, headers, lifetime)
    }

    /// The same with the fields as they are: for values whose memory is kept, and counted, whatever becomes of the head.
    pub(super) fn uncopied(status: StatusCode, headers: HeaderMap, lifetime: Lifetime) -> Self {
        Self { status, headers, lifetime, tags: Box::default(), variant: None, rendering: None, note: None }
    }

    /// The same with other fields.
    pub(crate) fn with_headers(mut self, mut headers: HeaderMap) -> Self {
        compact(&mut headers);
        self.headers = headers;
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn tags(mut self, tags: Vec<Tag>) -> Self {
        self.tags = tags.into();
        self
    }

    /// Says which requests it answers, where a `Vary` field made that narrower than the key.
    #[must_use]
    pub fn variant(mut self, variant: Option<Variant>) -> Self {
        self.variant = variant;
        self
    }

    /// Says in which rendering the answer is, where there are several.
    #[must_use]
    pub fn rendered(mut self, rendering: Option<Rendering>) -> Self {
        self.rendering = rendering;
        self
    }

    /// Sets what is noted of it.
    #[must_use]
    pub fn note(mut self, note: Option<Note>) -> Self {
        self.note = note;
        self
    }

    /// The same, kept for so long from `now` on, if that is longer: what hangs on it is.
    pub(crate) fn kept_for(mut self, time: Duration, now: SystemTime) -> Self {
        let lifetime = &mut self.lifetime;
        let beyond = lifetime.age(now).saturating_add(time).saturating_sub(lifetime.fresh_for);
        lifetime.retain = lifetime.retain.max(beyond);
        self
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields, as they are to be sent.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Freshness and windows.
    #[must_use]
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The tags, sorted.
    #[must_use]
    pub fn tag_list(&self) -> &[Tag] {
        &self.tags
    }

    /// Which requests it answers; `None`: all that have its key.
    #[must_use]
    pub fn selecting(&self) -> Option<&Variant> {
        self.variant.as_ref()
    }

    /// In which rendering the answer is; `None` if there is but one.
    #[must_use]
    pub fn rendering(&self) -> Option<Rendering> {
        self.rendering
    }

    /// What was noted of it by who observed how it came, such as what it cost.
    #[must_use]
    pub fn noted(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// The bytes of memory that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let tags: usize =
            self.tags.iter().map(|tag| tag.as_str().len() + size_of::<Tag>() + 2 * size_of::<usize>()).sum();
        let note = self.note.as_ref().map_or(0, Note::size);
        size_of::<Self>() + fields_size(&self.headers) + tags + self.variant.as_ref().map_or(0, Variant::size) + note
    }
}

/// The bytes of memory that a map of fields takes.
pub(super) fn fields_size(headers: &HeaderMap) -> usize {
    // A map's slot: hash, links, name and value; and four bytes of index for each slot that there is room for.
    const SLOT: usize = size_of::<(u64, [usize; 3], HeaderName, HeaderValue)>();
    let text: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    text + headers.len() * SLOT + headers.capacity() * 4
}

/// Copies the values into one piece of memory of their own.
pub(super) fn compact(headers: &mut HeaderMap) {
    let total = headers.values().map(HeaderValue::len).sum();
    let mut text = BytesMut::with_capacity(total);
    headers.values().for_each(|value| text.extend_from_slice(value.as_bytes()));
    let text = text.freeze();
    let mut start = 0;
    for value in headers.values_mut() {
        let end = start + value.len();
        // What was a value is one again; the fallback can't be reached, and keeps the value if it is.
        if let Ok(mut own) = HeaderValue::from_maybe_shared::<Bytes>(text.slice(start..end)) {
            own.set_sensitive(value.is_sensitive());
            *value = own;
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_head_lets_go_of_the_buffer_its_fields_came_in() {
        let buffer = Bytes::from(vec![b'x'; 4096]);
        let mut headers = HeaderMap::new();
        let slice = HeaderValue::from_maybe_shared(buffer.slice(0..4)).expect("visible");
        headers.append("a", slice.clone());
        headers.append("a", HeaderValue::from_static("second"));
        headers.append("b", HeaderValue::from_static(""));
        drop(slice);
        let head = Head::new(StatusCode::OK, headers, Lifetime::new(SystemTime::UNIX_EPOCH, Duration::ZERO));
        assert!(buffer.is_unique());
        let values: Vec<_> = head.headers().get_all("a").iter().collect();
        assert_eq!(values, ["xxxx", "second"]);
        assert_eq!(head.headers()["b"], "");
    }
}
