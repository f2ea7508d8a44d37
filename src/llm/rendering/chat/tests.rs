use crate::llm::{
    Endpoint,
    rendering::{
        Rendered, Rendering,
        clients::{self, events},
        laws::{assert_same, converted},
        render,
    },
};

const CHAT: Endpoint = Endpoint::ChatCompletions;

/// A stream of these chunks, without what all of them begin with.
fn stream(chunks: &[&str]) -> String {
    let head = r#""id":"chatcmpl-1","object":"chat.completion.chunk","created":1716200000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1""#;
    let chunks = chunks.iter().map(|chunk| format!("data: {{{head},{chunk}}}\n\n"));
    chunks.collect::<String>() + "data: [DONE]\n\n"
}

/// The answer with these choices.
fn plain(choices: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1716200000,"model":"gpt-4o-2024-08-06","choices":[{choices}],"usage":{{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"completion_tokens_details":{{"reasoning_tokens":0}}}},"service_tier":"default","system_fingerprint":"fp_1"}}"#
    )
}

const USAGE: &str = r#""choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"completion_tokens_details":{"reasoning_tokens":0}},"obfuscation":"x""#;

fn chunk(choice: &str) -> String {
    format!(r#""choices":[{{{choice}}}],"usage":null,"obfuscation":"aXz""#)
}

fn to_plain(stream: &str) -> Option<String> {
    converted(CHAT, Rendering::Plain, true, stream.as_bytes()).map(|plain| String::from_utf8(plain).expect("UTF-8"))
}

fn to_stream(plain: &str, usage: bool) -> Option<Vec<u8>> {
    converted(CHAT, Rendering::Stream { usage }, false, plain.as_bytes())
}

fn text() -> (String, String) {
    let chunks = [
        r#""index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":{"content":[],"refusal":null},"finish_reason":null"#,
        r#""index":0,"delta":{"content":"Hello \"\u00e9\" "},"logprobs":{"content":[{"token":"Hello","logprob":-0.1234567890123456789,"bytes":[72],"top_logprobs":[]}],"refusal":null},"finish_reason":null"#,
        r#""index":0,"delta":{"content":"😀\n"},"logprobs":{"content":[{"token":"😀","logprob":-1e-7,"bytes":null,"top_logprobs":[]}],"refusal":null},"finish_reason":null"#,
        r#""index":0,"delta":{},"logprobs":null,"finish_reason":"stop""#,
    ]
    .map(chunk);
    let chunks: Vec<_> = chunks.iter().map(String::as_str).chain([USAGE]).collect();
    let choice = r#"{"index":0,"message":{"role":"assistant","content":"Hello \"\u00e9\" 😀\n","refusal":null},"logprobs":{"content":[{"token":"Hello","logprob":-0.1234567890123456789,"bytes":[72],"top_logprobs":[]},{"token":"😀","logprob":-1e-7,"bytes":null,"top_logprobs":[]}],"refusal":null},"finish_reason":"stop"}"#;
    (stream(&chunks), plain(choice))
}

#[test]
fn a_stream_becomes_the_plain_answer_with_each_number_as_it_was() {
    let (stream, plain) = text();
    let converted = to_plain(&stream).expect("a known shape");
    assert_same(converted.as_bytes(), plain.as_bytes());
    for exact in ["-0.1234567890123456789", "-1e-7", "\\\"\\u00e9\\\" 😀\\n"] {
        assert!(converted.contains(exact), "{exact} in {converted}");
    }
    assert!(!converted.contains("obfuscation"));
}

#[test]
fn a_plain_answer_streams_as_the_api_has_it() {
    let (_, plain) = text();
    let stream = to_stream(&plain, true).expect("a known shape");
    let events = events(&stream);
    let deltas: Vec<_> = events.iter().map(|(_, chunk)| chunk["choices"][0]["delta"].to_string()).collect();
    let hello = r#"{"content":"Hello \"é\" 😀\n"}"#;
    assert_eq!(deltas, [r#"{"content":"","refusal":null,"role":"assistant"}"#, hello, "{}", "null"]);
    for (_, chunk) in &events {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["service_tier"], "default");
    }
    assert_eq!(events[3].1["usage"]["total_tokens"], 13);
    assert_eq!(events[3].1["choices"], serde_json::json!([]));
    assert!(events[..3].iter().all(|(_, chunk)| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    assert!(stream.ends_with(b"}}\n\ndata: [DONE]\n\n"), "usage stands last");
}

#[test]
fn usage_is_in_a_stream_only_if_it_was_asked_for() {
    let (stream, plain) = text();
    let without = converted(CHAT, Rendering::Stream { usage: false }, true, stream.as_bytes()).expect("a known shape");
    assert_eq!(events(&without).len(), 4);
    let text = String::from_utf8(without.clone()).expect("UTF-8");
    assert!(!text.contains("\"usage\"") && text.contains("-0.1234567890123456789"), "{text}");
    let render = |usage, body: &[u8]| render(CHAT, None, Rendering::Stream { usage }, true, body);
    assert_eq!(render(false, &without), Rendered::AsIs);
    assert_eq!(render(true, &without), Rendered::Inexact, "nothing tells what was used");
    assert_eq!(render(true, stream.as_bytes()), Rendered::AsIs);
    let other = to_stream(&plain, false).expect("a known shape");
    assert!(!String::from_utf8(other).expect("UTF-8").contains("\"usage\""));
    let no_usage = plain.replace("\"usage\":{", "\"service_tier\":{").replace(",\"service_tier\":\"default\"", "");
    assert_eq!(to_stream(&no_usage, true), None);
}

/// DeepSeek, Mistral and OpenRouter say what was used with the choice's end, whether they are asked or not.
#[test]
fn usage_beside_a_choice_is_no_chunk_too_many() {
    let last = r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"end_turn","logprobs":null}],"provider":"DeepSeek","usage":{"total_tokens":3}"#;
    let first = r#""choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Hm"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}],"provider":"DeepSeek""#;
    let second = r#""choices":[{"index":0,"delta":{"role":"assistant","content":"Hi","reasoning":null},"finish_reason":null}],"provider":"DeepSeek""#;
    let body = stream(&[first, second, last]);
    for usage in [false, true] {
        let rendered = render(CHAT, None, Rendering::Stream { usage }, true, body.as_bytes());
        assert_eq!(rendered, Rendered::AsIs);
    }
    let expected = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1716200000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1","provider":"DeepSeek","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","reasoning":"Hm"},"logprobs":null,"finish_reason":"stop","native_finish_reason":"end_turn"}],"usage":{"total_tokens":3}}"#;
    assert_same(to_plain(&body).expect("a known shape").as_bytes(), expected.as_bytes());
}

#[test]
fn the_end_of_a_stream_decides_and_the_rest_is_not_read() {
    let (body, _) = text();
    let garbage = format!("data: {{nothing\n\n{body}");
    let rendered = render(CHAT, None, Rendering::Stream { usage: true }, true, garbage.as_bytes());
    assert_eq!(rendered, Rendered::AsIs);
    assert_eq!(to_plain(&garbage), None);
}

#[test]
fn tool_calls_and_choices_are_put_together_by_their_index() {
    let chunks = [
        r#""index":1,"delta":{"role":"assistant","content":"B"},"finish_reason":null"#,
        r#""index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"a","arguments":""}}]},"finish_reason":null"#,
        r#""index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]},"finish_reason":null"#,
        r#""index":1,"delta":{"content":"!"},"finish_reason":"stop""#,
        r#""index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"b","arguments":"{}"}}]},"finish_reason":null"#,
        r#""index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":null"#,
        r#""index":0,"delta":{},"finish_reason":"tool_calls""#,
    ]
    .map(chunk);
    let chunks: Vec<_> = chunks.iter().map(String::as_str).chain([USAGE]).collect();
    let expected = plain(
        r#"{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"a","arguments":"{\"x\":1}"}},{"id":"call_2","type":"function","function":{"name":"b","arguments":"{}"}}]},"finish_reason":"tool_calls"},{"index":1,"message":{"role":"assistant","content":"B!"},"finish_reason":"stop"}"#,
    );
    let converted = to_plain(&stream(&chunks)).expect("a known shape");
    assert_same(converted.as_bytes(), expected.as_bytes());
    let again = to_stream(&converted, true).expect("a known shape");
    assert_eq!(clients::chat(&again), serde_json::from_str::<serde_json::Value>(&expected).expect("JSON"));
    // DeepSeek's plain answers have the index as well.
    let indexed = expected.replace("{\"id\":\"call_1\"", "{\"index\":0,\"id\":\"call_1\"");
    assert_eq!(to_stream(&indexed, true), Some(again));
    assert_eq!(to_stream(&indexed.replace("{\"index\":0,\"id\"", "{\"index\":1,\"id\""), true), None);
}

#[test]
fn what_is_not_known_for_sure_is_inexact() {
    let (body, answer) = text();
    let stop = "\"finish_reason\":\"stop\"";
    let second = "{\"content\":\"😀\\n\"}";
    let cases = [
        body.replace(stop, "\"finish_reason\":null"),
        body.replace("data: [DONE]\n\n", ""),
        body.replace("[DONE]", "{}"),
        format!("{body}{body}"),
        body.replace("\"refusal\":null},\"logprobs\"", "\"audio\":{\"id\":\"a\"}},\"logprobs\""),
        body.replacen("gpt-4o-2024-08-06", "gpt-4o", 1),
        body.replace(second, "{\"content\":7}"),
        body.replace(second, "{\"content\":\"\\ud83d\"}"),
        body.replace(second, "[\"content\",\"x\"]"),
        body.replace(second, "{\"tool_calls\":[{\"index\":1,\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}"),
        body.replace(second, "{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"type\":\"custom\",\"custom\":{\"name\":\"f\",\"input\":\"\"}}]}"),
        body.replace(second, "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\"}}]}"),
        body.replace(second, "{\"function_call\":{\"name\":\"f\"}}"),
        body.replace(second, "{\"reasoning_details\":[]}"),
        body.replace("\"index\":0", "\"index\":1"),
        body.replace("\"index\":0,", ""),
        body.replace("data: {", "event: x\ndata: {"),
        body.replacen("data: {", "data: {\"error\":{\"message\":\"m\"}}\n\ndata: {", 1),
        body.replacen("\"object\":\"chat.completion.chunk\",", "", 1),
        body.replacen("\"created\":1716200000", "\"created\":1716200000,\"created\":1716200000", 1),
        body.replace(&format!("{stop}}}],\"usage\":null"), &format!("{stop}}}],\"usage\":{{}}")),
        body.replace("{\"content\":[],\"refusal\":null}", "{\"content\":[],\"text\":null}"),
    ];
    for body in cases {
        assert_eq!(to_plain(&body), None, "{body}");
    }
    let cases = [
        answer.replace(stop, "\"finish_reason\":null"),
        answer.replace("\"refusal\":null}", "\"audio\":{\"id\":\"a\"}}"),
        answer.replace("\"refusal\":null}", "\"content_filter_results\":{}}"),
        answer.replace("\"role\":\"assistant\",", ""),
        answer.replace("\"chat.completion\"", "\"chat.completions\""),
        answer.replace("\"index\":0", "\"index\":1"),
        answer.replace("\"choices\":[", "\"error\":null,\"choices\":["),
        answer.replace("\"choices\":[", "\"prompt_filter_results\":[],\"choices\":["),
        plain(""),
        answer[1..].to_owned(),
    ];
    for body in cases {
        assert_eq!(to_stream(&body, true), None, "{body}");
    }
}

#[test]
fn a_call_that_is_named_twice_is_inexact() {
    let call = |call: &str| {
        chunk(&format!(r#""index":0,"delta":{{"role":"assistant","tool_calls":[{call}]}},"finish_reason":"stop""#))
    };
    let first = call(r#"{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{"}}"#);
    let cases = [
        (r#"{"index":0,"id":"","type":"function","function":{"name":"","arguments":"}"}}"#, true),
        (r#"{"index":0,"id":null,"function":{"name":null,"arguments":"}"}}"#, true),
        (r#"{"index":0,"id":"c","function":{"arguments":"}"}}"#, false),
        (r#"{"index":0,"function":{"name":"f","arguments":"}"}}"#, false),
        (r#"{"index":0,"function":{"arguments":"}"},"extra":1}"#, false),
    ];
    for (second, is_exact) in cases {
        let body = stream(&[&first, &call(second), USAGE]);
        assert_eq!(to_plain(&body).is_some(), is_exact, "{body}");
    }
}

#[test]
fn lists_of_log_probabilities_with_gaps_are_inexact() {
    let chunk = |tops: &str| {
        format!(
            r#"data: {{"object":"text_completion","choices":[{{"index":0,"text":"a","logprobs":{{"tokens":["a"],"top_logprobs":{tops}}},"finish_reason":"stop"}}],"usage":{{}}}}"#
        )
    };
    let body = |second: &str| {
        format!("{}\n\n{}\n\ndata: [DONE]\n\n", chunk("[{}]").replace(",\"usage\":{}", ""), chunk(second))
    };
    let to_plain = |body: String| converted(Endpoint::Completions, Rendering::Plain, true, body.as_bytes());
    let expected = r#"{"object":"text_completion","choices":[{"index":0,"text":"aa","logprobs":{"tokens":["a","a"],"top_logprobs":[{},{}]},"finish_reason":"stop"}],"usage":{}}"#;
    assert_same(&to_plain(body("[{}]")).expect("a known shape"), expected.as_bytes());
    assert_eq!(to_plain(body("null")), None);
}
