//! Plain answers of the known shapes, for the laws and for whoever wants cases to show to the providers' clients.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// The first `count` of a strategy's values, the same ones each time.
pub(super) fn cases<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRunner::deterministic().new_rng());
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

/// Text with all that JSON and event streams are touchy about.
pub(super) fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "",
        " ",
        "Hello",
        "é",
        "😀",
        "\n",
        "\r\n\r\n",
        "\"",
        "\\",
        "data: [DONE]\n\n",
        "\u{0}\u{1f}",
        "\u{2028}",
        "{}",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..6).prop_map(|pieces| pieces.concat())
}

fn full_text() -> impl Strategy<Value = String> {
    text().prop_map(|text| text + "!")
}

fn maybe<T: Clone + std::fmt::Debug>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    option::of(inner)
}

/// An object of those members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// JSON that isn't looked into.
pub(super) fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(0.25)),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(|members| json!(members)),
        ]
    })
}

fn arguments() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(text(), anything(), 0..3).prop_map(|members| json!(members))
}

fn nullable_text() -> impl Strategy<Value = Option<Value>> {
    maybe(option::of(text()).prop_map(|text| json!(text)))
}

fn chat_message() -> impl Strategy<Value = Value> {
    let call = (full_text(), "[a-z_]{1,8}", text()).prop_map(|(id, name, arguments)| {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    });
    let annotation = (anything(), text())
        .prop_map(|(any, url)| json!({"type": "url_citation", "url_citation": {"url": url, "title": any}}));
    (
        nullable_text(),
        nullable_text(),
        nullable_text(),
        nullable_text(),
        maybe(vec(annotation, 0..3)),
        maybe(vec(call, 0..3)),
        maybe(option::of(
            ("[a-z]{1,8}", text()).prop_map(|(name, arguments)| json!({"name": name, "arguments": arguments})),
        )),
        maybe(Just(Value::Null)),
    )
        .prop_map(
            |(content, refusal, reasoning, reasoning_content, annotations, tool_calls, function_call, audio)| {
                object([
                    ("role", Some(json!("assistant"))),
                    ("content", content),
                    ("refusal", refusal),
                    ("reasoning", reasoning),
                    ("reasoning_content", reasoning_content),
                    ("annotations", annotations.map(Value::from)),
                    ("tool_calls", tool_calls.map(Value::from)),
                    ("function_call", function_call.map(|call| json!(call))),
                    ("audio", audio),
                ])
            },
        )
}

fn tokens(count: usize) -> impl Strategy<Value = Value> {
    let token = text().prop_map(|token| json!({"token": token, "logprob": -0.25, "bytes": null, "top_logprobs": []}));
    option::of(vec(token, 0..=count)).prop_map(|tokens| json!(tokens))
}

fn openai_usage() -> impl Strategy<Value = Value> {
    let details = any::<u16>().prop_map(|tokens| json!({"cached_tokens": tokens, "audio_tokens": null}));
    (any::<u32>(), any::<u32>(), maybe(option::of(details))).prop_map(|(input, output, details)| {
        object([
            ("prompt_tokens", Some(json!(input))),
            ("completion_tokens", Some(json!(output))),
            ("total_tokens", Some(json!(u64::from(input) + u64::from(output)))),
            ("prompt_tokens_details", details.map(|details| json!(details))),
        ])
    })
}

fn completion(of_type: &'static str, choice: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let head =
        (full_text(), any::<u32>(), maybe(option::of(full_text())), maybe(option::of(full_text())), maybe(text()));
    (vec(choice, 1..4), head, openai_usage(), any::<bool>()).prop_map(
        move |(mut choices, (id, created, tier, fingerprint, provider), usage, is_vllm)| {
            for (index, choice) in choices.iter_mut().enumerate() {
                choice["index"] = index.into();
            }
            object([
                ("id", Some(json!(id))),
                ("object", Some(json!(of_type))),
                ("created", Some(json!(created))),
                ("model", Some(json!("gpt-4o"))),
                ("choices", Some(json!(choices))),
                ("usage", Some(usage)),
                ("service_tier", tier.map(|tier| json!(tier))),
                ("system_fingerprint", fingerprint.map(|fingerprint| json!(fingerprint))),
                ("provider", provider.map(|provider| json!(provider))),
                ("kv_transfer_params", is_vllm.then_some(Value::Null)),
            ])
        },
    )
}

fn finish_reason() -> impl Strategy<Value = Option<Value>> {
    prop::sample::select(vec!["stop", "tool_calls", "function_call"]).prop_map(|reason| Some(json!(reason)))
}

