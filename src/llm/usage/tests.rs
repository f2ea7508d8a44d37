//! What the reader finds in the providers' answers.

use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
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
            assert_eq!((reader.model().as_deref(), reader.service_tier().as_deref()), (Some("m-1"), tier), "{body}");
        }
    }
}

fn encoded(media_type: &'static str, coding: &'static str) -> Option<Reader> {
    let fields = [(CONTENT_TYPE, media_type), (CONTENT_ENCODING, coding)];
    Reader::new(&fields.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect())
}

fn encode(coding: &str, text: &[u8]) -> Vec<u8> {
    match coding {
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 18).write_all(text).expect("memory");
            out
        }
        #[cfg(feature = "zstd")]
        "zstd" => zstd::encode_all(text, 3).expect("memory"),
        _ => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
        }
    }
}

#[test]
fn what_cannot_be_read_has_no_reader() {
    assert!(Reader::new(&HeaderMap::new()).is_none());
    assert!(encoded("audio/mpeg", "identity").is_none());
    assert!(encoded("application/json", "identity").is_some());
    assert!(encoded("application/json", "compress").is_none());
}

#[test]
fn usage_is_read_out_of_compressed_answers_as_they_pass() {
    let codings = [
        "gzip",
        "br",
        #[cfg(feature = "zstd")]
        "zstd",
    ];
    for coding in codings {
        for (body, expected) in PLAIN {
            let mut reader = encoded("application/json", coding).expect("a reader");
            encode(coding, body.as_bytes()).chunks(7).for_each(|piece| reader.read(piece));
            assert_eq!((reader.usage(), reader.is_final()), (Some(expected), true), "{coding}: {body}");
            assert_eq!(reader.model().as_deref(), Some("m-1"), "{coding}: {body}");
        }
        for (body, expected, is_final) in STREAMS {
            let mut reader = encoded("text/event-stream", coding).expect("a reader");
            encode(coding, body.as_bytes()).chunks(7).for_each(|piece| reader.read(piece));
            assert_eq!((reader.usage(), reader.is_final()), (expected, is_final), "{coding}: {body}");
        }
    }
}

#[test]
fn what_breaks_while_it_is_decoded_is_never_final() {
    let (body, usage) = PLAIN[1];
    let whole = encode("gzip", body.as_bytes());
    let mut reader = encoded("application/json", "gzip").expect("a reader");
    reader.read(&whole);
    assert_eq!((reader.usage(), reader.is_final()), (Some(usage), true));
    reader.read(b"more than a header");
    assert!(!reader.is_final());
    let mut reader = encoded("application/json", "gzip").expect("a reader");
    reader.read(body.as_bytes());
    assert_eq!((reader.usage(), reader.is_final()), (None, false));
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
