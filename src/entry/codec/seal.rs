//! Payloads encrypted with XChaCha20-Poly1305, by keys that can be replaced while the store is in use.
//!
//! In a sealed frame, these follow the header: the id of the key (4 bytes), a random nonce (24), the payload encrypted, and the
//! authentication tag (16). What is authenticated besides the payload is the header without its checksum, and the name under
//! which the entry is kept.

use std::{fmt, str::FromStr};

use bytes::{Bytes, BytesMut};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, XNonce, aead::Generate as _};
use sha2::{Digest as _, Sha256};

use super::{
    error::{Kind, Unreadable},
    frame::{CHECKED, HEADER},
};
use crate::ConfigError;

/// Where the payload begins.
pub(super) const PAYLOAD: usize = HEADER + ID + NONCE;

const ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Keeps ids of keys apart from whatever else is ever hashed of them.
const ID_SCHEME: &[u8] = b"larder/1 entry key id";

/// The keys that entries are encrypted with: the current one, for what is stored from now on, and earlier ones, with which older
/// entries are still read.
///
/// A key is 32 random bytes, not a password. To replace one, first give the new one to every instance as `previous`, then make it
/// the current one and the old one `previous`, and drop that when the entries that it encrypted have expired.
///
/// As text, keys are 64 hexadecimal digits each, as `openssl rand -hex 32` prints them, separated by commas; the first is the
/// current one.
///
/// ```
/// use larder::entry::codec::{Codec, KeyRing};
///
/// let secret = format!("{},{}", "0a".repeat(32), "1b".repeat(32));
/// let codec = Codec::new().keys(secret.parse::<KeyRing>()?);
/// # Ok::<_, larder::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeyRing {
    current: SealingKey,
    previous: Vec<SealingKey>,
}

impl KeyRing {
    /// A ring of one key.
    pub fn new(current: [u8; 32]) -> Self {
        Self { current: SealingKey::new(current), previous: Vec::new() }
    }

    /// Adds a key with which entries are read, but not stored.
    pub fn previous(mut self, key: [u8; 32]) -> Self {
        self.previous.push(SealingKey::new(key));
        self
    }

    /// Encrypts the payload in place, behind the room that [`PAYLOAD`] leaves in front of it.
    pub(super) fn seal(&self, key: &[u8], frame: &mut Vec<u8>) {
        let SealingKey { id, cipher } = &self.current;
        let nonce = XNonce::generate();
        let (front, payload) = frame.split_at_mut(PAYLOAD);
        front[HEADER..HEADER + ID].copy_from_slice(id);
        front[HEADER + ID..].copy_from_slice(&nonce);
        let beside = authenticated(front, key);
        let tag = cipher.encrypt_inout_detached(&nonce, &beside, payload.into()).expect("less than 256 GiB");
        frame.extend_from_slice(&tag);
    }

    /// Decrypts the payload; it begins at [`PAYLOAD`].
    pub(super) fn open(&self, key: &[u8], frame: Bytes) -> Result<Bytes, Unreadable> {
        let cut = || Unreadable::from(Kind::Corrupt("cut in its seal"));
        let mut frame = frame.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        let (front, sealed) = frame.split_first_chunk_mut::<PAYLOAD>().ok_or_else(cut)?;
        let (payload, tag) = sealed.split_last_chunk_mut::<TAG>().ok_or_else(cut)?;
        let (mut id, mut nonce) = ([0; ID], XNonce::default());
        id.copy_from_slice(&front[HEADER..HEADER + ID]);
        nonce.copy_from_slice(&front[HEADER + ID..]);
        let (tag, beside) = (Tag::from(*tag), authenticated(front, key));
        let mut known = self.keys().filter(|sealing| sealing.id == id).peekable();
        if known.peek().is_none() {
            return Err(Kind::UnknownKey(id).into());
        }
        // Two keys may have one id. One that doesn't fit leaves the payload as it is.
        let opens = |sealing: &SealingKey| {
            sealing.cipher.decrypt_inout_detached(&nonce, &beside, (&mut *payload).into(), &tag).is_ok()
        };
        if !known.any(opens) {
            return Err(Kind::Unopened(id).into());
        }
        frame.truncate(frame.len() - TAG);
        Ok(frame.freeze())
    }

    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

impl FromStr for KeyRing {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut keys = text.split(',').enumerate().map(|(index, key)| {
            // The text is secret, so that the message doesn't have it.
            parse(key.trim()).ok_or_else(|| {
                let problem = format!("key {} of the text is none: expected 64 hexadecimal digits", index + 1);
                ConfigError::new("KeyRing", problem)
            })
        });
        let current = keys.next().unwrap_or_else(|| Err(ConfigError::new("KeyRing", "there is no key")))?;
        keys.try_fold(Self::new(current), |ring, key| Ok(ring.previous(key?)))
    }
}

/// The ids of the keys, which are no secret: every entry names one.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")?;
        f.debug_list().entries(self.keys().map(|key| format!("{:08x}", u32::from_be_bytes(key.id)))).finish()
    }
}

#[derive(Clone)]
struct SealingKey {
    id: [u8; ID],
    /// Wipes the key when it is dropped.
    cipher: XChaCha20Poly1305,
}

impl SealingKey {
    fn new(key: [u8; 32]) -> Self {
        let [a, b, c, d, ..]: [u8; 32] = Sha256::new().chain_update(ID_SCHEME).chain_update(key).finalize().into();
        Self { id: [a, b, c, d], cipher: XChaCha20Poly1305::new(&key.into()) }
    }
}

