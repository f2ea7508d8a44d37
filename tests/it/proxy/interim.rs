//! Interim responses (1xx): those of the upstream reach the client that caused them, and nobody else.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpSocket, sync::Semaphore};

use super::{
    connection::Connection,
    message::{get, response},
    origin::{Conversation, Origin},
    process::Proxy,
    within,
};

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
const FRESH: &[(&str, &str)] = &[("Cache-Control", "max-age=600")];

/// Sends hints at once, and the answer when it is let.
async fn hinting(mut conversation: Conversation, gate: Arc<Semaphore>) -> io::Result<()> {
    while let Some((request, number)) = conversation.request().await? {
        conversation.wire.send(HINTS).await?;
        gate.acquire().await.map_err(io::Error::other)?.forget();
        conversation.wire.send(response(200, FRESH, format!("{} {number}", request.target()))).await?;
    }
    Ok(())
}

async fn origin(answers: usize) -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(answers));
    let held = gate.clone();
    (Origin::serving(move |conversation| hinting(conversation, held.clone())).await, gate)
}

#[tokio::test]
async fn hints_arrive_before_the_answer_is_there_and_are_not_kept() {
    let (origin, gate) = origin(0).await;
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    let mut client = proxy.connect().await;
    client.send(get("/a", &[])).await.expect("sent");
    let hints = within(client.response_head()).await.expect("hints");
    assert_eq!((hints.status(), hints.field("link")), (103, Some("</style.css>; rel=preload")));
    assert_eq!((hints.field("x-hop"), hints.field("connection")), (None, None), "for the proxy alone");
    gate.add_permits(1);
    assert_eq!(within(client.response()).await.expect("an answer").text(), "/a 1");
    let hit = client.ask(get("/a", &[])).await;
    assert_eq!((hit.status(), hit.is_hit(), hit.text()), (200, true, "/a 1"));
}

#[tokio::test]
async fn hints_come_right_before_an_answer_that_is_there_already() {
    let (origin, _gate) = origin(usize::MAX >> 4).await;
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    let mut client = proxy.connect().await;
    // Three requests at once: each answer is preceded by its own hints.
    let requests: Vec<_> = ["/a", "/b", "/c"].iter().flat_map(|path| get(path, &[])).collect();
    client.send(requests).await.expect("sent");
    for path in ["/a", "/b", "/c"] {
        assert_eq!(within(client.response_head()).await.expect("hints").status(), 103, "{path}");
        let answer = within(client.response()).await.expect("an answer");
        assert!(answer.text().starts_with(path), "{answer:?}");
    }
}

#[tokio::test]
async fn a_client_of_an_older_version_hears_nothing_of_them() {
    let (origin, _gate) = origin(1).await;
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    let mut client = proxy.connect().await;
    client.send("GET /a HTTP/1.0\r\nHost: a\r\n\r\n").await.expect("sent");
    assert_eq!(within(client.response()).await.expect("an answer").text(), "/a 1");
}

#[tokio::test]
async fn what_is_fetched_behind_an_answer_sends_no_hints_to_the_next() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let origin = Origin::serving(move |mut conversation| {
        let held = held.clone();
        async move {
            while let Some((_, number)) = conversation.request().await? {
                if number > 1 {
                    held.acquire().await.map_err(io::Error::other)?.forget();
                    conversation.wire.send(HINTS).await?;
                }
                let fields = [("Cache-Control", "max-age=60, stale-while-revalidate=600"), ("Age", "61")];
                conversation.wire.send(response(200, &fields, number.to_string())).await?;
            }
            Ok(())
        }
    })
    .await;
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.ask(get("/a", &[])).await.text(), "1");
    assert_eq!(client.ask(get("/a", &[])).await.text(), "1", "served stale, and refreshed behind");
    client.send(get("/b", &[])).await.expect("sent");
    let both = async {
        while origin.calls() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(both).await;
    // The refresh's hints come while the next request waits.
    gate.add_permits(2);
    let first = within(client.response_head()).await.expect("a head");
    assert_eq!(first.status(), 103, "its own");
    assert_eq!(within(client.response()).await.expect("an answer").status(), 200, "and no other's");
}

#[tokio::test]
async fn hints_that_a_client_does_not_read_keep_no_processor_busy() {
    let link = "x".repeat(10_000);
    let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: <{link}>\r\n\r\n").repeat(6);
    let origin = Origin::serving(move |mut conversation| {
        let hints = hints.clone();
        async move {
            while let Some((request, _)) = conversation.request().await? {
                conversation.wire.send(&hints).await?;
                conversation.wire.send(response(200, FRESH, request.target())).await?;
            }
            Ok(())
        }
    })
    .await;
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    // What little it takes is soon there.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let mut client = Connection::new(within(socket.connect(proxy.address())).await.expect("connected"));
    let requests: Vec<_> = (0..400).flat_map(|number| get(&format!("/{number}"), &[])).collect();
    client.send(requests).await.expect("sent");
    let full = async {
        let mut before = 0;
        while before == 0 || origin.calls() > before {
            before = origin.calls();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    within(full).await;
    assert!(origin.calls() < 400, "the client's connection takes no more");
    let before = proxy.busy();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let busy = proxy.busy() - before;
    assert!(busy < Duration::from_millis(500), "{busy:?} in a second");
}
