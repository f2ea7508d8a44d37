//! Listings of entries in Redis.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use larder::{
    entry::{Entry, Frames, Head, codec::KeyRing},
    store::{Listing, Page, Redis, Store, Tiered},
    tag::Selector,
};

use super::samples::{MINUTE, client, entry, entry_of, fresh, key, name, store, tag, tagged};
use crate::support::redis::{Cluster, Server};

async fn page(store: &Redis, listing: &Listing) -> Page {
    store.list(listing).await.expect("a listing")
}

/// The labels of all that is listed, sorted, and how many pages there were.
async fn labels(store: &Redis, selector: Selector, limit: usize) -> (Vec<String>, usize) {
    let (mut listing, mut found) = (Listing::new(selector).limit(limit), Vec::new());
    for pages in 1.. {
        let page = page(store, &listing).await;
        found.extend(page.entries.iter().map(|listed| listed.key.label().to_owned()));
        let Some(next) = page.next else {
            found.sort_unstable();
            return (found, pages);
        };
        listing = listing.after(next);
    }
    unreachable!("it returns before")
}

#[tokio::test]
async fn of_large_entries_the_beginning_alone_is_read() {
    let server = Server::start().await;
    let store = store(&server.url());
    // Bytes that no compression makes fewer.
    let body: Vec<u8> =
        (0..1_000_000u64).map(|n| (n.wrapping_mul(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    for number in 0..20 {
        let large = entry_of(fresh(MINUTE), body.clone(), &["large"]);
        store.put(&key("large", &number.to_string()), large).await.expect("put");
    }
    let sent = async || {
        let info: String = redis::from_redis_value(server.command(&["INFO", "stats"]).await).expect("text");
        let line = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).expect("Redis says it");
        line.trim().parse::<u64>().expect("a number")
    };
    let before = sent().await;
    for selector in [Selector::All, tagged("large")] {
        let found = page(&store, &Listing::new(selector)).await;
        assert_eq!(found.entries.len(), 20);
        for listed in &found.entries {
            assert!(listed.size > 100_000 && listed.lifetime.is_some() && listed.tags == [tag("large")], "{listed:?}");
        }
    }
    let sent = sent().await - before;
    assert!(sent < 500_000, "{sent} bytes for 40 beginnings");
}

#[tokio::test]
async fn a_head_that_is_longer_than_most_is_read_once_more() {
    let server = Server::start().await;
    let store = store(&server.url());
    for (label, bytes) in [("longer", 20_000), ("too-long", 200_000)] {
        let value = HeaderValue::from_bytes(&vec![b'x'; bytes]).expect("visible");
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-long"), value)]);
        let head = Head::new(StatusCode::NOT_FOUND, headers, fresh(MINUTE)).tags(vec![tag("t")]);
        store.put(&key(label, ""), Entry::new(head, Frames::whole("hello".into()))).await.expect("put");
    }
    let mut found = page(&store, &Listing::new(tagged("t"))).await.entries;
    found.sort_by(|one, other| one.key.label().cmp(other.key.label()));
    let said: Vec<_> = found.iter().map(|listed| (listed.key.label(), listed.status, listed.tags.len())).collect();
    assert_eq!(said, [("longer", Some(StatusCode::NOT_FOUND), 1), ("too-long", None, 0)]);
    assert!(found[1].lifetime.is_none() && found[1].size > 200_000, "{:?}", found[1]);
}

#[tokio::test]
async fn what_is_encrypted_is_opened_if_it_is_small_and_named_if_it_is_not() {
    let server = Server::start().await;
    let store = Redis::builder(client(&server.url())).encryption(KeyRing::new([7; 32])).compress_above(usize::MAX);
    let store = store.build().expect("a store");
    store.put(&key("small", ""), entry("hello", &["t"])).await.expect("put");
    store.put(&key("large", ""), entry_of(fresh(MINUTE), vec![b'x'; 100_000], &["t"])).await.expect("put");
    for selector in [Selector::All, tagged("t")] {
        let mut found = page(&store, &Listing::new(selector)).await.entries;
        found.sort_by(|one, other| one.key.label().cmp(other.key.label()));
        let said: Vec<_> = found.iter().map(|listed| (listed.key.label(), listed.status, listed.tags.len())).collect();
        assert_eq!(said, [("large", None, 0), ("small", Some(StatusCode::OK), 1)]);
    }
    // Who has no key would find neither.
    let blind = super::samples::store(&server.url());
    assert!(page(&blind, &Listing::new(Selector::All)).await.entries.is_empty());
}

#[tokio::test]
async fn what_is_no_entry_is_passed_by_and_a_page_does_a_bounded_piece_of_work() {
    let server = Server::start().await;
    let store = store(&server.url());
    let script = "for number = 1, 20000 do redis.call('SET', 'somebody-else:' .. number, 'x') end";
    server.command(&["EVAL", script, "0"]).await;
    server.set(&name(&key("garbage", "")), b"not an entry").await;
    server.command(&["RPUSH", &name(&key("a-list", "")), "x"]).await;
    for number in 0..5 {
        store.put(&key(&format!("label-{number}"), ""), entry("hello", &[])).await.expect("put");
    }
    let expected: Vec<_> = (0..5).map(|number| format!("label-{number}")).collect();
    let (found, pages) = labels(&store, Selector::All, 10).await;
    assert_eq!(found, expected);
    assert!(pages >= 10, "{pages} pages for 20,000 keys of others");
    assert_eq!(labels(&store, Selector::label("label-[12]"), 1000).await.0, expected[1..3]);
}

#[tokio::test]
async fn an_index_goes_on_where_it_was_although_many_expire_at_once() {
    let server = Server::start().await;
    let store = store(&server.url());
    for number in 0..250 {
        store.put(&key(&format!("{number:03}"), ""), entry("hello", &["t"])).await.expect("put");
    }
    // As if all had been put in one moment.
    let script = "local all = redis.call('ZRANGE', KEYS[1], 0, -1)
        for _, member in ipairs(all) do redis.call('ZADD', KEYS[1], '9999999999999', member) end";
    server.command(&["EVAL", script, "1", "larder:default!tag:t"]).await;
    let expected: Vec<_> = (0..250).map(|number| format!("{number:03}")).collect();
    for limit in [20, 100, 1000] {
        assert_eq!(labels(&store, tagged("t"), limit).await.0, expected, "{limit}");
    }
    // Gone, or put again without the tag.
    store.remove(&key("000", "")).await.expect("remove");
    store.put(&key("001", ""), entry("hello", &[])).await.expect("put");
    assert_eq!(labels(&store, tagged("t"), 100).await.0, expected[2..]);
}

#[tokio::test]
async fn a_cluster_is_gone_through_master_by_master() {
    let cluster = Cluster::start().await;
    let store = store(&cluster.url());
    let expected: Vec<_> = (0..200).map(|number| format!("label-{number:03}")).collect();
    for label in &expected {
        store.put(&key(label, ""), entry("hello", &["t"])).await.expect("put");
    }
    for limit in [3, 64, 1000] {
        assert_eq!(labels(&store, Selector::All, limit).await.0, expected, "{limit}");
        assert_eq!(labels(&store, tagged("t"), limit).await.0, expected, "{limit}");
    }
    let checkup = store.checkup().await;
    assert!(checkup[0].health.is_up() && checkup[0].version.is_some() && checkup[0].usage.is_some(), "{checkup:?}");
}

#[tokio::test]
async fn a_server_that_was_started_anew_is_gone_through_from_the_beginning() {
    let mut server = Server::start().await;
    let store = store(&server.url());
    let fill = async || {
        for number in 0..100 {
            let put = async || store.put(&key(&format!("{number:03}"), ""), entry("hello", &[])).await.is_ok();
            super::samples::until("a write", put).await;
        }
    };
    fill().await;
    let first = page(&store, &Listing::new(Selector::All).limit(50)).await;
    assert!(first.next.is_some());
    server.restart().await;
    fill().await;
    let (mut listing, mut found) = (Listing::new(Selector::All).after(first.next), std::collections::BTreeSet::new());
    loop {
        let page = page(&store, &listing).await;
        found.extend(page.entries.iter().map(|listed| listed.key.label().to_owned()));
        let Some(next) = page.next else { break };
        listing = listing.after(next);
    }
    assert_eq!(found.len(), 100, "another process sorts its keys otherwise");
}

#[tokio::test]
async fn each_tier_says_how_it_is() {
    let mut server = Server::start().await;
    let store = Tiered::new(larder::store::Memory::new(1 << 20), store(&server.url()));
    store.put(&key("a", ""), entry("hello", &[])).await.expect("put");
    let checkup = store.checkup().await;
    let names: Vec<_> = checkup.iter().map(|tier| (tier.name, tier.health.is_up())).collect();
    assert_eq!(names, [("memory", true), ("redis", true)]);
    let version = checkup[1].version.as_deref().expect("Redis says it");
    assert!(version.contains('.'), "{version}");
    assert!(checkup[1].usage.is_some_and(|usage| usage.entries > 0 && usage.bytes > 0), "{checkup:?}");
    server.kill();
    let checkup = store.checkup().await;
    let names: Vec<_> = checkup.iter().map(|tier| (tier.name, tier.health.is_up())).collect();
    assert_eq!(names, [("memory", true), ("redis", false)]);
    assert!(checkup[1].usage.is_none() && checkup[1].version.is_none());
}
