//! Byte ranges (RFC 9110 §14): `Range`, `Content-Range`, and the condition on them, `If-Range` (§13.1.5).

use std::{iter, ops};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{date, validators::EntityTag};

/// How many ranges a request may ask for. More are no honest request: many small or overlapping ranges make a server
/// work far more than they make a client (RFC 9110 §17.15).
const MAX_RANGES: usize = 64;

/// One range of a `Range` field (RFC 9110 §14.1.2), in bytes.
///
/// A number too great for 64 bits is [`u64::MAX`], which is past the end of every representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByteRange {
    /// `first-last`: from one byte to another.
    Within {
        /// The position of the first byte, from zero.
        first: u64,
        /// The position of the last byte, itself included. Never before `first`.
        last: u64,
    },
    /// `first-`: from the byte at this position to the end.
    From(u64),
    /// `-length`: this many bytes at the end.
    Suffix(u64),
}

/// What a request's `Range` field asks for (RFC 9110 §14.2): at least one range, in the order of the field.
///
/// Ranges may overlap, and any of them may be past the end. A single one takes no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    first: ByteRange,
    others: Vec<ByteRange>,
}

/// What a `Content-Range` field says (RFC 9110 §14.4): which bytes these are, and of how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The bytes that are sent. `None` in a 416 (Range Not Satisfiable), where the field is `bytes */length`.
    pub range: Option<ops::Range<u64>>,
    /// The length of the whole representation, in bytes. `None` where the sender wrote `*`: it did not know.
    pub length: Option<u64>,
}

/// Reads `Range` (RFC 9110 §14.2). `None` if there is nothing to heed, so that the whole response is the answer.
///
/// That is so if the field is absent, has several lines, a unit other than `bytes`, one invalid range among its ranges
/// (§14.1.1), or more than 64 ranges (§17.15). That the method is GET is for the caller to see to.
#[must_use]
pub fn parse(headers: &HeaderMap) -> Option<Ranges> {
    let text = only(headers, &header::RANGE)?.to_str().ok()?.trim_ascii();
    let (unit, set) = text.split_once('=')?;
    let listed = set.trim_ascii_start();
    // White space belongs to the commas of the list, so it may come first only before one.
    let spaced = listed.len() < set.len() && !listed.starts_with(',');
    if !unit.eq_ignore_ascii_case("bytes") || spaced {
        return None;
    }
    let mut ranges = listed.split(',').map(str::trim_ascii).filter(|range| !range.is_empty()).map(ByteRange::parse);
    let first = ranges.next()??;
    let others: Vec<_> = ranges.take(MAX_RANGES).collect::<Option<_>>()?;
    (others.len() < MAX_RANGES).then_some(Ranges { first, others })
}

/// Whether the `Range` of `request` may be answered from the `stored` response, as its `If-Range` asks (RFC 9110
/// §13.1.5, §13.2.2). True if it has none.
///
/// An entity tag has to be strongly equal to the stored one. A date has to be that of `Last-Modified`, and the stored
/// `Date` at least one second later: else a second version could have the same date (§8.8.2.2). All else is false, also
/// a field with several lines, and then the whole response is the answer.
#[must_use]
pub fn if_range_holds(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(validator) = only(request, &header::IF_RANGE) else { return !request.contains_key(header::IF_RANGE) };
    if let Some(tag) = EntityTag::parse(validator) {
        let stored = only(stored, &header::ETAG).and_then(EntityTag::parse);
        return stored.is_some_and(|stored| stored.strong_eq(&tag));
    }
    let stored = |name| only(stored, name).and_then(date::parse);
    let modified = stored(&header::LAST_MODIFIED);
    // Dates are in whole seconds: what is later is so by one at least. No date at all is less than any.
    modified.is_some() && modified == date::parse(validator) && modified < stored(&header::DATE)
}

