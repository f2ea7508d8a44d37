//! What the decoders make of whole, cut, padded and hostile bodies.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use proptest::prelude::*;

use super::*;

fn encode(coding: Coding, text: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
        }
        Coding::Brotli => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 18).write_all(text).expect("memory");
            out
        }
        #[cfg(feature = "zstd")]
        Coding::Zstd => ::zstd::encode_all(text, 3).expect("memory"),
    }
}

fn all() -> Vec<Coding> {
    let codings = vec![Coding::Gzip, Coding::Deflate, Coding::Brotli];
    #[cfg(feature = "zstd")]
    let codings = [codings, vec![Coding::Zstd]].concat();
    codings
}

const TEXT: &[u8] = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n";

#[test]
fn a_body_that_is_cut_or_goes_on_is_not_decoded() {
    for coding in all() {
        let whole = encode(coding, TEXT);
        assert_eq!(decode(&[coding], &whole).as_deref(), Ok(TEXT), "{coding:?}");
        for end in 0..whole.len() {
            assert_eq!(decode(&[coding], &whole[..end]), Err(Undecodable::Broken), "{coding:?} cut at {end}");
        }
        let padded = [&whole[..], b"more"].concat();
        assert_eq!(decode(&[coding], &padded), Err(Undecodable::Broken), "{coding:?}");
        assert_eq!(decode(&[coding], b"data: plain\n\n"), Err(Undecodable::Broken), "{coding:?}");
    }
}

#[test]
fn a_bomb_is_given_up_at_the_limit() {
    let zeros = vec![0; LIMIT];
    for coding in all() {
        let bomb = encode(coding, &zeros);
        assert!(bomb.len() < LIMIT / 100, "{coding:?}");
        assert_eq!(decode(&[coding], &bomb).map(|text| text.len()), Ok(LIMIT), "{coding:?}");
        let more = encode(coding, &[&zeros[..], b"\0"].concat());
        assert_eq!(decode(&[coding], &more), Err(Undecodable::TooLarge), "{coding:?}");
    }
}

/// A few kilobytes stand for gigabytes of blocks with nothing in them.
#[test]
fn a_bomb_of_nothing_is_given_up_at_the_limit_behind_any_coding() {
    const EMPTY_BLOCK: &[u8] = b"\0\0\0\xff\xff";
    let nothing = EMPTY_BLOCK.repeat(LIMIT / EMPTY_BLOCK.len() + 1);
    for coding in all() {
        let bomb = encode(coding, &nothing);
        assert_eq!(decode(&[Coding::Deflate, coding], &bomb), Err(Undecodable::TooLarge), "{coding:?}");
    }
}

#[test]
fn a_stream_that_flushes_its_events_is_read_event_by_event() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut decoder = Decoder::new(&[Coding::Gzip], Vec::new()).expect("memory");
    for count in 1..=3 {
        gzip.write_all(TEXT).and_then(|()| gzip.flush()).expect("memory");
        let sent = std::mem::take(gzip.get_mut());
        assert_eq!(decoder.read(&sent), Ok(()));
        assert_eq!(decoder.get_ref().len(), count * TEXT.len());
    }
}

#[test]
fn deflate_without_its_wrapper_is_read_too() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let raw = encoder.write_all(TEXT).and_then(|()| encoder.finish()).expect("memory");
    assert_eq!(decode(&[Coding::Deflate], &raw).as_deref(), Ok(TEXT));
    assert_eq!(decode(&[Coding::Deflate], &raw[..raw.len() - 1]), Err(Undecodable::Broken));
}

#[test]
fn gzip_may_have_several_members() {
    let twice = [encode(Coding::Gzip, TEXT), encode(Coding::Gzip, TEXT)].concat();
    assert_eq!(decode(&[Coding::Gzip], &twice).map(Cow::into_owned), Ok([TEXT, TEXT].concat()));
}

proptest! {
    #[test]
    fn codings_come_off_in_reverse_order_whatever_the_pieces(
        text: Vec<u8>, codings in prop::collection::vec(prop::sample::select(all()), 0..4), size in 1_usize..50,
    ) {
        let encoded = codings.iter().fold(text.clone(), |body, coding| encode(*coding, &body));
        let mut decoder = Decoder::new(&codings, Vec::new()).expect("memory");
        for piece in encoded.chunks(size) {
            prop_assert_eq!(decoder.read(piece), Ok(()));
        }
        prop_assert_eq!(decoder.finish(), Ok(text));
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        body: Vec<u8>, coding in prop::sample::select(all()), cut in 0_usize..60, flip in 0_usize..60,
    ) {
        let _ = decode(&[coding], &body);
        let mut damaged = encode(coding, TEXT);
        let at = flip % damaged.len();
        damaged[at] ^= 0x55;
        damaged.truncate(damaged.len().saturating_sub(cut));
        let _ = decode(&[coding], &damaged);
    }
}
