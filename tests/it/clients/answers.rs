//! Answers of the known shapes, each plain and as a stream, as the APIs would send it.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// One answer in its two renderings.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) plain: String,
    pub(super) stream: String,
}

/// The first `count` answers of an API, the same ones each time.
pub(super) fn some(api: &str, count: usize) -> Vec<Answer> {
    let answers = match api {
        "chat" => chat().boxed(),
        "messages" => messages().boxed(),
        _ => responses().boxed(),
    };
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRunner::deterministic().new_rng());
    (0..count).map(|_| answers.new_tree(&mut runner).expect("a value").current()).collect()
}

/// Text with what JSON, event streams and cuts within it are touchy about.
fn text() -> impl Strategy<Value = String> {
    let touchy =
        ["Hello", " ", "é", "日本", "🦀", "\n", "\r\n\r\n", "\"", "\\", "data: [DONE]\n\n", "\u{0}", "\u{2028}", "{}"];
    let piece = prop_oneof![
        prop::sample::select(touchy.to_vec()).prop_map(str::to_owned),
        any::<char>().prop_map(String::from)
    ];
    vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

/// What a tool is called with.
fn arguments() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        Just(json!(0.25)),
        text().prop_map(Value::from),
        Just(json!([{}, [true]])),
    ];
    btree_map("[a-z_]{1,8}", value, 0..4).prop_map(|members| json!(members))
}

fn tokens() -> impl Strategy<Value = (u64, u64)> {
    (1..100_000u64, 1..100_000u64)
}

/// A text as it comes, by a few characters.
fn pieces(text: &str) -> Vec<String> {
    text.chars().collect::<Vec<_>>().chunks(3).map(String::from_iter).collect()
}

/// How probable a token was, and what else it might have been.
fn token(text: &str) -> Value {
    let token = |text: &str| json!({ "token": text, "logprob": -0.25, "bytes": text.as_bytes() });
    let mut whole = token(text);
    whole["top_logprobs"] = json!([token(text), token("other")]);
    whole
}

/// A choice of a chat completion: what it is in the end, and the pieces that it comes in.
type Choice = (Value, Vec<Value>);

fn choice() -> impl Strategy<Value = Choice> {
    let calls = vec(("[a-zA-Z0-9]{8}", "[a-z_]{1,10}", arguments()), 0..3);
    (option::of(text()), option::of(text()), calls, any::<bool>()).prop_map(|(content, refusal, calls, probable)| {
        let piece = |delta: Value| json!({ "delta": delta, "logprobs": null, "finish_reason": null });
        let empty = content.as_ref().map(|_| "");
        let mut pieces_of_it = vec![piece(json!({ "role": "assistant", "content": empty, "refusal": null }))];
        let mut logprobs = Value::Null;
        for (member, text) in [("content", &content), ("refusal", &refusal)] {
            for text in pieces(text.as_deref().unwrap_or_default()) {
                let mut piece = piece(json!({ member: text }));
                if probable {
                    piece["logprobs"] = json!({ "content": null, "refusal": null });
                    piece["logprobs"][member] = json!([token(&text)]);
                    push(&mut logprobs[member], token(&text));
                }
                pieces_of_it.push(piece);
            }
        }
        let mut message = json!({ "role": "assistant", "content": content, "refusal": refusal, "annotations": [] });
        let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
        for (at, (id, name, arguments)) in calls.into_iter().enumerate() {
            let arguments = arguments.to_string();
            let call = |arguments: &str| {
                let function = json!({ "name": name, "arguments": arguments });
                json!({ "id": format!("call_{id}"), "type": "function", "function": function })
            };
            push(&mut message["tool_calls"], call(&arguments));
            let mut first = call("");
            first["index"] = json!(at);
            pieces_of_it.push(piece(json!({ "tool_calls": [first] })));
            let more = |arguments: String| json!({ "index": at, "function": { "arguments": arguments } });
            let rest = pieces(&arguments).into_iter().map(|text| piece(json!({ "tool_calls": [more(text)] })));
            pieces_of_it.extend(rest);
        }
        let mut last = piece(json!({}));
        last["finish_reason"] = finish.into();
        pieces_of_it.push(last);
        (json!({ "message": message, "logprobs": logprobs, "finish_reason": finish }), pieces_of_it)
    })
}

/// Adds a value to an array, which may not be one yet.
fn push(array: &mut Value, value: Value) {
    if let Some(values) = array.as_array_mut() {
        values.push(value);
    } else {
        *array = json!([value]);
    }
}

