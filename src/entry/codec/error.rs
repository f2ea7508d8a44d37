//! Why stored bytes are not an entry.

use std::{error::Error, fmt};

/// Stored bytes that can't be read. There is no entry for whoever looked it up; what is to be done about it, the message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Corrupt(&'static str),
    UnknownVersion(u8),
    NoKeys,
    #[cfg(feature = "encryption")]
    UnknownKey([u8; 4]),
    #[cfg(feature = "encryption")]
    Unopened([u8; 4]),
    #[cfg(feature = "encryption")]
    Plain,
}

impl Unreadable {
    /// Whether the bytes are damaged, are kept under another name than they were stored for, or were never an entry.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(self.0, Kind::Corrupt(_))
    }

    /// Whether another release of larder stored them, in a format that this one doesn't know.
    #[must_use]
    pub fn is_unknown_version(&self) -> bool {
        matches!(self.0, Kind::UnknownVersion(_))
    }

    /// Whether encryption is in the way: there is no key to open them with, they don't open, or they are not encrypted though they
    /// should be.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        !self.is_corrupt() && !self.is_unknown_version()
    }
}

impl From<Kind> for Unreadable {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "encryption")]
        let id = |id: [u8; 4]| format!("{:08x}", u32::from_be_bytes(id));
        match self.0 {
            Kind::Corrupt(what) => write!(f, "a stored entry is corrupt ({what}), and counts as absent; remove it"),
            Kind::UnknownVersion(version) => write!(
                f,
                "a stored entry has the format version {version}, of which this release knows nothing, and counts as absent; it \
                 is replaced in time, unless a release that knows it shares the store"
            ),
            Kind::NoKeys => f.write_str(
                "a stored entry is encrypted, and counts as absent, for the codec has no keys; give it those that the entry was \
                 stored with (Codec::keys)",
            ),
            #[cfg(feature = "encryption")]
            Kind::UnknownKey(key) => write!(
                f,
                "a stored entry is encrypted with the key {}, and counts as absent, for the ring lacks that key; add it \
                 (KeyRing::previous) until the entries that need it have expired",
                id(key)
            ),
            #[cfg(feature = "encryption")]
            Kind::Unopened(key) => write!(
                f,
                "a stored entry does not open with the key {} that it names, and counts as absent; somebody without the key \
                 wrote it, so see who can write to the store",
                id(key)
            ),
            #[cfg(feature = "encryption")]
            Kind::Plain => f.write_str(
                "a stored entry is not encrypted, and counts as absent, for the codec has keys; it is older than they are, or see \
                 who can write to the store",
            ),
        }
    }
}

impl Error for Unreadable {}
