//! Writes of which half fails.

use std::time::Duration;

use larder::{
    CacheLayer,
    entry::Entry,
    key::KeyBuilder,
    store::{Memory, Store as _, Tiered},
    tag::{Selector, Tag},
};
use tower::Layer as _;

use super::{Site, damaged::entry, eventually, hurried, patient, store};
use crate::support::{
    Origin, ask, full, get, heard,
    redis::{Fault, Relay, Server},
    reply,
};

/// Else no purge by that tag would find it.
#[tokio::test]
async fn an_entry_that_cannot_be_indexed_is_not_kept() {
    let server = Server::start().await;
    for site in Site::patient(&server.url()) {
        let index = format!("larder:{}!tag:all", site.space);
        server.set(&index, b"no index").await;
        site.ask("/a").await;
        eventually("a write that fails", async || site.redis().errors > 0).await;
        eventually("no entry", async || server.keys(&site.entries()).await.is_empty()).await;
        server.command(&["DEL", &index]).await;
        site.ask("/b").await;
        eventually("an entry", async || !server.keys(&site.entries()).await.is_empty()).await;
    }
}

/// Redis knew the script that writes, and not the one that indexes: both are run again, and the purge comes between.
#[tokio::test]
async fn an_entry_that_was_purged_while_it_was_indexed_is_not_kept() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let [direct, delayed] = [server.url(), relay.url()].map(|url| store(patient(&url), "writes"));
    let key = |id| KeyBuilder::new("test").field("id", id).finish();
    let tag = Tag::new("t").expect("a tag");
    let tagged = {
        let plain = entry("x");
        Entry::new(plain.head().clone().tags(vec![tag.clone()]), plain.body().clone())
    };
    for store in [&direct, &delayed] {
        store.get(&key("0")).await.expect("Redis answers");
    }
    server.command(&["SCRIPT", "FLUSH"]).await;
    direct.put(&key("1"), entry("x")).await.expect("a write");
    relay.set(Fault::Delay(Duration::from_millis(500)));
    let (second, fence) = (key("2"), delayed.fence());
    let (kept, ()) = tokio::join!(delayed.put_fenced(&second, tagged, fence), async {
        eventually("the first try", async || server.keys(&format!("*:{second}")).await.len() == 1).await;
        direct.purge(&Selector::Tag(tag.clone())).await.expect("a purge");
        relay.set(Fault::Pass);
    });
    assert!(!kept.expect("Redis answers"), "it was purged");
    assert!(direct.get(&second).await.expect("Redis answers").is_none());
}

/// Without Redis a cache that has memory besides is as good as one that has nothing else.
#[tokio::test]
async fn variants_are_found_in_memory_while_redis_is_gone() {
    let mut server = Server::start().await;
    server.kill();
    let layer = CacheLayer::new(Tiered::new(Memory::new(1 << 20), store(hurried(&server.url()), "variants")));
    let origin = Origin::by_request(|request| {
        let body = full(request.headers()["v"].as_bytes().to_vec());
        reply(200, &[("cache-control", "max-age=60"), ("vary", "v")], body)
    });
    let cache = layer.layer(origin);
    for value in ["1", "2", "3"] {
        let answer = async || heard(ask(&cache, get("http://a/", &[("v", value)])).await).await;
        answer().await;
        eventually("a hit", async || answer().await == ("larder; hit; ttl=60", value)).await;
    }
}