impl ByteRange {
    /// The bytes that are asked for, of a representation of `length` bytes (RFC 9110 §14.1.2). Never empty, and never
    /// past the end.
    ///
    /// `None` if the range is not satisfiable. That is so for every range of a representation without bytes, also for
    /// a suffix, which the RFC would satisfy there: no `Content-Range` could say so.
    #[must_use]
    pub fn within(self, length: u64) -> Option<ops::Range<u64>> {
        let range = match self {
            Self::Within { first, last } => first..last.saturating_add(1).min(length),
            Self::From(first) => first..length,
            Self::Suffix(count) => length.saturating_sub(count)..length,
        };
        (!range.is_empty()).then_some(range)
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        if first.is_empty() {
            return saturating(last).map(Self::Suffix);
        }
        let first = saturating(first)?;
        if last.is_empty() {
            return Some(Self::From(first));
        }
        saturating(last).filter(|last| first <= *last).map(|last| Self::Within { first, last })
    }
}

impl Ranges {
    /// The range, if it is the only one. Several have to be answered by `multipart/byteranges` (RFC 9110 §14.6), or by
    /// the whole response.
    #[must_use]
    pub fn single(&self) -> Option<ByteRange> {
        self.others.is_empty().then_some(self.first)
    }

    /// All ranges, in the order of the field. At least one, at most 64.
    pub fn iter(&self) -> impl Iterator<Item = ByteRange> {
        iter::once(self.first).chain(self.others.iter().copied())
    }
}

impl ContentRange {
    /// The only `Content-Range` of a response. `None` if it is absent, has several lines, or is invalid.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        only(headers, &header::CONTENT_RANGE).and_then(Self::parse)
    }

    /// Reads one value: `bytes 0-4/10`, `bytes 0-4/*` or `bytes */10` (RFC 9110 §14.4).
    ///
    /// Strict, but for the case of the unit: who puts parts together must not guess. `None` also for a last byte before
    /// the first or past the end, for another unit, and for a number too great for 64 bits.
    #[must_use]
    pub fn parse(value: &HeaderValue) -> Option<Self> {
        let (unit, text) = value.to_str().ok()?.trim_ascii().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, length) = match text.split_once('/')? {
            ("*", length) => (None, Some(exact(length)?)),
            (range, "*") => (Some(inclusive(range)?), None),
            (range, length) => (Some(inclusive(range)?), Some(exact(length)?)),
        };
        let past_end = range.as_ref().zip(length).is_some_and(|(range, length)| range.end > length);
        (!past_end).then_some(Self { range, length })
    }

    /// The field's value. An empty range is written as none, `*`. With no length either, that is `bytes */*`, which is
    /// invalid: a 416 has to know the length.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a range is ASCII, so it is always a field value")]
    pub fn to_value(&self) -> HeaderValue {
        let range = self.range.as_ref().filter(|range| !range.is_empty()).map(|range| (range.start, range.end - 1));
        let text = match (range, self.length) {
            (Some((first, last)), Some(length)) => format!("bytes {first}-{last}/{length}"),
            (Some((first, last)), None) => format!("bytes {first}-{last}/*"),
            (None, Some(length)) => format!("bytes */{length}"),
            (None, None) => "bytes */*".to_owned(),
        };
        HeaderValue::try_from(text).expect("a range is ASCII")
    }
}

/// The field's value, if it has one line. Several lines contradict each other.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).into_iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// `first-last`, a valid range of at least one byte.
fn inclusive(text: &str) -> Option<ops::Range<u64>> {
    let (first, last) = text.split_once('-')?;
    let range = exact(first)?..exact(last)?.checked_add(1)?;
    (!range.is_empty()).then_some(range)
}

/// `1*DIGIT`, a number too great being the greatest.
fn saturating(text: &str) -> Option<u64> {
    is_number(text).then(|| text.parse().unwrap_or(u64::MAX))
}

/// `1*DIGIT`, a number too great being none.
fn exact(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| is_number(text))
}

