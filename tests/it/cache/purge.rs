//! The handle: purges, usage, figures.

use larder::{
    clock::ManualClock,
    header::cache_status::CacheStatus,
    key::Key,
    tag::{Selector, Tag},
};
use tower::Layer as _;

use super::{MINUTE, SECOND, http, minute};
use crate::support::{
    Far, Fault, Origin, ask, begun, channel, empty, full, get, memory, poll_once, reply, request, said, settle, text,
};

fn tag(text: &str) -> Selector {
    Selector::Tag(Tag::new(text).expect("a tag"))
}

/// Names the path as a tag, and every page "page".
fn tagged() -> Origin {
    Origin::by_request(|request| {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        reply(
            200,
            &[("cache-control", "max-age=60"), ("surrogate-key", &format!("page {path}")), ("cache-tag", "all, x")],
            full(path),
        )
    })
}

/// The key of a GET.
async fn key_of(uri: &str) -> Key {
    let cache = http(&ManualClock::default()).show_key(true).build().layer(tagged());
    let status = ask(&cache, get(uri, &[])).await.extensions().get::<CacheStatus>().cloned();
    status.and_then(|status| status.key).expect("shown").parse().expect("a key")
}

#[tokio::test]
async fn a_purge_removes_what_is_meant_and_counts_it() {
    let cases = [
        (tag("page"), 3, ""),
        (tag("b"), 1, "ac"),
        (tag("x"), 3, ""),
        (tag("absent"), 0, "abc"),
        (Selector::label("get:host/a*"), 1, "bc"),
        (Selector::label("get:host/?"), 3, ""),
        (Selector::label("get:host/[ab]"), 2, "c"),
        (Selector::label("post:*"), 0, "abc"),
        (Selector::All, 3, ""),
    ];
    for (selector, count, left) in cases {
        let clock = ManualClock::default();
        let layer = http(&clock).build();
        let cache = layer.layer(tagged());
        for path in ["a", "b", "c"] {
            text(ask(&cache, get(&format!("http://host/{path}"), &[])).await).await;
        }
        let handle = layer.handle();
        assert_eq!(handle.usage().await.expect("usage").entries, 3);
        assert_eq!(handle.purge(&selector).await.expect("purged"), count, "{selector:?}");
        assert_eq!(
            (handle.stats().purged, handle.usage().await.expect("usage").entries),
            (count, 3 - count),
            "{selector:?}"
        );
        for path in ["a", "b", "c"] {
            let hit = said(&ask(&cache, get(&format!("http://host/{path}"), &[])).await).starts_with("larder; hit");
            assert_eq!(hit, left.contains(path), "{selector:?} and {path}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_shown_can_be_purged() {
    let clock = ManualClock::default();
    let layer = http(&clock).show_key(true).build();
    let cache = layer.layer(tagged());
    let answer = ask(&cache, get("http://host/a", &[])).await;
    let status = answer.extensions().get::<CacheStatus>().expect("a status");
    let key: Key = status.key.as_ref().expect("shown").parse().expect("a key");
    text(answer).await;
    assert_eq!(layer.handle().purge(&Selector::Key(key.clone())).await.expect("purged"), 1);
    assert_eq!(layer.handle().purge(&Selector::Key(key)).await.expect("purged"), 0);
    assert!(said(&ask(&cache, get("http://host/a", &[])).await).starts_with("larder; fwd=uri-miss"));
}

/// They lie under keys of their own, which nobody is shown.
#[tokio::test]
async fn a_purge_of_the_key_removes_the_answer_to_head_and_the_part_too() {
    let requests: [(&str, &[(&str, &str)]); 2] = [("HEAD", &[]), ("GET", &[("range", "bytes=0-1")])];
    for (method, fields) in requests {
        let clock = ManualClock::default();
        let origin = Origin::by_request(|request| match request.headers().contains_key("range") {
            true => reply(206, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/9")], full("01")),
            false => reply(200, &[("cache-control", "max-age=60")], empty()),
        });
        let layer = http(&clock).build();
        let cache = layer.layer(origin);
        let wanted = || request(method, "http://host/a", fields);
        text(ask(&cache, wanted()).await).await;
        assert_eq!(said(&ask(&cache, wanted()).await), "larder; hit; ttl=60", "{method}");
        layer.handle().purge(&Selector::Key(key_of("http://host/a").await)).await.expect("purged");
        assert!(said(&ask(&cache, wanted()).await).starts_with("larder; fwd=uri-miss"), "{method}");
    }
}

#[tokio::test]
async fn what_was_being_fetched_when_it_was_purged_is_not_stored() {
    let clock = ManualClock::default();
    let key = key_of("http://host/a").await;
    for selector in [Selector::Key(key), tag("page"), Selector::label("get:host/*"), Selector::All] {
        let (origin, mut calls) = Origin::held();
        let layer = http(&clock).build();
        let cache = layer.layer(origin);
        let request = begun(ask(&cache, get("http://host/a", &[])));
        let (feed, body) = channel();
        calls.next().await.answer(reply(200, &[("cache-control", "max-age=60"), ("surrogate-key", "page")], body));
        let answer = request.await;
        layer.handle().purge(&selector).await.expect("purged");
        feed.data("old");
        drop(feed);
        assert_eq!(text(answer).await, "old", "the client gets what it asked for before");
        let mut again = begun(ask(&cache, get("http://host/a", &[])));
        calls.next().await.answer(reply(200, &[("cache-control", "max-age=60")], full("new")));
        assert!(poll_once(&mut again).is_ready(), "{selector:?}");
        let stats = layer.handle().stats();
        assert_eq!((stats.outdated, stats.hits), (1, 0), "{selector:?}");
    }
}

#[tokio::test]
async fn a_request_after_a_purge_does_not_join_a_fetch_from_before() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    let before = begun(ask(&cache, get("http://a/", &[])));
    let old = calls.next().await;
    layer.handle().purge(&Selector::All).await.expect("purged");
    let after = begun(ask(&cache, get("http://a/", &[])));
    calls.try_next().expect("a fetch of its own").answer(reply(200, &[("cache-control", "max-age=60")], full("new")));
    assert_eq!(text(after.await).await, "new");
    old.answer(reply(200, &[("cache-control", "max-age=60")], full("old")));
    assert_eq!(text(before.await).await, "old");
    assert_eq!(
        text(ask(&cache, get("http://a/", &[])).await).await,
        "new",
        "the old answer has not replaced the new one"
    );
}

#[tokio::test]
async fn a_purge_of_something_else_lets_a_fetch_be_stored() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    let request = begun(ask(&cache, get("http://host/a", &[])));
    let held = calls.next().await;
    layer.handle().purge(&tag("other")).await.expect("purged");
    held.answer(reply(200, &[("cache-control", "max-age=60"), ("surrogate-key", "page")], full("x")));
    text(request.await).await;
    assert_eq!(said(&ask(&cache, get("http://host/a", &[])).await), "larder; hit; ttl=60");
}

#[tokio::test(start_paused = true)]
async fn a_purge_during_a_slow_write_wins() {
    let clock = ManualClock::default();
    let store = Far::new(memory(&clock));
    let layer = larder::CacheLayer::builder(store.clone()).clock(clock).build();
    let cache = layer.layer(tagged());
    store.writes(Fault::Slow(SECOND));
    text(ask(&cache, get("http://host/a", &[])).await).await;
    // The entry is on its way into the store.
    store.writes(Fault::None);
    layer.handle().purge(&Selector::All).await.expect("purged");
    tokio::time::advance(2 * SECOND).await;
    settle().await;
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 0);
}

#[tokio::test]
async fn each_request_is_counted_once_under_how_it_was_answered() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.uri().path() {
        "/large" => reply(200, &[], full("x".repeat(100))),
        "/error" => reply(500, &[], full("x")),
        _ => reply(200, &[], full("x")),
    });
    let layer = minute(&clock).max_body(10).build();
    let cache = layer.layer(origin);
    let paths = ["/", "/", "/large", "/error"];
    for path in paths {
        text(ask(&cache, get(&format!("http://a{path}"), &[])).await).await;
    }
    text(ask(&cache, get("http://a/", &[("cache-control", "no-store")])).await).await;
    text(ask(&cache, get("http://a/none", &[("cache-control", "only-if-cached")])).await).await;
    clock.advance(2 * MINUTE);
    let stats = layer.handle().stats();
    assert_eq!((stats.hits, stats.misses, stats.bypassed, stats.only_if_cached), (1, 3, 1, 1));
    assert_eq!((stats.stored, stats.too_large, stats.not_storable, stats.requests()), (1, 1, 1, 6));
    assert_eq!(stats.hit_ratio(), Some(0.2));
}

