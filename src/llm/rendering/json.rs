//! JSON by its text: values are cut out and put together again just as they were written, so that no number is rounded and no
//! string changed.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::llm::members::Members;

/// More members than any object has that is taken apart here.
const MAX_MEMBERS: usize = 96;

/// A value, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    pub(super) const NULL: Self = Self("null");

    /// The value that `json` is.
    pub(super) fn read(json: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(json).ok()?;
        serde_json::from_str::<&RawValue>(text).ok().map(|value| Self(value.get()))
    }

    /// A value of this code's own, or one that has been read already.
    pub(super) const fn written(text: &'a str) -> Self {
        Self(text)
    }

    pub(super) fn text(self) -> &'a str {
        self.0
    }

    pub(super) fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// What stands between the quotes of a string, escaped as it was. `None` also for half of a surrogate pair: readers disagree
    /// about what that is, and the more so where the other half comes in the next piece.
    pub(super) fn string(self) -> Option<&'a str> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        let is_whole = !inner.contains("\\u") || serde_json::from_str::<String>(self.0).is_ok();
        is_whole.then_some(inner)
    }

    pub(super) fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// A count or an index.
    pub(super) fn index(self) -> Option<usize> {
        serde_json::from_str(self.0).ok()
    }

    pub(super) fn array(self) -> Option<Vec<Self>> {
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.0).ok()?;
        Some(elements.into_iter().map(|value| Self(value.get())).collect())
    }

    pub(super) fn object(self) -> Option<Object<'a>> {
        serde_json::from_str(self.0).ok()
    }
}

/// The members of an object in their order. No name stands twice: readers disagree about which of the two counts.
#[derive(Debug)]
pub(super) struct Object<'a>(Members<'a, MAX_MEMBERS>);

impl<'a> Object<'a> {
    pub(super) fn read(json: &'a [u8]) -> Option<Self> {
        serde_json::from_str(std::str::from_utf8(json).ok()?).ok()
    }

    pub(super) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.0.get(name).map(|value| Raw(value.get()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.0.0.iter().map(|(name, value)| (&**name, Raw(value.get())))
    }

    /// Whether no member has another name than these.
    pub(super) fn has_only(&self, names: &[&str]) -> bool {
        self.iter().all(|(name, _)| names.contains(&name))
    }

    /// The value, if it is a string that is written so.
    pub(super) fn is(&self, name: &str, text: &str) -> bool {
        self.get(name).and_then(Raw::string) == Some(text)
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(Self)
    }
}

/// Members that say the same wherever they stand. `null` says nothing.
#[derive(Debug, Default)]
pub(super) struct Same<'a>(Vec<(&'static str, Raw<'a>)>);

impl<'a> Same<'a> {
    /// `None` if the member said something else before, or is none of `names`.
    pub(super) fn take(&mut self, names: &[&'static str], name: &str, value: Raw<'a>) -> Option<()> {
        let name = *names.iter().find(|known| **known == name)?;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            None => self.0.push((name, value)),
            Some((_, known)) if known.is_null() => *known = value,
            Some((_, known)) if *known == value || value.is_null() => {}
            Some(_) => return None,
        }
        Some(())
    }

    pub(super) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Raw<'a>)> {
        self.0.iter().copied()
    }
}

/// A string that comes in pieces: `None` if it has no piece but `null`.
pub(super) type Pieces<'a> = Option<Cow<'a, str>>;

/// Adds a piece, which may be `null`.
pub(super) fn add<'a>(pieces: &mut Pieces<'a>, piece: Raw<'a>) -> Option<()> {
    if !piece.is_null() {
        let piece = piece.string()?;
        match pieces {
            None => *pieces = Some(Cow::Borrowed(piece)),
            Some(text) if piece.is_empty() && !text.is_empty() => {}
            Some(text) if text.is_empty() => *text = Cow::Borrowed(piece),
            Some(text) => text.to_mut().push_str(piece),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Object, Raw, add};

    #[test]
    fn values_are_as_they_were_written() {
        let object = Object::read(br#" {"n": 12345678901234567890.10E+5 , "a": [ 1.0,"\u00e9" ], "\u0073": "\/"} "#);
        let object = object.expect("an object");
        assert_eq!(object.get("n").map(Raw::text), Some("12345678901234567890.10E+5"));
        assert_eq!(object.get("s").and_then(Raw::string), Some("\\/"));
        let elements = object.get("a").and_then(Raw::array).expect("an array");
        assert_eq!(elements.iter().map(|value| value.text()).collect::<Vec<_>>(), ["1.0", "\"\\u00e9\""]);
    }

    #[test]
    fn what_has_no_one_meaning_is_not_read() {
        for json in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, "[]", "{", "{}{}", "\"\\ud83d\"", ""] {
            assert!(Object::read(json.as_bytes()).is_none(), "{json}");
        }
        assert!(Object::read(b"{\"a\":\"\xff\"}").is_none());
        for string in [r#""\ud83d""#, r#""\ude00\ud83d""#, "1", "null"] {
            assert_eq!(Raw::read(string.as_bytes()).and_then(Raw::string), None, "{string}");
        }
        let many: Vec<_> = (0..200).map(|number| format!("\"{number}\":0")).collect();
        assert!(Object::read(format!("{{{}}}", many.join(",")).as_bytes()).is_none());
    }

    #[test]
    fn pieces_are_put_together_in_their_order() {
        let mut pieces = None;
        for piece in ["null", "\"\"", "\"a\\n\"", "null", "\"\"", "\"b\"", "\"\\u00e9\""] {
            add(&mut pieces, Raw::written(piece)).expect("a piece");
        }
        assert_eq!(pieces.as_deref(), Some("a\\nb\\u00e9"));
        assert_eq!(add(&mut pieces, Raw::written("1")), None);
    }
}
