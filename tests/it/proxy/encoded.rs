//! Profile `llm`: an upstream that compresses what it was asked not to.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use super::{
    llm::CHAT,
    llm_stream::EVENTS,
    message::{Message, post_json, response},
    origin::Origin,
    process::Proxy,
};

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

fn encode(coding: &str, text: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
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
        "zstd" => zstd::encode_all(text, 3).expect("memory"),
        _ => text.to_vec(),
    }
}

/// What the upstream writes for a question.
fn written(question: &str) -> Vec<u8> {
    let [media_type, coding, what] = question.split(' ').collect::<Vec<_>>()[..] else { panic!("{question}") };
    let usage = r#"{"prompt_tokens":1000,"completion_tokens":100}"#;
    let (media_type, whole) = match media_type {
        "json" => {
            let choice = r#"{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}"#;
            let answer = r#"{"object":"chat.completion","model":"gpt-4o-mini","choices":["#;
            ("application/json", format!(r#"{answer}{choice}],"usage":{usage}}}"#))
        }
        _ => {
            let [first, second, third, done] = EVENTS;
            let last = format!(r#"data: {{"model":"gpt-4o-mini","choices":[],"usage":{usage}}}"#);
            ("text/event-stream", [first, second, third, &*last, "\n\n", done].concat())
        }
    };
    let (text, cut) = match what {
        "whole" => (whole, 0),
        "half" => (whole[..whole.len() / 2].to_owned(), 0),
        "cut" => (whole, 3),
        "length" => (whole.replace("\"stop\"", "\"length\""), 0),
        _ => (format!("{whole}event: error\ndata: {{\"error\":{{}}}}\n\n"), 0),
    };
    let mut body = encode(coding, text.as_bytes());
    body.truncate(body.len() - cut);
    response(200, &[("Content-Type", media_type), ("Content-Encoding", coding)], body)
}

#[tokio::test]
async fn a_compressed_answer_is_kept_as_it_came_if_what_is_in_it_is_whole() {
    let origin = Origin::answering(|request, _| {
        let asked = request.json();
        written(asked["messages"][0]["content"].as_str().expect("a question"))
    })
    .await;
    let proxy = Proxy::start(&origin, &["--cost-fields"]).await;
    let ask = async |question: &str| -> Message {
        let body = format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{question}"}}]}}"#);
        proxy.ask(post_json(CHAT, &[], &body)).await
    };
    // 1000 tokens at 150 nano-dollars and 100 at 600.
    let cost = Some("0.00021");
    for media_type in ["json", "sse"] {
        for coding in CODINGS {
            let question = format!("{media_type} {coding} whole");
            let (first, again) = (ask(&question).await, ask(&question).await);
            assert!(first.cache().contains("stored") && again.is_hit(), "{question}: {}", again.cache());
            assert_eq!((again.field("content-encoding"), &again.body), (Some(coding), &first.body), "{question}");
            assert!(written(&question).ends_with(&first.body), "{question}: it stays as it came");
            assert_eq!(again.field("larder-saved"), cost, "{question}: its usage is read as it passes");
            for what in ["half", "cut", "length", "error"] {
                let question = format!("{media_type} {coding} {what}");
                let (first, again) = (ask(&question).await, ask(&question).await);
                assert!(!again.is_hit() && again.body == first.body, "{question}: {}", again.cache());
            }
        }
        for unknown in ["compress", "gzip, x"] {
            let question = format!("{media_type} {} whole", unknown.replace(' ', ""));
            assert!(!ask(&question).await.is_hit() && !ask(&question).await.is_hit(), "{question}");
        }
    }
}
