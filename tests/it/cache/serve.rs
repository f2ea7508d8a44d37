//! Hits and misses: what is served, and what is said about it.

use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt as _;
use larder::{
    clock::ManualClock,
    header::cache_status::{CacheStatus, Forward, Outcome},
    key::Key,
};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{Origin, ask, channel, empty, full, get, heard, reply, request, said, text};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

#[tokio::test]
async fn the_second_request_is_a_hit_that_tells_its_age_and_time_to_live() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, FRESH, full("hello")));
    let cache = http(&clock).build().layer(origin.clone());

    let first = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(said(&first), "larder; fwd=uri-miss; fwd-status=200; stored");
    assert!(!first.headers().contains_key("age"), "a response that was not stored has no Age of the cache's");
    assert_eq!(text(first).await, "hello");

    clock.advance(23 * SECOND);
    let second = ask(&cache, get("http://a/", &[])).await;
    assert_eq!((said(&second), &second.headers()["age"]), ("larder; hit; ttl=37", &HeaderValue::from_static("23")));
    assert_eq!(text(second).await, "hello");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn an_entry_is_not_served_once_its_time_is_over() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, FRESH, full("hello")));
    let cache = http(&clock).build().layer(origin.clone());
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(60 * SECOND);
    let late = ask(&cache, get("http://a/", &[])).await;
    assert_eq!((said(&late), origin.calls()), ("larder; fwd=stale; fwd-status=200; stored", 2));
}

#[tokio::test]
async fn the_age_that_a_response_came_with_counts() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[("cache-control", "max-age=60"), ("age", "50")], full("x")));
    let cache = http(&clock).build().layer(origin);
    let first = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(first.headers()["age"], "50");
    text(first).await;
    clock.advance(5 * SECOND);
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert_eq!((said(&hit), &hit.headers()["age"]), ("larder; hit; ttl=5", &HeaderValue::from_static("55")));
}

/// RFC 9110 §6.6.1: who receives a response without a date adds one, whether or not it is kept.
#[tokio::test]
async fn an_answer_without_a_date_gets_one() {
    for (value, method) in [("max-age=60", "GET"), ("no-store", "GET"), ("no-store", "PUT")] {
        let clock = ManualClock::default();
        let cache =
            http(&clock).build().layer(Origin::replies(move |_| reply(200, &[("cache-control", value)], empty())));
        let answer = ask(&cache, request(method, "http://a/", &[])).await;
        assert!(answer.headers().contains_key("date"), "{method} {value}");
    }
}

/// A HEAD poisoned the next GET with an empty body in tower-http-cache.
#[tokio::test]
async fn a_head_request_does_not_poison_a_get() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let body = if request.method() == "HEAD" { empty() } else { full("hello") };
        reply(200, &[("cache-control", "max-age=60"), ("content-length", "5")], body)
    });
    let cache = http(&clock).build().layer(origin.clone());
    let head = || Request::head("http://a/").body(empty()).expect("request");
    assert_eq!(text(ask(&cache, head()).await).await, "");
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "hello");
    for _ in 0..2 {
        let again = ask(&cache, head()).await;
        assert_eq!((said(&again), again.headers()["content-length"].to_str().ok()), ("larder; hit; ttl=60", Some("5")));
        assert_eq!(text(again).await, "");
        let again = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(heard(again).await, ("larder; hit; ttl=60", "hello"));
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn host_path_query_and_scheme_never_share_an_entry() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        reply(200, FRESH, full(format!("{} {host}", request.uri())))
    });
    let cache = http(&clock).build().layer(origin.clone());
    let uris = [
        "http://a/",
        "http://b/",
        "https://a/",
        "http://a:81/",
        "http://a/x",
        "http://a/?q",
        "http://a/?q=1",
        "http://a/X",
    ];
    for round in 0..2 {
        for uri in uris {
            let answer = ask(&cache, get(uri, &[])).await;
            assert_eq!(said(&answer).contains("hit"), round == 1, "{uri}");
            assert_eq!(text(answer).await, format!("{uri} "));
        }
        for host in ["a", "b"] {
            assert_eq!(text(ask(&cache, get("/x", &[("host", host)])).await).await, format!("/x {host}"));
        }
    }
    assert_eq!(origin.calls(), uris.len() + 2);
}

#[tokio::test]
async fn what_the_cache_did_is_in_the_extensions() {
    let clock = ManualClock::default();
    let cache = http(&clock).build().layer(Origin::replies(|_| reply(200, FRESH, full("x"))));
    let miss = ask(&cache, get("http://a/", &[])).await;
    let status = miss.extensions().get::<CacheStatus>().expect("a status");
    assert_eq!(
        (status.outcome, status.fwd_status, status.stored),
        (Outcome::Forward(Forward::UriMiss), Some(200), true)
    );
    text(miss).await;
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(hit.extensions().get(), Some(&CacheStatus::hit(60)));
    let method = ask(&cache, Request::delete("http://a/").body(empty()).expect("request")).await;
    assert_eq!(method.extensions().get(), Some(&CacheStatus::forward(Forward::Method)));
    assert_eq!(said(&method), "larder; fwd=method");
}

