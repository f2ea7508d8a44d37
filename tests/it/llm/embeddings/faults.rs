//! Providers that answer something else, and stores that don't work.

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use larder::{clock::ManualClock, llm::EmbeddingsLayer};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _};

use super::{HOUR, JSON, answer, asked, given, input_of, json_reply, layer, provider, request};
use crate::support::{Act, Far, Fault, Script, full, memory, reply, settle};

/// Answers that aren't what was asked for, made of one that is.
fn wrong(number: usize, right: &Value) -> Option<Act> {
    let mut answer = right.clone();
    let data = answer["data"].as_array_mut().expect("a list");
    match number {
        0 => drop(data.pop()),
        1 => data.push(data[0].clone()),
        2 => data[0]["index"] = json!(7),
        3 => data[0]["index"] = json!(data.len() - 1),
        4 => drop(data[0].as_object_mut().expect("an object").remove("index")),
        5 => data[0]["embedding"] = Value::Null,
        6 => answer["error"] = json!({ "message": "no" }),
        7 => return Some(Act::answer(reply(200, &[JSON], full(right.to_string().split_off(1))))),
        8 => return Some(Act::answer(reply(200, &[("content-type", "text/html")], full(right.to_string())))),
        9 => return Some(Act::answer(reply(400, &[JSON], full(right.to_string())))),
        10 => return Some(Act::answer(reply(200, &[JSON, ("content-encoding", "x")], full(right.to_string())))),
        11 => return Some(Act::answer(reply(200, &[JSON], full(vec![b' '; 20_000])))),
        _ => return None,
    }
    Some(json_reply(&answer))
}

#[tokio::test]
async fn an_answer_to_a_part_that_is_of_no_use_is_followed_by_the_whole_request() {
    for number in 0..12 {
        // Two texts are missing of four, and the answer to these two is wrong.
        let script = Script::new(move |_, seen| {
            let input = input_of(seen);
            let right = answer(&input);
            if input == json!(["c", "d"]) { wrong(number, &right).expect("a wrong answer") } else { json_reply(&right) }
        });
        let layer = layer(&ManualClock::default()).max_body(10_000).build();
        let service = layer.layer(script.clone());
        given(&service, json!(["a", "b"])).await;
        let stored = layer.handle().stats().items_stored;
        let batch = json!(["a", "c", "b", "d"]);
        let (said, whole) = given(&service, batch.clone()).await;
        assert_eq!(whole, answer(&batch), "{number}");
        assert_eq!(said, "larder; fwd=partial; fwd-status=200; detail=asked-whole", "{number}");
        assert_eq!(asked(&script), [json!(["a", "b"]), json!(["c", "d"]), batch], "{number}: once");
        let stats = layer.handle().stats();
        assert_eq!((stats.items_stored, stats.asked_whole), (stored, 1), "{number}: nothing is kept");
    }
}

