//! Canonical JSON for cache keys.
//!
//! Two requests mean the same when their JSON bodies differ only in the order of object members, in
//! white space, in how a character is escaped or in how a number is spelled. [`parse`] reads a body
//! strictly, borrowing from it, and [`write_canonical`] streams one byte form for all the spellings
//! of one document into a hasher.
//!
//! What stays distinct: the order of arrays, the case and the bytes of text (no Unicode
//! normalisation: a precomposed "é" is not a decomposed one), and numbers that `f64` would round to
//! one value. A body with a key that stands twice has no one meaning (parsers disagree about which
//! member wins), so it is [`Invalid`], and a caller hashes its raw bytes instead.
//!
//! ```
//! use larder::fingerprint::json::{parse, write_canonical};
//!
//! let canonical = |body: &[u8]| {
//!     let mut bytes = Vec::new();
//!     write_canonical(&parse(body)?, &mut |part: &[u8]| bytes.extend_from_slice(part));
//!     Ok::<_, larder::fingerprint::json::Invalid>(bytes)
//! };
//! assert_eq!(canonical(br#"{"n": 1, "t": "\u0041"}"#)?, canonical(br#"{"t":"A","n":1.0}"#)?);
//! assert_ne!(canonical(b"[1, 2]")?, canonical(b"[2, 1]")?);
//! # Ok::<(), larder::fingerprint::json::Invalid>(())
//! ```

mod canonical;
mod number;
mod scan;

#[cfg(test)]
mod laws;

use std::{borrow::Cow, error::Error, fmt};

pub use self::{
    canonical::{write_canonical, write_canonical_without},
    number::Number,
    scan::{MAX_DEPTH, MAX_VALUES, parse},
};

/// A JSON value, borrowed from the bytes it was parsed from wherever no escape stood in the way.
///
/// Values are equal when they mean the same: numbers compare by their decimal value, and the
/// members of a parsed object are sorted, so their order in the text does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number of any size and precision.
    Number(Number<'a>),
    /// A string with its escapes resolved.
    String(Cow<'a, str>),
    /// The elements of an array, in their order.
    Array(Vec<Self>),
    /// The members of an object, sorted by the bytes of their keys; no key stands twice.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Value<'a> {
    /// The member `key` of an object; `None` for a missing member, and for all other values.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let members = self.as_object()?;
        let found = members.binary_search_by(|(name, _)| name.as_ref().cmp(key));
        found.ok().map(|index| &members[index].1)
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The truth of a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The number, as it was written.
    #[must_use]
    pub fn as_number(&self) -> Option<Number<'a>> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// The members of an object, sorted by key.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Bytes that are not one JSON document with one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid {
    kind: Kind,
    offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Utf8,
    UnexpectedEnd,
    UnexpectedByte,
    TrailingData,
    Number,
    ControlCharacter,
    Escape,
    LoneSurrogate,
    TooDeep,
    TooMany,
    DuplicateKey,
}

impl Invalid {
    /// The offset in bytes at which the document goes wrong. For a key that stands twice it is that
    /// of the object's opening brace.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the text is well-formed, but an object in it has one key twice.
    #[must_use]
    pub fn is_duplicate_key(&self) -> bool {
        self.kind == Kind::DuplicateKey
    }

    /// Whether arrays and objects are nested deeper than [`MAX_DEPTH`].
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        self.kind == Kind::TooDeep
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Utf8 => "not UTF-8",
            Kind::UnexpectedEnd => "the document ends too early",
            Kind::UnexpectedByte => "a byte that cannot stand here",
            Kind::TrailingData => "data after the end of the document",
            Kind::Number => "a malformed number",
            Kind::ControlCharacter => "a control character in a string that is not escaped",
            Kind::Escape => "an unknown escape in a string",
            Kind::LoneSurrogate => "half of a surrogate pair",
            Kind::TooDeep => "nested too deep",
            Kind::TooMany => "more values than are read",
            Kind::DuplicateKey => "a key that stands twice in the object",
        };
        write!(f, "invalid JSON at byte {}: {what}", self.offset)
    }
}

impl Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, MAX_VALUES, Value, parse};

    #[test]
    fn members_are_found_by_their_unescaped_name() {
        let body = br#"{"z": [true, null], "model": "gpt-4o", "str\u0065am": false, "n": 2}"#;
        let value = parse(body).expect("valid JSON");
        assert_eq!(value.get("model").and_then(Value::as_str), Some("gpt-4o"));
        assert_eq!(value.get("stream").and_then(Value::as_bool), Some(false));
        assert_eq!(value.get("n").and_then(Value::as_number).map(|n| n.text()), Some("2"));
        assert_eq!(value.get("z").and_then(Value::as_array).map(<[_]>::len), Some(2));
        assert_eq!(value.get("missing"), None);
        assert_eq!(value.get("model").and_then(|model| model.get("model")), None);
    }

    #[test]
    fn a_document_of_very_many_values_is_not_read() {
        let array = |values: usize| format!("[{}1]", "1,".repeat(values - 2));
        assert!(parse(array(MAX_VALUES).as_bytes()).is_ok());
        let invalid = parse(array(MAX_VALUES + 1).as_bytes()).expect_err("too many");
        assert_eq!(invalid.to_string(), "invalid JSON at byte 1048575: more values than are read");
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        let cases: [(&[u8], &str); 10] = [
            (b"\"\xff\"", "invalid JSON at byte 1: not UTF-8"),
            (b"[1", "invalid JSON at byte 2: the document ends too early"),
            (b"[1,]", "invalid JSON at byte 3: a byte that cannot stand here"),
            (b"1 2", "invalid JSON at byte 2: data after the end of the document"),
            (b"[-]", "invalid JSON at byte 2: a malformed number"),
            (b"\"a\nb\"", "invalid JSON at byte 2: a control character in a string that is not escaped"),
            (b"\"\\x\"", "invalid JSON at byte 1: an unknown escape in a string"),
            (b"\"\\ud83d\"", "invalid JSON at byte 1: half of a surrogate pair"),
            (b" {\"a\":1,\"b\":2,\"\\u0061\":3}", "invalid JSON at byte 1: a key that stands twice in the object"),
            (&[b'['; MAX_DEPTH + 1], "invalid JSON at byte 128: nested too deep"),
        ];
        for (body, message) in cases {
            let invalid = parse(body).expect_err("invalid JSON");
            assert_eq!(invalid.to_string(), message, "{body:?}");
        }
    }
}
