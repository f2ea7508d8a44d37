//! What the providers' clients make of a stream, by their rules; and streams cut in other places.

use serde_json::{Map, Value, json};

use crate::policy::completeness::sse::Events;

/// The events of a stream: names and data, `[DONE]` left out.
pub(super) fn events(stream: &[u8]) -> Vec<(String, Value)> {
    let mut events = Events::new(stream);
    let read = events.by_ref().filter(|event| *event.data != *b"[DONE]");
    let read = read.map(|event| {
        let data = serde_json::from_slice(&event.data).expect("JSON");
        (event.event.into_owned(), data)
    });
    let read = read.collect();
    assert!(!events.is_truncated());
    read
}

/// A stream of events, and `[DONE]`, if that is wanted.
pub(super) fn stream(events: &[(String, Value)], is_done: bool) -> Vec<u8> {
    let mut stream = String::new();
    for (name, data) in events {
        if !name.is_empty() {
            stream += &format!("event: {name}\n");
        }
        stream += &format!("data: {data}\n\n");
    }
    if is_done {
        stream += "data: [DONE]\n\n";
    }
    stream.into_bytes()
}

/// `accumulate_delta` of OpenAI's Python client, `lib/streaming/_deltas.py`.
fn accumulate(acc: &mut Map<String, Value>, delta: &Map<String, Value>) {
    let is_indexed =
        |value: &Value| value.as_array().is_some_and(|all| all.iter().any(|one| one.get("index").is_some()));
    for (key, value) in delta {
        if acc.get(key).is_none_or(Value::is_null) {
            if !is_indexed(value) {
                acc.insert(key.clone(), value.clone());
                continue;
            }
            acc.insert(key.clone(), json!([]));
        }
        let known = acc.get_mut(key).expect("a value");
        if key == "index" || key == "type" {
            *known = value.clone();
            continue;
        }
        match (known, value) {
            (Value::String(known), Value::String(more)) => known.push_str(more),
            (Value::Object(known), Value::Object(more)) => accumulate(known, more),
            (Value::Array(known), Value::Array(more)) => {
                for entry in more {
                    let entry = entry.as_object().expect("an object");
                    let index = usize::try_from(entry["index"].as_u64().expect("an index")).expect("a small one");
                    match known.get_mut(index) {
                        Some(known) => accumulate(known.as_object_mut().expect("an object"), entry),
                        None => known.insert(index, entry.clone().into()),
                    }
                }
            }
            (_, Value::Null) => {}
            (known, value) => panic!("{key}: {known} and {value}"),
        }
    }
}

/// `_accumulate_chunk` of OpenAI's Python client, `lib/streaming/chat/_completions.py`, without the indices of tool calls, which
/// it leaves in.
pub(super) fn chat(stream: &[u8]) -> Value {
    let mut whole = Value::Null;
    for (_, chunk) in events(stream) {
        if whole.is_null() {
            whole = chunk.clone();
            whole["object"] = json!("chat.completion");
            whole["choices"] = json!([]);
        }
        for choice in chunk["choices"].as_array().expect("choices") {
            let index = usize::try_from(choice["index"].as_u64().expect("an index")).expect("a small one");
            let choices = whole["choices"].as_array_mut().expect("choices");
            if choices.len() == index {
                let mut snapshot = choice.as_object().expect("a choice").clone();
                snapshot.remove("delta");
                snapshot.insert("message".to_owned(), json!({}));
                let logprobs = snapshot.remove("logprobs");
                let is_counted_twice = logprobs.is_some_and(|logprobs| !logprobs.is_null());
                assert!(!is_counted_twice, "by the TypeScript client");
                choices.push(snapshot.into());
            }
            let snapshot = choices[index].as_object_mut().expect("a choice");
            let message = snapshot["message"].as_object_mut().expect("a message");
            accumulate(message, choice["delta"].as_object().expect("a delta"));
            // The finish, and what look-alikes say beside it, as the TypeScript client has it.
            for (name, value) in choice.as_object().expect("a choice") {
                match &**name {
                    "delta" | "index" => {}
                    "finish_reason" if value.is_null() => {}
                    "logprobs" => add_logprobs(snapshot.entry("logprobs").or_insert(Value::Null), value),
                    _ => _ = snapshot.insert(name.clone(), value.clone()),
                }
            }
        }
        for name in ["usage", "system_fingerprint"] {
            if let Some(value) = chunk.get(name) {
                whole[name] = value.clone();
            }
        }
    }
    for choice in whole["choices"].as_array_mut().expect("choices") {
        let calls = choice["message"].get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            call.as_object_mut().expect("a call").remove("index");
        }
    }
    whole
}

