//! `Content-Type` (RFC 9110 §8.3), as far as a cache has to know it: events, JSON, or something else.

use http::{HeaderMap, header};

use super::token::is_token;

/// `type/subtype` of `Content-Type` (RFC 9110 §8.3.1) as sent, without parameters.
///
/// Compare it without regard to case. `None` if there is none, or if it is no media type.
#[must_use]
pub fn essence(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    // Parameters may hold bytes that are not UTF-8, so they are cut off before there is a `str`.
    let essence = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let slash = essence.iter().position(|byte| *byte == b'/')?;
    let valid = is_token(&essence[..slash]) && is_token(&essence[slash + 1..]);
    valid.then(|| str::from_utf8(essence).ok()).flatten()
}

/// Whether the body is `text/event-stream`: server-sent events.
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    essence(headers).is_some_and(|essence| essence.eq_ignore_ascii_case("text/event-stream"))
}

/// Whether the body is JSON: `application/json`, or any type with the suffix `+json` (RFC 6839 §3.1).
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    essence(headers).is_some_and(|essence| {
        essence.eq_ignore_ascii_case("application/json")
            || essence.as_bytes().last_chunk::<5>().is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    fn headers(value: &[u8]) -> HeaderMap {
        let value = HeaderValue::from_bytes(value).expect("a field value");
        HeaderMap::from_iter([(header::CONTENT_TYPE, value)])
    }

    #[test]
    fn parameters_are_no_part_of_the_essence() {
        for (value, expected) in [
            ("text/html", Some("text/html")),
            (" Text/HTML ;charset=utf-8", Some("Text/HTML")),
            ("a/b; x=\"\u{e9}\"", Some("a/b")),
            ("", None),
            ("html", None),
            ("/html", None),
            ("text/", None),
            ("a/b/c", None),
            ("text/html, a/b", None),
            ("t\u{e9}xt/html", None),
        ] {
            assert_eq!(essence(&headers(value.as_bytes())), expected, "{value}");
        }
        assert_eq!(essence(&HeaderMap::new()), None);
    }

    #[test]
    fn an_event_stream_is_known_in_any_spelling() {
        for (value, expected) in [
            ("text/event-stream", true),
            ("TEXT/Event-Stream; charset=utf-8", true),
            ("text/event-streams", false),
            ("text/plain; x=text/event-stream", false),
        ] {
            assert_eq!(is_event_stream(&headers(value.as_bytes())), expected, "{value}");
        }
    }

    #[test]
    fn json_is_known_by_name_and_by_suffix() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON;charset=utf-8", true),
            ("application/problem+json", true),
            ("application/vnd.x+JSON; a=b", true),
            ("application/jsonl", false),
            ("application/x-ndjson", false),
            ("text/plain; x=application/json", false),
        ] {
            assert_eq!(is_json(&headers(value.as_bytes())), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_field_value_is_read_without_panic(value in field_value()) {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
            prop_assert!(essence(&headers).is_none_or(|essence| essence.is_ascii() && !essence.contains(' ')));
        }

        #[test]
        fn an_essence_comes_back(expected in "[a-z]{1,8}/[a-z.+-]{1,16}", parameters in "( ?; ?[a-z]=[a-z]{1,4}){0,2}") {
            let headers = headers(format!("{expected}{parameters}").as_bytes());
            prop_assert_eq!(essence(&headers), Some(expected.as_str()));
        }
    }
}
