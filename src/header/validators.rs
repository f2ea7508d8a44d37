//! Validators and the conditions made of them (RFC 9110 §8.8, §13.1): `ETag`, `Last-Modified`, `If-None-Match`,
//! `If-Modified-Since`.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::date;

/// An entity tag (RFC 9110 §8.8.3), borrowed from its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

/// What a stored response can be validated by (RFC 9110 §8.8), as the origin wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`. Sent back byte for byte, also if it is not quite valid: the origin may still know it.
    pub etag: Option<HeaderValue>,
    /// `Last-Modified`.
    pub last_modified: Option<HeaderValue>,
}

impl<'a> EntityTag<'a> {
    /// Reads a whole value, as in `ETag`: `"…"`, or `W/"…"` for a weak one (RFC 9110 §8.8.3).
    ///
    /// Strict but for white space around it: a tag without quotes or with a lower-case `w/` is `None`.
    #[must_use]
    pub fn parse<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Option<Self> {
        let (tag, rest) = Self::split_first(value.as_ref().trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// The tag of a response, if it has a valid one that is strong.
    pub(crate) fn strong_of(headers: &'a HeaderMap) -> Option<Self> {
        headers.get(header::ETAG).and_then(Self::parse).filter(|tag| !tag.weak)
    }

    /// Whether the tag is weak: the content may differ in what does not matter (RFC 9110 §8.8.1).
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    /// What is between the quotes.
    #[must_use]
    pub const fn opaque(&self) -> &'a [u8] {
        self.opaque
    }

    /// The weak comparison (RFC 9110 §8.8.3.2): the same content, for all that matters. For `If-None-Match`.
    #[must_use]
    pub fn weak_eq(&self, other: &EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// The strong comparison (RFC 9110 §8.8.3.2): the same bytes. For `If-Match`, `If-Range` and parts of content.
    #[must_use]
    pub fn strong_eq(&self, other: &EntityTag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// The tag that `text` begins with, and what comes after it.
    fn split_first(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, text) = match text.strip_prefix(b"W/") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let text = text.strip_prefix(b"\"")?;
        // A backslash escapes nothing here: a tag is no quoted string.
        let end = text.iter().position(|byte| *byte == b'"')?;
        let opaque = &text[..end];
        let valid = opaque.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..));
        valid.then_some((Self { weak, opaque }, &text[end + 1..]))
    }
}

impl Validators {
    /// The validators of a response. A field without a value is none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let value = |name| headers.get(name).filter(|value: &&HeaderValue| !value.is_empty()).cloned();
        Self { etag: value(header::ETAG), last_modified: value(header::LAST_MODIFIED) }
    }

    /// Whether there is nothing to validate by.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// Makes `request` ask for what has changed since: sets `If-None-Match` and `If-Modified-Since` (RFC 9111 §4.3.1).
    ///
    /// What the request had in these two fields is gone afterwards, also where there is no validator to replace it:
    /// else a 304 could speak of what the client has, and not of what is stored.
    pub fn apply_to(&self, request: &mut HeaderMap) {
        let conditions = [(header::IF_NONE_MATCH, &self.etag), (header::IF_MODIFIED_SINCE, &self.last_modified)];
        for (name, validator) in conditions {
            match validator {
                Some(value) => request.insert(name, value.clone()),
                None => request.remove(name),
            };
        }
    }
}

/// Whether a request has conditions (RFC 9110 §13.1) besides `If-Range`, so that its answer may be other than the content.
#[must_use]
pub fn is_conditional(headers: &HeaderMap) -> bool {
    const CONDITIONS: [HeaderName; 4] =
        [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE];
    CONDITIONS.iter().any(|name| headers.contains_key(name))
}

/// Whether 304 (Not Modified) is the answer to `request`, given the head of the response that is stored
/// (RFC 9110 §13.2.2, RFC 9111 §4.3.2).
///
/// `If-None-Match` decides alone if it is there; else `If-Modified-Since` is held against `Last-Modified`, or `Date`
/// where there is none. What is malformed never makes for a 304. That the method is GET or HEAD, that the stored status
/// is 200, and that `If-Match` and `If-Unmodified-Since` are absent or met is for the caller to see to.
#[must_use]
pub fn not_modified(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if request.contains_key(header::IF_NONE_MATCH) {
        let stored = stored.get(header::ETAG).and_then(EntityTag::parse);
        request
            .get_all(header::IF_NONE_MATCH)
            .into_iter()
            .any(|line| line.as_bytes().trim_ascii() == b"*" || lists(line.as_bytes(), stored.as_ref()))
    } else {
        unmodified_since(request, stored).unwrap_or(false)
    }
}

