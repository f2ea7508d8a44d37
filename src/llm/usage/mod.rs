//! [`Usage`]: how many tokens an answer took, of which model, read as it passes.

mod event;
mod member;
mod object;

use http::{HeaderMap, header::CONTENT_ENCODING};
use serde::Deserialize;

use self::{event::Events, member::Members, object::Object};
use crate::header::media_type;

/// How many tokens an answer took, by the provider's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What was read: prompt, tools, and what the provider had cached of them.
    pub input: u64,
    /// What was written, reasoning included.
    pub output: u64,
    /// Of the input, what the provider had cached.
    pub cached_input: u64,
    /// Of the input, what the provider cached now, for later requests.
    pub cache_creation: u64,
    /// Of that, what it keeps for an hour, which some charge more for.
    pub cache_creation_1h: u64,
    /// Of the output, what was thought and not said.
    pub reasoning: u64,
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
        self.cached_input = self.cached_input.max(other.cached_input);
        self.cache_creation = self.cache_creation.max(other.cache_creation);
        self.cache_creation_1h = self.cache_creation_1h.max(other.cache_creation_1h);
        self.reasoning = self.reasoning.max(other.reasoning);
    }
}

/// What an answer says of who wrote it.
#[derive(Clone, Debug, Default)]
struct Said {
    model: Option<String>,
    service_tier: Option<String>,
}

impl Said {
    /// The longest name that is kept.
    const LONGEST: usize = 256;

    /// The first name counts.
    fn model(&mut self, name: Option<&str>) {
        if self.model.is_none() {
            self.model = name.filter(|name| (1..=Self::LONGEST).contains(&name.len())).map(str::to_owned);
        }
    }

    /// The last one counts: what was asked for may not be what was given.
    fn service_tier(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|name| name.len() <= Self::LONGEST) {
            self.service_tier = Some(name.to_owned());
        }
    }

    /// Anthropic says it with the usage.
    fn read_usage(&mut self, json: &[u8]) {
        #[derive(Deserialize)]
        struct Tier {
            service_tier: Option<String>,
        }
        if let Ok(Tier { service_tier }) = serde_json::from_slice(json) {
            self.service_tier(service_tier.as_deref());
        }
    }
}

/// Reads an answer's usage as its body passes, and keeps no more of it than one event or one member.
#[derive(Debug)]
pub struct Reader(Kind);

#[derive(Debug)]
enum Kind {
    Stream(Events),
    Json(Members<5>),
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
        media_type::is_json(headers).then(|| {
            Self(Kind::Json(Members::new(["usage", "usageMetadata", "model", "modelVersion", "service_tier"])))
        })
    }

    /// Some more of the body.
    pub fn read(&mut self, data: &[u8]) {
        match &mut self.0 {
            Kind::Stream(events) => events.read(data),
            Kind::Json(members) => members.read(data),
        }
    }

    /// What it says so far; `None` if it says nothing. Of a stream it is final when its last event has come.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &self.0 {
            Kind::Stream(events) => events.usage(),
            Kind::Json(members) => Usage::of_object(object(members)?),
        }
    }

    /// Whether the provider has said all that it will say.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match &self.0 {
            Kind::Stream(events) => events.is_final(),
            Kind::Json(members) => object(members).is_some(),
        }
    }

    /// The model that the answer names as its writer: often a dated snapshot of the one that was asked.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.said().model
    }

    /// The service tier that the answer names, such as `flex`, for which providers have prices of their own.
    #[must_use]
    pub fn service_tier(&self) -> Option<String> {
        self.said().service_tier
    }

    fn said(&self) -> Said {
        let members = match &self.0 {
            Kind::Stream(events) => return events.said().clone(),
            Kind::Json(members) => members,
        };
        let text = |index| serde_json::from_slice::<String>(members.get(index)?).ok();
        let mut said = Said::default();
        said.model(text(2).or_else(|| text(3)).as_deref());
        if let Some(usage) = object(members) {
            said.read_usage(usage);
        }
        said.service_tier(text(4).as_deref());
        said
    }
}

