//! Profile `llm`: answers that are streamed as events.

use std::{io, sync::Arc};

use tokio::sync::Semaphore;

use super::{
    connection::Connection,
    llm::{CHAT, answer},
    message::{chunk, post_json, response},
    origin::Origin,
    process::Proxy,
};

const STREAMED: &str = r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const SSE: [(&str, &str); 2] = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];
pub(super) const EVENTS: [&str; 4] = [
    "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\"}}]}\n\n",
    "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"i\"}}]}\n\n",
    "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

pub(super) fn question() -> Vec<u8> {
    post_json(CHAT, &[], STREAMED)
}

/// An origin that waits for the test before each event but the first.
pub(super) async fn gated() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let next = gate.clone();
    let origin = Origin::serving(move |mut conversation| {
        let next = next.clone();
        async move {
            while conversation.request().await?.is_some() {
                conversation.wire.send(response(200, &SSE, "")).await?;
                for (index, event) in EVENTS.into_iter().enumerate() {
                    if index > 0 {
                        next.acquire().await.map_err(io::Error::other)?.forget();
                    }
                    conversation.wire.send(chunk(event)).await?;
                }
                conversation.wire.send(chunk("")).await?;
            }
            Ok(())
        }
    })
    .await;
    (origin, gate)
}

async fn event(client: &mut Connection) -> String {
    let event = client.chunk().await.expect("an unbroken stream").expect("another event");
    String::from_utf8(event).expect("text")
}

#[tokio::test]
async fn an_event_does_not_wait_for_the_next_one_and_is_replayed_as_it_came() {
    let (origin, gate) = gated().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    client.send(question()).await.expect("a live proxy");
    let head = client.response_head().await.expect("a head");
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    assert!(head.cache().starts_with("fwd=uri-miss"), "{}", head.cache());
    for (index, expected) in EVENTS.into_iter().enumerate() {
        if index > 0 {
            gate.add_permits(1);
        }
        assert_eq!(event(&mut client).await, expected);
    }
    assert_eq!(client.chunk().await.expect("a clean end"), None);

    client.send(question()).await.expect("a live proxy");
    assert!(client.response_head().await.expect("a head").is_hit());
    assert_eq!(client.body().await.expect("a clean end"), EVENTS.concat().as_bytes());
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn who_comes_late_reads_a_running_stream_live() {
    let (origin, gate) = gated().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let (mut first, mut second) = (proxy.connect().await, proxy.connect().await);
    first.send(question()).await.expect("a live proxy");
    first.response_head().await.expect("a head");
    assert_eq!(event(&mut first).await, EVENTS[0]);
    second.send(question()).await.expect("a live proxy");
    let head = second.response_head().await.expect("a head");
    assert!(head.cache().contains("collapsed"), "{}", head.cache());
    assert_eq!(event(&mut second).await, EVENTS[0]);
    // The stream goes on for the second without the first.
    drop(first);
    for expected in &EVENTS[1..] {
        gate.add_permits(1);
        assert_eq!(event(&mut second).await, *expected);
    }
    assert_eq!(second.chunk().await.expect("a clean end"), None);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_stream_without_its_last_event_is_not_kept() {
    let ends: [&[&str]; 4] = [
        &EVENTS[..2],
        &EVENTS[..3],
        &[EVENTS[0], "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"],
        &[EVENTS[0], EVENTS[1], "data: {\"id\":\"1\",\"cho"],
    ];
    let origin = Origin::answering(move |_, number| {
        let mut bytes = response(200, &SSE, "");
        ends[(number - 1) / 2].iter().for_each(|event| bytes.extend(chunk(event)));
        bytes.extend(chunk(""));
        bytes
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    for (index, events) in ends.into_iter().enumerate() {
        for repeat in 1..=2 {
            let given = proxy.ask(question()).await;
            assert_eq!((given.status(), given.text()), (200, &*events.concat()));
            assert_eq!(origin.calls(), index * 2 + repeat, "{events:?}");
        }
    }
}

#[tokio::test]
async fn who_wants_a_stream_gets_a_plain_answer_as_one() {
    let origin = Origin::answering(|request, number| {
        if request.text().contains("\"stream\":true") {
            return response(200, &[("Content-Type", "text/event-stream")], EVENTS.concat());
        }
        response(200, &[("Content-Type", "application/json")], answer(number))
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let plain = post_json(CHAT, &[], &STREAMED.replace("true", "false"));
    for _ in 0..2 {
        assert_eq!(proxy.ask(&plain).await.text(), answer(1));
        let streamed = proxy.ask(question()).await;
        assert_eq!(streamed.field("content-type"), Some("text/event-stream; charset=utf-8"));
        assert!(
            streamed.text().starts_with("data: {") && streamed.text().ends_with("data: [DONE]\n\n"),
            "{streamed:?}"
        );
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn an_answer_that_is_paid_for_is_kept_though_its_client_has_left() {
    let (origin, gate) = gated().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    client.send(question()).await.expect("a live proxy");
    client.response_head().await.expect("a head");
    assert_eq!(event(&mut client).await, EVENTS[0]);
    client.reset();
    proxy.log().find(|line| line.contains(CHAT)).await;
    gate.add_permits(EVENTS.len());
    let given = proxy.ask(question()).await;
    assert_eq!(given.text(), EVENTS.concat());
    assert_eq!(origin.calls(), 1);
}