fn chat() -> impl Strategy<Value = Answer> {
    (vec(choice(), 1..3), tokens(), option::of(Just("default"))).prop_map(|(choices, (input, output), tier)| {
        let base = |object: &str| {
            let mut base = json!({ "id": format!("chatcmpl-{input}"), "object": object, "created": 1_741_569_952,
                "model": "gpt-4.1-2025-04-14", "system_fingerprint": "fp_34a54ae93c", "choices": [], "usage": null });
            if let Some(tier) = tier {
                base["service_tier"] = tier.into();
            }
            base
        };
        let usage = json!({
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 7, "audio_tokens": 0 },
        });
        let mut plain = base("chat.completion");
        let mut stream = String::new();
        let mut send = |choices: Value, usage: Value| {
            let mut chunk = base("chat.completion.chunk");
            chunk["choices"] = choices;
            chunk["usage"] = usage;
            stream += &format!("data: {chunk}\n\n");
        };
        for (index, (mut whole, pieces)) in choices.into_iter().enumerate() {
            whole["index"] = json!(index);
            push(&mut plain["choices"], whole);
            for mut piece in pieces {
                piece["index"] = json!(index);
                send(json!([piece]), Value::Null);
            }
        }
        send(json!([]), usage.clone());
        plain["usage"] = usage;
        Answer { plain: plain.to_string(), stream: stream + "data: [DONE]\n\n" }
    })
}

/// A block of a message: what it is at its start, what it is in the end, and what comes in between.
type Block = (Value, Value, Vec<Value>);

