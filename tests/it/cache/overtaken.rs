//! Answers that come too late: after a change, a purge, or a newer answer. None of them undoes it.

use std::time::Duration;

use larder::{
    CacheLayer,
    cache::Cache,
    clock::ManualClock,
    fingerprint::{RequestFingerprint, Scope},
    store::Memory,
    tag::Selector,
};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{
    Calls, Far, Fault, Origin, Reply, ask, begun, channel, data, empty, full, get, memory, poll_once, reply, request,
    said, settle, text,
};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// A PUT that succeeds.
async fn put(cache: &Cache<Origin, Memory>, calls: &mut Calls, uri: &str) {
    let put = begun(ask(cache, request("PUT", uri, &[])));
    calls.next().await.answer(reply(204, &[], empty()));
    put.await;
}

#[tokio::test]
async fn what_was_under_way_under_another_spelling_is_not_stored_after_a_put() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).fingerprint(RequestFingerprint::new().ignore_query("u")).build().layer(origin);
    let before = begun(ask(&cache, get("http://a/x?u=1", &[])));
    let old = calls.next().await;
    put(&cache, &mut calls, "http://a/x").await;
    clock.advance(SECOND);
    old.answer(reply(200, FRESH, full("old")));
    assert_eq!(text(before.await).await, "old");
    let _forwarded = begun(ask(&cache, get("http://a/x", &[])));
}

/// The PUT has no tenant, and so no key: what it changed is known by its URI.
#[tokio::test]
async fn nobody_joins_a_fetch_from_before_a_put_that_has_no_key() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let scope = Scope::tenant_in(http::HeaderName::from_static("x-tenant"));
    let cache = http(&clock).fingerprint(RequestFingerprint::new().scope(scope)).build().layer(origin);
    let before = begun(ask(&cache, get("http://a/x", &[("x-tenant", "t")])));
    let old = calls.next().await;
    put(&cache, &mut calls, "http://a/x").await;
    let after = begun(ask(&cache, get("http://a/x", &[("x-tenant", "t")])));
    calls.try_next().expect("a fetch of its own").answer(reply(200, FRESH, full("new")));
    old.answer(reply(200, FRESH, full("old")));
    assert_eq!((text(before.await).await.as_str(), text(after.await).await.as_str()), ("old", "new"));
}

#[tokio::test]
async fn an_answer_to_post_from_before_a_put_is_not_kept_for_get() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let post = begun(ask(&cache, request("POST", "http://a/x", &[])));
    let old = calls.next().await;
    put(&cache, &mut calls, "http://a/x").await;
    clock.advance(SECOND);
    old.answer(reply(200, &[("cache-control", "max-age=60"), ("content-location", "/x")], full("old")));
    assert_eq!(text(post.await).await, "old");
    let _forwarded = begun(ask(&cache, get("http://a/x", &[])));
}

#[tokio::test]
async fn what_a_put_changed_does_not_stand_in_for_an_error_to_who_asked_before() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let first = begun(ask(&cache, get("http://a/", &[])));
    let fields = [("cache-control", "max-age=60, stale-if-error=600"), ("etag", "\"a\"")];
    calls.next().await.answer(reply(200, &fields, full("old")));
    text(first.await).await;
    clock.advance(70 * SECOND);
    let validation = begun(ask(&cache, get("http://a/", &[])));
    let held = calls.next().await;
    put(&cache, &mut calls, "http://a/").await;
    held.answer(reply(503, &[], full("down")));
    assert_eq!(text(validation.await).await, "down");
}

#[tokio::test]
async fn a_late_304_does_not_undo_a_newer_answer() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let first = begun(ask(&cache, get("http://a/", &[])));
    calls.next().await.answer(reply(200, &[FRESH[0], ("etag", "\"a\"")], full("old")));
    text(first.await).await;
    clock.advance(70 * SECOND);
    let slow = begun(ask(&cache, get("http://a/", &[])));
    let held = calls.next().await;
    let reload = begun(ask(&cache, get("http://a/", &[("cache-control", "no-cache")])));
    calls.next().await.answer(reply(200, &[FRESH[0], ("etag", "\"b\"")], full("new")));
    assert_eq!(text(reload.await).await, "new");
    clock.advance(SECOND);
    held.answer(reply(304, &[FRESH[0], ("etag", "\"a\"")], empty()));
    text(slow.await).await;
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "new");
}

