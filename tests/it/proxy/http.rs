//! Profile `http`: a shared cache by RFC 9111.

use super::{
    message::{get, post_json, request, response},
    origin::Origin,
    process::Proxy,
};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

async fn start(origin: &Origin) -> Proxy {
    Proxy::start(origin, &["--profile", "http"]).await
}

#[tokio::test]
async fn a_fresh_answer_does_not_go_to_the_origin() {
    let origin = Origin::answering(|_, number| response(200, &[FRESH, ("X-One", "1")], number.to_string())).await;
    let proxy = start(&origin).await;
    let first = proxy.ask(get("/a?x=1", &[])).await;
    assert!(first.cache().starts_with("fwd=uri-miss"), "{}", first.cache());
    let again = proxy.ask(get("/a?x=1", &[])).await;
    assert!(again.is_hit(), "{}", again.cache());
    assert_eq!(
        (again.text(), again.field("x-one"), again.field("cache-control")),
        ("1", Some("1"), Some("max-age=60"))
    );
    let age: u64 = again.field("age").expect("a hit has an age").parse().expect("a number");
    assert!(age <= 60);
    assert_eq!(again.values("via"), ["1.1 larder"], "a hop is named once");
    for other in ["/a", "/a?x=2", "/a?x=1&", "/b?x=1"] {
        assert!(!proxy.ask(get(other, &[])).await.is_hit(), "{other}");
    }
}

#[tokio::test]
async fn an_answer_to_head_never_empties_that_to_get() {
    let origin = Origin::answering(|request, _| {
        let whole = response(200, &[FRESH], "hello");
        if request.method() == "HEAD" { whole[..whole.len() - 5].to_vec() } else { whole }
    })
    .await;
    let proxy = start(&origin).await;
    for target in ["/head-first", "/get-first"] {
        let mut client = proxy.connect().await;
        let (mut methods, mut got) = (vec!["HEAD", "GET", "HEAD", "GET"], 0);
        if target == "/get-first" {
            methods.rotate_left(1);
        }
        for method in methods {
            let given = client.ask(request(method, target, &[], b"")).await;
            assert_eq!(given.field("content-length"), Some("5"), "{method} {target}");
            assert_eq!(given.text(), if method == "GET" { "hello" } else { "" }, "{method} {target}");
            got += usize::from(given.is_hit());
        }
        assert!(got >= 2, "the second of each comes from the cache");
    }
}

