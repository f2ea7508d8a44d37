//! Any entry.

use std::num::NonZeroU8;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::entry::{Rendering, variant::Sibling};

pub(super) fn entry() -> impl Strategy<Value = Entry> {
    let head = (100..=999u16, fields(), lifetime(), vec("[!-+\\--~]{1,20}", 0..4), option::of(variant()));
    let note = option::of(vec(any::<u8>(), 0..100));
    let rendering = option::of(any::<NonZeroU8>().prop_map(Rendering::new));
    (head, note, rendering, body()).prop_map(|((status, headers, lifetime, tags, variant), note, rendering, body)| {
        let note = note.map(|text| Note::new(text.into()));
        let status = StatusCode::from_u16(status).expect("three digits");
        let tags = tags.iter().map(|tag| Tag::new(tag).expect("visible")).collect();
        Entry::new(
            Head::new(status, headers, lifetime).tags(tags).variant(variant).rendered(rendering).note(note),
            body,
        )
    })
}

fn body() -> impl Strategy<Value = Frames> {
    let pieces = vec((vec(any::<u8>(), 0..12), 1..100usize), 0..6);
    (pieces, any::<bool>(), option::of(fields())).prop_map(|(pieces, keep_frames, trailers)| {
        let mut body = FramesBuilder::new(0, keep_frames);
        pieces.iter().for_each(|(piece, times)| body.push(&piece.repeat(*times)));
        trailers.into_iter().for_each(|trailers| body.trailers(trailers));
        body.finish()
    })
}

fn fields() -> impl Strategy<Value = HeaderMap> {
    vec((name(), value(), any::<bool>()), 0..8).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value, sensitive) in fields {
            let mut value = HeaderValue::from_bytes(&value).expect("legal");
            value.set_sensitive(sensitive);
            headers.append(name, value);
        }
        headers
    })
}

fn name() -> impl Strategy<Value = HeaderName> {
    let known = select(vec!["content-type", "content-encoding", "etag", "vary"]).prop_map(str::to_owned);
    prop_oneof![known, "[a-z0-9!#$%&'*+.^_`|~-]{1,80}", "x-[ab]"]
        .prop_map(|name| HeaderName::from_bytes(name.as_bytes()).expect("a token"))
}

/// With every byte that a field may hold, those included that are no ASCII.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if byte == 0x7f || byte < b' ' { b'\t' } else { byte });
    (vec(byte, 0..12), 1..40usize).prop_map(|(part, times)| part.repeat(times))
}

fn lifetime() -> impl Strategy<Value = Lifetime> {
    let duration = || prop_oneof![any::<Duration>(), (0..100_000u64).prop_map(Duration::from_secs)];
    let windows = (duration(), duration(), duration());
    (any::<u64>(), duration(), duration(), windows, any::<bool>()).prop_map(
        |(received_at, initial_age, fresh_for, windows, must_revalidate)| {
            let received_at = SystemTime::UNIX_EPOCH + Duration::from_nanos(received_at);
            let (stale_while_revalidate, stale_if_error, retain) = windows;
            Lifetime {
                received_at,
                initial_age,
                fresh_for,
                stale_while_revalidate,
                stale_if_error,
                retain,
                must_revalidate,
            }
        },
    )
}

fn variant() -> impl Strategy<Value = Variant> {
    let sibling = (vec(option::of(value()), 0..4), option::of(value()))
        .prop_map(|(values, etag)| Sibling::new(values.into(), etag));
    (vec((name(), option::of(value())), 0..4), any::<u64>(), vec(sibling, 0..4)).prop_map(
        |(fields, generation, siblings)| Variant::from_parts(fields.into(), generation).with_siblings(siblings),
    )
}
