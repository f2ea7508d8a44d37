//! An upstream that is down, lies or breaks off before it has answered.

use std::time::Duration;

use super::{
    llm::{CHAT, QUESTION, answer},
    message::{Message, get, post_json, response},
    origin::{Origin, nowhere},
    process::Proxy,
    within,
};

/// The proxy's own answer in place of one that there is none of.
fn assert_is_problem(given: &Message, status: u16) {
    assert_eq!(given.status(), status, "{given:?}");
    assert_eq!(given.field("content-type"), Some("application/problem+json"));
    assert_eq!(given.field("cache-control"), Some("no-store"));
    let problem = given.json();
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
}

/// Asks until the kept answer has become stale.
async fn ask_until_stale(proxy: &Proxy, request: &[u8]) -> Message {
    within(async {
        loop {
            let given = proxy.ask(request).await;
            if !given.is_hit() {
                return given;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

/// An origin that answers the first request well and all others with these bytes, and then closes.
async fn origin_that_goes_bad(bad: Vec<u8>) -> Origin {
    Origin::serving(move |mut conversation| {
        let bad = bad.clone();
        async move {
            while let Some((_, number)) = conversation.request().await? {
                if number > 1 {
                    return conversation.wire.send(bad).await;
                }
                let fields = [("Content-Type", "application/json"), ("Cache-Control", "max-age=1")];
                conversation.wire.send(response(200, &fields, answer(1))).await?;
            }
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_an_upstream_that_is_down() {
    for (profile, request) in [("llm", post_json(CHAT, &[], QUESTION)), ("http", get("/a", &[]))] {
        let origin = origin_that_goes_bad(Vec::new()).await;
        let proxy = Proxy::start(&origin, &["--ttl", "1s", "--profile", profile]).await;
        let first = proxy.ask(&request).await;
        assert_eq!(first.text(), answer(1));
        drop(origin);
        let given = ask_until_stale(&proxy, &request).await;
        assert_eq!((given.status(), given.text()), (200, &*answer(1)), "{profile}");
        assert!(given.cache().contains("fwd=stale") && given.cache().contains("detail=stale-if-error"), "{profile}");
        let ttl = given.cache().split("; ").find_map(|part| part.strip_prefix("ttl="));
        assert!(ttl.is_some_and(|ttl| ttl.parse::<i64>().expect("a number") <= 0), "{}", given.cache());
    }
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_an_error() {
    for status in [429, 500, 502, 503, 504, 529] {
        let origin = origin_that_goes_bad(response(status, &[("Connection", "close")], "bad")).await;
        let proxy = Proxy::start(&origin, &["--ttl", "1s"]).await;
        let question = post_json(CHAT, &[], QUESTION);
        proxy.ask(&question).await;
        let given = ask_until_stale(&proxy, &question).await;
        assert_eq!((given.status(), given.text()), (200, &*answer(1)), "{status}");
        assert!(given.cache().contains(&format!("fwd-status={status}")), "{}", given.cache());
    }
}

#[tokio::test]
async fn an_error_that_is_the_clients_own_is_not_hidden_by_a_stale_answer() {
    let origin = origin_that_goes_bad(response(401, &[("Connection", "close")], "bad")).await;
    let proxy = Proxy::start(&origin, &["--ttl", "1s"]).await;
    let question = post_json(CHAT, &[], QUESTION);
    proxy.ask(&question).await;
    let given = ask_until_stale(&proxy, &question).await;
    assert_eq!((given.status(), given.text()), (401, "bad"));
}

#[tokio::test]
async fn no_stale_answer_stands_in_where_none_is_wanted() {
    let origin = origin_that_goes_bad(Vec::new()).await;
    let proxy = Proxy::start(&origin, &["--ttl", "1s", "--stale-if-error", "0s"]).await;
    let question = post_json(CHAT, &[], QUESTION);
    proxy.ask(&question).await;
    assert_is_problem(&ask_until_stale(&proxy, &question).await, 502);
}

#[tokio::test]
async fn a_stale_answer_is_served_while_it_is_refreshed() {
    let origin =
        Origin::answering(|_, number| response(200, &[("Content-Type", "application/json")], answer(number))).await;
    let proxy = Proxy::start(&origin, &["--ttl", "1s", "--stale-while-revalidate", "1h"]).await;
    let question = post_json(CHAT, &[], QUESTION);
    proxy.ask(&question).await;
    within(async {
        loop {
            let given = proxy.ask(&question).await;
            assert!(given.is_hit(), "nobody waits for the origin: {}", given.cache());
            if given.text() != answer(1) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(origin.calls() >= 2);
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_a_bad_gateway() {
    let (_socket, address) = nowhere();
    let proxy = Proxy::before(&format!("http://{address}"), &[]).await;
    let mut client = proxy.connect().await;
    for request in [post_json(CHAT, &[], QUESTION), get("/v1/models", &[]), post_json("/v1/files", &[], "{}")] {
        let given = client.ask(request).await;
        assert_is_problem(&given, 502);
        assert!(!given.text().contains(&address.to_string()), "the upstream's address is nobody's business");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_bad_gateway() {
    let garbage: [&[u8]; 9] = [
        b"",
        b"\0\xff\x13garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    ];
    let origin = Origin::serving(move |mut conversation| async move {
        if let Some((request, _)) = conversation.request().await? {
            let index: Option<usize> = request.target().trim_start_matches("/v1/").parse().ok();
            let bytes =
                index.map_or_else(|| response(200, &[("Connection", "close")], "ok"), |at| garbage[at].to_vec());
            conversation.wire.send(bytes).await?;
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &["--retries", "0"]).await;
    let mut client = proxy.connect().await;
    for (index, bytes) in garbage.iter().enumerate() {
        let given = client.ask(get(&format!("/v1/{index}"), &[])).await;
        assert_eq!(given.status(), 502, "{}", String::from_utf8_lossy(bytes));
        assert_is_problem(&given, 502);
    }
    assert_eq!(client.ask(get("/v1/well", &[])).await.text(), "ok", "the proxy goes on");
}

#[tokio::test]
async fn an_upstream_that_resets_before_it_answers_is_a_bad_gateway() {
    let origin = Origin::serving(|mut conversation| async move {
        let request = conversation.request().await?;
        if request.is_some_and(|(request, _)| request.target() == CHAT) {
            conversation.wire.reset();
            return Ok(());
        }
        conversation.wire.send(response(200, &[("Connection", "close")], "ok")).await
    })
    .await;
    let proxy = Proxy::start(&origin, &["--retries", "0"]).await;
    assert_is_problem(&proxy.ask(post_json(CHAT, &[], QUESTION)).await, 502);
    assert_eq!(origin.calls(), 1, "without retries, nothing is asked for twice");
    assert_eq!(proxy.ask(get("/v1/models", &[])).await.text(), "ok");
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let origin = Origin::serving(|mut conversation| async move {
        if let Some((_, number)) = conversation.request().await?
            && number > 1
        {
            let fields = [("Content-Type", "application/json"), ("Connection", "close")];
            conversation.wire.send(response(200, &fields, answer(number))).await?;
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &["--retries", "0"]).await;
    let question = post_json(CHAT, &[], QUESTION);
    assert_is_problem(&proxy.ask(&question).await, 502);
    assert_eq!(proxy.ask(&question).await.text(), answer(2));
    assert!(proxy.ask(&question).await.is_hit());
}

#[tokio::test]
async fn an_idle_connection_that_the_upstream_closes_fails_nobody() {
    let origin = Origin::serving(|mut conversation| async move {
        if conversation.request().await?.is_some() {
            conversation.wire.send(response(200, &[], "ok")).await?;
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    let local = client.ask(get("/", &[("Cache-Control", "only-if-cached")])).await;
    assert_eq!(local.status(), 504, "answered without the upstream");
    let idle = proxy.descriptors();
    for _ in 0..20 {
        assert_eq!(client.ask(post_json("/v1/files", &[], "{}")).await.text(), "ok");
        proxy.closes_all_but(idle).await;
    }
}
