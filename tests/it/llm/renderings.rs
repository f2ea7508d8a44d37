//! Plain answers and streamed ones share an entry.

use http::{Request, Response};
use larder::{
    cache::CacheBody,
    clock::ManualClock,
    llm::{Cost, Ledger, Reason},
};
use serde_json::{Value, json};
use tower::Layer as _;

use super::{CHAT, COST, JSON, cache, nano, prices};
use crate::support::{Body, Origin, ask, frame, full, pieces, post, read, reply, said, text};

const EVENT_STREAM: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");

fn usage() -> Value {
    json!({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400}})
}

/// Answers as OpenAI does, in the form that it is asked for, with the number of the call in the text.
fn openai() -> Origin {
    answering(true)
}

/// `counts`: whether a stream says what was used when it is asked to.
fn answering(counts: bool) -> Origin {
    Origin::new(move |call| async move {
        let number = call.number;
        let asked: Value =
            serde_json::from_slice(&read(Response::new(call.request.into_body())).await.expect("a body"))
                .expect("JSON");
        let usage = usage();
        if asked["stream"] != true {
            let message = json!({"role": "assistant", "content": format!("answer {number}"), "refusal": null});
            let choices = json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}]);
            let answer = json!({"id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": 1,
                "model": "m", "choices": choices, "usage": usage, "system_fingerprint": "fp"});
            return Ok(reply(200, &[JSON], full(answer.to_string())));
        }
        let counts = counts && asked["stream_options"]["include_usage"] == true;
        let event = |choices: Value, usage: &Value| {
            let mut chunk = json!({"id": format!("chatcmpl-{number}"), "object": "chat.completion.chunk", "created": 1,
                "model": "m", "system_fingerprint": "fp", "choices": choices});
            if counts {
                chunk["usage"] = usage.clone();
            }
            format!("data: {chunk}\n\n")
        };
        let delta = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        let mut events = vec![
            event(delta(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null), &Value::Null),
            event(delta(json!({"content": "answer "}), Value::Null), &Value::Null),
            event(delta(json!({"content": number.to_string()}), Value::Null), &Value::Null),
            event(delta(json!({}), json!("stop")), &Value::Null),
        ];
        if counts {
            events.push(event(json!([]), &usage));
        }
        events.push("data: [DONE]\n\n".to_owned());
        Ok(reply(200, &[EVENT_STREAM], pieces(events)))
    })
}

const PLAIN: &str = "";
const STREAM: &str = r#","stream":true"#;
const USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

fn asked(form: &'static str) -> Request<Body> {
    post(CHAT, &[JSON], format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{form}}}"#))
}

async fn object(response: Response<CacheBody<Body>>) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&text(response).await).expect("JSON")
}

/// The events of a stream, each of which comes in a frame of its own.
async fn events(mut response: Response<CacheBody<Body>>) -> Vec<Value> {
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut events = Vec::new();
    while let Some(frame) = frame(response.body_mut()).await {
        let frame = frame.expect("a whole body");
        let text = std::str::from_utf8(&frame).expect("text");
        let data = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).expect("one event");
        events.push(if data == "[DONE]" { Value::Null } else { serde_json::from_str(data).expect("JSON") });
    }
    assert_eq!(events.pop(), Some(Value::Null), "it has its end");
    events
}

fn said_by(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn a_stream_that_was_kept_answers_plain_requests() {
    let origin = openai();
    let cache = cache(&ManualClock::default()).build().layer(origin.clone());
    assert_eq!(said_by(&events(ask(&cache, asked(USAGE)).await).await), "answer 0");
    let answer = ask(&cache, asked(PLAIN)).await;
    assert!(said(&answer).starts_with("larder; hit;"), "{}", said(&answer));
    let answer = object(answer).await;
    assert_eq!(
        (&answer["object"], &answer["id"], &answer["usage"], &answer["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("chatcmpl-0"), &usage(), &json!("stop"))
    );
    assert_eq!(answer["choices"][0]["message"], json!({"role": "assistant", "content": "answer 0", "refusal": null}));
    let events = events(ask(&cache, asked(STREAM)).await).await;
    assert_eq!(said_by(&events), "answer 0");
    assert!(events.iter().all(|event| event.get("usage").is_none() && event["choices"][0].is_object()), "{events:?}");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_plain_answer_that_was_kept_is_streamed() {
    let origin = openai();
    let cache = cache(&ManualClock::default()).build().layer(origin.clone());
    object(ask(&cache, asked(PLAIN)).await).await;
    let streamed = events(ask(&cache, asked(STREAM)).await).await;
    assert_eq!(said_by(&streamed), "answer 0");
    assert!(streamed.iter().all(|event| event["object"] == "chat.completion.chunk" && event["id"] == "chatcmpl-0"));
    assert!(streamed.iter().all(|event| event.get("usage").is_none_or(Value::is_null)));
    let counted = events(ask(&cache, asked(USAGE)).await).await;
    assert_eq!(counted.last().expect("events")["usage"], usage());
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_stream_that_does_not_say_what_was_used_is_no_plain_answer() {
    let origin = openai();
    let cache = cache(&ManualClock::default()).build().layer(origin.clone());
    assert_eq!(said_by(&events(ask(&cache, asked(STREAM)).await).await), "answer 0");
    assert_eq!(object(ask(&cache, asked(PLAIN)).await).await["choices"][0]["message"]["content"], "answer 1");
    for _ in 0..2 {
        assert_eq!(said_by(&events(ask(&cache, asked(STREAM)).await).await), "answer 0");
        assert_eq!(object(ask(&cache, asked(PLAIN)).await).await["choices"][0]["message"]["content"], "answer 1");
        assert_eq!(said_by(&events(ask(&cache, asked(USAGE)).await).await), "answer 1");
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn an_upstream_that_never_says_what_was_used_is_asked_once_all_the_same() {
    let origin = answering(false);
    let cache = cache(&ManualClock::default()).build().layer(origin.clone());
    for _ in 0..2 {
        assert_eq!(said_by(&events(ask(&cache, asked(USAGE)).await).await), "answer 0");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn streams_are_kept_apart_if_that_is_said() {
    let origin = openai();
    let apart = larder::llm::Fingerprint::new().share_streams(false);
    let cache = cache(&ManualClock::default()).fingerprint(apart).build().layer(origin.clone());
    events(ask(&cache, asked(USAGE)).await).await;
    object(ask(&cache, asked(PLAIN)).await).await;
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_converted_answer_saves_what_it_cost() {
    let ledger = Ledger::new(prices());
    let cache = cache(&ManualClock::default()).observer(ledger.clone()).build().layer(openai());
    events(ask(&cache, asked(USAGE)).await).await;
    let answer = ask(&cache, asked(PLAIN)).await;
    let cost = Cost::of(&answer).expect("a cost").clone();
    object(answer).await;
    assert_eq!((cost.reason(), nano(cost.saved())), (Reason::Hit, Some(COST)));
}
