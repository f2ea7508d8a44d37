//! [`RateLimitStatus`]: what the layer decided, for whoever handles the response.

use std::time::Duration;

use super::{Policy, Standing};

/// What the layer decided of a request, and how the limits stand. Put into the extensions of the response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RateLimitStatus {
    /// Who decided what.
    pub outcome: Outcome,
    /// The limits that are known to be for the request. After a denial it may be that only those that deny are known.
    pub limits: Vec<(Policy, Standing)>,
    /// How long until the same request finds room, as far as anybody knows.
    pub retry_after: Option<Duration>,
}

/// Who decided what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// There was room.
    Allowed,
    /// There was none.
    Denied,
    /// A provider said before that it has no room.
    Learned,
    /// The limiter did not answer, and the request was let through.
    FailedOpen,
    /// The limiter did not answer, and the request was refused.
    FailedClosed,
    /// The limiter did not answer, and there was room in this process's own share.
    LocalAllowed,
    /// The limiter did not answer, and there was no room in this process's own share.
    LocalDenied,
}

impl Outcome {
    /// The outcome in a word, for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Learned => "learned",
            Self::FailedOpen => "failed-open",
            Self::FailedClosed => "failed-closed",
            Self::LocalAllowed => "local-allowed",
            Self::LocalDenied => "local-denied",
        }
    }
}
