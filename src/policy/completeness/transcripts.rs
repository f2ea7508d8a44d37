//! Streams as the providers send them, and the law that all of them obey.

use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};

use super::{Completeness, Verdict};

/// Chat completions with `stream_options.include_usage`: the last chunk has no choices.
pub(super) const CHAT: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1716200000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1716200000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"Hello \"é\" 😀\n"},"logprobs":null,"finish_reason":null}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1716200000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}

data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1716200000,"model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}

data: [DONE]

"#;

/// `n = 2`.
pub(super) const CHAT_TWO_CHOICES: &str = r#"data: {"id":"chatcmpl-2","choices":[{"index":0,"delta":{"role":"assistant","content":"A"},"finish_reason":null}]}

data: {"id":"chatcmpl-2","choices":[{"index":1,"delta":{"role":"assistant","content":"B"},"finish_reason":null}]}

data: {"id":"chatcmpl-2","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-2","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: [DONE]

"#;

pub(super) const TOOL_CALLS: &str = r#"data: {"id":"chatcmpl-3","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-3","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"error\":"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-3","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"data: [DONE]\"}"}}]},"finish_reason":null}]}

data: {"id":"chatcmpl-3","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]

"#;

/// Azure's first chunk is about the prompt and has no choices.
pub(super) const AZURE: &str = r#"data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}

data: {"choices":[{"content_filter_results":{},"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0}],"id":"chatcmpl-4","model":"gpt-4o"}

data: {"choices":[{"content_filter_results":{"hate":{"filtered":false}},"delta":{"content":"Hi"},"finish_reason":null,"index":0}],"id":"chatcmpl-4"}

data: {"choices":[{"content_filter_results":{},"delta":{},"finish_reason":"stop","index":0}],"id":"chatcmpl-4"}

data: [DONE]

"#;

pub(super) const COMPLETIONS: &str = r#"data: {"id":"cmpl-5","object":"text_completion","choices":[{"text":"Once","index":0,"logprobs":null,"finish_reason":null}]}

data: {"id":"cmpl-5","object":"text_completion","choices":[{"text":" upon","index":0,"logprobs":null,"finish_reason":"stop"}]}

data: [DONE]

"#;

pub(super) const RESPONSES: &str = r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"incomplete_details":null,"output":[]}}

event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hi"}

event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":3,"output_index":0,"item":{"id":"msg_1","type":"message","status":"completed"}}

event: response.completed
data: {"type":"response.completed","sequence_number":4,"response":{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"usage":{"input_tokens":9,"output_tokens":1}}}

"#;

pub(super) const MESSAGES: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-sonnet-4","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello 😀\n"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}

event: message_stop
data: {"type":"message_stop"}

"#;

pub(super) const GENERATE_CONTENT: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":5},"modelVersion":"gemini-2.0-flash"}

data: {"candidates":[{"content":{"parts":[{"text":" \"finishReason\" 😀\n"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":3,"totalTokenCount":7},"modelVersion":"gemini-2.0-flash"}

"#;

pub(super) fn head(media_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))])
}

pub(super) fn stream(completeness: &impl Completeness, body: &str) -> Verdict {
    completeness.check(StatusCode::OK, &head("text/event-stream"), body.as_bytes())
}

pub(super) fn json(completeness: &impl Completeness, body: &str) -> Verdict {
    completeness.check(StatusCode::OK, &head("application/json"), body.as_bytes())
}

/// Cut anywhere, `whole` is complete only if nothing is missing but line ends after its last event.
pub(super) fn assert_only_the_whole_is_complete(completeness: &impl Completeness, whole: &str) {
    assert_eq!(stream(completeness, whole), Verdict::Complete, "{whole}");
    let headers = head("text/event-stream");
    for end in 0..whole.len() {
        let (part, missing) = whole.as_bytes().split_at(end);
        let verdict = completeness.check(StatusCode::OK, &headers, part);
        let is_received = match missing {
            b"\n" => part.ends_with(b"\n") && whole.ends_with("[DONE]\n\n") || part.ends_with(b"\r"),
            _ => false,
        };
        assert_eq!(verdict.is_complete(), is_received, "{:?}", String::from_utf8_lossy(part));
    }
}
