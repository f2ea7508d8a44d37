//! The keys that a thread made last, each at a place that its bytes name.
//!
//! All bytes are compared, so that no two requests are ever taken for one.

use std::cell::RefCell;

use super::{Buffer, GATHERED, Key};

thread_local! {
    static RECENT: RefCell<Recent> = const { RefCell::new(Recent(Vec::new())) };
}

/// The key of these bytes: the one that was made of them before, or a new one.
pub(super) fn get_or_make(bytes: &[u8], make: impl FnOnce() -> Key) -> Key {
    RECENT.with_borrow_mut(|recent| recent.get_or_make(bytes, make))
}

struct Recent(Vec<Option<(Buffer<GATHERED>, Key)>>);

impl Recent {
    /// About 100 KiB.
    const PLACES: usize = 256;

    fn get_or_make(&mut self, bytes: &[u8], make: impl FnOnce() -> Key) -> Key {
        if self.0.is_empty() {
            self.0.resize_with(Self::PLACES, || None);
        }
        let place = &mut self.0[Self::place(bytes)];
        if let Some((known, key)) = place
            && known.bytes() == bytes
        {
            return key.clone();
        }
        let key = make();
        let (known, of_known) = place.get_or_insert_with(|| (Buffer::new(), key.clone()));
        known.bytes[..bytes.len()].copy_from_slice(bytes);
        known.len = bytes.len();
        of_known.clone_from(&key);
        key
    }

    /// Any function of the bytes will do; one that is bad at it costs time, and no more.
    fn place(bytes: &[u8]) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (words, rest) = bytes.as_chunks::<8>();
        let mut hash = bytes.len() as u64;
        for word in words {
            hash = (hash.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        }
        for byte in rest {
            hash = (hash.rotate_left(23) ^ u64::from(*byte)).wrapping_mul(ODD);
        }
        (hash >> 56) as usize % Self::PLACES
    }
}
