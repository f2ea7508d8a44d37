use super::*;
use crate::entry::codec::frame::HEADER;

fn codecs() -> Vec<Codec> {
    let plain = [plain(), Codec::new().compress_above(0), Codec::new().compression(Compression::Lz4).compress_above(0)];
    #[cfg(feature = "encryption")]
    let sealed = plain.clone().map(|codec| codec.keys(KeyRing::new([7; 32])));
    #[cfg(not(feature = "encryption"))]
    let sealed = [];
    plain.into_iter().chain(sealed).collect()
}

#[test]
fn every_damage_is_refused() {
    for codec in codecs() {
        let frame = codec.encode(NAME, &rich());
        for at in 0..frame.len() {
            for bit in 0..8 {
                let mut damaged = frame.to_vec();
                damaged[at] ^= 1 << bit;
                let error = codec.decode(NAME, damaged.into()).expect_err("damaged");
                assert!(if at == 4 { error.is_unknown_version() } else { error.is_corrupt() }, "{at}: {error}");
            }
            let error = codec.decode(NAME, frame.slice(..at)).expect_err("cut");
            assert!(error.is_corrupt(), "{at}: {error}");
        }
        let longer = [&*frame, b"\0"].concat();
        assert!(codec.decode(NAME, longer.into()).expect_err("longer").is_corrupt());
    }
}

#[test]
fn an_entry_is_not_found_under_another_name() {
    for codec in codecs() {
        for (name, other) in [(NAME, &b"another"[..]), (b"", b"\0"), (b"a", b""), (b"ab", b"a")] {
            let frame = codec.encode(name, &rich());
            assert!(codec.decode(other, frame).expect_err("moved").is_corrupt());
        }
    }
}

#[test]
fn another_version_is_told_from_damage() {
    let mut frame = plain().encode(NAME, &rich()).to_vec();
    frame[4] = 2;
    for end in 5..frame.len() {
        let error = plain().decode(NAME, frame[..end].to_vec().into()).expect_err("another version");
        assert!(error.is_unknown_version() && !error.is_corrupt() && !error.is_sealed(), "{error}");
    }
}

#[test]
fn flags_without_a_meaning_are_refused() {
    for (at, byte) in [(5, 0b011), (5, 0b1000), (5, 0x80), (6, 1), (7, 1)] {
        let mut frame = plain().encode(NAME, &rich()).to_vec();
        frame[at] = byte;
        frame::finish(NAME, &mut frame);
        assert!(plain().decode(NAME, frame.into()).expect_err("unknown flags").is_corrupt());
    }
}

/// Frames whose checksum is right, and that claim more than they hold.
#[test]
fn a_claim_that_the_frame_cannot_hold_is_refused() {
    let head = |rest: &[&[u8]]| [&[&[0xc8, 1, 0][..], &[0; 10]], rest].concat().concat();
    let huge: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let gib: &[u8] = &[0x80, 0x80, 0x80, 0x80, 4];
    // As many names as a map of fields has room for.
    let many: &[u8] = &[0xa0, 0x9c, 1];
    let none: &[u8] = &[0];
    for count in [huge, gib, many] {
        for (method, payload) in [
            (0, head(&[count])),
            (0, head(&[&[1], count])),
            (0, head(&[&[1, 1, b'x'], count])),
            (0, head(&[&[1, 1, b'x', 1], count])),
            (0, head(&[none, count])),
            (0, head(&[none, &[1], count])),
            (0, head(&[none, none, count])),
            (0, head(&[none, none, &[2], count, count])),
            (0, head(&[none, none, none, count])),
            (1, head(&[none, none, none, count])),
            (2, head(&[none, none, none, count])),
            (1, head(&[none, none, none, count, &zstd::bulk::compress(&[0; 4096], 3).expect("zstd")])),
            (2, head(&[none, none, none, count, &lz4_flex::block::compress(&[0; 4096])])),
        ] {
            let (codec, frame) = (plain(), framed(method, &payload));
            let mut decoded = None;
            let memory = allocation_counter::measure(|| decoded = Some(codec.decode(NAME, frame)));
            assert!(
                decoded.is_some_and(|result| result.is_err_and(|error| error.is_corrupt())),
                "{method} {payload:x?}"
            );
            assert!(memory.bytes_max < 64 << 10, "{} bytes for {method} {payload:x?}", memory.bytes_max);
        }
    }
    assert!(plain().decode(NAME, framed(0, &head(&[none, none, none, none]))).is_ok());
}

#[test]
fn a_body_of_another_length_than_it_claims_is_refused() {
    let zeros = [0; 4096];
    for (method, packed) in [
        (0, zeros.to_vec()),
        (1, zstd::bulk::compress(&zeros, 3).expect("zstd")),
        (2, lz4_flex::block::compress(&zeros)),
    ] {
        for (length, valid) in [([0xff, 0x1f], false), ([0x80, 0x20], true), ([0x81, 0x20], false)] {
            let payload = [&[0xc8, 1, 0][..], &[0; 13], &length, &packed].concat();
            assert_eq!(plain().decode(NAME, framed(method, &payload)).is_ok(), valid, "{method} {length:x?}");
        }
    }
}

#[test]
fn values_that_no_entry_has_are_refused() {
    let lifetime = [0; 10];
    let upper: &[u8] = &[1, 1, b'X', 1, 0];
    let control: &[u8] = &[1, 1, b'x', 1, 2, b'\n'];
    let no_value: &[u8] = &[1, 1, b'x', 0, 0, 0, 0];
    let bad_tag: &[u8] = &[0, 1, 1, b','];
    let empty_frame: &[u8] = &[0, 0, 2, 0, 1, 1, b'x'];
    let short_frames: &[u8] = &[0, 0, 2, 1, 1, 3, b'x', b'x', b'x'];
    for rest in [upper, control, no_value, bad_tag, empty_frame, short_frames] {
        let payload = [&[0xc8, 1, 0][..], &lifetime, rest].concat();
        assert!(plain().decode(NAME, framed(0, &payload)).expect_err("nonsense").is_corrupt(), "{rest:x?}");
    }
    let status: &[u8] = &[99, 0];
    let flags: &[u8] = &[0xc8, 1, 16];
    let nanoseconds: &[u8] = &[0xc8, 1, 0, 0, 0x80, 0x94, 0xeb, 0xdc, 0x03];
    let overflow: &[u8] = &[0xc8, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
    for start in [status, flags, nanoseconds, overflow] {
        let payload = [start, &[0; 20]].concat();
        assert!(plain().decode(NAME, framed(0, &payload)).expect_err("nonsense").is_corrupt(), "{start:x?}");
    }
}

/// A frame with a right header.
fn framed(method: u8, payload: &[u8]) -> Bytes {
    let mut frame = plain().encode(NAME, &with_body(HeaderMap::new(), ""))[..HEADER].to_vec();
    frame[5] = method;
    frame.extend_from_slice(payload);
    frame::finish(NAME, &mut frame);
    frame.into()
}