/// What a provider calls `usage`, or Gemini `usageMetadata`.
fn object(members: &Members<5>) -> Option<&[u8]> {
    members.get(0).or_else(|| members.get(1)).filter(|json| json.starts_with(b"{"))
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

    const NONE: Usage =
        Usage { input: 0, output: 0, cached_input: 0, cache_creation: 0, cache_creation_1h: 0, reasoning: 0 };

    const PLAIN: [(&str, Usage); 7] = [
        (
            r#"{"id":"x","model":"m-1","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}","model":"no"}}],
                "usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":4,
                "cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":3}},"service_tier":"default"}"#,
            Usage { input: 11, output: 7, cached_input: 4, cache_creation: 2, reasoning: 3, ..NONE },
        ),
        (
            r#"{"object":"list","data":[{"embedding":[0.1,-2e-3]}],"model":"m-1","usage":{"prompt_tokens":5,"total_tokens":5}}"#,
            Usage { input: 5, ..NONE },
        ),
        (
            r#"{"type":"message","model":"m-1","usage":{"input_tokens":3,"cache_creation_input_tokens":10,
                "cache_read_input_tokens":20,"output_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":4,
                "ephemeral_1h_input_tokens":6},"service_tier":"default"},"x":[]}"#,
            Usage { input: 33, output: 4, cached_input: 20, cache_creation: 10, cache_creation_1h: 6, reasoning: 0 },
        ),
        (
            r#"{"usage":{"input_tokens":9,"output_tokens":4,"total_tokens":13,"input_tokens_details":{"cached_tokens":8},
                "output_tokens_details":{"reasoning_tokens":2}},"model":"m-1"}"#,
            Usage { input: 9, output: 4, cached_input: 8, reasoning: 2, ..NONE },
        ),
        (
            r#"{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":6,
                "toolUsePromptTokenCount":2,"cachedContentTokenCount":3,"totalTokenCount":17},"modelVersion":"m-1"}"#,
            Usage { input: 6, output: 11, cached_input: 3, reasoning: 6, ..NONE },
        ),
        (
            r#"{"model":"m-1","usage":{"prompt_tokens":9,"completion_tokens":1,"prompt_cache_hit_tokens":8}}"#,
            Usage { input: 9, output: 1, cached_input: 8, ..NONE },
        ),
        (
            r#"{ "a" : {"usage":{"prompt_tokens":1},"model":"no"} , "usage" : {"prompt_tokens":2} , "model" : "m-\u0031" }"#,
            Usage { input: 2, ..NONE },
        ),
    ];

    const STREAMS: [(&str, Option<Usage>, bool); 8] = [
        (
            "data: {\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":6},\"modelVersion\":\"m-1\"}\r\n\r\ndata: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":15}}\r\n\r\n",
            Some(Usage { input: 4, output: 11, ..NONE }),
            true,
        ),
        (
            "data: {\"model\":\"m-1\",\"service_tier\":\"auto\",\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"usage\":null}\n\ndata: {\"model\":\"m-1\",\"service_tier\":\"flex\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n",
            Some(Usage { input: 11, output: 7, ..NONE }),
            true,
        ),
        (
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m-1\",\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":5,\"output_tokens\":1,\"service_tier\":\"flex\"}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":15}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            Some(Usage { input: 30, output: 15, cached_input: 5, ..NONE }),
            true,
        ),
        (
            "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m-1\",\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\r\n\r\n",
            Some(Usage { input: 25, output: 1, ..NONE }),
            false,
        ),
        (
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"m-1\",\"service_tier\":\"flex\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n",
            Some(Usage { input: 3, output: 4, ..NONE }),
            true,
        ),
        (
            "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: {\"model\":\"no\"}\n\ndata: [DONE]\n\n",
            None,
            true,
        ),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"\\\"model\\\"\"}}],\"model\":\"m-1\"}\n\n", None, false),
        ("data: {\"model\":\"m-1\"}\n\ndata: {\"choices\":[{\"del", None, false),
    ];

    #[test]
    fn every_provider_s_usage_is_read_whatever_the_pieces() {
        for (body, expected) in PLAIN {
            for size in [1, 2, 7, body.len()] {
                let mut reader = reader("application/json");
                body.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
                assert_eq!((reader.usage(), reader.model().as_deref()), (Some(expected), Some("m-1")), "{body}");
                assert!(reader.is_final() && reader.service_tier().is_none_or(|tier| tier == "default"), "{body}");
            }
        }
        for (body, expected, is_final) in STREAMS {
            for size in [1, 2, 7, body.len()] {
                let mut reader = reader("text/event-stream; charset=utf-8");
                body.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
                assert_eq!((reader.usage(), reader.is_final()), (expected, is_final), "{body}");
                let tier = body.contains("flex").then_some("flex");
                assert_eq!(
                    (reader.model().as_deref(), reader.service_tier().as_deref()),
                    (Some("m-1"), tier),
                    "{body}"
                );
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
            prop_assert_eq!(reader.usage(), Some(Usage { input: count, ..Usage::default() }));
        }
    }
}
