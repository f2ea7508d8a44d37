//! Short words for stores in Redis, and for what is put into them.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use larder::{
    CacheLayer,
    cache::Builder,
    entry::{Entry, Frames, Head, Lifetime},
    header::cache_status::CacheStatus,
    key::{Key, KeyBuilder},
    redis::Client,
    store::{Fence, Redis, Store},
    tag::{Selector, Tag},
};

use super::PATIENT;
use crate::support::{Body, Origin, ask, full, get, reply, said, text};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A client of its own, as each process has one.
pub(super) fn client(url: &str) -> Client {
    let client = Client::builder(url).response_timeout(PATIENT).connect_timeout(PATIENT);
    client.build().expect("a URL")
}

/// A store as another process has it: with a client of its own.
pub(super) fn store(url: &str) -> Redis {
    Redis::builder(client(url)).build().expect("a store")
}

/// A cache whose look-ups are as patient as its store.
pub(super) fn layer(store: Redis) -> Builder<Redis> {
    CacheLayer::builder(store).lookup_timeout(PATIENT)
}

pub(super) fn key(label: &str, name: &str) -> Key {
    KeyBuilder::new("test").field("name", name).label(label).finish()
}

/// What an entry is called in Redis by a store with the default settings.
pub(super) fn name(key: &Key) -> String {
    format!("larder:default:{key}")
}

pub(super) fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a tag")
}

pub(super) fn tagged(text: &str) -> Selector {
    Selector::Tag(tag(text))
}

/// Fresh for some time.
pub(super) fn fresh(time: Duration) -> Lifetime {
    Lifetime::new(SystemTime::now(), time)
}

pub(super) fn entry_of(lifetime: Lifetime, body: impl Into<Bytes>, tags: &[&str]) -> Entry {
    let tags = tags.iter().map(|text| tag(text)).collect();
    Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime).tags(tags), Frames::whole(body.into()))
}

/// Fresh for a minute.
pub(super) fn entry(body: &str, tags: &[&str]) -> Entry {
    entry_of(fresh(MINUTE), body.to_owned(), tags)
}

/// How far a store knows the log of purges, which it reads if need be.
pub(super) async fn fence_of(store: &Redis) -> Fence {
    store.get(&key("any", "any")).await.expect("an answer");
    store.fence()
}

pub(super) async fn has(store: &Redis, key: &Key) -> bool {
    store.get(key).await.expect("an answer").is_some()
}

/// Answers with the path, for ten minutes.
pub(super) fn paths() -> Origin {
    Origin::by_request(|request| {
        let path = request.uri().path().to_owned();
        reply(200, &[("cache-control", "max-age=600"), ("surrogate-key", "page")], full(path))
    })
}

/// Whether a request is a hit. Its answer has to be the right one, be it or not.
pub(super) async fn hits<S>(cache: &S, path: &str) -> bool
where
    S: tower::Service<http::Request<Body>, Response = crate::support::Reply> + Clone,
    S::Error: std::fmt::Debug,
{
    let answer = ask(cache, get(&format!("http://host{path}"), &[])).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let hit = said(&answer).starts_with("larder; hit");
    assert_eq!(text(answer).await, path);
    hit
}

/// The key under which a request is kept; its layer has to show it.
pub(super) async fn key_of<S>(cache: &S, path: &str) -> Key
where
    S: tower::Service<http::Request<Body>, Response = crate::support::Reply> + Clone,
    S::Error: std::fmt::Debug,
{
    let answer = ask(cache, get(&format!("http://host{path}"), &[])).await;
    let status = answer.extensions().get::<CacheStatus>().cloned().expect("a status");
    text(answer).await;
    status.key.expect("it is shown").parse().expect("a key")
}

/// Waits for what others come to on their own, by asking again and again, but not for ever.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
