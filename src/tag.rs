//! Names for groups of entries, and the ways to say which entries are meant.
//!
//! An origin names groups in the fields `Surrogate-Key` (separated by spaces, as Fastly and Varnish read it) and
//! `Cache-Tag` (separated by commas, as Cloudflare and Akamai do). A [`Selector`] picks entries to be purged.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use crate::key::Key;

/// The longest tag, in bytes.
pub const MAX_TAG: usize = 1024;

/// The name of a group of entries, for example `model:gpt-4o`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// A tag of 1 to [`MAX_TAG`] visible ASCII characters without a comma.
    ///
    /// # Errors
    ///
    /// [`InvalidTag`] where the text is empty, too long, or holds any other character.
    pub fn new(text: &str) -> Result<Self, InvalidTag> {
        let valid =
            (1..=MAX_TAG).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if valid { Ok(Self(text.into())) } else { Err(InvalidTag) }
    }

    /// The tags that a response's `Surrogate-Key` and `Cache-Tag` fields name, sorted, each once. What isn't a tag is
    /// left out.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Vec<Self> {
        let fields = [("surrogate-key", &[' ', '\t'][..]), ("cache-tag", &[',', ' ', '\t'][..])];
        let tags = fields
            .iter()
            .flat_map(|(name, separators)| headers.get_all(*name).into_iter().map(move |value| (value, separators)))
            .filter_map(|(value, separators)| Some(value.to_str().ok()?.split(*separators)))
            .flatten()
            .filter_map(|text| Self::new(text).ok());
        sorted(tags.collect())
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tags in order, each once.
pub(crate) fn sorted(mut tags: Vec<Tag>) -> Vec<Tag> {
    tags.sort_unstable();
    tags.dedup();
    tags
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.0)
    }
}

/// A text that cannot be a [`Tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidTag;

impl fmt::Display for InvalidTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a tag: expected 1 to {MAX_TAG} visible ASCII characters without a comma")
    }
}

impl std::error::Error for InvalidTag {}

/// Which entries are meant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Selector {
    /// The entry of this key, with all its variants.
    Key(Key),
    /// Every entry that bears this tag.
    Tag(Tag),
    /// Every entry whose label matches.
    Label(Pattern),
    /// Every entry.
    All,
}

impl Selector {
    /// Every entry whose label matches a glob; see [`Pattern`].
    #[must_use]
    pub fn label(pattern: &str) -> Self {
        Self::Label(Pattern::new(pattern))
    }

    /// Whether an entry with this key and these tags may be meant. The variants of an answer, and its parts, have keys of their
    /// own, but its label.
    pub(crate) fn may_mean(&self, key: &Key, tags: &[Tag]) -> bool {
        match self {
            Self::Key(parent) => parent.label() == key.label(),
            Self::Tag(_) | Self::Label(_) | Self::All => self.matches(key, tags),
        }
    }

    /// Whether an entry with this key and these tags is meant.
    #[must_use]
    pub fn matches(&self, key: &Key, tags: &[Tag]) -> bool {
        match self {
            Self::Key(wanted) => wanted == key,
            Self::Tag(wanted) => tags.contains(wanted),
            Self::Label(pattern) => pattern.matches(key.label()),
            Self::All => true,
        }
    }
}

/// A glob over labels, with the signs that Redis has: `*` for any text, `?` for any one character, `[abc]`, `[a-z]` and
/// `[^a]` for one of a set, `\` before a sign that stands for itself. Case counts.
///
/// ```
/// use larder::tag::Pattern;
///
/// let pattern = Pattern::new("chat:gpt-4*");
/// assert!(pattern.matches("chat:gpt-4o"));
/// assert!(!pattern.matches("chat:claude"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Any text is a pattern; a set that is not closed reaches to the pattern's end.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text that every label that matches begins with.
    #[cfg(feature = "redis")]
    pub(crate) fn beginning(&self) -> &str {
        self.0.split(['*', '?', '[', '\\']).next().unwrap_or_default()
    }

    /// Patterns that together mean what this one does of the labels that begin so.
    pub(crate) fn within(&self, beginning: &str) -> Vec<Self> {
        let pattern = self.0.as_bytes();
        // Where in the pattern one may be after each byte. A star stays, and goes on as well.
        let mut places = vec![0];
        for byte in beginning.bytes() {
            let stars = |place: usize| pattern[place..].iter().take_while(|&&sign| sign == b'*').count();
            let mut next = Vec::new();
            for place in places {
                let stars = stars(place);
                if stars > 0 {
                    next.push(place);
                }
                next.extend(match_one(pattern, place + stars, byte));
            }
            next.sort_unstable();
            next.dedup();
            places = next;
        }
        let rest = |place: &usize| self.0.get(*place..).map(|rest| Self::new(&format!("{}{rest}", escaped(beginning))));
        places.iter().filter_map(rest).collect()
    }

    /// Whether the whole label matches. Takes at most `label × pattern` steps, and no stack.
    #[must_use]
    pub fn matches(&self, label: &str) -> bool {
        let (pattern, label) = (self.0.as_bytes(), label.as_bytes());
        let (mut p, mut l) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while l < label.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p + 1, l));
                p += 1;
            } else if let Some(next) = match_one(pattern, p, label[l]) {
                (p, l) = (next, l + 1);
            } else if let Some((after, from)) = star {
                // The last star takes one character more; what earlier stars took need not change.
                star = Some((after, from + 1));
                (p, l) = (after, from + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|&sign| sign == b'*')
    }
}

