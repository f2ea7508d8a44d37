//! What lies in Redis, under which names, for how long, and which commands it takes.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode};
use larder::{
    entry::{Entry, Frames, Head, codec::Compression},
    store::{Claim, Redis, Store},
    tag::Selector,
};
use redis::Value;
use tower::Layer as _;

use super::samples::{
    MINUTE, client, entry, entry_of, fresh, has, hits, key, key_of, layer, name, paths, store, tagged, until,
};
use crate::support::{
    Origin, ask, full, get,
    redis::{Fault, Relay, Server},
    reply, said, text,
};

/// How often each command was called since, but for those that say nothing of entries.
async fn called_since(server: &Server, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let now = server.commandstats().await.into_iter();
    now.map(|(name, count)| (name.clone(), count - before.get(&name).copied().unwrap_or_default()))
        .filter(|(name, count)| *count > 0 && !matches!(name.as_str(), "info" | "ping"))
        .collect()
}

fn calls(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// What a server counts.
async fn counted(server: &Server, command: &[&str]) -> i64 {
    let answer = server.command(command).await;
    let Value::Int(count) = answer else { panic!("{command:?} gave {answer:?}") };
    count
}

async fn length(server: &Server, key: &str) -> usize {
    usize::try_from(counted(server, &["STRLEN", key]).await).expect("a length")
}

#[tokio::test]
async fn names_are_readable_and_everything_expires() {
    let server = Server::start().await;
    let store = Redis::builder(client(&server.url())).prefix("app").space("answers");
    let store = store.lease(3 * MINUTE).build().expect("a store");
    let key = key("chat:gpt-4o", "a");
    let mut lifetime = fresh(MINUTE);
    lifetime.stale_while_revalidate = 2 * MINUTE;
    lifetime.stale_if_error = 3 * MINUTE;
    store.put(&key, entry_of(lifetime, "body", &["t"])).await.expect("a write");
    let Claim::Held(_lease) = store.claim(&key, store.get(&key).await.expect("an answer").as_ref()).await else {
        panic!("nobody else claims it")
    };
    store.purge(&tagged("another")).await.expect("a purge");

    let digest: String = key.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let named = format!("app:answers:chat:gpt-4o:{digest}");
    // Within a window of a minute, for the machine may be busy.
    let expected = [
        ("app:answers!purges".to_owned(), Duration::from_secs(7 * 24 * 60 * 60)),
        ("app:answers!tag:t".to_owned(), 4 * MINUTE),
        (named.clone(), 4 * MINUTE),
        (format!("{{{named}}}!lease"), 3 * MINUTE),
    ];
    assert_eq!(server.keys("*").await, expected.each_ref().map(|(name, _)| name.as_str()));
    for (name, most) in expected {
        let left = Duration::from_millis(u64::try_from(server.pttl(&name).await).expect("it expires"));
        assert!(left <= most && left > most - MINUTE, "{name} is kept for {left:?}");
    }
}

#[tokio::test]
async fn an_answer_is_kept_through_its_stale_windows() {
    let server = Server::start().await;
    let layer = layer(store(&server.url())).show_key(true).build();
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=600, stale-if-error=300")];
    let cache = layer.layer(Origin::replies(move |_| reply(200, &fields, full("/a"))));
    let key = key_of(&cache, "/a").await;
    until("it is stored", async || layer.handle().stats().stored == 1).await;
    let left = server.pttl(&name(&key)).await;
    assert!((600_000..=660_000).contains(&left), "{left} ms");
}

#[tokio::test]
async fn prefixes_and_spaces_are_apart() {
    let server = Server::start().await;
    let client = client(&server.url());
    let of = |prefix, space| Redis::builder(client.clone()).prefix(prefix).space(space).build().expect("a store");
    let stores = [of("one", "a"), of("one", "b"), of("two", "a"), of("on", "a")];
    let key = key("label", "a");
    for (index, store) in stores.iter().enumerate() {
        store.put(&key, entry(&index.to_string(), &["t"])).await.expect("a write");
    }
    for (selector, purged) in [(Selector::All, 0), (Selector::label("*"), 1), (tagged("t"), 2)] {
        assert_eq!(stores[purged].purge(&selector).await.expect("a purge"), 1, "{selector:?}");
        for (index, store) in stores.iter().enumerate() {
            let found = store.get(&key).await.expect("an answer");
            assert_eq!(found.is_some(), index > purged, "{selector:?} and store {index}");
            assert!(found.is_none_or(|entry| *entry.body().data() == *index.to_string()));
        }
    }
}

#[tokio::test]
async fn a_hit_is_one_get() {
    let server = Server::start().await;
    let cache = layer(store(&server.url())).build().layer(paths());
    until("a hit", async || hits(&cache, "/a").await).await;
    until("the end of its lease", async || server.keys("*!lease").await.is_empty()).await;
    let before = server.commandstats().await;
    for _ in 0..10 {
        assert!(hits(&cache, "/a").await);
    }
    assert_eq!(called_since(&server, &before).await, calls(&[("get", 10)]));
}

#[tokio::test]
async fn a_write_is_sent_whole_before_anything_is_answered() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let store =
        Redis::builder(larder::redis::Client::builder(&relay.url()).response_timeout(MINUTE).build().expect("a URL"));
    let store = store.build().expect("a store");
    // Redis knows the scripts from then on, and the store how far the log goes.
    store.put(&key("label", "first"), entry("first", &["t", "u"])).await.expect("a write");
    let (before, key) = (server.commandstats().await, key("label", "second"));
    relay.set(Fault::Delay(MINUTE));
    let (own, put) = (store.clone(), (key.clone(), entry("second", &["v", "w"])));
    let put = tokio::spawn(async move { own.put(&put.0, put.1).await });
    until("it lies there", async || server.get(&name(&key)).await.is_some()).await;
    let indexes = ["larder:default!tag:t", "larder:default!tag:u", "larder:default!tag:v", "larder:default!tag:w"];
    assert_eq!(server.keys("*!tag:*").await, indexes);
    assert!(!put.is_finished(), "no answer has come yet");
    let called = called_since(&server, &before).await;
    assert_eq!((called.get("evalsha"), called.get("eval")), (Some(&3), None));
    put.abort();
}