#[tokio::test]
async fn an_unsafe_method_passes_though_the_uri_is_kept() {
    let origin = Origin::answering(|_, number| response(200, &[FRESH], number.to_string())).await;
    let proxy = start(&origin).await;
    assert_eq!(proxy.ask(get("/a", &[])).await.text(), "1");
    for (number, method) in (2..).zip(["POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        let given = proxy.ask(request(method, "/a", &[], b"x")).await;
        assert_eq!(given.text(), number.to_string(), "{method}");
        assert!(given.cache().starts_with("fwd=method"), "{method}: {}", given.cache());
    }
    let chat = post_json("/v1/chat/completions", &[], r#"{"model":"m"}"#);
    for number in 8..10 {
        assert_eq!(proxy.ask(&chat).await.text(), number.to_string(), "generations are no matter of this profile");
    }
}

#[tokio::test]
async fn a_get_with_a_body_does_not_get_the_answer_to_one_without() {
    let origin = Origin::answering(|request, _| response(200, &[FRESH], format!("[{}]", request.text()))).await;
    let proxy = start(&origin).await;
    for body in ["", "query", "other", ""] {
        assert_eq!(proxy.ask(request("GET", "/a", &[], body.as_bytes())).await.text(), format!("[{body}]"));
    }
}

#[tokio::test]
async fn a_variant_is_given_only_to_whom_it_is_meant_for() {
    let origin = Origin::answering(|request, _| {
        let fields = [FRESH, ("Vary", "Accept-Language")];
        response(200, &fields, request.field("accept-language").unwrap_or("none"))
    })
    .await;
    let proxy = start(&origin).await;
    let languages = ["de", "en", "fr"];
    for round in 0..2 {
        for language in languages {
            let given = proxy.ask(get("/a", &[("Accept-Language", language)])).await;
            assert_eq!((given.text(), given.is_hit()), (language, round > 0));
        }
        let given = proxy.ask(get("/a", &[])).await;
        assert_eq!((given.text(), given.is_hit()), ("none", round > 0));
    }
    assert_eq!(origin.calls(), 4);
}

#[tokio::test]
async fn what_one_user_got_is_not_given_to_another() {
    let origin = Origin::answering(|request, _| {
        let control = if request.target() == "/public" { "public, max-age=60" } else { "max-age=60" };
        response(200, &[("Cache-Control", control)], request.field("authorization").unwrap_or("nobody"))
    })
    .await;
    let proxy = start(&origin).await;
    for user in ["Bearer one", "Bearer two"] {
        assert_eq!(proxy.ask(get("/mine", &[("Authorization", user)])).await.text(), user);
    }
    assert_eq!(proxy.ask(get("/mine", &[])).await.text(), "nobody");
    proxy.ask(get("/public", &[("Authorization", "Bearer one")])).await;
    assert!(proxy.ask(get("/public", &[])).await.is_hit(), "the origin may allow it");
}

#[tokio::test]
async fn an_answer_for_one_host_or_api_key_is_not_given_to_another() {
    let origin = Origin::answering(|_, number| response(200, &[FRESH], number.to_string())).await;
    let proxy = start(&origin).await;
    let cases: [&[(&str, &str)]; 5] = [
        &[("Host", "one.example")],
        &[("Host", "two.example")],
        &[("X-Api-Key", "one")],
        &[("X-Api-Key", "two")],
        &[("Api-Key", "two")],
    ];
    for (number, fields) in (1..).zip(cases) {
        for hit in [false, true] {
            let given = proxy.ask(get("/a", fields)).await;
            assert_eq!((given.text(), given.is_hit()), (&*number.to_string(), hit), "{fields:?}");
        }
    }
}

#[tokio::test]
async fn what_may_not_be_kept_passes() {
    let cases: &[&[(&str, &str)]] = &[
        &[],
        &[("Cache-Control", "no-store")],
        &[("Cache-Control", "private, max-age=60")],
        &[("Cache-Control", "max-age=60"), ("Vary", "*")],
        &[("Cache-Control", "max-age=0")],
        &[("Expires", "0")],
        &[("Set-Cookie", "a=b")],
    ];
    let origin = Origin::answering(move |_, number| response(200, cases[(number - 1) / 2], number.to_string())).await;
    let proxy = start(&origin).await;
    for (index, fields) in cases.iter().enumerate() {
        for repeat in 1..=2 {
            let given = proxy.ask(get(&format!("/{index}"), &[])).await;
            assert_eq!(given.text(), (index * 2 + repeat).to_string(), "{fields:?}");
            for (name, value) in *fields {
                assert_eq!(given.field(&name.to_ascii_lowercase()), Some(*value));
            }
        }
    }
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_again() {
    let origin = Origin::answering(|request, _| {
        let fields = [("Cache-Control", "no-cache"), ("ETag", "\"a\"")];
        let unchanged = request.field("if-none-match") == Some("\"a\"");
        response(if unchanged { 304 } else { 200 }, &fields, if unchanged { "" } else { "hello" })
    })
    .await;
    let proxy = start(&origin).await;
    assert_eq!(proxy.ask(get("/a", &[])).await.text(), "hello");
    let again = proxy.ask(get("/a", &[])).await;
    assert_eq!((again.status(), again.text()), (200, "hello"));
    assert!(again.cache().starts_with("fwd=stale; fwd-status=304"), "{}", again.cache());
    assert_eq!(origin.requests()[1].field("if-none-match"), Some("\"a\""), "the kept answer is validated");
    let conditional = proxy.ask(get("/a", &[("If-None-Match", "\"a\"")])).await;
    assert_eq!((conditional.status(), conditional.text()), (304, ""));
}

#[tokio::test]
async fn a_client_that_has_a_fresh_answer_is_told_so_by_the_cache() {
    let origin = Origin::answering(|_, _| response(200, &[FRESH, ("ETag", "\"a\"")], "hello")).await;
    let proxy = start(&origin).await;
    proxy.ask(get("/a", &[])).await;
    let mut client = proxy.connect().await;
    let given = client.ask(get("/a", &[("If-None-Match", "\"a\"")])).await;
    assert_eq!((given.status(), given.field("etag"), origin.calls()), (304, Some("\"a\""), 1));
    let whole = client.ask(get("/a", &[("If-None-Match", "\"b\"")])).await;
    assert_eq!((whole.status(), whole.text()), (200, "hello"), "the connection is in step");
}

#[tokio::test]
async fn a_part_is_not_kept_as_the_whole() {
    let origin = Origin::answering(|request, _| match request.field("range") {
        Some(_) => response(206, &[FRESH, ("Content-Range", "bytes 0-1/5")], "he"),
        None => response(200, &[FRESH], "hello"),
    })
    .await;
    let proxy = start(&origin).await;
    for _ in 0..2 {
        let part = proxy.ask(get("/a", &[("Range", "bytes=0-1")])).await;
        assert_eq!((part.status(), part.text()), (206, "he"));
        assert_eq!(proxy.ask(get("/a", &[])).await.text(), "hello");
    }
}