/// As it was given.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pattern that only this text matches.
fn escaped(text: &str) -> String {
    let escape = |sign: char| ['*', '?', '[', '\\'].contains(&sign).then_some('\\');
    text.chars().flat_map(|sign| escape(sign).into_iter().chain([sign])).collect()
}

/// The position after the sign at `at`, if that sign matches the byte.
fn match_one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => match_set(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        sign => (sign == byte).then_some(at + 1),
    }
}

fn match_set(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    while let Some(&sign) = pattern.get(at) {
        match sign {
            b']' => {
                at += 1;
                break;
            }
            b'\\' if at + 1 < pattern.len() => {
                found |= pattern[at + 1] == byte;
                at += 2;
            }
            low if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|&high| high != b']') => {
                let high = pattern[at + 2];
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            sign => {
                found |= sign == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_glob_means_what_it_means_in_redis() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a*b*c", "a-b-b-c", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("[abc]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[c-a]x", "bx", true),
            ("[^a-c]x", "dx", true),
            ("[^a-c]x", "ax", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[abc", "a", true),
            ("[a\\]]", "]", true),
            ("\\", "\\", true),
            ("chat:*", "Chat:x", false),
        ];
        for (pattern, label, matches) in cases {
            assert_eq!(Pattern::new(pattern).matches(label), matches, "{pattern} ~ {label}");
        }
    }

    proptest! {
        #[test]
        fn a_part_means_what_begins_so_and_matches(pattern in r"[ab:*?\\\[\]^-]{0,8}", label in "[ab:]{0,6}", cut in 0..6_usize) {
            let beginning = label.get(..cut.min(label.len())).unwrap_or_default();
            let pattern = Pattern::new(&pattern);
            let parts = pattern.within(beginning);
            prop_assert_eq!(parts.iter().any(|part| part.matches(&label)), pattern.matches(&label), "{:?}", parts);
            prop_assert!(beginning.is_empty() || !parts.iter().any(|part| part.matches("x")));
        }
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = Pattern::new(&"*a".repeat(100));
        assert!(!pattern.matches(&"a".repeat(99)));
        assert!(!pattern.matches(&"b".repeat(100_000)));
    }

    #[test]
    fn tags_come_from_both_fields_and_nonsense_is_left_out() {
        let mut headers = HeaderMap::new();
        headers.append("surrogate-key", HeaderValue::from_static("b  a"));
        headers.append("cache-tag", HeaderValue::from_static("c, a ,,"));
        headers.append("cache-tag", HeaderValue::from_bytes(b"\xff").expect("obs-text"));
        let tags = Tag::of(&headers);
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(Tag::new(""), Err(InvalidTag));
        assert_eq!(Tag::new("a,b"), Err(InvalidTag));
        assert_eq!(Tag::new(&"a".repeat(MAX_TAG + 1)), Err(InvalidTag));
    }

    proptest! {
        #[test]
        fn a_pattern_never_panics_and_an_escaped_label_matches_itself(pattern in ".{0,20}", label in ".{0,20}") {
            let _ = Pattern::new(&pattern).matches(&label);
            let escaped: String = label.chars().flat_map(|c| if c.is_ascii() { vec!['\\', c] } else { vec![c] }).collect();
            prop_assert!(Pattern::new(&escaped).matches(&label));
        }
    }
}
