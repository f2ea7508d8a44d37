//! Large bodies stream through, in memory that doesn't grow with them.

use super::{
    llm::{CHAT, QUESTION, answer},
    message::{chunk, get, post_json, response},
    origin::Origin,
    process::Proxy,
};

const LARGE: usize = 100 << 20;
const PART: usize = 64 << 10;

/// What the proxy may hold at most, in MiB; a body that is kept whole would exceed it.
const MEMORY: u64 = 120;

#[tokio::test]
async fn a_large_request_body_is_not_held_in_memory() {
    let origin = Origin::serving(|mut conversation| async move {
        while conversation.head().await?.is_some() {
            let length = conversation.wire.drain().await?;
            conversation.wire.send(response(200, &[], length.to_string())).await?;
        }
        Ok(())
    })
    .await;
    let part = vec![b' '; PART];
    for (target, media_type) in [("/v1/files", "application/octet-stream"), (CHAT, "application/json")] {
        let proxy = Proxy::start(&origin, &[]).await;
        let mut client = proxy.connect().await;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\nContent-Length: {LARGE}\r\n\r\n"
        );
        client.send(head).await.expect("a live proxy");
        for _ in 0..LARGE / PART {
            client.send(&part).await.expect("a live proxy");
        }
        let given = client.response().await.expect("a response");
        assert_eq!((given.status(), given.text()), (200, &*LARGE.to_string()), "{target}");
        assert!(proxy.peak_memory() < MEMORY, "{target}: {} MiB", proxy.peak_memory());
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_for_a_key_passes_whole() {
    let origin = Origin::answering(|request, _| response(200, &[], request.body.len().to_string())).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let body = format!("{{\"model\":\"m\",\"input\":\"{}\"}}", "x".repeat(17 << 20));
    for _ in 0..2 {
        let given = proxy.ask(post_json(CHAT, &[], &body)).await;
        assert_eq!(given.text(), body.len().to_string());
        assert_eq!(given.cache(), "fwd=bypass; detail=request-too-large");
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_large_response_is_neither_held_in_memory_nor_kept() {
    let origin = Origin::serving(|mut conversation| async move {
        while let Some((_, number)) = conversation.request().await? {
            let fields = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")];
            conversation.wire.send(response(200, &fields, "")).await?;
            let part = chunk(vec![b'x'; PART]);
            for _ in 0..if number == 1 { LARGE / PART } else { 32 } {
                conversation.wire.send(&part).await?;
            }
            conversation.wire.send(chunk("")).await?;
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &["--max-body", "1MiB"]).await;
    let mut client = proxy.connect().await;
    client.send(post_json(CHAT, &[], QUESTION)).await.expect("a live proxy");
    assert_eq!(client.response_head().await.expect("a head").status(), 200);
    assert_eq!(client.drain().await.expect("a whole body"), LARGE);
    assert!(proxy.peak_memory() < MEMORY, "{} MiB", proxy.peak_memory());
    let again = client.ask(post_json(CHAT, &[], QUESTION)).await;
    assert_eq!((again.body.len(), again.is_hit(), origin.calls()), (2 << 20, false, 2));
}

#[tokio::test]
async fn a_response_that_says_it_is_too_large_is_not_kept() {
    let origin = Origin::answering(|request, _| {
        let length = request.target().trim_start_matches('/').parse().expect("a length");
        response(200, &[("Cache-Control", "max-age=60")], "x".repeat(length))
    })
    .await;
    let proxy = Proxy::start(&origin, &["--max-body", "1KiB"]).await;
    for (length, kept) in [(1024, true), (1025, false)] {
        let asked = get(&format!("/{length}"), &[]);
        assert_eq!(proxy.ask(&asked).await.body.len(), length);
        let again = proxy.ask(&asked).await;
        assert_eq!((again.body.len(), again.is_hit()), (length, kept));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_fills_no_memory() {
    let origin = Origin::serving(|mut conversation| async move {
        while conversation.request().await?.is_some() {
            conversation.wire.send(response(200, &[("Content-Length", &LARGE.to_string())], "")).await?;
            let part = vec![b'x'; PART];
            for _ in 0..LARGE / PART {
                conversation.wire.send(&part).await?;
            }
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut lazy = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.connect().await;
        client.send(get("/v1/files/x/content", &[])).await.expect("a live proxy");
        client.response_head().await.expect("a head");
        lazy.push(client);
    }
    // One that reads gets all, while the others' bodies wait at the origin.
    let mut client = proxy.connect().await;
    client.send(get("/v1/files/x/content", &[])).await.expect("a live proxy");
    client.response_head().await.expect("a head");
    assert_eq!(client.drain().await.expect("a whole body"), LARGE);
    assert!(proxy.peak_memory() < MEMORY, "{} MiB", proxy.peak_memory());
}

#[tokio::test]
async fn a_request_body_in_chunks_arrives_whole() {
    let origin = Origin::answering(|_, number| response(200, &[("Content-Type", "application/json")], answer(number)));
    let origin = origin.await;
    let proxy = Proxy::start(&origin, &[]).await;
    for target in ["/v1/files", CHAT] {
        let mut client = proxy.connect().await;
        let fields = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")];
        client.send(super::message::request("POST", target, &fields, b"")).await.expect("a live proxy");
        for byte in QUESTION.bytes() {
            client.send(chunk([byte])).await.expect("a live proxy");
        }
        client.send(chunk("")).await.expect("a live proxy");
        assert_eq!(client.response().await.expect("a response").status(), 200);
        assert_eq!(origin.requests().pop().expect("a request").text(), QUESTION, "{target}");
    }
    assert!(proxy.ask(post_json(CHAT, &[], QUESTION)).await.is_hit(), "however it was sent, it is the same question");
}