/// Whether `line`, a list of tags, has one that is weakly equal to `stored`.
fn lists(line: &[u8], stored: Option<&EntityTag<'_>>) -> bool {
    let Some(stored) = stored else { return false };
    let mut rest = line;
    while !rest.is_empty() {
        rest = rest.trim_ascii_start();
        if let Some((tag, after)) = EntityTag::split_first(rest) {
            let after = after.trim_ascii_start();
            // What goes on after the closing quote is no tag, whatever it begins with.
            if matches!(after, [] | [b',', ..]) && tag.weak_eq(stored) {
                return true;
            }
            rest = after;
        }
        let comma = rest.iter().position(|byte| *byte == b',');
        rest = comma.map_or(&[], |comma| &rest[comma + 1..]);
    }
    false
}

fn unmodified_since(request: &HeaderMap, stored: &HeaderMap) -> Option<bool> {
    let mut lines = request.get_all(header::IF_MODIFIED_SINCE).into_iter();
    let since = lines.next().and_then(date::parse)?;
    // Two dates are as good as none (RFC 9110 §13.1.3).
    if lines.next().is_some() {
        return None;
    }
    let modified = match stored.get(header::LAST_MODIFIED) {
        Some(value) => date::parse(value)?,
        None => date::field(stored, &header::DATE)?,
    };
    Some(modified <= since)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a field value");
            headers.append(*name, value);
        }
        headers
    }

    fn tag(text: &str) -> EntityTag<'_> {
        EntityTag::parse(text).expect("an entity tag")
    }

    #[test]
    fn only_a_whole_valid_tag_is_a_tag() {
        for (text, weak, opaque) in [
            ("\"a\"", false, "a"),
            ("W/\"a\"", true, "a"),
            ("\"\"", false, ""),
            (" \"a,b\\\" ", false, "a,b\\"),
            ("\"\u{e9}\"", false, "\u{e9}"),
        ] {
            assert_eq!(tag(text).is_weak(), weak, "{text}");
            assert_eq!(tag(text).opaque(), opaque.as_bytes(), "{text}");
        }
        for text in
            ["", "a", "\"", "\"a", "a\"", "w/\"a\"", "W\"a\"", "W/ \"a\"", "\"a b\"", "\"a\"b", "\"a\", \"b\"", "'a'"]
        {
            assert_eq!(EntityTag::parse(text), None, "{text}");
        }
        let value = HeaderValue::from_static("\"a\"");
        assert_eq!(EntityTag::parse(&value), Some(tag("\"a\"")));
    }

    #[test]
    fn a_weak_tag_is_never_strongly_equal() {
        // The table of RFC 9110 §8.8.3.2.
        for (one, other, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            assert_eq!(tag(one).strong_eq(&tag(other)), strong, "{one} {other}");
            assert_eq!(tag(other).strong_eq(&tag(one)), strong, "{one} {other}");
            assert_eq!(tag(one).weak_eq(&tag(other)), weak, "{one} {other}");
        }
    }

    #[test]
    fn only_the_stored_validators_are_sent_upstream() {
        let stored = headers(&[("etag", "\"a\""), ("last-modified", EARLY)]);
        let client = headers(&[("if-none-match", "\"x\""), ("if-none-match", "\"y\""), ("if-modified-since", LATE)]);
        let mut request = client.clone();
        Validators::of(&stored).apply_to(&mut request);
        assert_eq!(request, headers(&[("if-none-match", "\"a\""), ("if-modified-since", EARLY)]));

        let stored = headers(&[("etag", ""), ("last-modified", EARLY)]);
        let mut request = client.clone();
        Validators::of(&stored).apply_to(&mut request);
        assert_eq!(request, headers(&[("if-modified-since", EARLY)]));

        let none = Validators::of(&HeaderMap::new());
        assert!(none.is_empty());
        let mut request = client;
        none.apply_to(&mut request);
        assert!(request.is_empty());
    }

    #[test]
    fn a_request_with_a_condition_is_conditional() {
        assert!(!is_conditional(&headers(&[("accept", "*/*"), ("range", "bytes=0-"), ("if-range", "\"a\"")])));
        for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
            assert!(is_conditional(&headers(&[(name, "")])), "{name}");
        }
    }

    #[test]
    fn a_tag_the_client_has_is_not_sent_again() {
        let stored = headers(&[("etag", "\"a,b\""), ("last-modified", LATE)]);
        for (lines, expected) in [
            (vec!["\"a,b\""], true),
            (vec!["W/\"a,b\""], true),
            (vec!["*"], true),
            (vec![" * "], true),
            (vec!["\"x\" , , \"a,b\""], true),
            (vec!["\"x\"", "\"y\",W/\"a,b\","], true),
            (vec!["x, \"a,b\""], true),
            (vec!["\"x\"y, \"a,b\""], true),
            (vec![""], false),
            (vec!["\"x\", *"], false),
            (vec!["\"a\""], false),
            (vec!["a,b"], false),
            (vec!["\"a,b"], false),
            (vec!["\"a,b\"c"], false),
            (vec!["w/\"a,b\""], false),
        ] {
            let fields: Vec<_> = lines.iter().map(|line| ("if-none-match", *line)).collect();
            assert_eq!(not_modified(&headers(&fields), &stored), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_stored_response_without_tag_matches_only_the_star() {
        for stored in [headers(&[]), headers(&[("etag", "a")])] {
            assert!(not_modified(&headers(&[("if-none-match", "*")]), &stored));
            assert!(!not_modified(&headers(&[("if-none-match", "a")]), &stored));
            assert!(!not_modified(&headers(&[("if-none-match", "\"a\"")]), &stored));
        }
    }

    #[test]
    fn the_date_decides_only_without_if_none_match() {
        let stored = headers(&[("etag", "\"a\""), ("last-modified", EARLY)]);
        let request = headers(&[("if-none-match", "\"x\""), ("if-modified-since", LATE)]);
        assert!(!not_modified(&request, &stored));
    }

    #[test]
    fn a_response_modified_later_is_sent_again() {
        for (since, stored, expected) in [
            (vec![EARLY], vec![("last-modified", EARLY)], true),
            (vec![LATE], vec![("last-modified", EARLY)], true),
            (vec![EARLY], vec![("last-modified", LATE)], false),
            (vec![EARLY], vec![("date", EARLY)], true),
            (vec![EARLY], vec![("date", LATE)], false),
            (vec![EARLY], vec![("date", EARLY), ("last-modified", LATE)], false),
            (vec![EARLY], vec![("date", EARLY), ("last-modified", "x")], false),
            (vec![EARLY], vec![], false),
            (vec!["x"], vec![("last-modified", EARLY)], false),
            (vec![EARLY, EARLY], vec![("last-modified", EARLY)], false),
            (vec![], vec![("last-modified", EARLY)], false),
        ] {
            let fields: Vec<_> = since.iter().map(|date| ("if-modified-since", *date)).collect();
            assert_eq!(not_modified(&headers(&fields), &headers(&stored)), expected, "{since:?} {stored:?}");
        }
    }

    proptest! {
        #[test]
        fn any_condition_is_read_without_panic(line in field_value()) {
            let stored = headers(&[("etag", "\"a\""), ("last-modified", EARLY)]);
            let _ = EntityTag::parse(&line);
            for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
                let _ = not_modified(&HeaderMap::from_iter([(name, line.clone())]), &stored);
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = EntityTag::parse(&bytes);
        }

        #[test]
        fn a_tag_is_found_wherever_it_stands(
            opaque in "[!#-~]{0,12}",
            weak: bool,
            before in proptest::collection::vec("(W/)?\"[!#-~]{0,6}\"", 0..4),
        ) {
            let text = format!("{}\"{opaque}\"", if weak { "W/" } else { "" });
            prop_assert_eq!(tag(&text), EntityTag { weak, opaque: opaque.as_bytes() });
            let mut list = before;
            list.push(text.clone());
            let request = headers(&[("if-none-match", &list.join(", "))]);
            prop_assert!(not_modified(&request, &headers(&[("etag", &text)])));
        }
    }
}
