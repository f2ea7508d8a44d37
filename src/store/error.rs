//! What a store fails with.

use std::{error::Error, fmt};

use crate::BoxError;

/// The result of a store's call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A store's failure. No request fails by it: it is counted, and told to `tracing`.
#[derive(Debug)]
pub struct StoreError {
    kind: Kind,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Unavailable,
    Refused,
    Timeout,
    Corrupt,
    Unsupported,
    BadCursor,
}

impl StoreError {
    /// The store can't be reached, or refuses to work.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Unavailable, source: Some(source.into()) }
    }

    /// The store failed before, and isn't asked for a while.
    #[must_use]
    pub fn refused() -> Self {
        Self { kind: Kind::Refused, source: None }
    }

    /// The store didn't answer in time.
    #[must_use]
    pub fn timeout() -> Self {
        Self { kind: Kind::Timeout, source: None }
    }

    /// What the store holds can't be read.
    pub fn corrupt(source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::Corrupt, source: Some(source.into()) }
    }

    /// The store can't do what it was asked, ever.
    #[must_use]
    pub fn unsupported() -> Self {
        Self { kind: Kind::Unsupported, source: None }
    }

    /// A [cursor](super::Cursor) is none that the store gave.
    #[must_use]
    pub fn bad_cursor() -> Self {
        Self { kind: Kind::BadCursor, source: None }
    }

    /// Whether the store failed before, and wasn't asked: that was told when it began.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind, Kind::Refused)
    }

    /// Whether the store didn't answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, Kind::Timeout)
    }

    /// Whether what the store holds can't be read.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(self.kind, Kind::Corrupt)
    }

    /// Whether the store can't do what it was asked, ever.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self.kind, Kind::Unsupported)
    }

    /// Whether a cursor is none that the store gave.
    #[must_use]
    pub fn is_bad_cursor(&self) -> bool {
        matches!(self.kind, Kind::BadCursor)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Unavailable => "the store is unavailable; check that it runs and can be reached",
            Kind::Refused => "the store failed before and is not asked until it answers again; check that it runs",
            Kind::Timeout => "the store did not answer in time; check its load, or raise its deadline",
            Kind::Corrupt => "the store holds an entry that can't be read; it counts as missing",
            Kind::Unsupported => "the store can't list its entries; ask for one by its key, or implement Store::list",
            Kind::BadCursor => "the cursor is none that this store gave; begin again without one",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