#[tokio::test]
async fn no_purge_uses_a_command_that_holds_redis_up() {
    let server = Server::start().await;
    let store = store(&server.url());
    let before = server.commandstats().await;
    let selectors = [Selector::Key(key("label", "0")), tagged("t"), Selector::label("la*"), Selector::All];
    for selector in selectors {
        for number in 0..1200 {
            store.put(&key("label", &number.to_string()), entry("x", &["t"])).await.expect("a write");
        }
        let count = if matches!(selector, Selector::Key(_)) { 1 } else { 1200 };
        assert_eq!(store.purge(&selector).await.expect("a purge"), count, "{selector:?}");
    }
    let called = called_since(&server, &before).await;
    for held in ["keys", "flushdb", "flushall", "del", "smembers", "hgetall"] {
        assert_eq!(called.get(held), None, "{called:?}");
    }
    // A few hundred at a time.
    for (batches, least) in [("scan", 4), ("zscan", 2), ("unlink", 5)] {
        assert!(called[batches] >= least, "{called:?}");
    }
}

#[tokio::test]
async fn a_tags_index_forgets_what_has_expired_and_expires_itself() {
    let server = Server::start().await;
    let store = store(&server.url());
    let index = "larder:default!tag:t";
    let count = async || counted(&server, &["ZCARD", index]).await;
    let shortly = fresh(Duration::from_secs(2));
    for number in 0..250 {
        store.put(&key("label", &number.to_string()), entry_of(shortly.clone(), "x", &["t"])).await.expect("a write");
    }
    assert!(count().await > 100, "the machine is too slow for this test");
    store.put(&key("label", "long"), entry("x", &["t"])).await.expect("a write");
    until("all but one to expire", async || server.keys("larder:default:*").await.len() == 1).await;
    // A hundred a write.
    for _ in 0..3 {
        store.put(&key("label", "long"), entry("x", &["t"])).await.expect("a write");
    }
    assert_eq!(count().await, 1);
    // One that lasts less long doesn't shorten it, and it is as gone as its entries are.
    store
        .put(&key("label", "short"), entry_of(fresh(Duration::from_secs(1)), "x", &["t", "u"]))
        .await
        .expect("a write");
    assert!((1..=60_000).contains(&server.pttl(index).await));
    assert!(server.pttl(index).await > 30_000, "the longest counts");
    until("the other index to expire", async || server.pttl("larder:default!tag:u").await == -2).await;
}

