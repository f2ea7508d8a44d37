//! What holds for all answers of the known shapes.

use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use proptest::{prelude::*, test_runner::TestCaseError};
use serde_json::{Value, json};

use super::{Rendered, Rendering, arbitrary, clients, render};
use crate::{
    fingerprint::json::parse,
    llm::{Endpoint, UsageReader},
    policy::completeness::{Completeness as _, Llm, sse::Events},
};

const STREAM: Rendering = Rendering::Stream { usage: true };

type Law = Result<(), TestCaseError>;

pub(super) fn converted(endpoint: Endpoint, wanted: Rendering, is_event_stream: bool, body: &[u8]) -> Option<Vec<u8>> {
    match render(endpoint, None, wanted, is_event_stream, body) {
        Rendered::Converted { data, ends } => {
            if wanted == Rendering::Plain {
                assert_eq!(ends, [] as [usize; 0]);
            } else {
                assert_eq!(ends.last(), Some(&data.len()));
                let starts = [0].into_iter().chain(ends.iter().copied());
                for (start, end) in starts.zip(&ends) {
                    assert_eq!(Events::new(&data[start..*end]).count(), 1, "{start}..{end}");
                }
            }
            Some(data)
        }
        Rendered::Inexact => None,
        Rendered::AsIs => panic!("the other rendering was asked for"),
    }
}

fn to_stream(endpoint: Endpoint, plain: &[u8]) -> Option<Vec<u8>> {
    converted(endpoint, STREAM, false, plain)
}

fn to_plain(endpoint: Endpoint, stream: &[u8]) -> Option<Vec<u8>> {
    converted(endpoint, Rendering::Plain, true, stream)
}

