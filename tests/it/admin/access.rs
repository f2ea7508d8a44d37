//! Who is let in, and where things are when the router is nested.

use ::reqwest::Method;
use axum::Router;
use larder::{CacheLayer, admin, store::Memory};

use super::{Answer, Served};
use crate::support::Log;

const TOKEN: &str = "a-l0ng.random~s3cret";

fn router() -> admin::Builder {
    admin::router(CacheLayer::new(Memory::new(1 << 20)).handle())
}

#[tokio::test]
async fn nobody_is_let_in_without_the_token_and_the_token_is_not_told() {
    let log = Log::new();
    let served = Served::new(router().token(TOKEN).build()).await;
    let requests = [
        (Method::GET, "/health"),
        (Method::GET, "/health/cache"),
        (Method::GET, "/api/cache/stats"),
        (Method::GET, "/api/cache/costs"),
        (Method::GET, "/api/cache/entries"),
        (Method::GET, "/api/cache/entries/a:b"),
        (Method::DELETE, "/api/cache/entries/a:b"),
        (Method::DELETE, "/api/cache?all=true"),
        (Method::POST, "/api/cache/explain"),
        (Method::GET, "/api/limits"),
        (Method::GET, "/metrics"),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/not/there"),
        (Method::PUT, "/health"),
    ];
    for (method, path) in requests {
        for (token, challenge) in [
            (None, "Bearer realm=\"larder\""),
            (Some("another"), "Bearer realm=\"larder\", error=\"invalid_token\""),
            (Some(&TOKEN[1..]), "Bearer realm=\"larder\", error=\"invalid_token\""),
        ] {
            let response = served.send(method.clone(), path, token).await;
            assert_eq!(response.headers()["www-authenticate"], challenge, "{method} {path}");
            assert_eq!(response.headers()["cache-control"], "no-store");
            let said = Answer::of(response).await.problem(401);
            assert!(said.contains("send") && !said.contains(TOKEN), "{said}");
        }
        let status = served.send(method.clone(), path, Some(TOKEN)).await.status();
        assert_ne!(status, 401, "{method} {path}");
    }
    // A query is no place for it.
    assert_eq!(served.get(&format!("/health?access_token={TOKEN}")).await.status, 401);
    assert!(log.text().contains("purged"), "a purge is logged: {}", log.text());
    assert!(!log.text().contains(TOKEN), "{}", log.text());
}

#[tokio::test]
async fn the_page_is_open_and_asks_nobody_else_for_anything() {
    let served = Served::new(router().token(TOKEN).build()).await;
    let response = served.send(Method::GET, "/", None).await;
    let policy = response.headers()["content-security-policy"].to_str().expect("printable").to_owned();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let page = Answer::of(response).await;
    assert_eq!((page.status, &*page.kind), (200, "text/html; charset=utf-8"));
    // Every link is relative.
    assert!(page.text.contains("openapi.json") && !page.text.contains("href=\"/"), "{}", page.text);
    assert!(!page.text.contains("src=\"http") && !page.text.contains("href=\"http"), "{}", page.text);
    // The same path takes the token for whatever else is asked of it.
    assert_eq!(served.send(Method::POST, "/", None).await.status(), 405);
}

#[tokio::test]
async fn nested_it_works_as_by_itself() {
    let app = Router::new().nest("/ops/admin", router().token(TOKEN).build());
    let served = Served::new(app).await;
    let page = served.get("/ops/admin").await;
    assert_eq!((page.status, &*page.kind), (200, "text/html; charset=utf-8"));
    assert!(page.text.contains("<base href=\"./admin/\">"), "its links are relative: {}", page.text);
    assert_eq!(served.get("/ops/admin/health").await.status, 401);
    let health = Answer::of(served.send(Method::GET, "/ops/admin/health", Some(TOKEN)).await).await.json();
    assert_eq!((health["status"].as_str(), health["version"].as_str()), (Some("ok"), Some(env!("CARGO_PKG_VERSION"))));
    let said = Answer::of(served.send(Method::GET, "/ops/admin/not/there", Some(TOKEN)).await).await.problem(404);
    assert!(said.contains("openapi.json"), "{said}");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let served = Served::new(router().insecure().build()).await;
    for (path, allowed) in [("/health", "GET,HEAD"), ("/api/cache", "DELETE"), ("/api/cache/explain", "POST")] {
        let response = served.send(Method::PUT, path, None).await;
        assert_eq!(response.headers()["allow"], allowed, "{path}");
        assert!(Answer::of(response).await.problem(405).contains("Allow"));
    }
    let head = served.send(Method::HEAD, "/metrics", None).await;
    assert_eq!(head.status(), 200);
}
