//! Whether a finished response body is whole, so that it may be kept.
//!
//! The transport's framing proves that a body was not cut on its way. It does not prove that the
//! answer in it is one: an LLM stream may stop in the middle of a sentence, or carry an error,
//! inside a clean `200`. A [`Completeness`] looks at the whole body, once, after its clean end and
//! before it is stored.
//!
//! - [`EndOfStream`] is the default: it reads event streams, and trusts the framing of all else.
//! - [`Llm`] reads JSON answers too, and finds out by their content whose they are.
//! - [`OpenAi`], [`Anthropic`] and [`Gemini`] expect one provider's formats.
//!
//! They look into compressed bodies too, by their `Content-Encoding`: `gzip`, `deflate`, `br`, and
//! with the feature `zstd` that; up to four on top of each other. At most 64 MiB are decoded, and
//! kept for as long as the check takes; a body with more in it is not kept, nor is one whose coding
//! is broken or unknown. What is stored is the body as it came.
//!
//! A closure will do as well:
//!
//! ```
//! use http::{HeaderMap, StatusCode};
//! use larder::policy::completeness::{Completeness, Verdict};
//!
//! let at_least_a_line = |_: StatusCode, _: &HeaderMap, body: &[u8]| match body.last() {
//!     Some(b'\n') => Verdict::Complete,
//!     _ => Verdict::Incomplete("no-last-line"),
//! };
//! let verdict = at_least_a_line.check(StatusCode::OK, &HeaderMap::new(), b"cut he");
//! assert_eq!(verdict, Verdict::Incomplete("no-last-line"));
//! ```

mod anthropic;
#[cfg(test)]
mod encoded;
mod finish;
mod gemini;
mod llm;
mod openai;
mod payload;
mod responses;
pub mod sse;

#[cfg(test)]
mod transcripts;

use http::{HeaderMap, StatusCode};

pub use self::{
    anthropic::Anthropic,
    gemini::Gemini,
    llm::{EndOfStream, Llm},
    openai::OpenAi,
};

/// Decides whether a response may be kept, now that its body has come to an end.
///
/// It is asked once for each response that a policy wants to keep, off the path of the client's
/// bytes. It should answer from its arguments alone.
pub trait Completeness: Send + Sync + 'static {
    /// Judges a whole `body`, as it came over the wire, with the head that came before it.
    fn check(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict;
}

impl<F> Completeness for F
where
    F: Fn(StatusCode, &HeaderMap, &[u8]) -> Verdict + Send + Sync + 'static,
{
    fn check(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        self(status, headers, body)
    }
}

// A layer keeps whichever was chosen behind a pointer.
const _: fn(&dyn Completeness) = |_| {};

/// What a [`Completeness`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The body is whole, and may be kept.
    Complete,
    /// The body must not be kept, for a reason that is fit for a metric's label.
    ///
    /// Those of this module are `status`, `encoded` (in a way that isn't known here),
    /// `invalid-encoding`, `too-large` (when decoded), `truncated`, `invalid-json`,
    /// `unknown-stream`, `error-event`, `error`, `no-choices`, `no-finish-reason`, `no-terminal-event`,
    /// `not-completed`, `finish-length`, `finish-content-filter` and `finish-error`.
    Incomplete(&'static str),
}

impl Verdict {
    /// Whether this is [`Verdict::Complete`].
    #[must_use]
    pub fn is_complete(self) -> bool {
        self == Self::Complete
    }

    fn of(outcome: Result<(), Reason>) -> Self {
        match outcome {
            Ok(()) => Self::Complete,
            Err(reason) => Self::Incomplete(reason),
        }
    }
}

/// The token of a [`Verdict::Incomplete`].
type Reason = &'static str;
