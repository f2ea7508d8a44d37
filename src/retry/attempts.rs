//! [`Attempts`]: what an answer took.

use http::Response;

use super::FallbackKind;

/// What an answer took: an extension of responses that took more than one attempt, or that something else stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempts {
    /// How many attempts were made, at all upstreams together.
    pub made: u32,
    /// What stood in for the upstream's answer.
    pub fallback: Option<FallbackKind>,
}

/// How many attempts were made for a request so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Made {
    /// By this layer.
    pub(super) here: u32,
    /// By layers further in, besides those that they were asked for.
    pub(super) further_in: u32,
}

impl Made {
    pub(super) fn all(self) -> u32 {
        self.here + self.further_in
    }
}

impl Attempts {
    /// What a response took; one attempt, if it doesn't say.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Self {
        response.extensions().get().copied().unwrap_or(Self { made: 1, fallback: None })
    }
}
