//! Reads what [`write`](super::write) wrote, and believes none of it: every length and count is held against what is left.

use std::{
    num::NonZeroU8,
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    super::{Entry, Frames, Head, Lifetime, Note, Rendering, Variant, head::compact, variant::Sibling},
    compress::{Method, expand},
    error::{Kind, Unreadable},
    frame::Header,
    write::{MUST_REVALIDATE, NOTE, RENDERING, TRAILERS, VARIANT},
};
use crate::tag::Tag;

/// The entry whose payload begins at `start`, and ends with the buffer.
pub(super) fn entry(header: &Header, buffer: Bytes, start: usize) -> Result<Entry, Unreadable> {
    parse(header, buffer, start).ok_or_else(|| Kind::Corrupt("wrong payload").into())
}

fn parse(header: &Header, mut buffer: Bytes, start: usize) -> Option<Entry> {
    let mut reader = Reader { buffer: &buffer, rest: buffer.get(start..)?, values: 0 };
    let status = StatusCode::from_u16(reader.number()?.try_into().ok()?).ok()?;
    let [flags] = reader.array()?;
    if flags & !(MUST_REVALIDATE | VARIANT | TRAILERS | NOTE | RENDERING) != 0 {
        return None;
    }
    let mut lifetime = reader.lifetime(header.received_at)?;
    lifetime.must_revalidate = flags & MUST_REVALIDATE != 0;
    let headers = reader.fields()?;
    let tags = reader.tags()?;
    let variant = if flags & VARIANT != 0 { Some(reader.variant()?) } else { None };
    // A copy, for it may outlive the frame.
    let note = if flags & NOTE != 0 { Some(Note::new(Bytes::copy_from_slice(reader.text()?))) } else { None };
    let rendering = if flags & RENDERING != 0 { Some(reader.rendering()?) } else { None };
    let ends = reader.ends()?;
    let mut trailers = if flags & TRAILERS != 0 { Some(reader.fields()?) } else { None };
    let length = reader.length()?;
    if ends.last().is_some_and(|end| *end != length) {
        return None;
    }

    let Reader { rest: body, values, .. } = reader;
    // A small slice would keep all of the frame in memory.
    let sliced = header.method == Method::Raw && body.len() >= buffer.len() / 2;
    let (head, data, beside) = if sliced {
        let before = buffer.len() - body.len();
        buffer.advance(before);
        (Head::uncopied(status, headers, lifetime), buffer, before - values)
    } else {
        trailers.iter_mut().for_each(compact);
        (Head::new(status, headers, lifetime), expand(header.method, body, length)?.into(), 0)
    };
    let body = Frames::from_parts(data, ends, trailers, beside);
    (body.data().len() == length)
        .then(|| Entry::new(head.tags(tags).variant(variant).rendered(rendering).note(note), body))
}

/// What the payload that begins at `start` says before its variant and its body. `None` if the buffer ends before that, or if it is
/// wrong, which can't be told apart.
#[cfg(feature = "redis")]
pub(super) fn beginning(header: &Header, buffer: &Bytes, start: usize) -> Option<(StatusCode, Lifetime, Vec<Tag>)> {
    let mut reader = Reader { buffer, rest: buffer.get(start..)?, values: 0 };
    let status = StatusCode::from_u16(reader.number()?.try_into().ok()?).ok()?;
    let [flags] = reader.array()?;
    let mut lifetime = reader.lifetime(header.received_at)?;
    lifetime.must_revalidate = flags & MUST_REVALIDATE != 0;
    reader.fields()?;
    Some((status, lifetime, reader.tags()?))
}

struct Reader<'a> {
    buffer: &'a Bytes,
    /// What of the buffer is not read yet.
    rest: &'a [u8],
    /// The bytes of the field values so far, which are slices of the buffer.
    values: usize,
}

impl<'a> Reader<'a> {
    fn lifetime(&mut self, received_at: [u8; 8]) -> Option<Lifetime> {
        let since = Duration::from_nanos(u64::from_le_bytes(received_at));
        let mut lifetime = Lifetime::new(UNIX_EPOCH.checked_add(since)?, Duration::ZERO);
        lifetime.initial_age = self.duration()?;
        lifetime.fresh_for = self.duration()?;
        lifetime.stale_while_revalidate = self.duration()?;
        lifetime.stale_if_error = self.duration()?;
        lifetime.retain = self.duration()?;
        Some(lifetime)
    }

    fn fields(&mut self) -> Option<HeaderMap> {
        // A name with its length, how many values it has, and the length of one.
        let names = self.count(4)?;
        let mut fields = HeaderMap::try_with_capacity(names).ok()?;
        for _ in 0..names {
            let name = self.name()?;
            let more = self.count(1)?.checked_sub(1)?;
            for _ in 0..more {
                fields.try_append(&name, self.value()?).ok()?;
            }
            fields.try_append(name, self.value()?).ok()?;
        }
        Some(fields)
    }

    fn name(&mut self) -> Option<HeaderName> {
        HeaderName::from_lowercase(self.text()?).ok()
    }

    fn value(&mut self) -> Option<HeaderValue> {
        let number = self.number()?;
        let bytes = self.take(usize::try_from(number >> 1).ok()?)?;
        let mut value = HeaderValue::from_maybe_shared(self.buffer.slice_ref(bytes)).ok()?;
        value.set_sensitive(number & 1 != 0);
        self.values += bytes.len();
        Some(value)
    }

    fn tags(&mut self) -> Option<Vec<Tag>> {
        let count = self.count(2)?;
        (0..count).map(|_| Tag::new(str::from_utf8(self.text()?).ok()?).ok()).collect()
    }

    fn variant(&mut self) -> Option<Variant> {
        let count = self.count(3)?;
        let fields = (0..count).map(|_| Some((self.name()?, self.optional()?))).collect::<Option<_>>()?;
        let generation = u64::from_le_bytes(self.array()?);
        let count = self.count(2)?;
        let siblings = (0..count).map(|_| self.sibling()).collect::<Option<Vec<_>>>()?;
        Some(Variant::from_parts(fields, generation).with_siblings(siblings))
    }

    fn sibling(&mut self) -> Option<Sibling> {
        let count = self.count(1)?;
        let values = (0..count).map(|_| self.optional()).collect::<Option<_>>()?;
        Some(Sibling::new(values, self.optional()?))
    }

    fn rendering(&mut self) -> Option<Rendering> {
        let [number] = self.array()?;
        NonZeroU8::new(number).map(Rendering::new)
    }

    /// Each is behind the one before, for no frame is empty.
    fn ends(&mut self) -> Option<Vec<usize>> {
        let count = self.count(1)?;
        let mut end: usize = 0;
        let next = |_| {
            let length = self.length()?;
            end = end.checked_add(length).filter(|_| length > 0)?;
            Some(end)
        };
        (0..count).map(next).collect()
    }

    fn duration(&mut self) -> Option<Duration> {
        let (seconds, nanoseconds) = (self.number()?, u32::try_from(self.number()?).ok()?);
        (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn optional(&mut self) -> Option<Option<Vec<u8>>> {
        match self.length()?.checked_sub(1) {
            Some(length) => Some(Some(self.take(length)?.to_vec())),
            None => Some(None),
        }
    }

    /// A number of things that take at least so many bytes each: no more than there is room for.
    fn count(&mut self, least: usize) -> Option<usize> {
        self.length().filter(|count| *count <= self.rest.len() / least)
    }

    fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}
