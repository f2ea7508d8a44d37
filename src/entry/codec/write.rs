//! What a payload holds in front of the body. Numbers are LEB128, and lengths stand before what they are the length of.
//!
//! 1. the status;
//! 2. a byte of flags: [`MUST_REVALIDATE`], [`VARIANT`], [`TRAILERS`], [`NOTE`] and [`RENDERING`], and no other
//!    bits;
//! 3. the lifetime: initial age, freshness lifetime, the windows `stale-while-revalidate`, `stale-if-error` and `retain`, each as
//!    seconds and nanoseconds;
//! 4. the fields: how many names, and for each the name, how many values, and the values; the length of a value is doubled, plus
//!    one if it is sensitive;
//! 5. the tags: how many, and each;
//! 6. the variant, with its flag: how many fields, for each the name and the value; the generation as 8 bytes, little endian; how
//!    many siblings, for each how many values, the values, and the entity tag. The length of a value or entity tag is one more
//!    than it is, and zero if there is none;
//! 7. the note, with its flag;
//! 8. the number of its rendering, with its flag: a byte that isn't zero;
//! 9. how many frames the body has, none if it is sent in one, and the length of each;
//! 10. the trailers, with their flag, as the fields;
//! 11. the length of the body, uncompressed. The body follows, to the end.

use std::time::Duration;

use http::HeaderMap;

use super::super::{Entry, Note, Variant};

pub(super) const MUST_REVALIDATE: u8 = 0b0001;
pub(super) const VARIANT: u8 = 0b0010;
pub(super) const TRAILERS: u8 = 0b0100;
pub(super) const NOTE: u8 = 0b1000;
pub(super) const RENDERING: u8 = 0b1_0000;

/// Appends all of an entry but the bytes of its body.
pub(super) fn head(out: &mut Vec<u8>, entry: &Entry) {
    let (head, body) = (entry.head(), entry.body());
    let (lifetime, variant, trailers) = (head.lifetime(), head.selecting(), body.trailers());
    let note = head.noted().and_then(Note::text);
    number(out, head.status().as_u16().into());
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(
        flag(lifetime.must_revalidate, MUST_REVALIDATE)
            | flag(variant.is_some(), VARIANT)
            | flag(trailers.is_some(), TRAILERS)
            | flag(note.is_some(), NOTE)
            | flag(head.rendering().is_some(), RENDERING),
    );
    duration(out, lifetime.initial_age);
    duration(out, lifetime.fresh_for);
    duration(out, lifetime.stale_while_revalidate);
    duration(out, lifetime.stale_if_error);
    duration(out, lifetime.retain);
    fields(out, head.headers());
    length(out, head.tag_list().len());
    head.tag_list().iter().for_each(|tag| text(out, tag.as_str().as_bytes()));
    if let Some(variant) = variant {
        selecting(out, variant);
    }
    if let Some(note) = note {
        text(out, note);
    }
    if let Some(rendering) = head.rendering() {
        out.push(rendering.number().get());
    }
    length(out, body.ends().len());
    let starts = std::iter::once(&0).chain(body.ends());
    body.ends().iter().zip(starts).for_each(|(end, start)| length(out, end - start));
    if let Some(trailers) = trailers {
        fields(out, trailers);
    }
    length(out, body.data().len());
}

fn fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    length(out, fields.keys_len());
    for name in fields.keys() {
        text(out, name.as_str().as_bytes());
        let values = fields.get_all(name);
        length(out, values.iter().count());
        for value in values {
            number(out, (value.len() as u64) << 1 | u64::from(value.is_sensitive()));
            out.extend_from_slice(value.as_bytes());
        }
    }
}

fn selecting(out: &mut Vec<u8>, variant: &Variant) {
    length(out, variant.fields().len());
    for (name, value) in variant.fields() {
        text(out, name.as_str().as_bytes());
        optional(out, value.as_deref());
    }
    out.extend_from_slice(&variant.generation().to_le_bytes());
    length(out, variant.siblings().len());
    for sibling in variant.siblings() {
        length(out, sibling.values().len());
        sibling.values().iter().for_each(|value| optional(out, value.as_deref()));
        optional(out, sibling.etag());
    }
}

fn duration(out: &mut Vec<u8>, duration: Duration) {
    number(out, duration.as_secs());
    number(out, duration.subsec_nanos().into());
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    length(out, text.len());
    out.extend_from_slice(text);
}

fn optional(out: &mut Vec<u8>, text: Option<&[u8]>) {
    length(out, text.map_or(0, |text| text.len() + 1));
    out.extend_from_slice(text.unwrap_or_default());
}

fn length(out: &mut Vec<u8>, length: usize) {
    number(out, length as u64);
}

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}
