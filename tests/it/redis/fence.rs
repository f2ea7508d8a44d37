//! A fetch that began before a purge is not kept after it, whichever process made it.

use larder::{
    key::Key,
    redis::Client,
    store::{Change, Fence, Redis, Store},
    tag::Selector,
};
use tower::Layer as _;

use super::{
    PATIENT,
    instance::{changes, purged, told},
    samples::{self, entry, fence_of, has, hits, key, layer, store, tagged, until},
};
use crate::support::{
    Origin, ask, begun, full, get,
    redis::{Cluster, Fault, Relay, Server},
    reply, text,
};

async fn kept(store: &Redis, key: &Key, tags: &[&str], fence: Fence) -> bool {
    let kept = store.put_fenced(key, entry("x", tags), fence).await.expect("an answer");
    assert_eq!(has(store, key).await, kept);
    kept
}

async fn fills_and_purges(one: &Redis, other: &Redis) {
    let key = key("label:a", "a");
    let meant = [Selector::Key(key.clone()), tagged("t"), Selector::label("label:*"), Selector::All];
    let others = [Selector::Key(samples::key("x", "x")), tagged("x"), Selector::label("x*")];
    // The log has a beginning that both know.
    other.purge(&tagged("first")).await.expect("a purge");
    let first = fence_of(one).await;
    assert!(kept(one, &key, &["t"], first).await, "nothing was purged since");
    for selector in others {
        let before = fence_of(one).await;
        other.purge(&selector).await.expect("a purge");
        assert!(kept(one, &key, &["t"], before).await, "{selector:?} means another");
    }
    for (selector, heard) in meant.iter().flat_map(|selector| [(selector, false), (selector, true)]) {
        let before = fence_of(one).await;
        other.purge(selector).await.expect("a purge");
        if heard {
            until("the purge to be heard", async || one.fence() > before).await;
        }
        assert!(!kept(one, &key, &["t"], before).await, "{selector:?}, heard: {heard}");
        // What it learned from that is where the next fetch begins.
        assert!(one.fence() > before);
        assert!(kept(one, &key, &["t"], one.fence()).await, "{selector:?}, heard: {heard}");
    }
}

/// A user who must not subscribe, and so never hears.
const DEAF: &[&str] = &["ACL", "SETUSER", "deaf", "on", ">secret", "~*", "&*", "+@all", "-subscribe"];

fn deaf(url: &str) -> Redis {
    let client = Client::builder(url).username("deaf").password("secret");
    Redis::builder(client.response_timeout(PATIENT).connect_timeout(PATIENT).build().expect("a URL"))
        .build()
        .expect("a store")
}

/// Through two layers: a fetch is under way in one while the other purges. Whether one hears of that.
async fn fetch_and_purge(one: Redis, other: &Redis, hears: bool) {
    let (origin, mut calls) = Origin::held();
    let layer = layer(one.clone()).build();
    let cache = layer.layer(origin);
    let mut changes = changes(&one);
    if hears {
        told(&mut changes, |change| matches!(change, Change::Hearing)).await;
    }
    // The log is known, and has a beginning.
    other.purge(&tagged("first")).await.expect("a purge");
    if hears {
        purged(&mut changes).await;
    }
    for number in 1.. {
        let mut request = begun(ask(&cache, get("http://host/a", &[])));
        let held = tokio::select! {
            held = calls.next() => held,
            _ = &mut request => panic!("nobody answered it"),
        };
        // The first is not kept, the second is.
        if number == 1 {
            assert_eq!(other.purge(&tagged("page")).await.expect("a purge"), 0);
        }
        held.answer(reply(200, &[("cache-control", "max-age=600"), ("surrogate-key", "page")], full("/a")));
        assert_eq!(text(request.await).await, "/a");
        until("it is written or not", async || {
            let stats = layer.handle().stats();
            stats.stored + stats.outdated + stats.store_write_errors == number
        })
        .await;
        if number == 2 {
            break;
        }
        if hears {
            // What begins before that is taken to be overtaken, too.
            purged(&mut changes).await;
        }
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.outdated, stats.stored), (1, 1));
    assert!(hits(&cache, "/a").await);
    assert_eq!(other.purge(&tagged("page")).await.expect("a purge"), 1);
}

#[tokio::test]
async fn a_fill_from_before_another_processs_purge_is_not_kept() {
    let server = Server::start().await;
    fills_and_purges(&store(&server.url()), &store(&server.url())).await;
}

#[tokio::test]
async fn a_fill_from_before_another_processs_purge_is_not_kept_in_a_cluster() {
    let cluster = Cluster::start().await;
    fills_and_purges(&store(&cluster.url()), &store(&cluster.url())).await;
}

#[tokio::test]
async fn a_fetch_is_not_kept_after_a_purge_by_another_process() {
    let server = Server::start().await;
    fetch_and_purge(store(&server.url()), &store(&server.url()), true).await;
}

