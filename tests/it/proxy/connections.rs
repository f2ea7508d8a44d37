//! Many connections, and what is left of them.

use std::{io, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    llm::{CHAT, QUESTION, answer},
    message::{chunk, get, post_json, response},
    origin::Origin,
    process::Proxy,
};

/// How many descriptors may be left over: connections to the upstream that wait for the next request.
const POOLED: usize = 10;

#[tokio::test]
async fn many_connections_are_served_and_closed() {
    let origin = Origin::answering(|_, _| response(200, &[("Cache-Control", "max-age=600")], "ok")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    proxy.ask(get("/warm", &[])).await;
    let before = proxy.descriptors();
    let mut clients = Vec::new();
    for _ in 0..500 {
        clients.push(proxy.connect().await);
    }
    for _ in 0..3 {
        let mut asking = JoinSet::new();
        for mut client in clients {
            asking.spawn(async move {
                assert_eq!(client.ask(get("/warm", &[])).await.text(), "ok");
                client
            });
        }
        clients = asking.join_all().await;
    }
    assert!(proxy.descriptors() >= before + 490, "they are kept alive");
    drop(clients);
    proxy.closes_all_but(before + POOLED).await;
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn the_same_question_from_many_at_once_is_paid_for_once() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let origin = Origin::serving(move |mut conversation| {
        let held = held.clone();
        async move {
            while let Some((_, number)) = conversation.request().await? {
                held.acquire().await.map_err(io::Error::other)?.forget();
                let fields = [("Content-Type", "application/json")];
                conversation.wire.send(response(200, &fields, answer(number))).await?;
            }
            Ok(())
        }
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = proxy.connect().await;
        client.send(post_json(CHAT, &[], QUESTION)).await.expect("a live proxy");
        clients.push(client);
    }
    gate.add_permits(200);
    for client in &mut clients {
        let given = client.response().await.expect("a response");
        assert_eq!((given.status(), given.text()), (200, &*answer(1)));
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn clients_that_vanish_leave_nothing_behind() {
    let origin = Origin::serving(|mut conversation| async move {
        while conversation.request().await?.is_some() {
            let fields = [("Transfer-Encoding", "chunked"), ("Cache-Control", "max-age=60")];
            conversation.wire.send([response(200, &fields, ""), chunk("begun")].concat()).await?;
            // The rest never comes.
            if conversation.wire.is_closed().await {
                return Ok(());
            }
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    let before = proxy.descriptors();
    for number in 0..100 {
        let mut client = proxy.connect().await;
        client.send(get(&format!("/{}", number / 2), &[])).await.expect("a live proxy");
        client.response_head().await.expect("a head");
        assert_eq!(client.chunk().await.expect("an unbroken body"), Some(b"begun".to_vec()));
        if number % 2 == 0 { client.reset() } else { drop(client) }
    }
    proxy.closes_all_but(before).await;
}

#[tokio::test]
async fn failures_leave_nothing_behind() {
    let origin = Origin::serving(|mut conversation| async move {
        let request = conversation.request().await?;
        match request.map_or(0, |(_, number)| number % 3) {
            0 => conversation.wire.reset(),
            1 => conversation.wire.send("garbage\r\n\r\n").await?,
            _ => conversation.wire.send(response(200, &[("Content-Length", "9")], "cut")).await?,
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &["--retries", "0"]).await;
    let before = proxy.descriptors();
    for number in 0..99 {
        // Few failures of one model: its breaker would have the rest fail before they reach the origin.
        let question = QUESTION.replace("gpt-4o", &format!("model-{}", number / 9));
        if let Ok(given) = proxy.connect().await.try_ask(post_json(CHAT, &[], &question)).await {
            assert_eq!(given.status(), 502);
        }
    }
    proxy.closes_all_but(before).await;
    assert_eq!(origin.calls(), 99);
}