#[tokio::test]
async fn a_provider_that_has_no_time_is_not_asked_for_more() {
    for status in [408, 429, 500, 503, 529] {
        let script = Script::new(move |_, seen| match input_of(seen) {
            input if input == json!(["b"]) => Act::answer(reply(status, &[JSON, ("retry-after", "7")], full("later"))),
            input => json_reply(&answer(&input)),
        });
        let layer = layer(&ManualClock::default()).build();
        let service = layer.layer(script.clone());
        given(&service, json!(["a"])).await;
        let response = crate::support::ask(&service, request(&json!(["a", "b"]))).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (status, &"7".parse().expect("one"))
        );
        let (said, body) = super::read(response).await;
        assert_eq!((said, body), (format!("larder; fwd=partial; fwd-status={status}"), json!("later")));
        assert_eq!(asked(&script), [json!(["a"]), json!(["b"])], "{status}: once");
        let stats = layer.handle().stats();
        assert_eq!((stats.items_stored, stats.asked_whole), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn an_answer_to_the_whole_that_is_of_no_use_is_handed_on() {
    for number in 0..12 {
        let script = Script::new(move |_, seen| wrong(number, &answer(&input_of(seen))).expect("a wrong answer"));
        let layer = layer(&ManualClock::default()).max_body(10_000).build();
        let service = layer.layer(script.clone());
        for calls in 1..3 {
            let (said, _) = given(&service, json!(["a", "b"])).await;
            assert!(said.starts_with("larder; fwd=uri-miss; fwd-status=") && !said.contains("stored"), "{said}");
            assert_eq!((script.calls(), layer.handle().stats().items_stored), (calls, 0), "{number}");
        }
    }
}

#[tokio::test]
async fn the_inner_service_s_errors_are_its_own() {
    let script = Script::new(|_, seen| {
        let input = input_of(seen);
        if input == json!(["b"]) { Act::reset() } else { json_reply(&answer(&input)) }
    });
    let service = layer(&ManualClock::default()).build().layer(script.clone());
    let error = service.clone().oneshot(request(&json!(["b"]))).await.expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    given(&service, json!(["a"])).await;
    assert_eq!(given(&service, json!(["a", "b"])).await.1, answer(&json!(["a", "b"])), "asked for as a whole");
    assert_eq!(asked(&script).split_off(2), [json!(["b"]), json!(["a", "b"])]);
}

#[tokio::test]
async fn a_compressed_answer_is_taken_apart_too() {
    let script = Script::new(|_, seen| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(answer(&input_of(seen)).to_string().as_bytes()).expect("memory");
        let body = gzip.finish().expect("memory");
        Act::answer(reply(200, &[JSON, ("content-encoding", "gzip"), ("etag", "\"e\"")], full(body)))
    });
    let service = layer(&ManualClock::default()).build().layer(script.clone());
    let first = crate::support::ask(&service, request(&json!(["a"]))).await;
    assert_eq!(first.headers()["content-encoding"], "gzip", "as it came");
    let second = crate::support::ask(&service, request(&json!(["b", "a"]))).await;
    assert!(!second.headers().contains_key("content-encoding") && !second.headers().contains_key("etag"));
    assert_eq!(super::read(second).await.1, answer(&json!(["b", "a"])));
    assert_eq!(asked(&script), [json!(["a"]), json!(["b"])]);
}

#[tokio::test]
async fn embeddings_of_two_models_are_never_one_answer() {
    // From the third request on, the name stands for another model.
    let script = Script::new(|number, seen| {
        let mut answer = answer(&input_of(seen));
        answer["model"] = json!(if number < 2 { "m-1" } else { "m-2" });
        json_reply(&answer)
    });
    let clock = ManualClock::default();
    let service = layer(&clock).build().layer(script.clone());
    given(&service, json!(["a", "b"])).await;
    assert_eq!(given(&service, json!(["a", "c"])).await.1["model"], "m-1");
    clock.advance(HOUR / 4);
    let (said, answer) = given(&service, json!(["a", "d"])).await;
    assert!(said.ends_with("detail=asked-whole") && answer["model"] == "m-2", "{said}");
    assert_eq!(asked(&script).split_off(2), [json!(["d"]), json!(["a", "d"])]);
    // The older one is asked for again.
    assert_eq!(given(&service, json!(["a", "d", "b"])).await.1["model"], "m-2");
    assert_eq!(asked(&script).last(), Some(&json!(["a", "b"])));
    assert!(given(&service, json!(["a", "b", "d"])).await.0.contains("hit"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_work_counts_as_empty() {
    for fault in [Fault::Fail, Fault::Hang, Fault::Slow(Duration::from_secs(1))] {
        let clock = ManualClock::default();
        let (store, script) = (Far::new(memory(&clock)), provider());
        let layer = EmbeddingsLayer::builder(store.clone(), HOUR).clock(clock).build();
        let service = layer.layer(script.clone());
        given(&service, json!(["a", "b"])).await;
        settle().await;
        assert!(given(&service, json!(["b", "a"])).await.0.contains("hit"), "{fault:?}");
        store.gets(fault);
        store.writes(fault);
        let before = tokio::time::Instant::now();
        assert_eq!(given(&service, json!(["b", "a"])).await.1, answer(&json!(["b", "a"])), "{fault:?}");
        assert!(before.elapsed() <= Duration::from_millis(250), "{fault:?}");
        let stats = layer.handle().stats();
        assert!(stats.store_read_errors > 0 && script.calls() == 2, "{fault:?}: {stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_found_in_time_is_not_bought_again() {
    let clock = ManualClock::default();
    let (store, script) = (Far::new(memory(&clock)), provider());
    let service = EmbeddingsLayer::builder(store.clone(), HOUR).clock(clock).build().layer(script.clone());
    let many: Value = (0..300).map(|number| json!(number.to_string())).collect();
    given(&service, many.clone()).await;
    settle().await;
    store.gets(Fault::Slow(Duration::from_millis(100)));
    // They are looked up 128 at a time.
    assert_eq!(given(&service, many.clone()).await.1, answer(&many));
    assert_eq!(asked(&script).last().and_then(Value::as_array).map(Vec::len), Some(300 - 256));
}
