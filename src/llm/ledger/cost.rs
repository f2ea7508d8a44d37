//! [`Cost`]: what one answer cost, or saved.

use http::Response;

use super::bill::Bill;
use crate::{
    entry::Note,
    llm::{NanoDollars, Usage},
};

/// What an answer cost, or saved: an extension of the responses that a [`Ledger`](super::Ledger) counts.
///
/// What a fetch costs is known when its body has ended; so is what those save who share it.
#[derive(Clone, Debug)]
pub struct Cost {
    pub(super) reason: Reason,
    pub(super) kind: Kind,
    pub(super) note: Option<Note>,
}

/// Why something was saved, or spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Saved: what is stored was the answer.
    Hit,
    /// Saved: another request's fetch was the answer.
    Coalesced,
    /// Saved: what is stored and stale was the answer, while it was refreshed or in place of an error.
    Stale,
    /// Saved or spent: all else had failed, and something stale, another upstream or a default was the answer.
    Fallback,
    /// Spent: nothing stored was the answer.
    Miss,
    /// Spent: the request passed by the cache.
    Bypass,
    /// Spent: what was served stale was refreshed. No client waited for it.
    Refresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Saves,
    Spends,
    /// Nobody was asked.
    Free,
}

impl Reason {
    pub(super) const ALL: [Self; 7] =
        [Self::Hit, Self::Coalesced, Self::Stale, Self::Fallback, Self::Miss, Self::Bypass, Self::Refresh];

    /// The reason in a word, for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Coalesced => "coalesced",
            Self::Stale => "stale",
            Self::Fallback => "fallback",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
            Self::Refresh => "refresh",
        }
    }
}

impl Cost {
    /// What a response cost, or saved; `None` if no ledger counted it.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Option<&Self> {
        response.extensions().get()
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether the body that it depends on has ended.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.note.as_ref().is_none_or(Note::is_written)
    }

    /// The model that answered, once it is known.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.bill().map(|bill| bill.model).filter(|model| !model.is_empty())
    }

    /// How many tokens the answer took when it was bought; `None` if it doesn't say, or not yet.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.bill()?.usage
    }

    /// What was paid for this response. `None` if that isn't known, or not yet.
    #[must_use]
    pub fn spent(&self) -> Option<NanoDollars> {
        if self.kind == Kind::Spends { self.bill()?.cost } else { Some(NanoDollars::ZERO) }
    }

    /// What would have been paid for this response: what its answer cost when it was bought. `None` if that isn't
    /// known, or not yet.
    #[must_use]
    pub fn saved(&self) -> Option<NanoDollars> {
        if self.kind == Kind::Saves { self.bill()?.cost } else { Some(NanoDollars::ZERO) }
    }

    fn bill(&self) -> Option<Bill<'_>> {
        Bill::decode(self.note.as_ref()?.text()?)
    }
}