#[tokio::test]
async fn bodies_are_compressed_where_that_pays_and_come_back_byte_for_byte() {
    let server = Server::start().await;
    let client = client(&server.url());
    let prose: String = (0..5000).map(|number| format!("the {number}th line of a text\n")).collect();
    // Xorshift.
    let next =
        |n: &u32| [13, -17, 5].iter().fold(*n, |n, by: &i32| if *by > 0 { n ^ (n << by) } else { n ^ (n >> -by) });
    let noise: Vec<u8> = std::iter::successors(Some(1u32), |n| Some(next(n))).take(100_000).map(|n| n as u8).collect();
    let cases: [(&str, &[u8], &[(&'static str, &'static str)], bool); 7] = [
        ("a text", prose.as_bytes(), &[("content-type", "text/plain")], true),
        ("a text of no type", prose.as_bytes(), &[], true),
        ("what is compressed", prose.as_bytes(), &[("content-encoding", "gzip")], false),
        ("an image", prose.as_bytes(), &[("content-type", "image/png")], false),
        ("a small one", &prose.as_bytes()[..1024], &[("content-type", "text/plain")], false),
        ("one just above", &prose.as_bytes()[..1025], &[("content-type", "text/plain")], true),
        ("noise", &noise, &[("content-type", "text/plain")], false),
    ];
    for compression in [Compression::Zstd(3), Compression::Lz4, Compression::Off] {
        let store = Redis::builder(client.clone()).compression(compression).build().expect("a store");
        for (what, body, fields, compressible) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let head = Head::new(StatusCode::OK, headers, fresh(MINUTE));
            let key = key("label", what);
            store.put(&key, Entry::new(head, Frames::whole(body.to_vec().into()))).await.expect("a write");
            let length = length(&server, &name(&key)).await;
            let expected = compressible && compression != Compression::Off;
            assert_eq!(length < body.len(), expected, "{what}, {compression:?}: {length} for {}", body.len());
            let back = store.get(&key).await.expect("an answer").expect("an entry");
            assert_eq!(back.body().data(), body, "{what}, {compression:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_comes_back_as_the_origin_gave_it() {
    let server = Server::start().await;
    let body: String = (0..5000).map(|number| format!("the {number}th line of a text\n")).collect();
    let sent = body.clone();
    let fields = [("cache-control", "max-age=600"), ("content-type", "text/plain"), ("x-own", "kept")];
    let cache =
        layer(store(&server.url())).build().layer(Origin::replies(move |_| reply(200, &fields, full(sent.clone()))));
    until("a hit", async || {
        let answer = ask(&cache, get("http://host/", &[])).await;
        let hit = said(&answer).starts_with("larder; hit");
        assert_eq!(answer.headers()["x-own"], "kept");
        assert_eq!(text(answer).await, body);
        hit
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_is_not_written_and_counted() {
    let server = Server::start().await;
    let store = Redis::builder(client(&server.url())).max_entry(2000).compression(Compression::Off);
    let store = store.build().expect("a store");
    let (small, large) = (key("label", "small"), key("label", "large"));
    store.put(&small, entry(&"x".repeat(1500), &[])).await.expect("a write");
    store.put(&large, entry(&"x".repeat(2001), &["t"])).await.expect("it is no error");
    assert!(has(&store, &small).await && !has(&store, &large).await);
    assert_eq!(store.tiers()[0].too_large, 1);
    assert_eq!(server.keys("*").await, [name(&small)], "nor is it in an index");
}

#[tokio::test]
async fn usage_is_that_of_the_server() {
    let server = Server::with(&["maxmemory 64mb", "maxmemory-policy allkeys-lru"]).await;
    let store = store(&server.url());
    for number in 0..10 {
        store.put(&key("label", &number.to_string()), entry("x", &[])).await.expect("a write");
    }
    let usage = store.usage().await.expect("an answer");
    assert_eq!((usage.entries, usage.capacity, usage.evictions), (10, 64 << 20, 0));
    assert!((1..64 << 20).contains(&usage.bytes), "{usage:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    // It is above its limit, and evicts what it can with the next write.
    let _ = server.try_command(&["SET", "x", "x"]).await;
    assert!(store.usage().await.expect("an answer").evictions > 0);
}
