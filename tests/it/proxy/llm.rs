//! Profile `llm`: what is kept, for whom, and what passes by.

use super::{
    message::{get, post_json, request, response},
    origin::Origin,
    process::Proxy,
};

pub(super) const CHAT: &str = "/v1/chat/completions";
pub(super) const QUESTION: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A whole answer to a chat request, unlike that of any other number.
pub(super) fn answer(number: usize) -> String {
    format!(
        r#"{{"id":"chat-{number}","object":"chat.completion","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":"Hi"}}}}]}}"#
    )
}

/// An origin that answers every request with 200 and JSON, and these fields.
async fn origin_with(fields: &'static [(&str, &str)]) -> Origin {
    let fields: Vec<_> = fields.iter().copied().chain([JSON]).collect();
    Origin::answering(move |_, number| response(200, &fields, answer(number))).await
}

#[tokio::test]
async fn the_same_question_is_paid_for_once() {
    let origin = origin_with(&[]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let endpoints = [CHAT, "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"];
    for (index, endpoint) in endpoints.into_iter().enumerate() {
        let first = proxy.ask(post_json(endpoint, &[], QUESTION)).await;
        assert_eq!(first.status(), 200, "{endpoint}");
        assert!(first.cache().starts_with("fwd=uri-miss; fwd-status=200"), "{endpoint}: {}", first.cache());
        assert!(first.cache().contains("stored"), "{endpoint}: {}", first.cache());
        let rewritten = r#"{ "messages": [ {"content":"h\u0069", "role":"user"} ], "model": "gpt-4o" }"#;
        for body in [QUESTION, rewritten] {
            let again = proxy.ask(post_json(endpoint, &[], body)).await;
            assert!(again.is_hit(), "{endpoint}: {}", again.cache());
            assert_eq!(again.body, first.body, "{endpoint}");
            assert_eq!(again.field("content-type"), Some("application/json"));
            assert!(again.field("age").is_some());
        }
        assert_eq!(origin.calls(), index + 1, "{endpoint}");
    }
}

#[tokio::test]
async fn an_answer_is_not_shared_between_credentials() {
    let origin = origin_with(&[]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let credentials: [&[(&str, &str)]; 5] = [
        &[("Authorization", "Bearer one")],
        &[("Authorization", "Bearer two")],
        &[("X-Api-Key", "one")],
        &[("Api-Key", "one")],
        &[],
    ];
    let mut bodies = Vec::new();
    for fields in credentials {
        let first = proxy.ask(post_json(CHAT, fields, QUESTION)).await;
        assert!(!first.is_hit() && !bodies.contains(&first.body), "{fields:?} got another's answer");
        let again = proxy.ask(post_json(CHAT, fields, QUESTION)).await;
        assert!(again.is_hit() && again.body == first.body, "{fields:?}");
        bodies.push(first.body);
    }
}

#[tokio::test]
async fn what_does_not_generate_is_never_kept() {
    let origin = origin_with(&[("Cache-Control", "public, max-age=60")]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let form = ("Content-Type", "multipart/form-data; boundary=x");
    let cases = [
        ("POST", "/v1/files", form),
        ("POST", "/v1/threads/x/messages", JSON),
        ("POST", "/v1/messages/batches", JSON),
        ("POST", "/v1/responses/x/cancel", JSON),
        ("POST", "/v1/audio/transcriptions", form),
        ("POST", CHAT, ("Content-Type", "text/plain")),
        ("PUT", CHAT, JSON),
        ("DELETE", "/v1/files/x", JSON),
        ("PATCH", "/v1/models/x", JSON),
    ];
    for (index, (method, target, media_type)) in cases.into_iter().enumerate() {
        let asked = request(method, target, &[media_type], QUESTION.as_bytes());
        for repeat in 1..=2 {
            let number = index * 2 + repeat;
            let given = proxy.ask(&asked).await;
            assert_eq!((given.status(), given.text()), (200, &*answer(number)), "{method} {target}");
            assert_eq!(origin.calls(), number, "{method} {target}");
        }
        let seen = origin.requests().pop().expect("a request");
        assert_eq!((seen.method(), seen.target(), seen.text()), (method, target, QUESTION));
        assert_eq!(seen.field("content-type"), Some(media_type.1));
    }
}

#[tokio::test]
async fn what_depends_on_more_than_the_request_is_asked_anew() {
    let origin = origin_with(&[]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    for body in [r#"{"model":"m","store":true}"#, r#"{"model":"m","previous_response_id":"r"}"#] {
        for _ in 0..2 {
            assert!(!proxy.ask(post_json("/v1/responses", &[], body)).await.is_hit(), "{body}");
        }
    }
    assert_eq!(origin.calls(), 4);
}

#[tokio::test]
async fn the_origins_no_store_does_not_hold_for_generations() {
    let origin = origin_with(&[("Cache-Control", "private, no-store"), ("Expires", "0"), ("Pragma", "no-cache")]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let first = proxy.ask(post_json(CHAT, &[], QUESTION)).await;
    assert_eq!(first.field("cache-control"), Some("private, no-store"));
    assert!(proxy.ask(post_json(CHAT, &[], QUESTION)).await.is_hit());
}

#[tokio::test]
async fn a_get_is_kept_only_as_the_origin_says() {
    let origin = Origin::answering(|request, _| match request.target() {
        "/v1/models" => response(200, &[("Cache-Control", "max-age=60")], "models"),
        "/v1/models/secret" => response(200, &[("Cache-Control", "max-age=60, no-store")], "secret"),
        _ => response(200, &[], "undated"),
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    for (target, kept) in [("/v1/models", true), ("/v1/models/secret", false), ("/v1/files", false)] {
        proxy.ask(get(target, &[])).await;
        assert_eq!(proxy.ask(get(target, &[])).await.is_hit(), kept, "{target}");
    }
}

#[tokio::test]
async fn a_client_that_wants_a_new_answer_gets_one() {
    let origin = origin_with(&[]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let ask = |fields: &'static [(&str, &str)]| proxy.ask(post_json(CHAT, fields, QUESTION));
    assert_eq!(ask(&[]).await.text(), answer(1));
    let anew = ask(&[("Cache-Control", "no-cache")]).await;
    assert_eq!(anew.text(), answer(2));
    assert!(anew.cache().starts_with("fwd=request"), "{}", anew.cache());
    let kept = ask(&[]).await;
    assert!(kept.is_hit() && kept.text() == answer(2), "the new answer takes the old one's place");
    assert_eq!(ask(&[("Cache-Control", "no-store")]).await.text(), answer(3));
    assert_eq!(ask(&[]).await.text(), answer(2), "what must not be stored is not");
}

#[tokio::test]
async fn a_client_that_wants_only_what_is_kept_does_not_reach_the_origin() {
    let origin = origin_with(&[]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let given = proxy.ask(post_json(CHAT, &[("Cache-Control", "only-if-cached")], QUESTION)).await;
    assert_eq!((given.status(), origin.calls()), (504, 0));
    proxy.ask(post_json(CHAT, &[], QUESTION)).await;
    let given = proxy.ask(post_json(CHAT, &[("Cache-Control", "only-if-cached")], QUESTION)).await;
    assert_eq!((given.status(), given.is_hit()), (200, true));
}

#[tokio::test]
async fn generations_are_asked_for_uncompressed() {
    let origin = origin_with(&[]).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let fields = [("Accept-Encoding", "gzip, br, zstd")];
    proxy.ask(post_json(CHAT, &fields, QUESTION)).await;
    proxy.ask(get("/v1/models", &fields)).await;
    let seen = origin.requests();
    assert_eq!(seen[0].field("accept-encoding"), Some("identity"));
    assert_eq!(seen[1].field("accept-encoding"), Some("gzip, br, zstd"));
}

#[tokio::test]
async fn an_error_is_never_kept() {
    const STATUSES: [u16; 10] = [302, 400, 401, 403, 404, 429, 500, 502, 503, 529];
    let origin = Origin::answering(|_, number| {
        let fields = [("Cache-Control", "public, max-age=60"), ("Retry-After", "7"), JSON];
        response(STATUSES[(number - 1) / 2], &fields, format!(r#"{{"error":{{"message":"{number}"}}}}"#))
    })
    .await;
    let proxy = Proxy::start(&origin, &["--retries", "0"]).await;
    for (index, status) in STATUSES.into_iter().enumerate() {
        for repeat in 1..=2 {
            let given = proxy.ask(post_json(CHAT, &[], QUESTION)).await;
            assert_eq!(origin.calls(), index * 2 + repeat, "{status}");
            let expected = format!(r#"{{"error":{{"message":"{}"}}}}"#, index * 2 + repeat);
            match status {
                // The proxy says in its own words that the upstream failed.
                500.. => assert_eq!((given.status(), &given.json()["last_status"]), (status, &status.into())),
                _ => assert_eq!((given.status(), given.text()), (status, &*expected)),
            }
            assert_eq!(given.field("retry-after"), Some("7"));
        }
    }
}

#[tokio::test]
async fn an_error_inside_a_200_is_not_kept() {
    let bodies = [
        r#"{"error":{"message":"overloaded"}}"#,
        r#"{"object":"chat.completion","choices":[]}"#,
        r#"{"object":"chat.completion","choices":[{"finish_reason":"length"}]}"#,
        r#"{"object":"chat.comp"#,
        "",
    ];
    let origin = Origin::answering(move |_, number| response(200, &[JSON], bodies[(number - 1) / 2])).await;
    let proxy = Proxy::start(&origin, &[]).await;
    for (index, body) in bodies.into_iter().enumerate() {
        for repeat in 1..=2 {
            assert_eq!(proxy.ask(post_json(CHAT, &[], QUESTION)).await.text(), body);
            assert_eq!(origin.calls(), index * 2 + repeat, "{body}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_reaches_the_origin_as_it_is() {
    let origin = Origin::answering(|_, _| response(400, &[JSON], r#"{"error":"bad"}"#)).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let nested = "[".repeat(100_000);
    let bodies: [&[u8]; 7] = [
        b"{",
        b"",
        b"\xff\xfe\x00",
        br#"{"model":"a","model":"b"}"#,
        br#"{"model":1e999999, "n":-0, "s":"\ud800"}"#,
        br#" {"a" : 1} trailing"#,
        nested.as_bytes(),
    ];
    for body in bodies {
        let given = proxy.ask(request("POST", CHAT, &[JSON], body)).await;
        assert_eq!((given.status(), given.text()), (400, r#"{"error":"bad"}"#));
        assert_eq!(origin.requests().pop().expect("a request").body, body);
    }
}