/// The same as values, whatever the numbers are.
pub(super) fn assert_same(left: &[u8], right: &[u8]) {
    let texts = || format!("{}\n{}", String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    assert_eq!(parse(left).expect("JSON"), parse(right).expect("JSON"), "{}", texts());
}

/// There and back again, and whole on the way.
fn round_trip(endpoint: Endpoint, plain: &Value) -> Vec<u8> {
    let plain = serde_json::to_vec_pretty(plain).expect("JSON");
    let stream = to_stream(endpoint, &plain).expect("a known shape");
    let back = to_plain(endpoint, &stream).expect("a stream of a known shape");
    assert_same(&plain, &back);
    let headers = |media_type| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
    let used = |media_type, body: &[u8]| {
        let mut reader = UsageReader::new(&headers(media_type)).expect("a media type that says what was used");
        reader.read(body);
        (reader.usage(), reader.model(), reader.service_tier(), reader.is_final())
    };
    assert_eq!(used("text/event-stream", &stream), used("application/json", &plain), "both cost the same");
    let headers = headers("text/event-stream");
    let verdict = Llm::new().keep_truncated(true).check(StatusCode::OK, &headers, &stream);
    assert!(verdict.is_complete(), "{verdict:?}: {}", String::from_utf8_lossy(&stream));
    for (from, to) in
        [("\n", "\r\n"), ("\ndata: ", "\ndata:"), ("\n\n", "\n\n: keep-alive\n\n"), ("\ndata: {", "\ndata: {\ndata: ")]
    {
        let other = String::from_utf8(stream.clone()).expect("UTF-8").replace(from, to);
        assert_same(&plain, &to_plain(endpoint, other.as_bytes()).expect("the same stream"));
    }
    stream
}

/// A stream cut otherwise is the same answer, and is again so once it has been put together.
fn cut_otherwise(endpoint: Endpoint, stream: &[u8], is_done: bool, client: impl Fn(&[u8]) -> Value) {
    let cut = clients::cut(stream, is_done);
    let plain = to_plain(endpoint, &cut).expect("a stream of a known shape");
    let again = to_stream(endpoint, &plain).expect("a known shape");
    assert_eq!(client(&again), client(&cut));
}

/// The document with `unknown` in each object in turn, but for those in what isn't looked into.
fn injections(document: &Value, is_opaque: &dyn Fn(&str) -> bool) -> Vec<(String, Value)> {
    fn paths(value: &Value, path: &str, is_opaque: &dyn Fn(&str) -> bool, found: &mut Vec<String>) {
        if is_opaque(path) {
            return;
        }
        if let Some(members) = value.as_object() {
            found.push(path.to_owned());
            members.iter().for_each(|(name, value)| paths(value, &format!("{path}/{name}"), is_opaque, found));
        }
        let elements = value.as_array().into_iter().flatten().enumerate();
        elements.for_each(|(index, value)| paths(value, &format!("{path}/{index}"), is_opaque, found));
    }
    let mut found = Vec::new();
    paths(document, "", is_opaque, &mut found);
    let inject = |path: String| {
        let mut document = document.clone();
        document.pointer_mut(&path).expect("an object")["unknown"] = json!(1);
        (path, document)
    };
    found.into_iter().map(inject).collect()
}

/// Nothing unknown gets by, neither in a plain answer nor in its stream.
fn unknown_is_inexact(endpoint: Endpoint, plain: &Value, is_done: bool, is_opaque: &dyn Fn(&str) -> bool) -> Law {
    for (path, plain) in injections(plain, is_opaque) {
        prop_assert_eq!(to_stream(endpoint, plain.to_string().as_bytes()), None, "{} in {}", path, plain);
    }
    let stream = to_stream(endpoint, plain.to_string().as_bytes()).expect("a known shape");
    let events = clients::events(&stream);
    for (at, (_, event)) in events.iter().enumerate() {
        // Of this API only the end is read.
        if endpoint == Endpoint::Responses && at + 1 < events.len() {
            continue;
        }
        let is_in_response = |path: &str| endpoint == Endpoint::Responses && path.starts_with("/response");
        for (path, event) in injections(event, &|path| is_opaque(path) || is_in_response(path)) {
            let mut events = events.clone();
            events[at].1 = event;
            let stream = clients::stream(&events, is_done);
            prop_assert_eq!(to_plain(endpoint, &stream), None, "{} in {}", path, String::from_utf8_lossy(&stream));
        }
    }
    Ok(())
}

/// Whether a path ends in one of these, or goes on below it.
fn is_in(path: &str, names: &[&str]) -> bool {
    path.split('/').any(|step| names.contains(&step))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chat_completions_come_back_and_are_the_same_to_the_client(plain in arbitrary::chat()) {
        let stream = round_trip(Endpoint::ChatCompletions, &plain);
        prop_assert_eq!(clients::chat(&stream), plain);
        cut_otherwise(Endpoint::ChatCompletions, &stream, true, clients::chat);
    }

    #[test]
    fn without_usage_a_stream_is_the_same_but_for_that(plain in arbitrary::chat()) {
        let body = plain.to_string();
        let wanted = Rendering::Stream { usage: false };
        let without = converted(Endpoint::ChatCompletions, wanted, false, body.as_bytes());
        let stream = to_stream(Endpoint::ChatCompletions, body.as_bytes()).expect("a known shape");
        prop_assert_eq!(&converted(Endpoint::ChatCompletions, wanted, true, &stream), &without);
        let without = without.expect("a known shape");
        let mut expected = plain;
        expected.as_object_mut().expect("an object").remove("usage");
        prop_assert_eq!(clients::chat(&without), expected);
        prop_assert_eq!(render(Endpoint::ChatCompletions, None, wanted, true, &without), Rendered::AsIs);
        prop_assert_eq!(render(Endpoint::ChatCompletions, None, STREAM, true, &stream), Rendered::AsIs);
        prop_assert_eq!(render(Endpoint::ChatCompletions, None, STREAM, true, &without), Rendered::Inexact);
        prop_assert_eq!(render(Endpoint::ChatCompletions, None, Rendering::Plain, true, &without), Rendered::Inexact);
    }

    #[test]
    fn completions_come_back(plain in arbitrary::completions()) {
        let stream = round_trip(Endpoint::Completions, &plain);
        let cut = clients::cut(&stream, true);
        assert_same(plain.to_string().as_bytes(), &to_plain(Endpoint::Completions, &cut).expect("the same stream"));
    }

    #[test]
    fn messages_come_back_and_are_the_same_to_the_client(plain in arbitrary::messages()) {
        let stream = round_trip(Endpoint::Messages, &plain);
        prop_assert_eq!(clients::messages(&stream), plain);
        cut_otherwise(Endpoint::Messages, &stream, false, clients::messages);
    }

    #[test]
    fn responses_come_back_and_are_the_same_to_the_client(plain in arbitrary::responses()) {
        let stream = round_trip(Endpoint::Responses, &plain);
        let (items, response) = clients::responses(&stream);
        prop_assert_eq!(&response, &plain);
        for (mut item, expected) in items.into_iter().zip(plain["output"].as_array().expect("items")) {
            // What no event but the last brings.
            for name in ["status", "action", "results", "queries"] {
                if let Some(value) = expected.get(name) {
                    item[name] = value.clone();
                }
            }
            prop_assert_eq!(&item, expected);
        }
    }

    #[test]
    fn gemini_s_answers_come_back(plain in arbitrary::gemini()) {
        round_trip(Endpoint::GenerateContent, &plain);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn unknown_members_of_chat_completions_are_never_dropped(plain in arbitrary::chat()) {
        let is_opaque = |path: &str| {
            is_in(path, &["usage", "annotations"]) || path.contains("logprobs/content/") || path.contains("logprobs/refusal/")
        };
        unknown_is_inexact(Endpoint::ChatCompletions, &plain, true, &is_opaque)?;
    }

    #[test]
    fn unknown_members_of_completions_are_never_dropped(plain in arbitrary::completions()) {
        unknown_is_inexact(Endpoint::Completions, &plain, true, &|path| is_in(path, &["usage"]))?;
    }

    #[test]
    fn unknown_members_of_messages_are_never_dropped(plain in arbitrary::messages()) {
        let is_opaque = |path: &str| {
            let is_content = path.ends_with("/content") && path != "/content" && path != "/message/content";
            let ends = ["container", "context_management", "stop_details", "server_tool_use", "output_tokens_details"];
            is_content || is_in(path, &ends) || is_in(path, &["caller", "citations", "citation"])
                || is_in(path, &["input"]) && !path.starts_with("/content_block")
        };
        unknown_is_inexact(Endpoint::Messages, &plain, false, &is_opaque)?;
    }

    #[test]
    fn unknown_members_of_responses_are_never_dropped(plain in arbitrary::responses()) {
        let ends = ["tools", "usage", "incomplete_details", "annotations", "logprobs", "action", "results"];
        unknown_is_inexact(Endpoint::Responses, &plain, false, &|path| is_in(path, &ends))?;
    }

    #[test]
    fn unknown_members_of_gemini_s_answers_are_never_dropped(plain in arbitrary::gemini()) {
        let ends = ["usageMetadata", "safetyRatings", "groundingMetadata", "functionCall", "inlineData"];
        unknown_is_inexact(Endpoint::GenerateContent, &plain, false, &|path| is_in(path, &ends))?;
    }

    #[test]
    fn a_cut_stream_is_never_taken_for_an_answer(plain in arbitrary::messages(), chat in arbitrary::chat(), at in 0.0..1.0) {
        for (endpoint, plain) in [(Endpoint::Messages, plain), (Endpoint::ChatCompletions, chat)] {
            let stream = to_stream(endpoint, plain.to_string().as_bytes()).expect("a known shape");
            // Without the last line end a `[DONE]` counts.
            let events = clients::events(&stream).len();
            let kept = Events::new(&stream).take((events as f64 * at) as usize);
            let kept: Vec<u8> = kept.flat_map(|event| [b"data: ", &*event.data, b"\n\n"].concat()).collect();
            prop_assert_eq!(to_plain(endpoint, &kept), None);
        }
    }

    #[test]
    fn what_is_no_answer_never_panics(body in arbitrary::anything(), noise in prop::collection::vec(any::<u8>(), 0..64)) {
        let stream = format!("data: {body}\n\ndata: {body}\n\ndata: [DONE]\n\n");
        for endpoint in ENDPOINTS {
            for body in [stream.as_bytes(), body.to_string().as_bytes(), &noise] {
                for wanted in [Rendering::Plain, STREAM, Rendering::Stream { usage: false }] {
                    for is_event_stream in [false, true] {
                        let rendered = render(endpoint, None, wanted, is_event_stream, body);
                        let is_converted = matches!(rendered, Rendered::Converted { .. });
                        prop_assert!(!is_converted, "{:?}", rendered);
                    }
                }
            }
        }
    }
}

const ENDPOINTS: [Endpoint; 6] = [
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Responses,
    Endpoint::Embeddings,
    Endpoint::Messages,
    Endpoint::GenerateContent,
];

#[test]
fn cases_for_others_are_the_same_each_time() {
    assert_eq!(arbitrary::cases(&arbitrary::chat(), 5), arbitrary::cases(&arbitrary::chat(), 5));
}

/// What stands once in a plain answer stands in each event of a stream.
#[test]
fn a_body_that_would_grow_to_gigabytes_is_not_converted() {
    let (id, many) = ("x".repeat(1 << 20), 100);
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let choice = |calls: usize| {
        let message = json!({"role": "assistant", "content": null, "tool_calls": vec![&call; calls]});
        json!({"index": 0, "message": message, "finish_reason": "tool_calls"})
    };
    let chat = |calls| {
        json!({"id": id, "object": "chat.completion", "created": 1, "model": "m", "choices": [choice(calls)],
            "usage": {"prompt_tokens": 1}})
    };
    let part = json!({"type": "output_text", "text": "a", "annotations": [], "logprobs": []});
    let responses = |parts: usize| {
        let item = json!({"id": id, "type": "message", "role": "assistant", "status": "completed",
            "content": vec![&part; parts]});
        json!({"id": "r", "object": "response", "status": "completed", "output": [item], "usage": {"input_tokens": 1}})
    };
    for (endpoint, few, many) in
        [(Endpoint::ChatCompletions, chat(1), chat(many)), (Endpoint::Responses, responses(1), responses(many))]
    {
        let [few, many] = [few, many].map(|answer| to_stream(endpoint, answer.to_string().as_bytes()).is_some());
        assert_eq!((few, many), (true, false), "{endpoint:?}");
    }
}
