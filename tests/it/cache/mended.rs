//! Faults that were found by reading, each with the situation that showed it.

use http::{Method, Request};
use larder::{
    clock::ManualClock,
    entry::Entry,
    fingerprint::{RequestFingerprint, Scope},
    key::{Key, KeyBuilder},
    policy::{Rfc9111, Ttl},
    store::{Peek, Result, Store, Usage},
    tag::Selector,
};
use tower::Layer as _;

use super::{MINUTE, SECOND, http};
use crate::support::{Origin, ask, begun, empty, full, get, heard, reply, said, settle, text};

/// One after another, twenty of them would take twenty round trips.
#[tokio::test]
async fn requests_for_what_has_to_be_validated_do_not_wait_for_each_other() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { text(ask(&cache, get("http://a/", &[])).await).await }
    });
    calls.next().await.answer(reply(200, &[("cache-control", "no-cache"), ("etag", "\"a\"")], full("kept")));
    assert_eq!(first.await.expect("joined"), "kept");

    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { text(ask(&cache, get("http://a/", &[])).await).await })
        })
        .collect();
    calls.next().await.answer(reply(304, &[], empty()));
    settle().await;
    // The rest is under way at once.
    let rest: Vec<_> = std::iter::from_fn(|| calls.try_next()).collect();
    assert_eq!(rest.len(), 19);
    rest.into_iter().for_each(|call| call.answer(reply(304, &[], empty())));
    for one in crowd {
        assert_eq!(one.await.expect("joined"), "kept");
    }
}

#[tokio::test]
async fn a_change_of_protocol_passes_with_all_its_fields() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(101, &[("connection", "upgrade"), ("upgrade", "websocket")], empty()));
    let cache = http(&clock).build().layer(origin.clone());
    let handshake = || get("http://a/socket", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    for calls in 1..=2 {
        let answer = ask(&cache, handshake()).await;
        assert_eq!([&answer.headers()["connection"], &answer.headers()["upgrade"]], ["upgrade", "websocket"]);
        assert_eq!((said(&answer), origin.calls()), ("larder; fwd=bypass", calls));
    }
}

#[tokio::test]
async fn fields_for_the_next_hop_reach_it_and_are_not_kept() {
    let clock = ManualClock::default();
    let fields = [("cache-control", "max-age=60"), ("connection", "close"), ("keep-alive", "timeout=5")];
    let origin = Origin::replies(move |_| reply(200, &fields, full("kept")));
    let cache = http(&clock).build().layer(origin);
    let miss = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(miss.headers()["connection"], "close");
    text(miss).await;
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert!(!hit.headers().contains_key("connection") && !hit.headers().contains_key("keep-alive"));
}

/// hyper reads such a message by its chunks and leaves the length in.
#[tokio::test]
async fn a_length_beside_a_transfer_encoding_announces_nothing() {
    let clock = ManualClock::default();
    let fields = [("cache-control", "max-age=60"), ("transfer-encoding", "chunked"), ("content-length", "5")];
    let origin = Origin::replies(move |_| reply(200, &fields, crate::support::pieces(["hello", " world"])));
    let cache = http(&clock).build().layer(origin);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "hello world");
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert!(!hit.headers().contains_key("content-length"));
    assert_eq!(heard(hit).await, ("larder; hit; ttl=60", "hello world"));
}

#[tokio::test]
async fn a_post_without_a_body_is_never_another() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[], full("cancelled")));
    for fingerprint in [RequestFingerprint::new(), RequestFingerprint::new().json_body(100)] {
        let cache = http(&clock).fingerprint(fingerprint).policy(Ttl::new(MINUTE)).build().layer(origin.clone());
        let before = origin.calls();
        for _ in 0..2 {
            let request = Request::builder().method(Method::POST).uri("http://a/orders/1/cancel").body(empty());
            text(ask(&cache, request.expect("a request")).await).await;
        }
        assert_eq!(origin.calls() - before, 2);
    }
}

#[tokio::test]
async fn a_head_does_not_answer_a_get_even_if_the_fingerprint_forgets_the_method() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let body = if request.method() == Method::HEAD { empty() } else { full("body") };
        reply(200, &[("cache-control", "max-age=60")], body)
    });
    let forgetful = |head: &http::request::Parts| Some(KeyBuilder::new("path").field("path", head.uri.path()).finish());
    let cache = http(&clock).fingerprint(forgetful).build().layer(origin);
    for _ in 0..2 {
        let request = Request::head("http://a/").body(empty()).expect("a request");
        assert_eq!(text(ask(&cache, request).await).await, "");
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "body");
    }
}