#[tokio::test]
async fn the_key_is_shown_only_to_those_who_ask_for_it() {
    let clock = ManualClock::default();
    let cache = http(&clock).show_key(true).build().layer(Origin::replies(|_| reply(200, FRESH, full("x"))));
    let mut keys = Vec::new();
    for _ in 0..2 {
        let answer = ask(&cache, get("http://a/b", &[("authorization", "Bearer secret"), ("x-api-key", "sk-1")])).await;
        assert!(!said(&answer).contains("secret") && !said(&answer).contains("sk-1"));
        let status = answer.extensions().get::<CacheStatus>().expect("a status");
        let key: Key = status.key.as_ref().expect("shown").parse().expect("a key reads back");
        assert_eq!(key.label(), "get:a/b");
        keys.push(key);
        text(answer).await;
    }
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn status_and_fields_come_back_as_they_came() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| {
        let fields = [
            ("cache-control", "max-age=60"),
            ("content-type", "text/html; charset=utf-8"),
            ("content-encoding", "gzip"),
            ("link", "</a>; rel=preload"),
            ("link", "</b>; rel=preload"),
            ("x-empty", ""),
            ("cache-status", "far; hit"),
        ];
        let mut response = reply(404, &fields, full("not here"));
        response.headers_mut().insert("x-bytes", HeaderValue::from_bytes(b"\xfe\xff").expect("obs-text"));
        response
    });
    let cache = http(&clock).build().layer(origin.clone());
    let mut heads: Vec<HeaderMap> = Vec::new();
    for expected in ["larder; fwd=uri-miss; fwd-status=404; stored", "larder; hit; ttl=60"] {
        let mut answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!(answer.status(), 404);
        let said: Vec<_> = answer.headers().get_all("cache-status").iter().cloned().collect();
        assert_eq!(said, ["far; hit", expected], "each cache adds to the end");
        let mut headers = std::mem::take(answer.headers_mut());
        headers.remove("age");
        headers.remove("cache-status");
        heads.push(headers);
        assert_eq!(text(answer).await, "not here");
    }
    assert_eq!(heads[0], heads[1]);
    assert_eq!(heads[1].get_all("link").iter().collect::<Vec<_>>(), ["</a>; rel=preload", "</b>; rel=preload"]);
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn hop_by_hop_fields_are_not_kept() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| {
        let fields = [
            ("cache-control", "max-age=60"),
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
        ];
        reply(200, &fields, full("x"))
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    let hit = ask(&cache, get("http://a/", &[])).await;
    for name in ["connection", "x-hop", "keep-alive"] {
        assert!(!hit.headers().contains_key(name), "{name}");
    }
}

/// A WebSocket handshake is a GET; without these two fields hyper and axum do not upgrade.
#[tokio::test]
async fn an_upgrade_passes_untouched() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(101, &[("connection", "upgrade"), ("upgrade", "websocket")], empty()));
    let cache = http(&clock).build().layer(origin);
    let request = get("http://a/", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    let answer = ask(&cache, request).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers().get("upgrade").map(HeaderValue::as_bytes), Some(&b"websocket"[..]));
    assert_eq!(answer.headers().get("connection").map(HeaderValue::as_bytes), Some(&b"upgrade"[..]));
}

#[tokio::test]
async fn trailers_arrive_with_a_miss_and_with_a_hit() {
    let clock = ManualClock::default();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    let sent = trailers.clone();
    let origin = Origin::replies(move |_| {
        let (feed, body) = channel();
        feed.data("hello");
        feed.trailers(sent.clone());
        reply(200, FRESH, body)
    });
    let cache = http(&clock).build().layer(origin.clone());
    for _ in 0..2 {
        let whole = ask(&cache, get("http://a/", &[])).await.into_body().collect().await.expect("whole");
        assert_eq!(whole.trailers(), Some(&trailers));
        assert_eq!(whole.to_bytes(), "hello");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn an_empty_body_is_a_hit_too() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(204, FRESH, empty()));
    let cache = http(&clock).build().layer(origin.clone());
    for expected in ["larder; fwd=uri-miss; fwd-status=204; stored", "larder; hit; ttl=60"] {
        let answer = ask(&cache, get("http://a/", &[])).await;
        assert_eq!((said(&answer), answer.status().as_u16()), (expected, 204));
        assert_eq!(text(answer).await, "");
    }
}