fn add_logprobs(known: &mut Value, more: &Value) {
    if known.is_null() {
        *known = more.clone();
    } else if let Some(more) = more.as_object() {
        for (name, tokens) in more {
            if let Some(tokens) = tokens.as_array().filter(|tokens| !tokens.is_empty()) {
                if known[name].is_null() {
                    known[name] = json!([]);
                }
                known[name].as_array_mut().expect("tokens").extend(tokens.iter().cloned());
            }
        }
    }
}

/// `accumulate_event` of Anthropic's Python client, `lib/streaming/_messages.py` and `_beta_messages.py`.
pub(super) fn messages(stream: &[u8]) -> Value {
    let mut whole = Value::Null;
    let mut json = String::new();
    for (name, event) in events(stream) {
        assert_eq!(event["type"], name, "the client goes by the name");
        let at = event.get("index").and_then(Value::as_u64).map_or(0, |at| usize::try_from(at).expect("a small one"));
        match &*name {
            "message_start" => whole = event["message"].clone(),
            "content_block_start" => {
                json.clear();
                whole["content"].as_array_mut().expect("blocks").push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let (block, delta) = (&mut whole["content"][at], &event["delta"]);
                let mut add = |name: &str| {
                    let known = block[name].as_str().expect("text").to_owned();
                    block[name] = (known + delta[name].as_str().expect("text")).into();
                };
                match delta["type"].as_str().expect("a type") {
                    "text_delta" => add("text"),
                    "thinking_delta" => add("thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "citations_delta" if block["citations"].is_null() => {
                        block["citations"] = json!([delta["citation"]])
                    }
                    "citations_delta" => {
                        block["citations"].as_array_mut().expect("citations").push(delta["citation"].clone());
                    }
                    "input_json_delta" => {
                        json += delta["partial_json"].as_str().expect("text");
                        if let Ok(input) = serde_json::from_str(&json) {
                            block["input"] = input;
                        }
                    }
                    other => panic!("{other}"),
                }
            }
            "message_delta" => {
                for name in ["stop_reason", "stop_sequence", "stop_details"] {
                    if event["delta"].get(name).is_some() || whole.get(name).is_some() {
                        whole[name] = event["delta"][name].clone();
                    }
                }
                for (of, name) in [("delta", "container"), ("", "context_management")] {
                    let value = if of.is_empty() { &event[name] } else { &event[of][name] };
                    if !value.is_null() {
                        whole[name] = value.clone();
                    }
                }
                let totals =
                    ["output_tokens", "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
                for name in totals.into_iter().chain(["server_tool_use", "output_tokens_details"]) {
                    if !event["usage"][name].is_null() {
                        whole["usage"][name] = event["usage"][name].clone();
                    }
                }
            }
            "content_block_stop" | "message_stop" | "ping" => {}
            other => panic!("{other}"),
        }
    }
    whole
}

/// `accumulateResponse` of OpenAI's TypeScript client, `lib/responses/ResponseAccumulator.ts`: what it has of each item just before
/// `response.output_item.done`, and the response at last.
pub(super) fn responses(stream: &[u8]) -> (Vec<Value>, Value) {
    let (mut output, mut items) = (Vec::<Value>::new(), Vec::new());
    for (number, (name, event)) in events(stream).into_iter().enumerate() {
        assert_eq!(event["type"], name);
        assert_eq!(event["sequence_number"], number);
        let at =
            |name: &str| event.get(name).and_then(Value::as_u64).map_or(0, |at| usize::try_from(at).expect("small"));
        let is_of_summary = event.get("summary_index").is_some();
        let (list, part) = if is_of_summary { ("summary", "summary_index") } else { ("content", "content_index") };
        if let Some(id) = event.get("item_id") {
            assert_eq!(output[at("output_index")]["id"], *id);
        }
        match &*name {
            "response.created" | "response.in_progress" => {
                assert_eq!(event["response"]["status"], "in_progress");
                assert_eq!(event["response"]["output"], json!([]));
            }
            "response.completed" | "response.incomplete" => return (items, event["response"].clone()),
            "response.output_item.added" => output.push(event["item"].clone()),
            "response.output_item.done" => items.push(output[at("output_index")].clone()),
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                let parts = output[at("output_index")][list].as_array_mut().expect("parts");
                parts.push(event["part"].clone());
                assert_eq!(parts.len(), at(part) + 1);
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                let known = &mut output[at("output_index")][list][at(part)];
                // What tokens were likely isn't put together by anyone.
                if let Some(logprobs) = event["part"].get("logprobs") {
                    known["logprobs"] = logprobs.clone();
                }
                assert_eq!(*known, event["part"]);
            }
            "response.output_text.annotation.added" => {
                let known = &mut output[at("output_index")][list][at(part)]["annotations"];
                known.as_array_mut().expect("annotations").push(event["annotation"].clone());
            }
            _ if name.ends_with("_call.in_progress") || name.ends_with("_call.searching") => {}
            _ if name.ends_with("_call.completed") => output[at("output_index")]["status"] = json!("completed"),
            _ => {
                let (kind, verb) = name.rsplit_once('.').expect("a verb");
                let (member, is_part) = match kind {
                    "response.output_text" | "response.reasoning_summary_text" => ("text", true),
                    "response.refusal" => ("refusal", true),
                    "response.function_call_arguments" => ("arguments", false),
                    "response.custom_tool_call_input" => ("input", false),
                    other => panic!("{other}"),
                };
                let item = &mut output[at("output_index")];
                let known = if is_part { &mut item[list][at(part)][member] } else { &mut item[member] };
                match verb {
                    "delta" => {
                        *known =
                            (known.as_str().expect("text").to_owned() + event["delta"].as_str().expect("text")).into()
                    }
                    "done" => assert_eq!(*known, event[member]),
                    other => panic!("{other}"),
                }
            }
        }
    }
    panic!("no end")
}

