//! [`DigestState`]: how maps by key find their way.

use std::hash::{BuildHasher, Hasher};

/// A key is a cryptographic digest: any eight bytes of it are a hash that nobody can steer.
#[derive(Clone)]
pub(crate) struct DigestState;

impl BuildHasher for DigestState {
    type Hasher = DigestHasher;

    fn build_hasher(&self) -> DigestHasher {
        DigestHasher(0)
    }
}

pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length that stands before every digest.
    }
}
