//! Further tries at the same upstream.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{
    super::{
        llm::answer,
        llm_stream::{EVENTS, question},
        message::{get, request},
    },
    *,
};

const SSE: [(&str, &str); 2] = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];

fn stream(events: &[&str]) -> Vec<u8> {
    let mut bytes = response(200, &SSE, "");
    events.iter().for_each(|event| bytes.extend(chunk(event)));
    bytes.extend(chunk(""));
    bytes
}

/// An origin that says this the first times, and then answers.
async fn origin_that_recovers(first: Vec<Vec<u8>>) -> Origin {
    Origin::serving(move |mut conversation| {
        let first = first.clone();
        async move {
            while let Some((_, number)) = conversation.request().await? {
                match first.get(number - 1) {
                    Some(bytes) if bytes.is_empty() => {
                        conversation.wire.reset();
                        return Ok(());
                    }
                    Some(bytes) => conversation.wire.send(bytes).await?,
                    None => conversation.wire.send(response(200, &[JSON], answer(number))).await?,
                }
            }
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn what_fails_twice_is_answered_at_the_third_try_and_kept() {
    for status in [409, 500, 502, 503, 504, 529] {
        let origin = origin_that_recovers(vec![error(status), Vec::new()]).await;
        let proxy = Proxy::start(&origin, &[]).await;
        let given = proxy.ask(about("m")).await;
        assert_eq!((given.status(), given.text()), (200, &*answer(3)), "{status}");
        assert_eq!((given.field("larder-attempts"), given.field("larder-fallback")), (Some("3"), None));
        assert!(proxy.ask(about("m")).await.is_hit(), "{status}");
        let seen = origin.requests();
        let numbers: Vec<_> = seen.iter().map(|request| request.field("larder-attempt")).collect();
        assert_eq!(numbers, [None, Some("2"), Some("3")]);
        assert!(
            seen.iter().all(|request| request.body == seen[0].body && request.values("via").len() == 1),
            "{seen:?}"
        );
        let line = proxy.log().find(|line| line.contains("attempts=3")).await;
        assert!(line.contains("status=200") && !line.contains("fallback="), "{line}");
    }
}

#[tokio::test]
async fn as_many_tries_are_made_as_the_flag_says() {
    for (retries, calls) in [("0", 1), ("1", 2), ("3", 4)] {
        let origin = Origin::answering(|_, _| error(503)).await;
        let proxy = Proxy::start(&origin, &["--retries", retries]).await;
        assert_is_problem(&proxy.ask(about("m")).await, 503, calls);
        assert_eq!(origin.calls(), calls as usize, "--retries {retries}");
        let line = proxy.log().find(|line| line.contains("status=503")).await;
        assert!(line.contains("fallback=\"problem\"") && line.contains(&format!("attempts={calls}")), "{line}");
    }
}

#[tokio::test]
async fn a_throttled_request_waits_as_long_as_the_server_says() {
    let limited = response(429, &[("Retry-After-Ms", "30"), ("Retry-After", "30"), JSON], "{}");
    let origin = origin_that_recovers(vec![limited]).await;
    let proxy = Proxy::start(&origin, &["--deadline", "20s"]).await;
    let given = proxy.ask(about("m")).await;
    assert_eq!((given.text(), given.field("larder-attempts")), (&*answer(2), Some("2")));
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let origin = Origin::answering(|_, _| response(429, &[("Retry-After", "40"), JSON], "{\"error\":1}")).await;
    let proxy = Proxy::start(&origin, &["--deadline", "30s"]).await;
    let given = proxy.ask(about("m")).await;
    assert_eq!((given.status(), given.text(), given.field("retry-after")), (429, "{\"error\":1}", Some("40")));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_the_clients_to_hear_of_at_once() {
    let body = r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let origin = Origin::answering(move |_, _| response(429, &[JSON], body)).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let given = proxy.ask(about("m")).await;
    assert_eq!((given.status(), given.text(), origin.calls()), (429, body, 1));
    assert_eq!((given.field("larder-attempts"), given.field("larder-fallback")), (None, None));
}

#[tokio::test]
async fn what_may_have_been_done_is_not_sent_twice_unless_its_key_allows_it() {
    let origin = Origin::answering(|_, _| error(503)).await;
    let proxy = Proxy::start(&origin, &[]).await;
    assert_is_problem(&proxy.ask(post_json("/v1/files", &[], "{}")).await, 503, 1);
    let keyed = post_json("/v1/files", &[("Idempotency-Key", "k")], "{}");
    assert_is_problem(&proxy.ask(keyed).await, 503, 3);
    assert_eq!(origin.calls(), 4);
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    assert_eq!(proxy.ask(about("m")).await.status(), 503);
    assert_eq!(origin.calls(), 5, "in the profile http, a POST is a POST");
    assert_eq!(proxy.ask(get("/v1/models", &[])).await.status(), 503);
    assert_eq!(origin.calls(), 8);
}

#[tokio::test]
async fn a_request_that_never_left_is_sent_again_whatever_it_is() {
    let (_socket, address) = nowhere();
    for (profile, asked) in [("llm", post_json("/v1/files", &[], "{}")), ("http", request("POST", "/", &[], b"x"))] {
        let proxy = Proxy::before(&format!("http://{address}"), &["--profile", profile]).await;
        let given = proxy.ask(&asked).await;
        assert_eq!((given.status(), given.field("content-type")), (502, Some("application/problem+json")), "{profile}");
        assert!(!given.text().contains(&address.to_string()), "the upstream's address is nobody's business");
        let failed = |line: &&String| line.contains("the upstream failed");
        proxy.log().wait(|lines| lines.iter().filter(failed).count() == 3).await;
    }
}

#[tokio::test]
async fn an_error_page_is_the_upstreams_own_in_plain_http() {
    let page = response(503, &[("Content-Type", "text/html"), ("Cache-Control", "max-age=60")], "<h1>closed</h1>");
    let origin = Origin::answering(move |_, _| page.clone()).await;
    let proxy = Proxy::start(&origin, &["--profile", "http"]).await;
    let given = proxy.ask(get("/a", &[])).await;
    assert_eq!((given.status(), given.text(), given.field("larder-attempts")), (503, "<h1>closed</h1>", Some("3")));
    assert_eq!(given.field("larder-fallback"), None);
    assert!(proxy.ask(get("/a", &[])).await.is_hit(), "it may be kept, for it says so");
}

#[tokio::test]
async fn an_attempt_that_hangs_gives_way_to_the_next() {
    let origin = Origin::serving(|mut conversation| async move {
        while let Some((_, number)) = conversation.request().await? {
            if number == 1 {
                std::future::pending::<()>().await;
            }
            conversation.wire.send(response(200, &[JSON], answer(number))).await?;
        }
        Ok(())
    })
    .await;
    let proxy = Proxy::start(&origin, &["--attempt-timeout", "300ms"]).await;
    let given = proxy.ask(about("m")).await;
    assert_eq!((given.text(), given.field("larder-attempts")), (&*answer(2), Some("2")));
}

#[tokio::test]
async fn time_that_is_over_is_a_504_for_an_attempt_and_for_all_of_them() {
    let hanging = || async {
        Origin::serving(|mut conversation| async move {
            while conversation.request().await?.is_some() {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
        .await
    };
    let cases = [
        (&["--attempt-timeout", "50ms", "--retries", "1"][..], 2),
        (&["--deadline", "200ms"][..], 1),
        (&["--deadline", "200ms", "--profile", "http"][..], 1),
    ];
    for (args, attempts) in cases {
        let origin = hanging().await;
        let given = Proxy::start(&origin, args).await.ask(about("m")).await;
        assert_eq!((given.status(), &given.json()["attempts"]), (504, &attempts.into()), "{args:?}: {given:?}");
        assert_eq!(origin.calls(), attempts as usize, "{args:?}");
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_is_tried_again_and_one_byte_of_it_is_never_sent() {
    let begun =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    let origin = Origin::answering(move |_, number| if number == 1 { stream(&[begun]) } else { stream(&EVENTS) }).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let given = proxy.ask(question()).await;
    assert_eq!((given.status(), given.text()), (200, &*EVENTS.concat()));
    assert_eq!(given.field("larder-attempts"), Some("2"));
    let again = proxy.ask(question()).await;
    assert!(again.is_hit() && again.text() == EVENTS.concat(), "{again:?}");
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_event_and_is_not_kept() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let origin = Origin::serving(move |mut conversation| {
        let held = held.clone();
        async move {
            if conversation.request().await?.is_some() {
                conversation.wire.send(response(200, &SSE, "")).await?;
                conversation.wire.send(chunk(EVENTS[0])).await?;
                conversation.wire.send(chunk(&EVENTS[1][..20])).await?;
                held.acquire().await.map_err(std::io::Error::other)?.forget();
                conversation.wire.reset();
            }
            Ok(())
        }
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    for calls in 1..=2 {
        let mut client = proxy.connect().await;
        client.send(question()).await.expect("a live proxy");
        let head = client.response_head().await.expect("a head");
        assert_eq!(head.status(), 200);
        assert_eq!(client.chunk().await.expect("a chunk").expect("an event"), EVENTS[0].as_bytes());
        gate.add_permits(1);
        let rest = String::from_utf8(client.body().await.expect("an end that says what happened")).expect("text");
        assert!(rest.starts_with("event: error\ndata: {"), "no half event: {rest}");
        assert!(rest.contains("\"error\":{") && rest.ends_with("\n\n"), "{rest}");
        assert_eq!(origin.calls(), calls, "neither kept nor tried again");
    }
}

#[tokio::test]
async fn hints_of_an_attempt_that_fails_come_before_the_answer_of_the_next() {
    let hints = |number: usize| format!("HTTP/1.1 103 Early Hints\r\nLink: <{number}>\r\n\r\n").into_bytes();
    let origin = Origin::answering(move |_, number| {
        let last = if number == 1 { error(503) } else { response(200, &[JSON], answer(number)) };
        [hints(number), last].concat()
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    client.send(about("m")).await.expect("sent");
    for link in ["<1>", "<2>"] {
        let head = within(client.response_head()).await.expect("hints");
        assert_eq!((head.status(), head.field("link")), (103, Some(link)));
    }
    assert_eq!(within(client.response()).await.expect("an answer").text(), answer(2));
    assert!(client.ask(about("m")).await.is_hit(), "the connection goes on");
}

#[tokio::test]
async fn a_model_that_fails_too_often_is_left_alone_and_another_is_not() {
    let origin = Origin::answering(|request, number| {
        if request.text().contains("bad") { error(500) } else { response(200, &[JSON], answer(number)) }
    })
    .await;
    let proxy = Proxy::start(&origin, &["--retries", "0"]).await;
    for _ in 0..20 {
        assert_eq!(proxy.ask(about("bad")).await.status(), 500);
    }
    let given = proxy.ask(about("bad")).await;
    assert_is_problem(&given, 503, 0);
    assert!(given.field("retry-after").is_some(), "{given:?}");
    assert_eq!(origin.calls(), 20);
    assert_eq!(proxy.ask(about("good")).await.status(), 200);
}