#[tokio::test]
async fn an_older_answer_that_ends_later_does_not_undo_a_newer_one() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin);
    let slow = begun(ask(&cache, get("http://a/", &[])));
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, FRESH, body));
    let mut slow = slow.await;
    feed.data("old");
    data(&mut slow).await;
    clock.advance(SECOND);
    let reload = begun(ask(&cache, get("http://a/", &[("cache-control", "no-cache")])));
    calls.next().await.answer(reply(200, FRESH, full("new")));
    assert_eq!(text(reload.await).await, "new");
    drop(feed);
    text(slow).await;
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "new");
}

#[tokio::test]
async fn an_answer_to_post_from_before_a_purge_is_not_kept_for_get() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    let post = begun(ask(&cache, request("POST", "http://a/x", &[])));
    let old = calls.next().await;
    layer.handle().purge(&Selector::All).await.expect("purged");
    clock.advance(SECOND);
    old.answer(reply(200, &[FRESH[0], ("content-location", "/x")], full("old")));
    assert_eq!(text(post.await).await, "old");
    let _forwarded = begun(ask(&cache, get("http://a/x", &[])));
}

/// A cache whose first variant is being written again, for it is told of another, while `far` lets other writes pass at once.
async fn telling_the_first(clock: &ManualClock, far: &Far) -> (CacheLayer<Far>, Cache<Origin, Far>) {
    let layer = CacheLayer::builder(far.clone()).clock(clock.clone()).build();
    let origin = Origin::new(|call| {
        let value = call.request.headers()["v"].to_str().expect("text");
        let answer = reply(200, &[FRESH[0], ("vary", "v")], full(format!("{value}{}", call.number)));
        std::future::ready(Ok(answer))
    });
    let cache = layer.layer(origin);
    text(variant(&cache, "1", &[]).await).await;
    settle().await;
    far.writes(Fault::Slow(Duration::from_millis(10)));
    text(variant(&cache, "2", &[]).await).await;
    settle().await;
    tokio::time::sleep(Duration::from_millis(12)).await;
    far.writes(Fault::None);
    (layer, cache)
}

async fn variant(cache: &Cache<Origin, Far>, value: &str, fields: &[(&str, &str)]) -> Reply {
    ask(cache, get("http://a/", &[&[("v", value)], fields].concat())).await
}

#[tokio::test(start_paused = true)]
async fn a_first_variant_that_is_told_of_another_does_not_outlive_a_purge() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let (layer, cache) = telling_the_first(&clock, &far).await;
    layer.handle().purge(&Selector::All).await.expect("purged");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let after = variant(&cache, "1", &[]).await;
    assert!(said(&after).starts_with("larder; fwd=uri-miss"), "{}", said(&after));
}

#[tokio::test(start_paused = true)]
async fn a_first_variant_that_is_told_of_another_does_not_undo_a_newer_one() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let (_, cache) = telling_the_first(&clock, &far).await;
    assert_eq!(text(variant(&cache, "1", &[("cache-control", "no-cache")]).await).await, "12");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(text(variant(&cache, "1", &[]).await).await, "12");
    assert_eq!(text(variant(&cache, "2", &[]).await).await, "21", "and it knows the other");
}

#[tokio::test]
async fn variants_that_come_while_the_first_is_fetched_anew_are_counted() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let layer = http(&clock).max_variants(2).build();
    let cache = layer.layer(origin);
    let variant = |value, control| ask(&cache, get("http://a/", &[("v", value), ("cache-control", control)]));
    let answer = || reply(200, &[FRESH[0], ("vary", "v")], full("x"));
    let first = begun(variant("1", ""));
    calls.next().await.answer(answer());
    text(first.await).await;
    for value in ["2", "3", "4"] {
        let again = begun(variant("1", "no-cache"));
        let held = calls.next().await;
        let other = begun(variant(value, ""));
        calls.next().await.answer(answer());
        text(other.await).await;
        held.answer(answer());
        text(again.await).await;
        assert_eq!(layer.handle().usage().await.expect("usage").entries, 2, "with {value}");
        assert!(poll_once(&mut Box::pin(variant(value, ""))).is_ready(), "{value} was fetched and lost");
    }
}