/// A capacity in entries instead of bytes runs out of memory with large ones (tower-http-cache, LiteLLM).
#[tokio::test]
async fn large_answers_do_not_take_more_than_the_store_may_hold() {
    let clock = ManualClock::default();
    let layer = minute(&clock).build();
    let small = larder::CacheLayer::builder(larder::store::Memory::new(1 << 20))
        .policy(larder::policy::Ttl::new(MINUTE))
        .clock(clock.clone())
        .build();
    let cache = small.layer(Origin::replies(|_| reply(200, &[], full(vec![b'x'; 100_000]))));
    for number in 0..100 {
        text(ask(&cache, get(&format!("http://a/{number}"), &[])).await).await;
    }
    let usage = small.handle().usage().await.expect("usage");
    assert!(usage.bytes <= usage.capacity && usage.capacity == 1 << 20 && usage.evictions > 80, "{usage:?}");
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 0);
}

#[tokio::test]
async fn tags_that_a_closure_gives_count_besides_those_of_fields_and_outlive_a_validation() {
    let clock = ManualClock::default();
    let tenant = |request: &::http::request::Parts, response: &::http::response::Parts| {
        let tenant = request.headers.get("x-tenant").and_then(|tenant| tenant.to_str().ok()).unwrap_or("nobody");
        let text = format!("tenant:{tenant}:{}", response.status.as_u16());
        vec![Tag::new(&text).expect("a tag"), Tag::new("all").expect("a tag")]
    };
    let layer = http(&clock).tags(tenant).build();
    let cache = layer.layer(Origin::by_request(|request| {
        let fields = [("cache-control", "max-age=60"), ("etag", "\"1\""), ("cache-tag", "all, page")];
        let holds = request.headers().contains_key("if-none-match");
        if holds { reply(304, &fields, empty()) } else { reply(200, &fields, full("page")) }
    }));
    let handle = layer.handle();
    for (selector, expected) in [("tenant:a:200", 1), ("tenant:b:200", 0), ("page", 1), ("all", 1)] {
        text(ask(&cache, get("http://host/", &[("x-tenant", "a")])).await).await;
        clock.advance(MINUTE);
        // Another tenant validates it: it stays the first one's, too.
        text(ask(&cache, get("http://host/", &[("x-tenant", "c")])).await).await;
        assert_eq!(handle.purge(&tag(selector)).await.expect("purged"), expected, "{selector}");
        handle.purge(&Selector::All).await.expect("purged");
    }
}