fn messages() -> impl Strategy<Value = Answer> {
    let says = text().prop_map(|text| -> Block {
        let deltas = pieces(&text).iter().map(|piece| json!({ "type": "text_delta", "text": piece })).collect();
        (json!({ "type": "text", "text": "" }), json!({ "type": "text", "text": text }), deltas)
    });
    let thinks = (text(), "[A-Za-z0-9+/]{8,40}").prop_map(|(text, signature)| -> Block {
        let mut deltas: Vec<_> =
            pieces(&text).iter().map(|piece| json!({ "type": "thinking_delta", "thinking": piece })).collect();
        deltas.push(json!({ "type": "signature_delta", "signature": signature }));
        let block =
            |text: &str, signature: &str| json!({ "type": "thinking", "thinking": text, "signature": signature });
        (block("", ""), block(&text, &signature), deltas)
    });
    let calls = ("[a-zA-Z0-9]{8}", "[a-z_]{1,10}", arguments()).prop_map(|(id, name, input)| -> Block {
        let id = format!("toolu_{id}");
        let block = |input: &Value| json!({ "type": "tool_use", "id": id, "name": name, "input": input });
        // Who is called with nothing is sent nothing.
        let written = if input == json!({}) { String::new() } else { input.to_string() };
        let deltas = [String::new()].into_iter().chain(pieces(&written));
        let deltas = deltas.map(|piece| json!({ "type": "input_json_delta", "partial_json": piece })).collect();
        (block(&json!({})), block(&input), deltas)
    });
    (vec(prop_oneof![says, thinks, calls], 1..4), tokens()).prop_map(|(blocks, (input, output))| {
        let usage = |output: u64| {
            json!({ "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3,
                "output_tokens": output,
                "service_tier": "standard" })
        };
        let message = |content: &[Value], stop: Option<&str>, output: u64| {
            json!({ "id": format!("msg_{input}"), "type": "message", "role": "assistant", "model": "claude-sonnet-5",
                "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage(output) })
        };
        let stop = if blocks.iter().any(|(_, whole, _)| whole["type"] == "tool_use") { "tool_use" } else { "end_turn" };
        let whole: Vec<_> = blocks.iter().map(|(_, whole, _)| whole.clone()).collect();
        let mut events = vec![json!({ "type": "message_start", "message": message(&[], None, 1) })];
        for (index, (start, _, deltas)) in blocks.into_iter().enumerate() {
            events.push(json!({ "type": "content_block_start", "index": index, "content_block": start }));
            let event = |delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
            events.extend(deltas.into_iter().map(event));
            events.push(json!({ "type": "content_block_stop", "index": index }));
        }
        let mut used = usage(output);
        used.as_object_mut().expect("an object").remove("service_tier");
        let delta = json!({ "stop_reason": stop, "stop_sequence": null });
        events.push(json!({ "type": "message_delta", "delta": delta, "usage": used }));
        events.push(json!({ "type": "message_stop" }));
        Answer { plain: message(&whole, Some(stop), output).to_string(), stream: named(&events) }
    })
}

/// An item of a response: what it is in the end, and the events that it comes in, without their places.
type Item = (Value, Vec<Value>);

fn responses() -> impl Strategy<Value = Answer> {
    let says = ("[a-z0-9]{8}", text()).prop_map(|(id, text)| -> Item {
        let part = |text: &str| json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text });
        let item = |status: &str, content: Value| {
            json!({
                "id": id, "type": "message", "status": status, "content": content, "role": "assistant",
            })
        };
        let about = |kind: &str, member: &str, value: Value| {
            json!({
                "type": kind, "item_id": id, "content_index": 0, member: value,
            })
        };
        let mut events = vec![json!({ "type": "response.output_item.added", "item": item("in_progress", json!([])) })];
        events.push(about("response.content_part.added", "part", part("")));
        for piece in pieces(&text) {
            let mut delta = about("response.output_text.delta", "delta", piece.into());
            delta["logprobs"] = json!([]);
            events.push(delta);
        }
        let mut done = about("response.output_text.done", "text", json!(text));
        done["logprobs"] = json!([]);
        events.extend([done, about("response.content_part.done", "part", part(&text))]);
        let whole = item("completed", json!([part(&text)]));
        events.push(json!({ "type": "response.output_item.done", "item": whole }));
        (whole, events)
    });
    let calls =
        ("[a-z0-9]{8}", "[a-z_]{1,10}", arguments()).prop_map(|(id, name, arguments)| -> Item {
            let arguments = arguments.to_string();
            let item = |status: &str, arguments: &str| {
                json!({
                    "id": id, "type": "function_call", "status": status, "arguments": arguments,
                    "call_id": format!("call_{id}"), "name": name,
                })
            };
            let mut events = vec![json!({ "type": "response.output_item.added", "item": item("in_progress", "") })];
            events.extend(pieces(&arguments).iter().map(
                |piece| json!({ "type": "response.function_call_arguments.delta", "item_id": id, "delta": piece }),
            ));
            events.push(json!({
                "type": "response.function_call_arguments.done", "item_id": id, "name": name, "arguments": arguments,
            }));
            let whole = item("completed", &arguments);
            events.push(json!({ "type": "response.output_item.done", "item": whole }));
            (whole, events)
        });
    let reasons = ("[a-z0-9]{8}", option::of(text())).prop_map(|(id, summary)| -> Item {
        let part = |text: &str| json!({ "type": "summary_text", "text": text });
        let item = |summary: &[Value]| json!({ "id": id, "type": "reasoning", "summary": summary });
        let about = |kind: &str, member: &str, value: Value| {
            json!({
                "type": kind, "item_id": id, "summary_index": 0, member: value,
            })
        };
        let mut events = vec![json!({ "type": "response.output_item.added", "item": item(&[]) })];
        if let Some(text) = &summary {
            events.push(about("response.reasoning_summary_part.added", "part", part("")));
            let delta = |piece: &String| about("response.reasoning_summary_text.delta", "delta", json!(piece));
            events.extend(pieces(text).iter().map(delta));
            events.push(about("response.reasoning_summary_text.done", "text", json!(text)));
            events.push(about("response.reasoning_summary_part.done", "part", part(text)));
        }
        let whole = item(&summary.iter().map(|text| part(text)).collect::<Vec<_>>());
        events.push(json!({ "type": "response.output_item.done", "item": whole }));
        (whole, events)
    });
    (vec(prop_oneof![says, calls, reasons], 1..4), tokens()).prop_map(|(items, (input, output))| {
        let response = |status: &str, output: &[Value], usage: Value| {
            json!({ "id": format!("resp_{input}"), "object": "response", "created_at": 1_741_476_542, "status": status,
                "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
                "model": "gpt-5-mini-2025-08-07",
                "output": output, "parallel_tool_calls": true, "previous_response_id": null,
                "reasoning": { "effort": "medium", "summary": null }, "store": true, "temperature": 1.0,
                "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [], "top_p": 1.0,
                "truncation": "disabled", "usage": usage, "user": null, "metadata": {} })
        };
        let usage = json!({ "input_tokens": input, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": input + output });
        let whole: Vec<_> = items.iter().map(|(whole, _)| whole.clone()).collect();
        let begun = response("in_progress", &[], Value::Null);
        let plain = response("completed", &whole, usage);
        let mut events = vec![json!({ "type": "response.created", "response": begun })];
        events.push(json!({ "type": "response.in_progress", "response": begun }));
        for (index, (_, about)) in items.into_iter().enumerate() {
            events.extend(about.into_iter().map(|mut event| {
                event["output_index"] = json!(index);
                event
            }));
        }
        events.push(json!({ "type": "response.completed", "response": plain }));
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = json!(number);
        }
        Answer { plain: plain.to_string(), stream: named(&events) }
    })
}

/// Events that have their type for a name.
fn named(events: &[Value]) -> String {
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type"));
    events.iter().map(line).collect()
}
