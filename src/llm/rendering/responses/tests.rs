use crate::llm::{
    Endpoint,
    rendering::{
        Rendered, Rendering,
        clients::events,
        laws::{assert_same, converted},
        render,
    },
};

const PLAIN: &str = r#"{
  "id": "resp_1", "object": "response", "created_at": 1741476777, "status": "completed", "error": null,
  "incomplete_details": null, "model": "gpt-5", "temperature": 1.0, "new_setting_below": null,
  "output": [
    {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
    {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [
      {"type": "output_text", "annotations": [{"type": "url_citation", "url": "u"}], "logprobs": [], "text": "Hi"},
      {"type": "refusal", "refusal": "No"}]},
    {"id": "fc_1", "type": "function_call", "status": "completed", "name": "f", "call_id": "call_1", "arguments": "{\"a\":1}"},
    {"id": "ct_1", "type": "custom_tool_call", "status": "completed", "name": "g", "call_id": "call_2", "input": "x"},
    {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
  ],
  "usage": {"input_tokens": 9, "output_tokens": 12345678901234567890}
}"#;

fn plain() -> String {
    PLAIN.replace(", \"new_setting_below\": null", "")
}

fn to_stream(plain: &str) -> Option<String> {
    let stream = converted(Endpoint::Responses, Rendering::Stream { usage: true }, false, plain.as_bytes());
    stream.map(|stream| String::from_utf8(stream).expect("UTF-8"))
}

fn to_plain(stream: &str) -> Option<Vec<u8>> {
    converted(Endpoint::Responses, Rendering::Plain, true, stream.as_bytes())
}

#[test]
fn a_plain_response_streams_as_the_api_has_it() {
    let stream = to_stream(&plain()).expect("a known shape");
    let names: Vec<_> = events(stream.as_bytes()).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "web_search_call.completed",
        "output_item.done",
        "completed",
    ];
    assert_eq!(names, expected.map(|name| format!("response.{name}")));
    assert!(stream.contains("\"usage\":{\"input_tokens\":9,\"output_tokens\":12345678901234567890}"));
    assert_same(&to_plain(&stream).expect("the same stream"), plain().as_bytes());
    let rendered = render(Endpoint::Responses, None, Rendering::Stream { usage: true }, true, stream.as_bytes());
    assert_eq!(rendered, Rendered::AsIs);
}

#[test]
fn an_end_that_leaves_out_what_was_streamed_is_inexact() {
    let stream = to_stream(&plain()).expect("a known shape");
    let (before, end) = stream.rsplit_once("event: response.completed").expect("an end");
    let start = end.find("\"output\":[").expect("the output");
    let stop = end.find("],\"usage\"").expect("the end of it");
    let emptied = format!("{before}event: response.completed{}\"output\":[{}", &end[..start], &end[stop..]);
    assert!(
        events(emptied.as_bytes()).last().is_some_and(|(_, end)| end["response"]["output"] == serde_json::json!([]))
    );
    assert_eq!(to_plain(&emptied), None);
    let missing = format!("{before}event: response.completed{}\"x\":[{}", &end[..start], &end[stop..]);
    assert_eq!(to_plain(&missing), None);
}

#[test]
fn what_is_not_known_for_sure_is_inexact() {
    let stream = to_stream(&plain()).expect("a known shape");
    let (before, _) = stream.rsplit_once("event: response.completed").expect("an end");
    let cases = [
        before.to_owned(),
        stream.replace("event: response.completed", "event: response.failed"),
        stream.replace("response.completed", "response.failed"),
        stream.replace("response.completed", "response.incomplete"),
        format!("{stream}event: error\ndata: {{\"type\":\"error\"}}\n\n"),
        stream.replace("\"usage\":{", "\"user\":{"),
    ];
    for stream in cases {
        assert_eq!(to_plain(&stream), None, "{stream}");
    }
    let known = plain();
    let cases = [
        PLAIN.to_owned(),
        known.replace("\"completed\", \"error\": null", "\"in_progress\", \"error\": null"),
        known.replace("\"error\": null", "\"error\": {}"),
        known.replace("\"web_search_call\"", "\"image_generation_call\""),
        known.replace("{\"id\": \"fc_1\", ", "{"),
        known.replace("\"refusal\": \"No\"", "\"refusal\": null"),
        known.replace(
            "\"summary\": [",
            "\"content\": [{\"type\": \"reasoning_text\", \"text\": \"t\"}], \"summary\": [",
        ),
        known.replace("\"type\": \"refusal\"", "\"type\": \"output_audio\""),
    ];
    for plain in cases {
        assert_eq!(to_stream(&plain), None, "{plain}");
    }
}