/// Chat completions.
pub(super) fn chat() -> impl Strategy<Value = Value> {
    let logprobs =
        (tokens(3), tokens(1)).prop_map(|(content, refusal)| json!({"content": content, "refusal": refusal}));
    let choice = (chat_message(), maybe(option::of(logprobs)), finish_reason(), maybe(option::of(any::<i32>())));
    let choice = choice.prop_map(|(message, logprobs, finish_reason, stop_reason)| {
        object([
            ("message", Some(message)),
            ("logprobs", logprobs.map(|logprobs| json!(logprobs))),
            ("finish_reason", finish_reason),
            ("stop_reason", stop_reason.map(|reason| json!(reason))),
        ])
    });
    completion("chat.completion", choice)
}

/// Completions.
pub(super) fn completions() -> impl Strategy<Value = Value> {
    let logprobs = vec(text(), 0..3).prop_map(|tokens| {
        let offsets: Vec<_> = (0..tokens.len()).collect();
        json!({"token_logprobs": vec![-0.5; tokens.len()], "tokens": tokens, "top_logprobs": null, "text_offset": offsets})
    });
    let choice = (text(), maybe(option::of(logprobs)), finish_reason()).prop_map(|(text, logprobs, finish_reason)| {
        let logprobs = logprobs.map(|logprobs| json!(logprobs));
        object([("text", Some(json!(text))), ("logprobs", logprobs), ("finish_reason", finish_reason)])
    });
    completion("text_completion", choice)
}

