//! The `model` of a JSON body.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The same body with another `model`; `None` if it is no JSON object that has one.
pub(super) fn replaced(body: &Bytes, name: &str) -> Option<Bytes> {
    let Found(model) = serde_json::from_slice(body).ok()?;
    let model = model?.get();
    // What was borrowed from the body lies in it.
    let start = model.as_ptr() as usize - body.as_ptr() as usize;
    let name = serde_json::to_string(name).ok()?;
    let mut rewritten = BytesMut::with_capacity(body.len() - model.len() + name.len());
    rewritten.put_slice(&body[..start]);
    rewritten.put_slice(name.as_bytes());
    rewritten.put_slice(&body[start + model.len()..]);
    Some(rewritten.freeze())
}

/// The value of the first `model` of an object.
struct Found<'a>(Option<&'a RawValue>);

impl<'de> Deserialize<'de> for Found<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found<'de>, A::Error> {
                let mut found = None;
                while let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? {
                    if name == "model" {
                        // Of several the last is what most parsers read, and all that a rewrite can't do justice to.
                        if found.replace(members.next_value()?).is_some() {
                            return Err(serde::de::Error::duplicate_field("model"));
                        }
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Found(found))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(body: &'static str) -> Option<String> {
        let body = replaced(&Bytes::from_static(body.as_bytes()), "a\"b")?;
        Some(String::from_utf8(body.to_vec()).expect("text"))
    }

    #[test]
    fn nothing_but_the_model_changes() {
        let body = "{ \"n\": 1.50, \"m\": {\"model\": 1}, \"model\" : \"x\" , \"big\": 12345678901234567890123 }";
        let expected = body.replace("\"x\"", "\"a\\\"b\"");
        assert_eq!(rewritten(body).as_deref(), Some(&*expected));
        assert_eq!(rewritten("{\"m\\u006fdel\":null}").as_deref(), Some("{\"m\\u006fdel\":\"a\\\"b\"}"));
    }

    #[test]
    fn what_has_no_model_stays() {
        for body in [
            "",
            "{}",
            "[]",
            "\"model\"",
            "{\"model\"",
            "{\"models\":1}",
            "{\"model\":1,\"model\":2}",
            "{\"model\":1} x",
        ] {
            assert_eq!(rewritten(body), None, "{body}");
        }
    }
}
