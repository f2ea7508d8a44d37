//! [`Usage`]: how many tokens an answer took, read as it passes.

mod event;
mod member;

use http::{HeaderMap, header::CONTENT_ENCODING};
use serde::Deserialize;

use self::{event::Events, member::Member};
use crate::header::media_type;

/// How many tokens an answer took, by the provider's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What was read: prompt, tools, and what the provider had cached of them.
    pub input: u64,
    /// What was written, reasoning included.
    pub output: u64,
}

impl Usage {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// What an object says that a provider calls `usage`, or Gemini `usageMetadata`.
    pub(super) fn of_object(json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Object>(json).ok()?.usage()
    }

    /// The same or more of each count: providers of streams repeat what they have counted so far.
    fn merge(&mut self, other: Self) {
        self.input = self.input.max(other.input);
        self.output = self.output.max(other.output);
    }
}

/// All that providers name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    // OpenAI: chat completions, completions, embeddings.
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    // OpenAI's responses, and Anthropic, whose input leaves out what was cached.
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    // Gemini, whose total has also what it thought.
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<u64>,
    #[serde(rename = "totalTokenCount")]
    total_token_count: Option<u64>,
}

impl Object {
    fn usage(&self) -> Option<Usage> {
        if let Some(total) = self.total_token_count {
            let input = self.prompt_token_count.unwrap_or(0).min(total);
            return Some(Usage { input, output: total - input });
        }
        if self.prompt_tokens.is_some() || self.completion_tokens.is_some() {
            let (input, output) = (self.prompt_tokens.unwrap_or(0), self.completion_tokens.unwrap_or(0));
            return Some(Usage { input, output });
        }
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let input = cached.into_iter().flatten().fold(self.input_tokens.unwrap_or(0), u64::saturating_add);
        Some(Usage { input, output: self.output_tokens.unwrap_or(0) })
    }
}

/// Reads an answer's usage as its body passes, and keeps no more of it than one event or one member.
#[derive(Debug)]
pub struct Reader(Kind);

#[derive(Debug)]
enum Kind {
    Stream(Events),
    Json(Member),
}

impl Reader {
    /// A reader for a body with these fields; `None` if it is neither an event stream nor JSON, or compressed.
    #[must_use]
    pub fn new(headers: &HeaderMap) -> Option<Self> {
        if headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return None;
        }
        if media_type::is_event_stream(headers) {
            return Some(Self(Kind::Stream(Events::default())));
        }
        media_type::is_json(headers).then(|| Self(Kind::Json(Member::new(&["usage", "usageMetadata"]))))
    }

    /// Some more of the body.
    pub fn read(&mut self, data: &[u8]) {
        match &mut self.0 {
            Kind::Stream(events) => events.read(data),
            Kind::Json(member) => member.read(data),
        }
    }

    /// What it says so far; `None` if it says nothing. Of a stream it is final when its last event has come.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &self.0 {
            Kind::Stream(events) => events.usage(),
            Kind::Json(member) => Usage::of_object(member.value()?),
        }
    }

    /// Whether the provider has said all that it will say.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match &self.0 {
            Kind::Stream(events) => events.is_final(),
            Kind::Json(member) => member.value().is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONTENT_TYPE};
    use proptest::prelude::*;

    use super::*;

    fn reader(media_type: &'static str) -> Reader {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        Reader::new(&headers).expect("a reader")
    }

    const PLAIN: [(&str, Usage); 6] = [
        (
            r#"{"id":"x","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}"}}],
                "usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            Usage { input: 11, output: 7 },
        ),
        (
            r#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
            Usage { input: 5, output: 0 },
        ),
        (
            r#"{"type":"message","usage":{"input_tokens":3,"cache_creation_input_tokens":10,"cache_read_input_tokens":20,"output_tokens":4},"x":[]}"#,
            Usage { input: 33, output: 4 },
        ),
        (r#"{"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}"#, Usage { input: 3, output: 4 }),
        (
            r#"{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":6,"totalTokenCount":15}}"#,
            Usage { input: 4, output: 11 },
        ),
        (r#"{ "a" : {"usage":{"prompt_tokens":1}} , "usage" : {"prompt_tokens":2} }"#, Usage { input: 2, output: 0 }),
    ];

    const STREAMS: [(&str, Option<Usage>, bool); 7] = [
        (
            "data: {\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":6}}\r\n\r\ndata: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":15}}\r\n\r\n",
            Some(Usage { input: 4, output: 11 }),
            true,
        ),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n",
            Some(Usage { input: 11, output: 7 }),
            true,
        ),
        (
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":15}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            Some(Usage { input: 25, output: 15 }),
            true,
        ),
        (
            "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\r\n\r\n",
            Some(Usage { input: 25, output: 1 }),
            false,
        ),
        (
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n",
            Some(Usage { input: 3, output: 4 }),
            true,
        ),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n", None, true),
        ("data: {\"choices\":[{\"del", None, false),
    ];

    #[test]
    fn every_provider_s_usage_is_read_whatever_the_pieces() {
        for (body, expected) in PLAIN {
            for size in [1, 2, 7, body.len()] {
                let mut reader = reader("application/json");
                body.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
                assert_eq!(reader.usage(), Some(expected), "{body}");
                assert!(reader.is_final());
            }
        }
        for (body, expected, is_final) in STREAMS {
            for size in [1, 2, 7, body.len()] {
                let mut reader = reader("text/event-stream; charset=utf-8");
                body.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
                assert_eq!((reader.usage(), reader.is_final()), (expected, is_final), "{body}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_reader() {
        let mut headers = HeaderMap::new();
        assert!(Reader::new(&headers).is_none());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(Reader::new(&headers).is_some());
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(Reader::new(&headers).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(pieces: Vec<Vec<u8>>) {
            for media_type in ["application/json", "text/event-stream"] {
                let mut reader = reader(media_type);
                pieces.iter().for_each(|piece| reader.read(piece));
                let _ = reader.usage();
            }
        }

        #[test]
        fn a_member_is_found_as_a_parser_finds_it(
            before in "[a-z\"\\\\{}\\[\\]:,]{0,12}", count in 0_u64..1000, nested: bool, size in 1_usize..9,
        ) {
            let usage = serde_json::json!({ "prompt_tokens": count, "note": before });
            let inner = serde_json::json!({ "usage": { "prompt_tokens": 7777 } });
            let body = serde_json::json!({ "a": before, "b": if nested { inner } else { 1.into() }, "usage": usage, "z": [before] });
            let body = body.to_string();
            let mut reader = reader("application/json");
            body.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
            prop_assert_eq!(reader.usage(), Some(Usage { input: count, output: 0 }));
        }
    }
}
