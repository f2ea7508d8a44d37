//! [`Members`]: the members of a JSON object in their order, with their values as they were written.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A member's name and value.
pub(super) type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// An object of at most so many members, of which no name stands twice.
#[derive(Debug)]
pub(super) struct Members<'a, const MOST: usize>(pub(super) Vec<Member<'a>>);

impl<'a, const MOST: usize> Members<'a, MOST> {
    /// Where a member is.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(other, _)| other == name)
    }

    /// The value of a member, as it was written.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.position(name).map(|at| self.0[at].1)
    }
}

impl<'de: 'a, 'a, const MOST: usize> Deserialize<'de> for Members<'a, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads<const MOST: usize>;

        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        impl<'de, const MOST: usize> Visitor<'de> for Reads<MOST> {
            type Value = Members<'de, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without a name that stands twice")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de, MOST>, M::Error> {
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

        deserializer.deserialize_map(Reads::<MOST>)
    }
}