#[tokio::test]
async fn a_condition_does_not_keep_a_stale_entry_from_standing_in_for_an_error() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=10, stale-if-error=60"), ("etag", "\"a\"")], full("kept")),
        _ => reply(503, &[], full("down")),
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(20 * SECOND);
    let other = ask(&cache, get("http://a/", &[("if-none-match", "\"b\"")])).await;
    assert_eq!((other.status().as_u16(), text(other).await.as_str()), (200, "kept"));
    let same = ask(&cache, get("http://a/", &[("if-none-match", "\"a\"")])).await;
    assert_eq!(same.status(), 304);
}

#[tokio::test]
async fn only_if_cached_never_goes_upstream() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[], empty()));
    let layer = http(&clock).build();
    let cache = layer.layer(origin.clone());
    for fields in [
        [("cache-control", "only-if-cached, no-store"), ("x", "")],
        [("cache-control", "only-if-cached"), ("range", "bytes=0-1")],
        [("cache-control", "only-if-cached"), ("x", "")],
    ] {
        assert_eq!(ask(&cache, get("http://a/", &fields)).await.status(), 504);
    }
    assert_eq!((origin.calls(), layer.handle().stats().only_if_cached), (0, 3));
}

#[tokio::test]
async fn a_purge_of_something_else_leaves_a_flight_open() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).policy(Ttl::new(MINUTE)).build();
    let cache = layer.layer(origin.clone());
    let leader = begun(ask(&cache, get("http://a/one", &[])));
    layer.handle().purge(&Selector::label("*/other")).await.expect("memory");
    let follower = begun(ask(&cache, get("http://a/one", &[])));
    calls.next().await.answer(reply(200, &[], full("one")));
    let (leader, follower) = tokio::join!(leader, follower);
    assert_eq!(text(leader).await, "one");
    assert_eq!((origin.calls(), said(&follower)), (1, "larder; fwd=uri-miss; fwd-status=200; collapsed"));
}

#[tokio::test]
async fn what_is_gone_is_not_served_however_stale_a_client_takes_it() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| reply(200, &[("cache-control", "max-age=10")], full(number.to_string())));
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(20 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[("cache-control", "max-stale")])).await).await, "1");
}

/// A store that decodes its entries, and so never gives the same one twice.
struct Decoding(larder::store::Memory);

impl Store for Decoding {
    fn peek(&self, key: &Key) -> Peek {
        match self.0.peek(key) {
            Peek::Found(entry) => Peek::Found(entry.with_head(entry.head().clone())),
            Peek::Absent => Peek::Absent,
            Peek::Unknown => Peek::Unknown,
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        self.0.get(key).await
    }

    async fn put(&self, key: &Key, entry: Entry) -> Result<()> {
        self.0.put(key, entry).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.0.remove(key).await
    }

    async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.0.purge(selector).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.0.usage().await
    }
}

#[tokio::test]
async fn a_store_that_makes_its_entries_anew_is_not_asked_for_ever() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("if-none-match") {
        true => reply(304, &[], empty()),
        false => reply(200, &[("cache-control", "max-age=10"), ("etag", "\"a\"")], full("kept")),
    });
    let store = Decoding(crate::support::memory(&clock));
    let cache = larder::CacheLayer::builder(store).clock(clock.clone()).build().layer(origin.clone());
    for calls in 1..=2 {
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "kept");
        assert_eq!(origin.calls(), calls);
        clock.advance(20 * SECOND);
    }
}

#[tokio::test]
async fn two_tenants_are_none() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[("cache-control", "max-age=60")], full("x")));
    let tenant = RequestFingerprint::new().scope(Scope::tenant_in(http::HeaderName::from_static("x-tenant")));
    let cache = http(&clock).fingerprint(tenant).policy(Rfc9111::shared()).build().layer(origin.clone());
    for _ in 0..2 {
        text(ask(&cache, get("http://a/", &[("x-tenant", "a"), ("x-tenant", "b")])).await).await;
    }
    assert_eq!(origin.calls(), 2);
}
