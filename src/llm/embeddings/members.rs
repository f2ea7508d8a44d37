//! [`Members`]: the members of a JSON object in their order, with their values as they were written.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A member's name and value.
pub(super) type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// An object, of which no name stands twice.
#[derive(Debug)]
pub(super) struct Members<'a>(pub(super) Vec<Member<'a>>);

impl<'a> Members<'a> {
    /// Where a member is.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(other, _)| other == name)
    }

    /// The value of a member, as it was written.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.position(name).map(|at| self.0[at].1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;

        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        impl<'de> Visitor<'de> for Reads {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without a name that stands twice")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Members(Vec::new());
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    // Parsers differ in which of two counts.
                    if members.position(&name).is_some() || members.0.len() == MOST {
                        return Err(serde::de::Error::custom("a name that stands twice, or too many of them"));
                    }
                    members.0.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reads)
    }
}

/// The most members that are looked at.
const MOST: usize = 256;

/// Writes an object's members; `write` writes the values.
pub(super) fn write_object<'n, V>(
    members: impl Iterator<Item = (&'n str, V)>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(V, &mut Vec<u8>),
) {
    out.push(b'{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // A text in memory can't fail.
        let _ = serde_json::to_writer(&mut *out, name);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// Writes an array; `write` writes its elements.
pub(super) fn write_array<T>(
    elements: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(usize, T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(index, element, out);
    }
    out.push(b']');
}