/// What is authenticated besides the payload. The header has one length, so that nothing can be moved between it and the name.
fn authenticated(front: &[u8], key: &[u8]) -> Vec<u8> {
    [&front[CHECKED], key].concat()
}

fn parse(hex: &str) -> Option<[u8; 32]> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    let mut key = [0; 32];
    if pairs.len() != key.len() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use crate::entry::codec::{Codec, frame::finish};

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    #[test]
    fn an_old_key_opens_what_it_sealed_for_as_long_as_the_ring_has_it() {
        let old = plain().keys(KeyRing::new(OLD));
        let rotated = plain().keys(KeyRing::new(NEW).previous([9; 32]).previous(OLD));
        let frame = old.encode(NAME, &rich());
        assert_same(&rotated.decode(NAME, frame.clone()).expect("an entry"), &rich());
        let error = plain().keys(KeyRing::new(NEW)).decode(NAME, frame).expect_err("no such key");
        assert!(error.is_sealed() && !error.is_corrupt() && !error.is_unknown_version(), "{error}");
        assert!(old.decode(NAME, rotated.encode(NAME, &rich())).expect_err("the current key seals").is_sealed());
    }

    #[test]
    fn a_ring_and_a_plain_frame_do_not_go_together() {
        let ring = plain().keys(KeyRing::new(NEW));
        assert!(ring.decode(NAME, plain().encode(NAME, &rich())).expect_err("put there by anyone").is_sealed());
        assert!(plain().decode(NAME, ring.encode(NAME, &rich())).expect_err("no keys").is_sealed());
    }

    #[test]
    fn keys_with_one_id_are_told_apart() {
        let mut ring = KeyRing::new(NEW).previous(OLD);
        ring.current.id = ring.previous[0].id;
        let frame = plain().keys(KeyRing::new(OLD)).encode(NAME, &rich());
        assert_same(&plain().keys(ring).decode(NAME, frame).expect("an entry"), &rich());
    }

    /// Whoever can write to the store can make the checksum right.
    #[test]
    fn what_was_altered_or_moved_by_intent_does_not_open() {
        let codec = Codec::new().compress_above(0).keys(KeyRing::new(NEW));
        let frame = codec.encode(NAME, &rich());
        for at in (8..16).chain(HEADER..frame.len()) {
            let mut altered = frame.to_vec();
            altered[at] ^= 1;
            finish(NAME, &mut altered);
            assert!(codec.decode(NAME, altered.into()).expect_err("altered").is_sealed(), "{at}");
        }
        let mut packed = frame.to_vec();
        packed[5] ^= 1;
        finish(NAME, &mut packed);
        assert!(codec.decode(NAME, packed.into()).expect_err("another compression").is_sealed());
        let mut moved = frame.to_vec();
        finish(b"another", &mut moved);
        assert!(codec.decode(b"another", moved.into()).expect_err("moved").is_sealed());
        for end in HEADER..frame.len() {
            let mut cut = frame[..end].to_vec();
            finish(NAME, &mut cut);
            let error = codec.decode(NAME, cut.into()).expect_err("cut");
            assert_eq!(error.is_corrupt(), end < PAYLOAD + TAG, "{end}: {error}");
        }
    }

    #[test]
    fn a_sealed_frame_shows_nothing_of_its_entry_and_no_two_are_alike() {
        let codec = plain().keys(KeyRing::new(NEW));
        let (one, other) = (codec.encode(NAME, &rich()), codec.encode(NAME, &rich()));
        for secret in [&b"data:"[..], b"set-cookie", b"gpt-4o"] {
            assert!(!one.windows(secret.len()).any(|bytes| bytes == secret));
        }
        assert_eq!(one[..16], other[..16]);
        assert_ne!(one[HEADER + ID..PAYLOAD], other[HEADER + ID..PAYLOAD]);
        assert_ne!(one[PAYLOAD..], other[PAYLOAD..]);
    }

    #[test]
    fn an_unshared_frame_is_opened_where_it_lies() {
        let codec = plain().keys(KeyRing::new(NEW));
        let frame = codec.encode(NAME, &with_body(http::HeaderMap::new(), vec![b'x'; 4096]));
        let place = frame.as_ptr_range();
        let kept = codec.decode(NAME, frame).expect("an entry");
        assert!(place.contains(&kept.body().data().as_ptr()));
    }

    #[test]
    fn keys_are_read_from_text_and_never_shown() {
        let text = format!("{}, {}\n", "aB".repeat(32), "01".repeat(32));
        let ring: KeyRing = text.parse().expect("two keys");
        let frame = plain().keys(KeyRing::new([0xab; 32])).encode(NAME, &rich());
        assert!(plain().keys(ring.clone()).decode(NAME, frame).is_ok());
        assert_eq!((ring.current.id, ring.previous.len()), (SealingKey::new([0xab; 32]).id, 1));
        let shown = format!("{:?} {:?}", ring, plain().keys(ring.clone()));
        assert!(!shown.to_lowercase().contains("abab") && !shown.contains("171"), "{shown}");

        let short = "a".repeat(63);
        for wrong in ["", ",", "password", &short, &"é".repeat(32), &"+a".repeat(32), &format!("{},", "a".repeat(64))]
        {
            let error = wrong.parse::<KeyRing>().expect_err(wrong).to_string();
            assert!(error.starts_with("KeyRing: ") && (wrong.len() < 2 || !error.contains(wrong)), "{error}");
        }
    }
}
