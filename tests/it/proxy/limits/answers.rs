//! What limits let through, and what their answers say.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn the_request_after_the_last_is_denied_and_told_when_to_come_back() {
    for profile in ["http", "llm"] {
        let origin = origin().await;
        let proxy = Proxy::start(&origin, &["--profile", profile, "--limit", "2/min:key:/v1/chat"]).await;
        let ask = async |number: usize| {
            let body = QUESTION.replace("hi", &number.to_string());
            proxy.ask(post_json(CHAT, &[("Authorization", "Bearer one")], &body)).await
        };
        for number in 1..=2 {
            let given = ask(number).await;
            assert_eq!(given.status(), 200, "{given:?}");
            assert_eq!(given.field("ratelimit-policy"), Some(r#""rpm-key-v1-chat";q=2;w=60"#));
            let limit = given.field("ratelimit").expect("how it stands");
            assert!(limit.starts_with(&format!(r#""rpm-key-v1-chat";r={};t="#, 2 - number)), "{limit}");
            assert_eq!(given.field("x-ratelimit-limit"), Some("2"));
            assert_eq!(given.field("retry-after"), None);
        }
        let given = ask(3).await;
        assert_denied(&given, &["rpm-key-v1-chat"]);
        assert_eq!(given.field("x-ratelimit-remaining"), Some("0"));
        let error = &given.json()["error"];
        match profile {
            "llm" => assert!(["message", "type", "code"].iter().all(|member| error[member].is_string()), "{error}"),
            _ => assert!(error.is_null(), "{error}"),
        }
        assert_eq!(origin.calls(), 2, "what is denied goes no further");
    }
}

#[tokio::test]
async fn a_limit_is_for_its_path_alone_however_that_is_written() {
    let origin = origin().await;
    let upstream = format!("{}/base", origin.url());
    let proxy = Proxy::before(&upstream, &["--limit", "1/min:all:/v1/chat"]).await;
    let ask = async |target| proxy.ask(get(target, &[("Cache-Control", "no-store")])).await;
    for target in ["/", "/v1/chats", "/v1/models", "/base/v1/chat"] {
        let given = ask(target).await;
        assert_eq!((given.status(), given.field("ratelimit")), (200, None), "{target}");
    }
    assert_eq!(ask("/v1/chat/completions").await.status(), 200);
    for target in ["/v1/chat", "/v1/chat?x=1", "/v1/%63hat", "//v1/chat", "/v1/./chat/x"] {
        assert_denied(&ask(target).await, &["rpm-v1-chat"]);
    }
    assert_eq!(origin.requests().last().expect("some").target(), "/base/v1/chat/completions");
}

#[tokio::test]
async fn each_class_of_route_has_a_limit_of_its_own_and_a_denial_charges_none() {
    let origin = origin().await;
    let limits = ["--limit=1/min:all:/v1/chat", "--limit=2/min:all:/v1/files", "--limit=4/min:all"];
    let proxy = Proxy::start(&origin, &limits).await;
    let ask = async |target| proxy.ask(request("PUT", target, &[], b"x")).await;
    for (target, denied_by) in [
        ("/v1/chat", None),
        ("/v1/chat", Some("rpm-v1-chat")),
        ("/v1/chat", Some("rpm-v1-chat")),
        ("/v1/files", None),
        ("/v1/files", None),
        ("/v1/files", Some("rpm-v1-files")),
        ("/other", None),
        ("/other", Some("rpm")),
    ] {
        let given = ask(target).await;
        match denied_by {
            None => assert_eq!(given.status(), 200, "{target}: {given:?}"),
            Some(name) => assert_denied(&given, &[name]),
        }
    }
}

#[tokio::test]
async fn hits_count_as_requests() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &["--limit", "3/min:all"]).await;
    for remaining in ["2", "1", "0"] {
        let given = proxy.ask(post_json(CHAT, &[], QUESTION)).await;
        assert_eq!((given.status(), given.is_hit()), (200, remaining != "2"), "{given:?}");
        assert_eq!(given.field("x-ratelimit-remaining"), Some(remaining));
    }
    assert_denied(&proxy.ask(post_json(CHAT, &[], QUESTION)).await, &["rpm"]);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn tokens_are_reserved_and_then_what_was_used_and_hits_use_none() {
    let origin = Origin::answering(|_, number| {
        let usage = r#""usage":{"prompt_tokens":5,"completion_tokens":15,"total_tokens":20},"id""#;
        response(200, &[JSON], answer(number).replace(r#""id""#, usage))
    })
    .await;
    let proxy = Proxy::start(&origin, &["--limit", "200tok/min:all"]).await;
    let ask = async |text: &str, most: &str| {
        let body = QUESTION.replace("hi", text).replace(r#""model""#, &format!(r#""max_tokens":{most},"model""#));
        proxy.ask(post_json(CHAT, &[], &body)).await
    };
    let mut left = Vec::new();
    for (text, is_hit) in [("one", false), ("one", true), ("two", false), ("six", false)] {
        let given = ask(text, "50").await;
        assert_eq!((given.status(), given.is_hit()), (200, is_hit), "{given:?}");
        left.push(given.field("x-ratelimit-remaining").expect("a limit").parse::<u64>().expect("a number"));
    }
    // What is left counts the request's own reservation, which is the same for all.
    let first = left[0];
    assert!((100..150).contains(&first), "50 are reserved, and those of the question: {left:?}");
    assert_eq!(left, [first, first - 20, first - 20, first - 40]);
    let given = ask("seven", "201").await;
    assert_eq!((given.status(), given.field("retry-after")), (429, None), "it will never find room: {given:?}");
    assert!(given.json()["detail"].as_str().is_some_and(|detail| detail.contains("larger")), "{given:?}");
    assert_eq!(ask("seven", "100").await.status(), 200);
}

#[tokio::test]
async fn failures_say_how_the_limits_stand() {
    let (_socket, address) = nowhere();
    for profile in ["http", "llm"] {
        let args = ["--profile", profile, "--retries", "0", "--limit", "2/min:all"];
        let proxy = Proxy::before(&format!("http://{address}"), &args).await;
        for remaining in ["1", "0"] {
            let given = proxy.ask(get("/a", &[])).await;
            assert_eq!((given.status(), given.field("x-ratelimit-remaining")), (502, Some(remaining)), "{given:?}");
        }
        assert_denied(&proxy.ask(get("/a", &[])).await, &["rpm"]);
    }
}

#[tokio::test]
async fn a_slot_is_held_until_the_stream_has_ended() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let origin = Origin::serving(move |mut conversation| {
        let gate = held.clone();
        async move {
            while conversation.request().await?.is_some() {
                let head = response(200, &[("Transfer-Encoding", "chunked"), ("Content-Type", "text/plain")], "");
                conversation.wire.send([head, chunk("begun")].concat()).await?;
                gate.acquire().await.map_err(std::io::Error::other)?.forget();
                conversation.wire.send([chunk("ended"), chunk("")].concat()).await?;
            }
            Ok(())
        }
    })
    .await;
    let proxy = Proxy::start(&origin, &["--profile=http", "--limit", "1/concurrent:all"]).await;
    let mut first = proxy.connect().await;
    first.send(get("/a", &[])).await.expect("sent");
    let head = first.response_head().await.expect("a head");
    assert_eq!(head.field("ratelimit-policy"), Some(r#""concurrent";q=1;qu="concurrent-requests""#));
    assert_eq!(first.chunk().await.expect("live").as_deref(), Some(&b"begun"[..]), "the stream isn't held up");
    let denied = proxy.ask(get("/b", &[])).await;
    assert_eq!((denied.status(), denied.field("retry-after")), (429, None), "nobody knows when: {denied:?}");
    gate.add_permits(2);
    first.body().await.expect("its end");
    // The slot is free as soon as the last byte has been handed on, which may be after it has come.
    within(async { while proxy.ask(get("/c", &[])).await.status() != 200 {} }).await;
}

#[tokio::test]
async fn without_a_limit_nothing_is_said_of_any() {
    let fields = [JSON, ("X-RateLimit-Limit", "60"), ("X-RateLimit-Remaining", "7")];
    let origin = Origin::answering(move |_, _| response(200, &fields, "{}")).await;
    let given = Proxy::start(&origin, &[]).await.ask(get("/a", &[])).await;
    assert_eq!((given.field("x-ratelimit-remaining"), given.field("ratelimit")), (Some("7"), None));
    let given = Proxy::start(&origin, &["--limit=2/min:all"]).await.ask(get("/a", &[])).await;
    assert_eq!(given.field("x-ratelimit-remaining"), Some("1"), "those of somebody else would mislead");
}