/// Whether `text` has digits only. Rust would read a sign as well.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{ByteRange::*, *};
    use crate::header::arbitrary::field_value;

    const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const MAX: u64 = u64::MAX;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a field value"));
        }
        headers
    }

    fn ranges(text: &str) -> Option<Vec<ByteRange>> {
        parse(&headers(&[("range", text)])).map(|ranges| ranges.iter().collect())
    }

    fn content(range: impl Into<Option<ops::Range<u64>>>, length: impl Into<Option<u64>>) -> ContentRange {
        ContentRange { range: range.into(), length: length.into() }
    }

    #[test]
    fn valid_ranges_are_read_in_their_order() {
        for (text, expected) in [
            ("bytes=0-0", vec![Within { first: 0, last: 0 }]),
            (" BYTES=007-9 ", vec![Within { first: 7, last: 9 }]),
            ("bytes=-0", vec![Suffix(0)]),
            ("bytes=5-,-2 ,\t0-1", vec![From(5), Suffix(2), Within { first: 0, last: 1 }]),
            ("bytes= , ,0-, ,", vec![From(0)]),
            ("bytes=0-18446744073709551616", vec![Within { first: 0, last: MAX }]),
            ("bytes=99999999999999999999-", vec![From(MAX)]),
            ("bytes=-99999999999999999999", vec![Suffix(MAX)]),
        ] {
            assert_eq!(ranges(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn one_invalid_range_makes_the_field_ignored() {
        let sets =
            "|,|-|0|x|1-0|0-1,1-0|0-1,x|0-1-2|--1|+1-2|0-+1|0x0-1|1.0-2| 0-1|0 -1|0- 1|0-1 2-3|0-1;2-3|\"0-1\"|=0-1";
        for set in sets.split('|') {
            assert_eq!(ranges(&format!("bytes={set}")), None, "{set}");
        }
        for text in ["", "bytes", "bytes 0-1", "bytes =0-1", "items=0-1", "bytes=0-\u{661}", "0-1"] {
            assert_eq!(ranges(text), None, "{text}");
        }
        assert_eq!(parse(&HeaderMap::new()), None);
        assert_eq!(parse(&headers(&[("range", "bytes=0-1"), ("range", "bytes=0-1")])), None);
    }

    #[test]
    fn more_than_64_ranges_are_ignored() {
        let text = |count| format!("bytes={}", vec!["0-"; count].join(","));
        assert_eq!(ranges(&text(64)), Some(vec![From(0); 64]));
        assert_eq!(ranges(&text(65)), None);
    }

    #[test]
    fn only_one_range_is_single() {
        let single = |text| parse(&headers(&[("range", text)])).map(|ranges| ranges.single());
        assert_eq!(single("bytes=1-,"), Some(Some(From(1))));
        assert_eq!(single("bytes=1-,1-"), Some(None));
    }

    #[test]
    fn a_range_past_the_end_is_cut_or_not_satisfiable() {
        for (range, length, expected) in [
            (Within { first: 0, last: 4 }, 10, Some(0..5)),
            (Within { first: 5, last: 10 }, 10, Some(5..10)),
            (Within { first: 5, last: MAX }, MAX, Some(5..MAX)),
            (Within { first: MAX, last: MAX }, MAX, None),
            (From(10), 10, None),
            (Suffix(3), 10, Some(7..10)),
            (Suffix(MAX), 10, Some(0..10)),
            (Suffix(0), 10, None),
            (Suffix(3), 0, None),
        ] {
            assert_eq!(range.within(length), expected, "{range:?} of {length}");
        }
    }

    #[test]
    fn a_content_range_is_written_and_read_strictly() {
        let read = |text: &str| ContentRange::of(&headers(&[("content-range", text)]));
        for (text, expected) in [
            ("bytes 0-4/10", content(0..5, 10)),
            ("bytes 0-4/*", content(0..5, None)),
            ("bytes */10", content(None, 10)),
            ("bytes 0-18446744073709551614/18446744073709551615", content(0..MAX, MAX)),
        ] {
            assert_eq!(expected.to_value(), text);
            assert_eq!(read(&text.to_uppercase()), Some(expected), "{text}");
        }
        let parts =
            "|0-4|0-4/|*/*|*/|/10|-4/10|0-/10|4-3/10|0-10/10|0-4/4| 0-4/10|0 -4/10|0-4 /10|+0-4/10|0-4/+10|0-4/10,";
        for part in parts.split('|') {
            assert_eq!(read(&format!("bytes {part}")), None, "{part}");
        }
        for text in ["", "bytes=0-4/10", "bytes\t0-4/10", "items 0-4/10", "bytes 0-18446744073709551615/*"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(content(0..0, 10).to_value(), "bytes */10");
        assert_eq!(content(None, None).to_value(), "bytes */*");
        assert_eq!(ContentRange::of(&headers(&[("content-range", "bytes 0-4/10"); 2])), None);
    }

    #[test]
    fn only_a_strong_validator_lets_parts_be_joined() {
        let tag = |tag| vec![("etag", tag)];
        let dates = |modified, date| vec![("etag", "\"a\""), ("last-modified", modified), ("date", date)];
        for (lines, stored, expected) in [
            (vec![], vec![], true),
            (vec!["\"a\""], tag("\"a\""), true),
            (vec!["\"a\""], tag("\"b\""), false),
            (vec!["W/\"a\""], tag("W/\"a\""), false),
            (vec!["\"a\""], tag("W/\"a\""), false),
            (vec!["W/\"a\""], tag("\"a\""), false),
            (vec!["a"], tag("a"), false),
            (vec!["\"a\", \"b\""], tag("\"a\""), false),
            (vec!["\"a\"", "\"a\""], tag("\"a\""), false),
            (vec!["\"a\""], vec![("etag", "\"a\""), ("etag", "\"b\"")], false),
            (vec![EARLY], dates(EARLY, LATE), true),
            (vec!["Sunday, 06-Nov-94 08:49:37 GMT"], dates(EARLY, LATE), true),
            (vec![EARLY], dates(EARLY, EARLY), false),
            (vec![LATE], dates(LATE, EARLY), false),
            (vec![LATE], dates(EARLY, LATE), false),
            (vec![EARLY, EARLY], dates(EARLY, LATE), false),
            (vec!["x"], dates("x", LATE), false),
            (vec![EARLY], dates(EARLY, "x"), false),
            (vec![EARLY], vec![("last-modified", EARLY)], false),
        ] {
            let request: Vec<_> = lines.iter().map(|line| ("if-range", *line)).collect();
            assert_eq!(if_range_holds(&headers(&request), &headers(&stored)), expected, "{lines:?} {stored:?}");
        }
    }

    fn byte_range(max: u64) -> impl Strategy<Value = ByteRange> {
        let within = (0..=max, 0..=max).prop_map(|(a, b)| Within { first: a.min(b), last: a.max(b) });
        prop_oneof![within, (0..=max).prop_map(From), (0..=max).prop_map(Suffix)]
    }

    fn written(range: &ByteRange) -> String {
        match range {
            Within { first, last } => format!("{first}-{last}"),
            From(first) => format!("{first}-"),
            Suffix(count) => format!("-{count}"),
        }
    }

    proptest! {
        #[test]
        fn any_field_value_is_read_without_panic(line in field_value(), set in "[0-9 ,*/-]{0,24}") {
            let set = |start: &str| HeaderValue::try_from(format!("{start}{set}")).expect("ASCII");
            for line in [line, set("bytes="), set("bytes ")] {
                let _ = parse(&HeaderMap::from_iter([(header::RANGE, line.clone())]));
                let _ = if_range_holds(&HeaderMap::from_iter([(header::IF_RANGE, line.clone())]), &HeaderMap::new());
                if let Some(range) = ContentRange::parse(&line) {
                    prop_assert_eq!(ContentRange::parse(&range.to_value()), Some(range));
                }
            }
        }

        #[test]
        fn ranges_plainly_written_come_back(expected in vec(byte_range(MAX), 1..=MAX_RANGES)) {
            let text: Vec<_> = expected.iter().map(written).collect();
            prop_assert_eq!(ranges(&format!("bytes={}", text.join(", "))), Some(expected));
        }

        #[test]
        fn a_content_range_comes_back(first in 0..MAX / 2, count in 1..MAX / 2, more: Option<u64>) {
            let end = first + count;
            let range = content(first..end, more.map(|more| end.saturating_add(more)));
            prop_assert_eq!(ContentRange::parse(&range.to_value()), Some(range));
        }

        #[test]
        fn a_range_is_never_empty_or_past_the_end(range in byte_range(MAX), length: u64) {
            prop_assert!(range.within(length).is_none_or(|bytes| bytes.start < bytes.end && bytes.end <= length));
        }

        #[test]
        fn exactly_the_bytes_asked_for_are_within(range in byte_range(12), length in 0_u64..12) {
            let asked = |at: &u64| match range {
                Within { first, last } => (first..=last).contains(at),
                From(first) => *at >= first,
                Suffix(count) => at + count >= length,
            };
            prop_assert!(range.within(length).into_iter().flatten().eq((0..length).filter(asked)));
        }
    }
}
