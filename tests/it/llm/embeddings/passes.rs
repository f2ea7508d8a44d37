//! What is not taken apart, and how what is taken apart is asked for.

use http::{Method, Request};
use larder::{clock::ManualClock, fingerprint::Scope, llm};
use serde_json::json;
use tower::Layer as _;

use super::{HOUR, JSON, URI, answer, asked, body, given, layer, provider, read, request};
use crate::support::{Script, ask, memory, post, text};

#[tokio::test]
async fn what_is_not_a_plain_request_for_embeddings_is_not_touched() {
    let script = Script::statuses([200]);
    let layer = layer(&ManualClock::default()).build();
    let service = layer.layer(script.clone());
    let plain = body(&json!(["a", "b"]));
    let mut requests: Vec<Request<_>> = vec![
        post("https://api.example/v1/chat/completions", &[JSON], plain.clone()),
        post("https://api.example/v1/embeddings/x", &[JSON], plain.clone()),
        post(URI, &[("content-type", "text/plain")], plain.clone()),
    ];
    for field in [
        ("content-encoding", "gzip"),
        ("content-digest", "sha-256=:x:"),
        ("signature", "x"),
        ("x-amz-content-sha256", "x"),
        ("cache-control", "no-store"),
    ] {
        requests.push(post(URI, &[JSON, field], plain.clone()));
    }
    for input in ["[]", "7", "[\"a\",[1]]", "[[]]", "{\"a\":1}"] {
        requests.push(post(URI, &[JSON], format!(r#"{{"model":"m","input":{input}}}"#)));
    }
    for other in [r#"{"model":"m"}"#, "{", r#"{"model":"m","input":"a","input":"b"}"#, r#"{"store":true,"input":"a"}"#]
    {
        requests.push(post(URI, &[JSON], other.to_owned()));
    }
    let mut get = post(URI, &[JSON], plain);
    *get.method_mut() = Method::GET;
    requests.push(get);
    let count = requests.len();
    for request in requests {
        let what = format!("{request:?}");
        let response = ask(&service, request).await;
        assert!(!response.headers().contains_key("cache-status"), "{what}");
        assert_eq!(text(response).await, "200", "{what}");
        let sent = script.last();
        assert!(sent.text().is_empty() || what.contains(sent.head.uri.path()), "{what}");
    }
    assert_eq!((script.calls() as u64, layer.handle().stats().passed), (count as u64, count as u64));
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_kept_is_asked_for_byte_for_byte() {
    let script = provider();
    let service = layer(&ManualClock::default()).build().layer(script.clone());
    let odd = r#"{ "input" : [ "h\u0069", "b" ] , "model":"m", "n": 1.50 }"#;
    let ask_with = |body: &str| {
        let length = body.len().to_string();
        let fields = [JSON, ("content-length", &*length), ("idempotency-key", "k"), ("authorization", "Bearer s")];
        ask(&service, post(URI, &fields, body.to_owned()))
    };
    text(ask_with(odd).await).await;
    let sent = script.last();
    assert_eq!((sent.text(), sent.field("idempotency-key")), (odd.to_owned(), Some("k")));

    let more = r#"{"model":"m","input":["hi","c","b","c"], "n":1.5,"user":"u"}"#;
    let given = read(ask_with(more).await).await.1;
    assert_eq!(given, answer(&json!(["hi", "c", "b", "c"])));
    let sent = script.last();
    assert_eq!(sent.text(), r#"{"model":"m","input":["c"],"n":1.5,"user":"u"}"#, "all else as it came");
    assert_eq!(sent.field("content-length"), Some(&*sent.text().len().to_string()));
    assert_eq!((sent.field("idempotency-key"), sent.field("authorization")), (None, Some("Bearer s")));
    assert_eq!(sent.head.uri, URI);
}

#[tokio::test]
async fn embeddings_are_nobody_else_s_unless_that_is_said() {
    for (scope, calls) in [(Scope::credential(), 2), (Scope::shared(), 1)] {
        let script = provider();
        let fingerprint = llm::Fingerprint::new().scope(scope).alias("m-1", "m");
        let service = layer(&ManualClock::default()).fingerprint(fingerprint).build().layer(script.clone());
        for key in ["Bearer one", "Bearer two", "Bearer one"] {
            let request = post(URI, &[JSON, ("authorization", key)], body(&json!(["a"])));
            assert_eq!(read(ask(&service, request).await).await.1, answer(&json!(["a"])));
        }
        assert_eq!(script.calls(), calls);
    }
    let script = provider();
    let service = layer(&ManualClock::default()).build().layer(script.clone());
    for (member, calls) in
        [("\"dimensions\":8", 1), ("\"dimensions\":9", 2), ("\"user\":\"u\"", 3), ("\"user\":\"w\"", 3)]
    {
        text(ask(&service, post(URI, &[JSON], format!(r#"{{"model":"m","input":["a"],{member}}}"#))).await).await;
        assert_eq!(script.calls(), calls, "{member}");
    }
}

#[tokio::test]
async fn what_a_request_says_of_caches_holds_for_each_text() {
    let (clock, script) = (ManualClock::default(), provider());
    let service = layer(&clock).build().layer(script.clone());
    let ask_with = async |control: &str, input| {
        let request = post(URI, &[JSON, ("cache-control", control)], body(&input));
        read(ask(&service, request).await).await
    };
    given(&service, json!(["a"])).await;
    clock.advance(HOUR / 4);
    given(&service, json!(["b"])).await;
    ask_with("max-age=600", json!(["a", "b"])).await;
    assert_eq!(asked(&script).last(), Some(&json!(["a"])), "the other is young enough");
    let (said, _) = ask_with("no-cache", json!(["a", "b"])).await;
    assert!(said.contains("fwd=uri-miss") && asked(&script).last() == Some(&json!(["a", "b"])), "{said}");
    let calls = script.calls();
    assert!(ask_with("only-if-cached", json!(["b", "a"])).await.0.contains("hit"));
    assert_eq!(script.calls(), calls);
    ask_with("only-if-cached", json!(["b", "c"])).await;
    assert_eq!(asked(&script).last(), Some(&json!(["b", "c"])), "a cache further in says that it has none");
}

#[tokio::test]
async fn a_cache_for_whole_answers_may_lie_inside_and_share_the_store() {
    let clock = ManualClock::default();
    let (store, script) = (memory(&clock), provider());
    let inner = llm::layer(store.clone(), HOUR).clock(clock.clone()).build();
    let outer = llm::EmbeddingsLayer::builder(store, HOUR).clock(clock.clone()).build();
    let both = outer.layer(inner.layer(script.clone()));
    let get = async |input: serde_json::Value| {
        let response = ask(&both, request(&input)).await;
        serde_json::from_str::<serde_json::Value>(&text(response).await).expect("JSON")
    };
    for input in [json!("a"), json!(["a", "b"]), json!("b"), json!(["b", "a", "c"]), json!("a")] {
        assert_eq!(get(input.clone()).await, answer(&input), "{input}");
    }
    assert_eq!(asked(&script), [json!("a"), json!(["b"]), json!(["c"])]);
    let alone = inner.layer(script.clone());
    let response = ask(&alone, request(&json!("a"))).await;
    assert_eq!(text(response).await, answer(&json!("a")).to_string(), "a whole answer is no embedding");
}

#[tokio::test]
async fn requests_are_taken_apart_when_it_is_said() {
    let script = provider();
    let layer = layer(&ManualClock::default()).when(|head| head.headers.contains_key("x-apart")).build();
    let service = layer.layer(script.clone());
    for (fields, calls) in
        [(&[JSON][..], 1), (&[JSON], 2), (&[JSON, ("x-apart", "")], 3), (&[JSON, ("x-apart", "")], 3)]
    {
        text(ask(&service, post(URI, fields, body(&json!(["a"])))).await).await;
        assert_eq!(script.calls(), calls);
    }
}
