//! What the files of the codec can't show alone.

mod arbitrary;
mod damage;
mod golden;
mod laws;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::*;
use crate::{
    entry::{Frames, FramesBuilder, Head, Lifetime, Note, Variant},
    tag::Tag,
};

pub(super) const NAME: &[u8] = b"larder:v1:{chat:gpt-4o}:00ff";

pub(super) fn plain() -> Codec {
    Codec::new().compression(Compression::Off)
}

/// An entry in which nothing is left out.
pub(super) fn rich() -> Entry {
    let received_at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let mut lifetime = Lifetime::new(received_at, Duration::from_millis(60_500));
    lifetime.initial_age = Duration::from_secs(3);
    lifetime.stale_while_revalidate = Duration::from_secs(400);
    lifetime.stale_if_error = Duration::from_nanos(5);
    lifetime.retain = Duration::MAX;
    lifetime.must_revalidate = true;
    let mut headers = HeaderMap::new();
    headers.append("content-type", HeaderValue::from_static("text/event-stream"));
    headers.append("set-cookie", HeaderValue::from_static("a=1"));
    let mut secret = HeaderValue::from_static("b=2");
    secret.set_sensitive(true);
    headers.append("set-cookie", secret);
    headers.append("x-bytes", HeaderValue::from_bytes(b"\xfe\xff").expect("obs-text"));
    headers.append("x-empty", HeaderValue::from_static(""));
    let mut request = HeaderMap::new();
    request.insert("accept", HeaderValue::from_static("text/html"));
    let names = [HeaderName::from_static("accept"), HeaderName::from_static("x-absent")];
    let variant = Variant::of(&names, &request, u64::MAX - 1);
    request.insert("accept", HeaderValue::from_static("*/*"));
    let (variant, _) = variant.clone().adopt(&variant.like(&request), Some(b"\"e\""), 9);
    let (variant, _) = variant.clone().adopt(&variant.like(&HeaderMap::new()), None, 9);
    let head = Head::new(StatusCode::from_u16(599).expect("status"), headers, lifetime)
        .tags(vec![Tag::new("model:gpt-4o").expect("tag"), Tag::new("a").expect("tag")])
        .variant(Some(variant));
    let mut body = FramesBuilder::new(0, true);
    (0..20).for_each(|event| body.push(format!("data: {event}\n\n").as_bytes()));
    body.push(&[b' '; 200]);
    body.trailers(HeaderMap::from_iter([(HeaderName::from_static("x-took"), HeaderValue::from_static("5"))]));
    Entry::new(head, body.finish())
}

/// The same, with a note.
pub(super) fn noted() -> Entry {
    let entry = rich();
    entry.with_head(entry.head().clone().note(Some(Note::new(Bytes::from_static(b"\x00a note")))))
}

pub(super) fn with_body(headers: HeaderMap, body: impl Into<Bytes>) -> Entry {
    let lifetime = Lifetime::new(SystemTime::UNIX_EPOCH, Duration::from_secs(60));
    Entry::new(Head::new(StatusCode::OK, headers, lifetime), Frames::whole(body.into()))
}

pub(super) fn assert_same(kept: &Entry, put: &Entry) {
    let (a, b) = (kept.head(), put.head());
    assert_eq!((a.status(), a.lifetime(), a.selecting()), (b.status(), b.lifetime(), b.selecting()));
    assert_eq!((a.tag_list(), a.rendering()), (b.tag_list(), b.rendering()));
    assert_eq!(a.noted().and_then(Note::text), b.noted().and_then(Note::text));
    assert_eq!(listed(a.headers()), listed(b.headers()));
    let (a, b) = (kept.body(), put.body());
    assert_eq!((a.data(), a.ends()), (b.data(), b.ends()));
    assert_eq!(a.trailers().map(listed), b.trailers().map(listed));
}

/// Fields with what the comparison of two maps leaves out: the order of the names, and what is sensitive.
fn listed(headers: &HeaderMap) -> Vec<(&str, &[u8], bool)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes(), value.is_sensitive())).collect()
}

#[test]
fn a_small_slice_does_not_keep_a_large_frame() {
    let text = "compresses well ".repeat(1000);
    for (codec, body) in [(plain(), "small"), (plain(), ""), (Codec::new(), text.as_str())] {
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x"), HeaderValue::from_static("a value"))]);
        let mut frames = FramesBuilder::new(0, false);
        frames.push(body.as_bytes());
        frames.trailers(headers.clone());
        let head = with_body(headers, "").head().clone();
        let frame = codec.encode(NAME, &Entry::new(head, frames.finish()));
        let kept = codec.decode(NAME, frame.clone()).expect("an entry");
        assert_eq!(kept.body().data(), body);
        assert!(frame.is_unique());
    }
}

#[test]
fn a_body_that_is_most_of_the_frame_is_a_slice_of_it_and_all_of_it_is_counted() {
    let entry = with_body(rich().head().headers().clone(), vec![b'x'; 1000]);
    let frame = plain().encode(NAME, &entry);
    let kept = plain().decode(NAME, frame.clone()).expect("an entry");
    assert!(!frame.is_unique());
    let within = |bytes: &[u8]| frame.as_ptr_range().contains(&bytes.as_ptr());
    assert!(within(kept.body().data()) && within(kept.head().headers()["x-bytes"].as_bytes()));
    // What a head of its own would take besides, and the frame once.
    let values: usize = kept.head().headers().values().map(HeaderValue::len).sum();
    assert_eq!(kept.body().size() + values, frame.len());
    assert!(kept.size() > entry.size() && kept.size() < entry.size() + 200);
}

#[test]
fn a_time_that_has_no_number_becomes_the_nearest_that_has() {
    let at = |received_at| {
        let lifetime = Lifetime::new(received_at, Duration::ZERO);
        let entry = Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime), Frames::default());
        let frame = plain().encode(NAME, &entry);
        assert_eq!(frame[RECEIVED_AT], received_at_bytes(&entry));
        plain().decode(NAME, frame).expect("an entry").head().lifetime().received_at
    };
    let start = SystemTime::UNIX_EPOCH;
    assert_eq!(at(start - Duration::from_secs(1)), start);
    assert_eq!(at(start + Duration::from_secs(1 << 40)), start + Duration::from_nanos(u64::MAX));
}

#[test]
fn a_codec_is_asked_for_levels_that_there_are() {
    for (compression, valid) in [
        (Compression::Off, true),
        (Compression::Lz4, true),
        (Compression::Zstd(1), true),
        (Compression::Zstd(19), true),
        (Compression::Zstd(0), false),
        (Compression::Zstd(-1), false),
        (Compression::Zstd(20), false),
    ] {
        assert_eq!(Codec::new().compression(compression).validate().is_ok(), valid, "{compression:?}");
    }
}