#[tokio::test]
async fn a_fetch_is_not_kept_after_a_purge_that_is_never_heard() {
    let server = Server::start().await;
    server.command(DEAF).await;
    fetch_and_purge(deaf(&server.url()), &store(&server.url()), false).await;
}

#[tokio::test]
async fn a_fetch_is_not_kept_after_a_purge_in_a_cluster() {
    let cluster = Cluster::start().await;
    for node in cluster.nodes() {
        node.command(DEAF).await;
    }
    fetch_and_purge(deaf(&cluster.url()), &store(&cluster.url()), false).await;
}

#[tokio::test]
async fn a_fill_that_saw_too_many_purges_pass_is_not_kept_and_the_next_is() {
    let server = Server::start().await;
    let (one, other) = (store(&server.url()), store(&server.url()));
    other.purge(&tagged("first")).await.expect("a purge");
    let (before, key) = (fence_of(&one).await, key("label", "a"));
    for number in 0..1000 {
        other.purge(&tagged(&number.to_string())).await.expect("a purge");
    }
    assert!(kept(&one, &key, &["t"], before).await, "all of them are known, and mean others");
    other.purge(&tagged("last")).await.expect("a purge");
    let another = samples::key("label", "b");
    assert!(!kept(&one, &another, &["t"], before).await, "one of them may have meant it");
    assert!(kept(&one, &another, &["t"], fence_of(&one).await).await);
    assert!(server.pttl("larder:default!purges").await > 0);
    let redis::Value::Int(length) = server.command(&["LLEN", "larder:default!purges"]).await else { panic!("a list") };
    assert_eq!(length, 1000);
}

#[tokio::test]
async fn a_log_that_was_lost_begins_anew() {
    let server = Server::start().await;
    let (one, other) = (store(&server.url()), store(&server.url()));
    let key = key("label", "a");
    for lost in [&["DEL", "larder:default!purges"][..], &["FLUSHALL"], &["SCRIPT", "FLUSH"]] {
        for _ in 0..3 {
            other.purge(&tagged("x")).await.expect("a purge");
        }
        let before = fence_of(&one).await;
        server.command(lost).await;
        assert!(kept(&one, &key, &["t"], before).await, "{lost:?}: nothing was purged since");
        assert_eq!(other.purge(&tagged("t")).await.expect("a purge"), 1, "{lost:?}");
        assert!(!kept(&one, &key, &["t"], before).await, "{lost:?}");
        assert!(one.fence() > before, "{lost:?}: numbers grow");
        assert!(kept(&one, &key, &["t"], one.fence()).await, "{lost:?}");
    }
}

/// Redis was away when a process began, so that its first fetches know nothing of the log.
#[tokio::test]
async fn a_fill_from_before_redis_was_there_is_not_kept_after_a_purge() {
    let server = Server::start().await;
    server.command(DEAF).await;
    let relay = Relay::to(server.port()).await;
    relay.set(Fault::Refuse);
    let (one, other) = (deaf(&relay.url()), store(&server.url()));
    let (before, key) = (one.fence(), key("label", "a"));
    one.get(&key).await.expect_err("Redis is away");
    other.purge(&tagged("t")).await.expect("a purge");
    relay.set(Fault::Pass);
    until("Redis to be back", async || one.get(&key).await.is_ok()).await;
    assert!(!kept(&one, &key, &["t"], before).await);
    assert!(kept(&one, &key, &["t"], one.fence()).await);
}

#[tokio::test]
async fn the_first_fill_of_a_process_is_kept_whatever_was_purged_before() {
    let server = Server::start().await;
    let other = store(&server.url());
    for _ in 0..3 {
        other.purge(&Selector::All).await.expect("a purge");
    }
    let (one, key) = (store(&server.url()), key("label", "a"));
    let before = one.fence();
    assert!(!has(&one, &key).await);
    assert!(kept(&one, &key, &["t"], before).await);
}

/// A label that begins alike, or with a sign of globs, is another.
#[tokio::test]
async fn tags_and_labels_mean_no_more_than_they_say() {
    let server = Server::start().await;
    let store = store(&server.url());
    for (number, label) in ["chat", "chat:a", "chatter", "a.b"].into_iter().enumerate() {
        store.put(&key(label, "x"), entry("x", &["t", &format!("t{number}")])).await.expect("a write");
    }
    for (selector, count) in [
        (tagged("t9"), 0),
        (Selector::label("cha"), 0),
        (Selector::label("chat:"), 0),
        (Selector::label("chat"), 1),
        (Selector::label("a?c"), 0),
        (Selector::label("chat[:t]*"), 2),
        (tagged("t"), 1),
    ] {
        assert_eq!(store.purge(&selector).await.expect("a purge"), count, "{selector:?}");
    }
}
