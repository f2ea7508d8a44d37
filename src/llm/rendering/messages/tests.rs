use crate::llm::{
    Endpoint,
    rendering::{
        Rendered, Rendering,
        clients::{self, events},
        laws::{assert_same, converted},
        render,
    },
};

const STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"model":"claude-sonnet-4-5","id":"msg_1","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":0},"output_tokens":1,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm, "}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"so"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"eHg="}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":"","citations":[]}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"u","cited_text":"t"}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Hello 😀\n"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{},"caller":{"type":"direct"}}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Paris \\u00e9\", \"big"}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"\": 12345678901234567890.5}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: content_block_start
data: {"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_stop
data: {"type":"content_block_stop","index":4}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":26,"cache_creation_input_tokens":null,"output_tokens":15,"server_tool_use":{"web_search_requests":1}}}

event: message_stop
data: {"type":"message_stop"}

"#;

const PLAIN: &str = r#"{"model":"claude-sonnet-4-5","id":"msg_1","type":"message","role":"assistant","content":[{"type":"thinking","thinking":"Hm, so","signature":"c2ln"},{"type":"redacted_thinking","data":"eHg="},{"type":"text","text":"Hello 😀\n","citations":[{"type":"web_search_result_location","url":"u","cited_text":"t"}]},{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Paris \u00e9","big":12345678901234567890.5},"caller":{"type":"direct"}},{"type":"tool_use","id":"toolu_2","name":"now","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":26,"cache_creation_input_tokens":0,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":0},"output_tokens":15,"service_tier":"standard","server_tool_use":{"web_search_requests":1}}}"#;

fn to_plain(stream: &str) -> Option<String> {
    let plain = converted(Endpoint::Messages, Rendering::Plain, true, stream.as_bytes());
    plain.map(|plain| String::from_utf8(plain).expect("UTF-8"))
}

fn to_stream(plain: &str) -> Option<Vec<u8>> {
    converted(Endpoint::Messages, Rendering::Stream { usage: true }, false, plain.as_bytes())
}

#[test]
fn a_stream_becomes_the_plain_message_with_each_number_as_it_was() {
    let plain = to_plain(STREAM).expect("a known shape");
    assert_same(plain.as_bytes(), PLAIN.as_bytes());
    assert!(plain.contains("12345678901234567890.5") && plain.contains("\"Paris \\u00e9\""), "{plain}");
    let with_done = format!("{STREAM}data: [DONE]\n\n");
    assert_eq!(to_plain(&with_done), Some(plain), "a gateway's own end");
    let rendered = render(Endpoint::Messages, None, Rendering::Stream { usage: true }, true, STREAM.as_bytes());
    assert_eq!(rendered, Rendered::AsIs);
}

#[test]
fn a_plain_message_streams_as_the_api_has_it() {
    let stream = to_stream(PLAIN).expect("a known shape");
    assert_eq!(clients::messages(&stream), serde_json::from_str::<serde_json::Value>(PLAIN).expect("JSON"));
    let events = events(&stream);
    let start = &events[0].1["message"];
    assert_eq!((&start["content"], &start["stop_reason"]), (&serde_json::json!([]), &serde_json::Value::Null));
    assert_eq!(start["usage"]["output_tokens"], 0, "nothing has been put out yet");
    assert_eq!(start["usage"]["input_tokens"], 26);
    let kinds: Vec<_> = events.iter().map(|(name, data)| data["delta"]["type"].as_str().unwrap_or(name)).collect();
    let expected = [
        "message_start",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "citations_delta",
        "content_block_stop",
        "content_block_start",
        "input_json_delta",
        "content_block_stop",
        "content_block_start",
        "input_json_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn what_is_not_known_for_sure_is_inexact() {
    let cases = [
        ("\"type\":\"thinking_delta\",\"thinking\":\"so\"", "\"type\":\"text_delta\",\"text\":\"so\""),
        ("\"type\":\"thinking_delta\",\"thinking\":\"so\"", "\"type\":\"new_delta\",\"thinking\":\"so\""),
        ("\"type\":\"thinking_delta\",\"thinking\":\"so\"", "\"type\":\"signature_delta\",\"signature\":\"a\""),
        ("\"type\":\"redacted_thinking\"", "\"type\":\"new_block\""),
        ("\\\": 12345678901234567890.5}", "\\\": 1"),
        ("\\\": 12345678901234567890.5}", "\\\": 1}}"),
        ("{\\\"city", "[{\\\"city"),
        ("\"name\":\"weather\",\"input\":{}", "\"name\":\"weather\",\"input\":{\"a\":1}"),
        ("\"index\":4,\"content_block\"", "\"index\":5,\"content_block\""),
        ("event: ping", "event: pong"),
        ("\"stop_reason\":\"tool_use\"", "\"stop_reason\":null"),
        ("\"usage\":{\"input_tokens\":26", "\"usage\":{\"new_tokens\":26"),
        ("\"output_tokens\":15", "\"input_tokens_too\":15"),
        ("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", ""),
        ("\"content\":[],\"stop_reason\":null", "\"content\":[],\"stop_reason\":\"end_turn\""),
        ("data: {\"type\":\"content_block_stop\",\"index\":4}", "data: {\"type\":\"ping\"}"),
        ("\"role\":\"assistant\"", "\"role\":\"user\""),
        ("event: ping\ndata: {\"type\": \"ping\"}", "event: error\ndata: {\"type\":\"error\",\"error\":{}}"),
        ("event: ping\ndata: {\"type\": \"ping\"}", "event: news\ndata: {\"type\":\"news\"}"),
    ];
    for (known, unknown) in cases {
        assert!(STREAM.contains(known), "{known}");
        assert_eq!(to_plain(&STREAM.replace(known, unknown)), None, "{unknown}");
    }
    assert_eq!(to_plain(&format!("{STREAM}{STREAM}")), None);
    let cases = [
        ("\"stop_reason\":\"tool_use\"", "\"stop_reason\":null"),
        ("\"stop_sequence\":null,", ""),
        ("\"type\":\"redacted_thinking\"", "\"type\":\"new_block\""),
        ("\"type\":\"message\"", "\"type\":\"completion\""),
        ("\"output_tokens\":15,", ""),
        ("\"input\":{}", "\"input\":[]"),
        ("\"speed\"", "\"speed\""),
        ("\"service_tier\"", "\"new_tier\""),
    ];
    for (known, unknown) in cases.into_iter().filter(|(known, unknown)| known != unknown) {
        assert!(PLAIN.contains(known), "{known}");
        assert_eq!(to_stream(&PLAIN.replace(known, unknown)), None, "{unknown}");
    }
}

#[test]
fn what_is_known_at_the_end_takes_the_place_of_what_was_said_before() {
    let stream = STREAM
        .replace("\"stop_sequence\":null,\"usage\":{\"input_tokens\":25", "\"stop_sequence\":null,\"container\":null,\"usage\":{\"input_tokens\":25")
        .replace(
            "\"stop_sequence\":null},\"usage\":",
            "\"stop_sequence\":null,\"stop_details\":null,\"container\":{\"id\":\"c\"}},\"context_management\":{\"applied_edits\":[]},\"usage\":",
        );
    let plain = to_plain(&stream).expect("a known shape");
    let expected = PLAIN.replace(
        "\"stop_sequence\":null,",
        "\"stop_sequence\":null,\"stop_details\":null,\"container\":{\"id\":\"c\"},\"context_management\":{\"applied_edits\":[]},",
    );
    assert_same(plain.as_bytes(), expected.as_bytes());
    assert_eq!(clients::messages(&to_stream(&plain).expect("a known shape")), clients::messages(stream.as_bytes()));
}