fn block() -> impl Strategy<Value = Value> {
    let text_block = (text(), maybe(option::of(vec(anything().prop_filter("a citation", |any| !any.is_null()), 0..3))));
    let text_block = text_block.prop_map(|(text, citations)| {
        let citations = citations.map(|citations| json!(citations));
        object([("type", Some(json!("text"))), ("text", Some(json!(text))), ("citations", citations)])
    });
    let thinking = (text(), text())
        .prop_map(|(thinking, signature)| json!({"type": "thinking", "thinking": thinking, "signature": signature}));
    let call = (prop::sample::select(vec!["tool_use", "server_tool_use"]), arguments(), maybe(anything()));
    let call = call.prop_map(|(kind, input, caller)| {
        object([
            ("type", Some(json!(kind))),
            ("id", Some(json!("toolu_1"))),
            ("name", Some(json!("web_search"))),
            ("input", Some(input)),
            ("caller", caller),
        ])
    });
    let redacted = text().prop_map(|data| json!({"type": "redacted_thinking", "data": data}));
    let result = anything()
        .prop_map(|any| json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": any}));
    prop_oneof![3 => text_block, 1 => thinking, 2 => call, 1 => redacted, 1 => result]
}

/// Anthropic's messages.
pub(super) fn messages() -> impl Strategy<Value = Value> {
    let tools = any::<u16>().prop_map(|count| json!({"web_search_requests": count}));
    let details = any::<u16>().prop_map(|tokens| json!({"thinking_tokens": tokens}));
    let usage = (any::<u32>(), any::<u32>(), maybe(option::of(any::<u16>())), maybe(option::of(tools)), maybe(details));
    let usage = usage.prop_map(|(input, output, cached, tools, details)| {
        object([
            ("input_tokens", Some(json!(input))),
            ("output_tokens", Some(json!(output))),
            ("cache_read_input_tokens", cached.map(|cached| json!(cached))),
            ("server_tool_use", tools.map(|tools| json!(tools))),
            ("output_tokens_details", details),
            ("service_tier", Some(json!("standard"))),
        ])
    });
    let end = (
        prop_oneof![
            Just((json!("end_turn"), Value::Null)),
            Just((json!("tool_use"), Value::Null)),
            text().prop_map(|sequence| (json!("stop_sequence"), json!(sequence)))
        ],
        maybe(Just(Value::Null)),
        maybe(anything()),
        maybe(anything()),
    );
    (text(), vec(block(), 0..4), usage, end).prop_map(|(id, content, usage, (stop, details, container, context))| {
        object([
            ("id", Some(json!(id))),
            ("type", Some(json!("message"))),
            ("role", Some(json!("assistant"))),
            ("model", Some(json!("claude-sonnet-4-5"))),
            ("content", Some(json!(content))),
            ("stop_reason", Some(stop.0)),
            ("stop_sequence", Some(stop.1)),
            ("stop_details", details),
            ("container", container),
            ("context_management", context),
            ("usage", Some(usage)),
        ])
    })
}

fn item() -> impl Strategy<Value = Value> {
    let part = (text(), vec(anything(), 0..3), maybe(vec(anything(), 0..2)), any::<bool>());
    let part = part.prop_map(|(text, annotations, logprobs, is_refusal)| match is_refusal {
        true => json!({"type": "refusal", "refusal": text}),
        false => object([
            ("type", Some(json!("output_text"))),
            ("annotations", Some(json!(annotations))),
            ("logprobs", logprobs.map(|logprobs| json!(logprobs))),
            ("text", Some(json!(text))),
        ]),
    });
    let message = vec(part, 0..3)
        .prop_map(|content| json!({"type": "message", "status": "completed", "role": "assistant", "content": content}));
    let call = text().prop_map(|text| json!({"type": "function_call", "status": "completed", "name": "f", "call_id": "call_1", "arguments": text}));
    let custom = text().prop_map(|text| json!({"type": "custom_tool_call", "status": "completed", "name": "f", "call_id": "call_1", "input": text}));
    let summary = vec(text().prop_map(|text| json!({"type": "summary_text", "text": text})), 0..3);
    let reasoning = (summary, maybe(option::of(text()))).prop_map(|(summary, encrypted)| {
        let encrypted = encrypted.map(|encrypted| json!(encrypted));
        object([
            ("type", Some(json!("reasoning"))),
            ("summary", Some(json!(summary))),
            ("encrypted_content", encrypted),
        ])
    });
    let search = anything().prop_map(|any| json!({"type": "web_search_call", "status": "completed", "action": any}));
    let files = anything()
        .prop_map(|any| json!({"type": "file_search_call", "status": "completed", "queries": [], "results": any}));
    prop_oneof![3 => message, 1 => call, 1 => custom, 2 => reasoning, 1 => search, 1 => files]
}

/// OpenAI's responses.
pub(super) fn responses() -> impl Strategy<Value = Value> {
    let usage = (any::<u32>(), any::<u32>());
    (text(), vec(item(), 0..4), usage, anything(), any::<bool>()).prop_map(|(id, mut output, usage, any, is_whole)| {
        for (index, item) in output.iter_mut().enumerate() {
            item["id"] = format!("item_{index}").into();
            // No two calls are one.
            if item.get("call_id").is_some() {
                item["call_id"] = format!("call_{index}").into();
            }
        }
        object([
            ("id", Some(json!(id))),
            ("object", Some(json!("response"))),
            ("created_at", Some(json!(1_741_476_777))),
            ("status", Some(json!(if is_whole { "completed" } else { "incomplete" }))),
            ("completed_at", Some(json!(1_741_476_778))),
            ("error", Some(Value::Null)),
            ("incomplete_details", Some(if is_whole { Value::Null } else { json!({"reason": "max_output_tokens"}) })),
            ("model", Some(json!("gpt-5"))),
            ("output", Some(json!(output))),
            ("tools", Some(json!([any]))),
            ("usage", Some(json!({"input_tokens": usage.0, "output_tokens": usage.1}))),
        ])
    })
}

/// Gemini's answers.
pub(super) fn gemini() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        3 => text().prop_map(|text| json!({"text": text})),
        1 => text().prop_map(|text| json!({"text": text, "thought": true})),
        1 => text().prop_map(|text| json!({"text": text, "thoughtSignature": "c2ln"})),
        1 => arguments().prop_map(|args| json!({"functionCall": {"name": "f", "args": args}})),
        1 => anything().prop_map(|any| json!({"inlineData": any})),
    ];
    let candidate = (vec(part, 0..4), any::<bool>(), maybe(anything()), maybe(anything()));
    let candidate = candidate.prop_map(|(parts, has_content, ratings, grounding)| {
        object([
            ("content", has_content.then(|| json!({"role": "model", "parts": parts}))),
            ("finishReason", Some(json!("STOP"))),
            ("safetyRatings", ratings),
            ("groundingMetadata", grounding),
        ])
    });
    (vec(candidate, 1..3), any::<u32>(), text()).prop_map(|(mut candidates, tokens, id)| {
        for (index, candidate) in candidates.iter_mut().enumerate() {
            candidate["index"] = index.into();
        }
        json!({
            "candidates": candidates,
            "usageMetadata": {"promptTokenCount": tokens, "totalTokenCount": tokens},
            "modelVersion": "gemini-2.5-flash",
            "responseId": id,
        })
    })
}