/// The same stream with each text cut in two.
pub(super) fn cut(stream: &[u8], is_done: bool) -> Vec<u8> {
    let mut cut = Vec::new();
    for (name, event) in events(stream) {
        let path = text_of(&event);
        match path.and_then(|path| Some((path.clone(), event.pointer(&path)?.as_str()?.to_owned()))) {
            Some((path, text)) if text.chars().count() > 1 => {
                let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
                for piece in [&text[..middle], &text[middle..]] {
                    let mut event = event.clone();
                    *event.pointer_mut(&path).expect("a text") = piece.into();
                    cut.push((name.clone(), event));
                }
            }
            _ => cut.push((name, event)),
        }
    }
    self::stream(&cut, is_done)
}

/// Where the text stands that an event adds, if it adds no more than that.
fn text_of(event: &Value) -> Option<String> {
    let delta = [
        "content",
        "refusal",
        "reasoning",
        "reasoning_content",
        "function_call/arguments",
        "tool_calls/0/function/arguments",
    ];
    let chat = delta.iter().map(|path| format!("/choices/0/delta/{path}"));
    let others = ["/choices/0/text", "/delta/text", "/delta/thinking", "/delta/partial_json"].map(str::to_owned);
    let is_alone = |path: &String| {
        event.pointer(path).is_some_and(Value::is_string)
            && event["choices"][0]["delta"].get("role").is_none()
            && event["choices"][0].get("logprobs").is_none_or(Value::is_null)
            && event["choices"][0]["delta"].pointer("/tool_calls/0/id").is_none()
            && event["choices"][0]["delta"].pointer("/function_call/name").is_none()
            && event["choices"][0]["finish_reason"].is_null()
    };
    chat.chain(others).find(is_alone)
}
