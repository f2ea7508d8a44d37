use proptest::{collection::vec, prelude::*};

use super::{arbitrary::entry, *};
use crate::entry::codec::frame::HEADER;

fn codecs() -> Vec<Codec> {
    let compressions = [Compression::Off, Compression::Lz4, Compression::Zstd(1)];
    compressions.map(|compression| Codec::new().compression(compression).compress_above(0)).into()
}

#[cfg(feature = "encryption")]
fn sealed(codec: &Codec) -> Codec {
    codec.clone().keys(KeyRing::new([7; 32]))
}

proptest! {
    #[test]
    fn an_entry_comes_back_whatever_the_compression(entry in entry(), key in vec(any::<u8>(), 0..100)) {
        for codec in codecs() {
            let frame = codec.encode(&key, &entry);
            assert_same(&Codec::new().decode(&key, frame).expect("an entry"), &entry);
        }
    }

    #[cfg(feature = "encryption")]
    #[test]
    fn a_sealed_entry_comes_back_whatever_the_compression(entry in entry(), key in vec(any::<u8>(), 0..100)) {
        for codec in codecs() {
            let frame = sealed(&codec).encode(&key, &entry);
            let unshared = Bytes::from(frame.to_vec());
            for frame in [frame.clone(), frame, unshared] {
                assert_same(&sealed(&Codec::new()).decode(&key, frame).expect("an entry"), &entry);
            }
        }
    }

    #[test]
    fn an_entry_is_larger_than_its_frame(entry in entry()) {
        prop_assert!(plain().encode(NAME, &entry).len() <= entry.size());
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(plain().decode(NAME, bytes.into()).is_err());
    }

    /// The checksum is right, so that nothing else protects the reader.
    #[test]
    fn any_payload_is_read_without_panic(flags in 0..4u8, payload in vec(prop_oneof![0..8u8, any::<u8>()], 0..300)) {
        let mut frame = plain().encode(NAME, &with_body(HeaderMap::new(), ""))[..HEADER].to_vec();
        frame[5] = flags;
        frame.extend(payload);
        frame::finish(NAME, &mut frame);
        let _ = plain().decode(NAME, frame.into());
    }

    #[test]
    fn any_change_of_a_payload_is_read_without_panic(
        entry in entry(), at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        for codec in codecs() {
            let mut frame = codec.encode(NAME, &entry).to_vec();
            let at = HEADER + at.index(frame.len() - HEADER);
            frame[at] = byte;
            frame.truncate(if cut { at } else { frame.len() });
            frame::finish(NAME, &mut frame);
            let _ = codec.decode(NAME, frame.into());
        }
    }
}
