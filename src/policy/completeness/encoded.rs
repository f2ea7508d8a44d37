//! What the checks make of compressed bodies.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderValue, StatusCode, header::CONTENT_ENCODING};

use super::{
    Anthropic, Completeness, EndOfStream, Gemini, Llm, OpenAi, Verdict,
    transcripts::{CHAT, GENERATE_CONTENT, MESSAGES, head},
};

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";
const ANSWER: &str = r#"{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop"}]}"#;

fn encode(coding: &str, text: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" | "x-gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
        }
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 18).write_all(text).expect("memory");
            out
        }
        #[cfg(feature = "zstd")]
        "zstd" => zstd::encode_all(text, 3).expect("memory"),
        _ => text.to_vec(),
    }
}

fn judge(completeness: &dyn Completeness, media_type: &'static str, coding: &'static str, body: &[u8]) -> Verdict {
    let mut headers = head(media_type);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    completeness.check(StatusCode::OK, &headers, body)
}

const CODINGS: &[&str] = &[
    "identity",
    "gzip",
    "x-gzip",
    "deflate",
    "br",
    #[cfg(feature = "zstd")]
    "zstd",
];

#[test]
fn what_is_in_a_compressed_stream_decides() {
    let cases = [
        (CHAT.to_owned(), Verdict::Complete),
        (CHAT.replace("data: [DONE]\n\n", ""), Verdict::Incomplete("no-terminal-event")),
        (CHAT[..CHAT.len() / 2].to_owned(), Verdict::Incomplete("truncated")),
        (CHAT.replace("\"stop\"", "\"length\""), Verdict::Incomplete("finish-length")),
        (format!("{CHAT}event: error\ndata: {{}}\n\n"), Verdict::Incomplete("error-event")),
        (String::new(), Verdict::Incomplete("unknown-stream")),
    ];
    for (coding, (text, verdict)) in CODINGS.iter().flat_map(|coding| cases.iter().map(move |case| (*coding, case))) {
        let body = encode(coding, text.as_bytes());
        for completeness in [&Llm::new() as &dyn Completeness, &EndOfStream] {
            assert_eq!(judge(completeness, SSE, coding, &body), *verdict, "{coding}: {text}");
        }
    }
}

#[test]
fn what_is_in_a_compressed_json_answer_decides() {
    let cases = [
        (ANSWER.to_owned(), Verdict::Complete),
        (ANSWER[..ANSWER.len() - 1].to_owned(), Verdict::Incomplete("invalid-json")),
        (ANSWER.replace("stop", "length"), Verdict::Incomplete("finish-length")),
        (ANSWER.replace("chat.completion", "error").replace("choices", "error"), Verdict::Incomplete("error")),
    ];
    for (coding, (text, verdict)) in CODINGS.iter().flat_map(|coding| cases.iter().map(move |case| (*coding, case))) {
        assert_eq!(judge(&Llm::new(), JSON, coding, &encode(coding, text.as_bytes())), *verdict, "{coding}: {text}");
        assert_eq!(judge(&EndOfStream, JSON, coding, b"not looked into"), Verdict::Complete);
    }
}

#[test]
fn a_compressed_body_that_is_cut_anywhere_is_not_complete() {
    let checks: [(&dyn Completeness, &str); 3] =
        [(&OpenAi::new(), CHAT), (&Anthropic::new(), MESSAGES), (&Gemini::new(), GENERATE_CONTENT)];
    for (completeness, text) in checks {
        for coding in &CODINGS[1..] {
            let whole = encode(coding, text.as_bytes());
            assert_eq!(judge(completeness, SSE, coding, &whole), Verdict::Complete, "{coding}");
            for end in 0..whole.len() {
                let verdict = judge(completeness, SSE, coding, &whole[..end]);
                assert_eq!(verdict, Verdict::Incomplete("invalid-encoding"), "{coding} cut at {end}");
            }
        }
    }
}

#[test]
fn a_coding_that_is_unknown_or_a_lie_is_not_guessed() {
    for unknown in ["compress", "gzip, unheard-of", "exi"] {
        for media_type in [SSE, JSON] {
            let verdict = judge(&Llm::new(), media_type, unknown, CHAT.as_bytes());
            assert_eq!(verdict, Verdict::Incomplete("encoded"), "{unknown}");
        }
        assert_eq!(judge(&Llm::new(), "audio/mpeg", unknown, b"sound"), Verdict::Complete);
    }
    for coding in &CODINGS[1..] {
        let verdict = judge(&Llm::new(), SSE, coding, CHAT.as_bytes());
        assert_eq!(verdict, Verdict::Incomplete("invalid-encoding"), "{coding}");
    }
}

#[test]
fn codings_on_top_of_each_other_come_off_in_their_order() {
    let twice = encode("br", &encode("gzip", CHAT.as_bytes()));
    assert_eq!(judge(&Llm::new(), SSE, "gzip, br", &twice), Verdict::Complete);
    assert_eq!(judge(&Llm::new(), SSE, "br, gzip", &twice), Verdict::Incomplete("invalid-encoding"));
    let mut headers = head(SSE);
    for line in ["gzip", "identity, br"] {
        headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
    }
    assert_eq!(Llm::new().check(StatusCode::OK, &headers, &twice), Verdict::Complete);
}

#[test]
fn a_bomb_is_not_kept() {
    let text = [CHAT.as_bytes(), &vec![b'\n'; 64 << 20]].concat();
    assert_eq!(judge(&Llm::new(), SSE, "gzip", &encode("gzip", &text)), Verdict::Incomplete("too-large"));
}
