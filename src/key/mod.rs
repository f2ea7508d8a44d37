//! What a stored response is found by: a 256-bit digest and a label that people can read.
//!
//! A [`Key`] is made by a [`KeyBuilder`] from named fields. Names and values are hashed with their lengths in
//! front, so that no bytes can be moved from one field into the next without changing the key, and under a
//! schema version, so that a change of the scheme never reads what an older one wrote.
//!
//! A cache is asked for the same things over and over, so each thread remembers the keys that it made last, by all the bytes
//! that went into them.

mod recent;

use std::{fmt, hash, str::FromStr, sync::Arc};

use sha2::{Digest as _, Sha256};

/// Raised whenever the same request would get another key than before; `tests/it/llm/corpus` says how its golden keys are then
/// written anew.
const SCHEMA: &[u8] = b"larder/1";

/// The longest label, in bytes; what is longer is cut.
pub const MAX_LABEL: usize = 128;

/// The identity of a request, as a store knows it.
///
/// Two keys are equal if their digests are; the label is part of what is digested.
#[derive(Clone)]
pub struct Key {
    digest: [u8; 32],
    label: Arc<str>,
}

impl Key {
    /// The SHA-256 digest: 32 bytes.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The readable part, for example `chat:gpt-4o`; never contains white space, a secret or a body.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The bytes of memory that a key takes, its label included.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.label.len() + 2 * size_of::<usize>()
    }

    /// Begins a key that belongs to this one, such as that of a variant; it keeps the label.
    pub(crate) fn derive(&self, scheme: &str) -> KeyBuilder {
        let mut builder = KeyBuilder::new(scheme);
        builder.add_label(&self.label);
        builder.field("parent", self.digest)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Key {}

impl hash::Hash for Key {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// `label:hex digest`, which [`Key::from_str`] reads.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.label)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let (label, hex) = text.rsplit_once(':').ok_or(InvalidKey)?;
        if hex.len() != 64 || label.len() > MAX_LABEL || !label.bytes().all(is_label_byte) {
            return Err(InvalidKey);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let nibble = |c: u8| (c as char).to_digit(16).ok_or(InvalidKey);
            *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
        }
        Ok(Self { digest, label: label.into() })
    }
}

/// A text that is not a key: expected `label:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a key: expected a label, a colon and 64 hexadecimal digits")
    }
}

impl std::error::Error for InvalidKey {}

/// Puts a [`Key`] together from named fields; their order counts.
///
/// ```
/// use larder::key::KeyBuilder;
///
/// let key = |first: &str, second: &str| {
///     KeyBuilder::new("example").field("first", first).field("second", second).label("example").finish()
/// };
/// assert_eq!(key("ab", "c"), key("ab", "c"));
/// assert_ne!(key("ab", "c"), key("a", "bc"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeyBuilder {
    hash: Sha256,
    /// What is still to be hashed: a hasher costs more by the call than by the byte.
    pending: Buffer<GATHERED>,
    /// Whether some of it has been hashed already.
    flushed: bool,
    label: Buffer<MAX_LABEL>,
}

/// Enough for the fields of most requests.
const GATHERED: usize = 256;

impl KeyBuilder {
    /// Begins a key of a kind: `scheme` keeps the keys of different fingerprints apart.
    pub fn new(scheme: &str) -> Self {
        let mut builder = Self { hash: Sha256::new(), pending: Buffer::new(), flushed: false, label: Buffer::new() };
        builder.prefixed(SCHEMA);
        builder.prefixed(scheme.as_bytes());
        builder
    }

    /// Adds a field.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.add(name, value.as_ref());
        self
    }

    /// Adds a field that is there or not, which are two different things.
    pub fn optional(mut self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        if let Some(value) = value {
            self.add(name, value.as_ref());
        }
        self
    }

    /// Adds a field whose bytes are written in pieces; where the pieces end doesn't count.
    pub fn streamed(mut self, name: &str, write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Self {
        let mut hash = Sha256::new();
        write(&mut |piece| hash.update(piece));
        self.add(name, &hash.finalize());
        self
    }

    /// Adds to the label. Bytes that could not stand in every store's key (white space, controls, glob and hash-tag
    /// characters) become `_`; what exceeds [`MAX_LABEL`] is cut.
    pub fn label(mut self, part: &str) -> Self {
        self.add_label(part);
        self
    }

    /// The finished key.
    #[must_use]
    pub fn finish(mut self) -> Key {
        self.make()
    }

    /// As [`Self::finish`], in place; once.
    pub(crate) fn make(&mut self) -> Key {
        let label = self.label;
        self.add("label", label.bytes());
        let Self { hash, pending, flushed, .. } = self;
        if *flushed {
            return digest(hash, pending.bytes(), label.bytes());
        }
        recent::get_or_make(pending.bytes(), || digest(hash, pending.bytes(), label.bytes()))
    }

    /// As [`Self::field`], in place.
    #[inline]
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        let (name, split) = (name.as_bytes(), name.len() + 1);
        let free = self.pending.bytes[self.pending.len..].get_mut(..split + 1 + value.len());
        match free {
            // The common case at once: both lengths take a byte, and there is room.
            Some(free) if split <= 0x80 && value.len() < 0x80 => {
                free[0] = name.len() as u8;
                free[1..split].copy_from_slice(name);
                free[split] = value.len() as u8;
                free[split + 1..].copy_from_slice(value);
                self.pending.len += split + 1 + value.len();
            }
            Some(_) | None => {
                self.prefixed(name);
                self.prefixed(value);
            }
        }
    }

    /// As [`Self::label`], in place.
    pub(crate) fn add_label(&mut self, part: &str) {
        for byte in part.bytes().take(MAX_LABEL - self.label.len) {
            self.label.bytes[self.label.len] = if is_label_byte(byte) { byte } else { b'_' };
            self.label.len += 1;
        }
    }

    /// Hashes bytes with their length in front, as LEB128: one byte for what is short.
    fn prefixed(&mut self, bytes: &[u8]) {
        let (mut prefix, mut used, mut rest) = ([0; 10], 0, bytes.len());
        while rest >= 0x80 {
            prefix[used] = rest as u8 | 0x80;
            (used, rest) = (used + 1, rest >> 7);
        }
        prefix[used] = rest as u8;
        self.write(&prefix[..=used]);
        self.write(bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.len() > GATHERED - self.pending.len {
            self.hash.update(self.pending.bytes());
            self.pending.len = 0;
            self.flushed = true;
        }
        match self.pending.bytes[self.pending.len..].get_mut(..bytes.len()) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.pending.len += bytes.len();
            }
            None => {
                self.hash.update(bytes);
                self.flushed = true;
            }
        }
    }
}

