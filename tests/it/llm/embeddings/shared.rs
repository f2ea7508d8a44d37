//! Requests at once, and purges.

use http::{HeaderValue, Response, request::Parts};
use larder::{
    clock::ManualClock,
    llm::EmbeddingsLayer,
    store::Store as _,
    tag::{Selector, Tag},
};
use serde_json::{Value, json};
use tower::Layer as _;

use super::{HOUR, JSON, answer, asked, given, layer, provider, read, request};
use crate::support::{Held, Origin, ask, begun, full, memory, reply};

async fn input(call: &mut Held) -> Value {
    use http_body_util::BodyExt as _;
    let body = call.request.body_mut().collect().await.expect("a body").to_bytes();
    serde_json::from_slice::<Value>(&body).expect("JSON")["input"].clone()
}

fn json(answer: &Value) -> Response<crate::support::Body> {
    reply(200, &[JSON], full(answer.to_string()))
}

#[tokio::test]
async fn two_batches_at_once_buy_no_text_twice() {
    let layer = layer(&ManualClock::default()).build();
    let (origin, mut calls) = Origin::held();
    let service = layer.layer(origin);
    let one = begun(ask(&service, request(&json!(["a", "b"]))));
    let other = begun(ask(&service, request(&json!(["b", "c", "a"]))));
    let third = begun(ask(&service, request(&json!(["b"]))));
    let (mut first, mut second) = (calls.next().await, calls.next().await);
    assert_eq!((input(&mut first).await, input(&mut second).await), (json!(["a", "b"]), json!(["c"])));
    assert!(calls.try_next().is_none());
    second.answer(json(&answer(&json!(["c"]))));
    let other = begun(other);
    first.answer(json(&answer(&json!(["a", "b"]))));
    assert_eq!(read(one.await).await.1, answer(&json!(["a", "b"])));
    let (said, given) = read(other.await).await;
    assert_eq!(given, answer(&json!(["b", "c", "a"])));
    assert_eq!(said, "larder; fwd=uri-miss; fwd-status=200; stored; collapsed");
    let (said, given) = read(third.await).await;
    assert_eq!((&*said, given), ("larder; fwd=uri-miss; collapsed", answer(&json!(["b"]))));
    let stats = layer.handle().stats();
    assert_eq!((stats.items_missed, stats.items_shared, stats.items_stored), (3, 3, 3));
}

#[tokio::test]
async fn who_waited_for_another_in_vain_asks_for_all() {
    for leaves in [true, false] {
        let (origin, mut calls) = Origin::held();
        let service = layer(&ManualClock::default()).build().layer(origin);
        let one = begun(ask(&service, request(&json!(["a"]))));
        let other = begun(ask(&service, request(&json!(["a", "b"]))));
        let (first, second) = (calls.next().await, calls.next().await);
        second.answer(json(&answer(&json!(["b"]))));
        let other = begun(other);
        if leaves {
            drop(one);
        } else {
            first.answer(reply(429, &[JSON], full("{}")));
            assert_eq!(one.await.status(), 429);
        }
        let other = begun(other);
        let mut whole = calls.next().await;
        assert_eq!(input(&mut whole).await, json!(["a", "b"]));
        whole.answer(json(&answer(&json!(["a", "b"]))));
        assert_eq!(read(other.await).await.1, answer(&json!(["a", "b"])));
    }
}

#[tokio::test]
async fn a_purge_removes_embeddings_by_label_and_tag_also_those_that_are_being_bought() {
    let clock = ManualClock::default();
    let store = memory(&clock);
    let builder = EmbeddingsLayer::builder(store.clone(), HOUR).clock(clock);
    let tags = |request: &Parts| {
        let tag = || Tag::new("t").expect("a tag");
        request.headers.contains_key("x-tag").then(tag).into_iter().collect()
    };
    let layer = builder.tags(move |request, _| tags(request)).build();
    let (handle, script) = (layer.handle(), provider());
    let service = layer.layer(script.clone());
    for selector in [Selector::label("embeddings:m"), Selector::label("embeddings:*"), Selector::All] {
        given(&service, json!(["a", "b"])).await;
        assert_eq!(handle.usage().await.expect("memory").entries, 2);
        assert_eq!(handle.purge(&selector).await.expect("memory"), 2);
        assert_eq!(store.usage().await.expect("memory").entries, 0);
    }
    let mut tagged = request(&json!(["c"]));
    tagged.headers_mut().insert("x-tag", HeaderValue::from_static("1"));
    ask(&service, tagged).await;
    given(&service, json!(["d"])).await;
    let tag = Selector::Tag(Tag::new("t").expect("a tag"));
    assert_eq!(handle.purge(&tag).await.expect("memory"), 1);
    assert!(given(&service, json!(["d"])).await.0.contains("hit") && handle.health().await.is_up());
    assert_eq!(asked(&script).len(), 5);

    let (origin, mut calls) = Origin::held();
    let held = layer.layer(origin);
    let bought = begun(ask(&held, request(&json!(["e"]))));
    let call = calls.next().await;
    handle.purge(&Selector::label("embeddings:*")).await.expect("memory");
    // Who comes after a purge gets nothing that was asked for before it.
    let later = begun(ask(&held, request(&json!(["e"]))));
    let again = calls.try_next().expect("a call of its own");
    call.answer(json(&answer(&json!(["e"]))));
    bought.await;
    let last = begun(ask(&held, request(&json!(["e"]))));
    assert!(calls.try_next().is_none(), "the later one is waited for");
    assert_eq!(store.usage().await.expect("memory").entries, 0, "it is older than the purge");
    again.answer(json(&answer(&json!(["e"]))));
    for request in [later, last] {
        assert_eq!(read(request.await).await.1, answer(&json!(["e"])));
    }
    assert_eq!(store.usage().await.expect("memory").entries, 1);
}
