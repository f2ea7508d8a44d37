//! Entries as bytes, for stores outside this process: [`Codec`].
//!
//! A stored entry is a header of 24 bytes and a payload. The header names the version of the format, and holds a checksum of the
//! whole and of the name under which it is kept: what was changed, cut or moved is refused. Bodies are compressed where that
//! pays. With the feature `encryption` the payload can be sealed; see `Codec::keys` for what that hides, and what it doesn't.
//!
//! ```
//! use http::{HeaderMap, StatusCode};
//! use larder::entry::{Entry, Frames, Head, Lifetime, codec::Codec};
//! # use std::time::{Duration, SystemTime};
//!
//! let lifetime = Lifetime::new(SystemTime::now(), Duration::from_secs(60));
//! let entry = Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime), Frames::whole("hello".into()));
//!
//! let codec = Codec::new();
//! let frame = codec.encode(b"its name", &entry);
//! let kept = codec.decode(b"its name", frame.clone())?;
//! assert_eq!(kept.body().data(), "hello");
//! assert!(codec.decode(b"another name", frame).unwrap_err().is_corrupt());
//! # Ok::<_, larder::entry::codec::Unreadable>(())
//! ```

mod compress;
mod error;
mod frame;
mod read;
#[cfg(feature = "encryption")]
mod seal;
#[cfg(test)]
mod tests;
mod write;

use std::{ops::Range, time::UNIX_EPOCH};

use bytes::Bytes;

#[cfg(feature = "encryption")]
#[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
pub use self::seal::KeyRing;
pub use self::{compress::Compression, error::Unreadable};
use self::{error::Kind, frame::Header};
use super::Entry;
use crate::ConfigError;

/// What the beginning of a stored entry says. Nothing of it is proven, for the checksum is over the whole.
#[cfg(feature = "redis")]
pub(crate) struct Glance {
    pub(crate) received_at: std::time::SystemTime,
    /// Status, lifetime and tags; `None` if more bytes are needed to tell, or if the payload is sealed.
    pub(crate) head: Option<(http::StatusCode, super::Lifetime, Vec<crate::tag::Tag>)>,
    /// Whether all of the bytes are needed.
    pub(crate) is_sealed: bool,
}

/// Where in a stored entry it says when the response was received.
pub(crate) const RECEIVED_AT: Range<usize> = 8..16;

/// When the response was received, as it is stored: nanoseconds since 1970, little endian.
///
/// A time before 1970 becomes 1970, and one after July 2554 the last that has such a number.
pub(crate) fn received_at_bytes(entry: &Entry) -> [u8; 8] {
    let since = entry.head().lifetime().received_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).to_le_bytes()
}

/// Turns entries into bytes and back.
///
/// A codec reads what any other wrote, however the other compresses; only their keys have to fit.
#[derive(Clone, Debug)]
#[must_use]
pub struct Codec {
    compression: Compression,
    above: usize,
    #[cfg(feature = "encryption")]
    keys: Option<std::sync::Arc<KeyRing>>,
}

impl Codec {
    /// Compresses bodies of more than a KiB with zstd at level 3, and encrypts nothing.
    pub fn new() -> Self {
        Self {
            compression: Compression::Zstd(3),
            above: 1024,
            #[cfg(feature = "encryption")]
            keys: None,
        }
    }

    /// Sets how bodies are compressed. The default is zstd at level 3.
    ///
    /// A body is left as it is if its `Content-Encoding` or media type says that it is compressed already, and if compression
    /// doesn't make it smaller.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets the size that a body must exceed to be compressed, in bytes. The default is 1024.
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.above = bytes;
        self
    }

    /// Encrypts entries with the ring's current key, and reads those that any of its keys encrypted. The default is not to.
    ///
    /// Entries are bound to their names: one that was moved, altered or made up by somebody without a key is refused. What an
    /// entry holds is hidden, but not its size, its name, when the response was received, and whether it is compressed. Nor can
    /// it be told whether an entry is the last that was stored under its name, or an older one put back.
    ///
    /// A codec with keys refuses entries that are not encrypted, and one without refuses those that are
    /// ([`Unreadable::is_sealed`]): else anyone who can write to the store could have an answer of theirs served.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    pub fn keys(mut self, keys: KeyRing) -> Self {
        self.keys = Some(std::sync::Arc::new(keys));
        self
    }

    /// Whether the settings make sense; what is built with a codec asks this.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a level is none that its compression has.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.compression.validate()
    }

    /// The entry as bytes, to be kept under the name `key`.
    ///
    /// # Panics
    ///
    /// With keys, if the operating system has no random bytes to give.
    #[must_use]
    pub fn encode(&self, key: &[u8], entry: &Entry) -> Bytes {
        let body = entry.body().data();
        // An entry takes more memory than bytes, so the frame need not grow.
        let mut frame = Vec::with_capacity(entry.size());
        let payload = self.payload();
        frame.resize(payload, 0);
        write::head(&mut frame, entry);
        let worthwhile = body.len() > self.above && compress::is_worthwhile(entry.head().headers());
        let compression = if worthwhile { self.compression } else { Compression::Off };
        let method = compression.append(body, &mut frame);
        let sealed = payload > frame::HEADER;
        frame::begin(Header { method, sealed, received_at: received_at_bytes(entry) }, &mut frame);
        #[cfg(feature = "encryption")]
        if let Some(keys) = &self.keys {
            keys.seal(key, &mut frame);
        }
        frame::finish(key, &mut frame);
        // Gives back what compression didn't need.
        frame.shrink_to_fit();
        frame.into()
    }

    /// The entry that [`encode`](Self::encode) made these bytes of, for the same `key`.
    ///
    /// Neither body nor fields are copied if the body isn't compressed and is most of the frame; they are slices of it then. The
    /// frame is decrypted in place if nobody else holds it.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], which says why. Any bytes may be given: none makes this panic, or take memory out of proportion.
    pub fn decode(&self, key: &[u8], frame: Bytes) -> Result<Entry, Unreadable> {
        let header = frame::read(key, &frame)?;
        #[cfg(feature = "encryption")]
        if let Some(keys) = &self.keys {
            if !header.sealed {
                return Err(Kind::Plain.into());
            }
            return read::entry(&header, keys.open(key, frame)?, seal::PAYLOAD);
        }
        if header.sealed {
            return Err(Kind::NoKeys.into());
        }
        read::entry(&header, frame, frame::HEADER)
    }

    /// What the beginning of a stored entry says.
    #[cfg(feature = "redis")]
    pub(crate) fn glance(&self, beginning: &Bytes) -> Result<Glance, Unreadable> {
        let header = frame::glance(beginning)?;
        let since = std::time::Duration::from_nanos(u64::from_le_bytes(header.received_at));
        let received_at = UNIX_EPOCH.checked_add(since).ok_or(Kind::Corrupt("no time"))?;
        let is_sealed = header.sealed;
        #[cfg(feature = "encryption")]
        if self.keys.is_some() && !is_sealed {
            return Err(Kind::Plain.into());
        }
        if self.payload() == frame::HEADER && is_sealed {
            return Err(Kind::NoKeys.into());
        }
        let head = if is_sealed { None } else { read::beginning(&header, beginning, frame::HEADER) };
        Ok(Glance { received_at, head, is_sealed })
    }

    /// Where the payload begins.
    fn payload(&self) -> usize {
        #[cfg(feature = "encryption")]
        if self.keys.is_some() {
            return seal::PAYLOAD;
        }
        frame::HEADER
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}
