//! What lies in Redis is not what was put there.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use larder::{
    entry::{Entry, Frames, Head, Lifetime},
    key::{Key, KeyBuilder},
    store::{Memory, Redis, Store as _, Tiered},
};

use super::{Site, eventually, patient};
use crate::support::redis::Server;

fn key(id: &str) -> Key {
    KeyBuilder::new("test").field("id", id).finish()
}

pub(super) fn entry(text: &'static str) -> Entry {
    let lifetime = Lifetime::new(SystemTime::now(), Duration::from_secs(600));
    let body = Frames::whole(text.into());
    Entry::new(Head::new(StatusCode::OK, HeaderMap::new(), lifetime), body)
}

async fn body(store: &Redis, key: &Key) -> Option<Vec<u8>> {
    let found = store.get(key).await.expect("Redis answers");
    found.map(|entry| entry.body().data().to_vec())
}

fn counted(store: &Redis) -> (u64, u64) {
    let tier = &store.tiers()[0];
    (tier.unreadable, tier.sealed)
}

/// Where an entry's bytes have the version of their format.
const VERSION_AT: usize = 4;

/// How an entry's bytes may be damaged; the second is another entry.
type Damage = fn(Vec<u8>, Vec<u8>) -> Vec<u8>;

const DAMAGES: &[(&str, Damage)] = &[
    ("a bit flipped at the end", |mut bytes, _| {
        *bytes.last_mut().expect("bytes") ^= 1;
        bytes
    }),
    ("a bit flipped in the middle", |mut bytes, _| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x80;
        bytes
    }),
    ("cut in half", |bytes, _| bytes[..bytes.len() / 2].to_vec()),
    ("cut by a byte", |bytes, _| bytes[..bytes.len() - 1].to_vec()),
    ("nothing left", |_, _| Vec::new()),
    ("longer", |bytes, _| [bytes, vec![0]].concat()),
    ("another key's", |_, other| other),
    ("no entry at all", |_, _| b"hello".to_vec()),
    ("of an unknown version", |mut bytes, _| {
        bytes[VERSION_AT] = 200;
        bytes
    }),
];

#[tokio::test]
async fn a_damaged_entry_is_missing_counted_and_removed() {
    let server = Server::start().await;
    let store = super::store(patient(&server.url()), "damaged");
    store.put(&key("other"), entry("other")).await.expect("a write");
    let other = server.get(&format!("larder:damaged:{}", key("other"))).await.expect("an entry");
    for (at, (what, damage)) in DAMAGES.iter().enumerate() {
        let key = key(what);
        let name = format!("larder:damaged:{key}");
        store.put(&key, entry("right")).await.expect("a write");
        assert_eq!(body(&store, &key).await.as_deref(), Some(&b"right"[..]));
        let bytes = server.get(&name).await.expect("an entry");
        server.set(&name, &damage(bytes, other.clone())).await;
        assert_eq!(body(&store, &key).await, None, "{what}");
        assert_eq!(counted(&store), (at as u64 + 1, 0), "{what}");
        eventually("its removal", async || server.get(&name).await.is_none()).await;
        store.put(&key, entry("anew")).await.expect("a write");
        assert_eq!(body(&store, &key).await.as_deref(), Some(&b"anew"[..]), "{what}");
    }
    assert_eq!(body(&store, &key("other")).await.as_deref(), Some(&b"other"[..]), "it is none the worse");
}

#[tokio::test]
async fn a_request_for_a_damaged_entry_stores_it_anew() {
    let server = Server::start().await;
    let url = server.url();
    Site::alone(patient(&url)).warm("/other").await;
    let [other] = &server.keys("larder:alone:*").await[..] else { panic!("one entry") };
    let other = server.get(other).await.expect("an entry");
    for (what, damage) in DAMAGES {
        server.command(&["FLUSHALL"]).await;
        // Neither has the entry in memory.
        let far = || super::store(patient(&url), "alone");
        let sites = [far().boxed(), Tiered::new(Memory::new(1 << 20), far()).boxed()];
        let sites = sites.map(|store| Site::new(store, "alone"));
        Site::alone(patient(&url)).warm("/kept").await;
        let [name] = &server.keys("larder:alone:*").await[..] else { panic!("one entry") };
        for site in &sites {
            let bytes = server.get(name).await.expect("an entry");
            server.set(name, &damage(bytes, other.clone())).await;
            assert!(!site.hits("/kept").await, "{what}");
            assert_eq!(site.redis().unreadable, 1, "{what}");
            site.warm("/kept").await;
            assert_eq!(site.origin.calls(), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn something_else_under_an_entrys_name_is_replaced() {
    let server = Server::start().await;
    for site in Site::patient(&server.url()) {
        site.warm("/kept").await;
        let [name] = &server.keys(&site.entries()).await[..] else { panic!("one entry") };
        let fresh = Site::new(super::store(patient(&server.url()), site.space).boxed(), site.space);
        server.command(&["DEL", name]).await;
        server.command(&["LPUSH", name, "a", "list"]).await;
        assert!(!fresh.hits("/kept").await);
        fresh.warm("/kept").await;
        assert!(fresh.is_closed() && fresh.redis().opened == 0, "{:?}", fresh.redis());
    }
}