fn digest(hash: &mut Sha256, pending: &[u8], label: &[u8]) -> Key {
    hash.update(pending);
    // Labels are ASCII: see `is_label_byte`.
    let label = str::from_utf8(label).unwrap_or_default().into();
    Key { digest: hash.finalize_reset().into(), label }
}

/// Shows the label alone: fields may be secrets.
impl fmt::Debug for KeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = String::from_utf8_lossy(self.label.bytes());
        f.debug_struct("KeyBuilder").field("label", &label).finish_non_exhaustive()
    }
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'*' | b'?' | b'[' | b']' | b'{' | b'}' | b'\\' | b'"')
}

/// Bytes in place.
#[derive(Clone, Copy)]
struct Buffer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Buffer<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(fields: &[(String, Vec<u8>)]) -> Key {
        fields.iter().fold(KeyBuilder::new("test"), |key, (name, value)| key.field(name, value)).finish()
    }

    /// A key that changes between releases is a lost cache.
    #[test]
    fn golden_vector() {
        let key = KeyBuilder::new("golden")
            .field("method", "GET")
            .optional("none", None::<&str>)
            .label("chat:gpt-4o")
            .finish();
        assert_eq!(key.to_string(), "chat:gpt-4o:1ae887fbb33375ae80fdcfa02e8770fd0a14998c7cdc410c133f4d8161974207");
    }

    #[test]
    fn a_label_cannot_break_out_of_a_store_key() {
        let key = KeyBuilder::new("test").label("chat:{a} *\n\u{e9}").finish();
        assert_eq!(key.label(), "chat:_a______");
        let long = KeyBuilder::new("test").label(&"x".repeat(1000)).finish();
        assert_eq!(long.label().len(), MAX_LABEL);
    }

    #[test]
    fn a_key_that_is_remembered_is_the_one_that_would_be_made() {
        let make = |name: &str| KeyBuilder::new("test").field("name", name).label("label").finish();
        let names: Vec<String> = (0..2000).map(|name| "x".repeat(name % 300) + &name.to_string()).collect();
        let first: Vec<_> = names.iter().map(|name| make(name)).collect();
        for (name, key) in names.iter().zip(&first) {
            assert_eq!((&make(name), make(name).label()), (key, "label"));
            let fresh = std::thread::scope(|scope| scope.spawn(|| make(name)).join().expect("joined"));
            assert_eq!(&fresh, key, "a thread that remembers nothing makes the same");
        }
    }

    #[test]
    fn a_printed_key_reads_back() {
        let key = KeyBuilder::new("test").label("get:example.com:80/a").finish();
        let read: Key = key.to_string().parse().expect("what Display wrote");
        assert_eq!((read.clone(), read.label()), (key.clone(), key.label()));
        for text in ["", "a", "a:b", &format!("a b:{}", "0".repeat(64)), &format!("a:{}", "g".repeat(64))] {
            assert_eq!(text.parse::<Key>(), Err(InvalidKey), "{text}");
        }
    }

    #[test]
    fn pieces_do_not_count_but_bytes_do() {
        let streamed = |pieces: &[&[u8]]| {
            KeyBuilder::new("test").streamed("body", |sink| pieces.iter().for_each(|piece| sink(piece))).finish()
        };
        assert_eq!(streamed(&[b"abc"]), streamed(&[b"a", b"", b"bc"]));
        assert_ne!(streamed(&[b"abc"]), streamed(&[b"abd"]));
    }

    proptest! {
        #[test]
        fn different_fields_never_share_a_key(
            a in prop::collection::vec((".{0,4}", prop::collection::vec(any::<u8>(), 0..4)), 0..4),
            b in prop::collection::vec((".{0,4}", prop::collection::vec(any::<u8>(), 0..4)), 0..4),
        ) {
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }

        #[test]
        fn shifting_bytes_between_fields_changes_the_key(text in prop::collection::vec(any::<u8>(), 1..40), at in 0usize..40, by in 0usize..40) {
            let (at, by) = (at % (text.len() + 1), by % (text.len() + 1));
            let split = |n: usize| key(&[("a".into(), text[..n].to_vec()), ("b".into(), text[n..].to_vec())]);
            prop_assert_eq!(at == by, split(at) == split(by));
        }
    }
}
