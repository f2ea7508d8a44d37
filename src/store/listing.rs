//! [`Listing`]: what a store says of its entries without their bodies, a page at a time.

use std::{fmt, time::SystemTime};

use http::StatusCode;

use crate::{
    entry::{Entry, Lifetime},
    key::Key,
    tag::{Selector, Tag},
};

/// The most entries that a page is asked for.
pub const MAX_PAGE: usize = 1000;

/// Which entries are asked for, from where on, and how many at once.
///
/// ```
/// use larder::store::Listing;
/// use larder::tag::Selector;
///
/// let first = Listing::new(Selector::label("chat:*")).limit(20);
/// # let _ = first;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct Listing {
    /// Which entries.
    pub selector: Selector,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
    /// About how many, from 1 to [`MAX_PAGE`]. A store that finds them in batches may give a few more.
    pub limit: usize,
}

impl Listing {
    /// The first page of the entries that are meant.
    pub fn new(selector: Selector) -> Self {
        Self { selector, after: None, limit: 100 }
    }

    /// The page after the one that [ended](Page::next) so. Default: the first.
    pub fn after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// How many entries a page has; less than one is one, and more than [`MAX_PAGE`] is that. Default: 100.
    pub fn limit(mut self, entries: usize) -> Self {
        self.limit = entries.clamp(1, MAX_PAGE);
        self
    }
}

/// Where a page ended. What is in it is the store's business; it is good for the same selector and the same store only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// For a store: whatever it needs to go on.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text that it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Some of the entries that were asked for.
///
/// What is in the store all the while comes in one of the pages, and in general once; what comes or goes meanwhile may be left
/// out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The entries, in no order. There may be few, or none, although there is a next page.
    pub entries: Vec<Listed>,
    /// Where to go on; `None`: this is the last page.
    pub next: Option<Cursor>,
    /// Whether a tier was left out, because it didn't answer or can't list its entries.
    pub is_partial: bool,
}

impl Page {
    /// A page to which every tier has contributed.
    #[must_use]
    pub fn new(entries: Vec<Listed>, next: Option<Cursor>) -> Self {
        Self { entries, next, is_partial: false }
    }
}

/// What is known of an entry without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// The response's status; `None` if it can't be read without the body.
    pub status: Option<StatusCode>,
    /// When the response was received.
    pub received_at: SystemTime,
    /// Freshness and windows; `None` if they can't be read without the body.
    pub lifetime: Option<Lifetime>,
    /// The bytes that it takes in the store.
    pub size: u64,
    /// How often a look-up found it since it was put there; `None` if the store doesn't count.
    pub hits: Option<u64>,
    /// Its tags, sorted; none if they can't be read without the body.
    pub tags: Vec<Tag>,
    /// The tiers that have it, by name, the nearest first.
    pub tiers: Vec<&'static str>,
}

impl Listed {
    /// What an entry says of itself; its size is that in memory.
    #[must_use]
    pub fn of(key: Key, entry: &Entry) -> Self {
        let head = entry.head();
        Self {
            key,
            status: Some(head.status()),
            received_at: head.lifetime().received_at,
            lifetime: Some(head.lifetime().clone()),
            size: entry.size() as u64,
            hits: None,
            tags: head.tag_list().to_vec(),
            tiers: Vec::new(),
        }
    }

    /// Whether a selector means it, as far as its tags are known.
    pub(super) fn is_meant(&self, selector: &Selector) -> bool {
        // Who listed by a tag what can't be read knows better.
        let is_unread = self.lifetime.is_none() && matches!(selector, Selector::Tag(_));
        is_unread || selector.matches(&self.key, &self.tags)
    }

    /// Whether it may still be of use.
    pub(super) fn is_kept(&self, now: SystemTime) -> bool {
        self.lifetime.as_ref().is_none_or(|lifetime| lifetime.kept_in(now).is_some())
    }
}
