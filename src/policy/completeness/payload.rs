//! What the providers' formats have in common: JSON in events or in a whole body, and bodies that
//! cannot be read.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Reason, Verdict,
    sse::{Event, Events},
};
use crate::{
    body::{self, Undecodable},
    header::{content_encoding, media_type},
};

/// Judges an answer of a provider's API: its event streams, its JSON, and by the framing alone all
/// else, such as audio.
pub(super) fn check(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    stream: impl FnOnce(&[u8]) -> Result<(), Reason>,
    json: impl FnOnce(&[u8]) -> Result<(), Reason>,
) -> Verdict {
    let is_stream = media_type::is_event_stream(headers);
    Verdict::of(if status != StatusCode::OK {
        Err("status")
    } else if !is_stream && !media_type::is_json(headers) {
        Ok(())
    } else {
        decoded(headers, body).and_then(|text| if is_stream { stream(&text) } else { json(&text) })
    })
}

/// What is in a body that may be compressed.
fn decoded<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Reason> {
    let codings = content_encoding::codings(headers).ok_or("encoded")?;
    body::decode(&codings, body).map_err(|error| match error {
        Undecodable::Broken => "invalid-encoding",
        Undecodable::TooLarge => "too-large",
    })
}

/// Gives every event with something in it to `take`, and ends early at an error event.
pub(super) fn for_each_event<'a>(
    body: &'a [u8],
    mut take: impl FnMut(&Event<'a>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut events = Events::new(body);
    for event in events.by_ref() {
        if event.event == "error" {
            return Err("error-event");
        }
        if !event.data.trim_ascii().is_empty() {
            take(&event)?;
        }
    }
    if events.is_truncated() { Err("truncated") } else { Ok(()) }
}

/// Whether this is the event that ends OpenAI's streams, and those of its imitators.
pub(super) fn is_done(event: &Event<'_>) -> bool {
    event.data.trim_ascii() == b"[DONE]"
}

/// Reads a JSON object. Without the look at the brace, serde would read an array as a struct as
/// well.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Reason> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err("invalid-json");
    }
    serde_json::from_slice(json).map_err(|_| "invalid-json")
}

/// Whether a whole body is some other JSON than an object: an array of results, say.
pub(super) fn is_other_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() != Some(&b'{') && serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// A string, or whatever else stands where a provider's format has a string.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Text<'a> {
    Known(#[serde(borrow)] Cow<'a, str>),
    Other(IgnoredAny),
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Other(IgnoredAny)
    }
}

impl Text<'_> {
    /// The string; empty for anything else, `null` and a missing member among them.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Known(text) => text,
            Self::Other(IgnoredAny) => "",
        }
    }

    /// The string, or for want of one the event's name: some gateways pass on only either.
    pub(super) fn or_name<'t>(&'t self, event: &'t Event<'_>) -> &'t str {
        match self.as_str() {
            "" => &event.event,
            text => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Text, is_other_json, object};

    #[test]
    fn a_text_is_read_from_anything() {
        #[derive(serde::Deserialize)]
        struct Holder<'a> {
            #[serde(borrow, default)]
            text: Text<'a>,
        }
        let cases = [
            ("{\"text\":\"a\"}", "a"),
            ("{\"text\":\"\\u0061\"}", "a"),
            ("{\"text\":null}", ""),
            ("{\"text\":7}", ""),
            ("{\"text\":{\"a\":[1]}}", ""),
            ("{}", ""),
        ];
        for (json, text) in cases {
            let holder: Holder<'_> = object(json.as_bytes()).expect("valid JSON");
            assert_eq!(holder.text.as_str(), text, "{json}");
        }
        assert!(object::<Holder<'_>>(b"[\"a\"]").is_err());
    }

    #[test]
    fn other_json_is_told_from_objects_and_from_cut_json() {
        assert!(is_other_json(b" [{\"a\": 1}]"));
        assert!(!is_other_json(b"[{\"a\": 1}"));
        assert!(!is_other_json(b"{}"));
        assert!(!is_other_json(b""));
    }
}
