//! Entries that are encrypted with keys which this process has, or hasn't.

use larder::{
    entry::codec::KeyRing,
    store::{BoxStore, Memory, Redis, Store as _, Tiered},
};

use super::{Site, eventually, patient};
use crate::support::redis::Server;

fn store(server: &Server, keys: Option<KeyRing>) -> Redis {
    let builder = Redis::builder(patient(&server.url())).space("keys");
    let builder = if let Some(keys) = keys { builder.encryption(keys) } else { builder };
    builder.build().expect("sensible settings")
}

fn site(store: BoxStore) -> Site {
    Site::new(store, "keys")
}

fn ring(key: u8) -> Option<KeyRing> {
    Some(KeyRing::new([key; 32]))
}

/// The bytes of the only entry.
async fn bytes(server: &Server) -> Vec<u8> {
    let [name] = &server.keys("larder:keys:*").await[..] else { panic!("one entry") };
    server.get(name).await.expect("an entry")
}

#[tokio::test]
async fn what_no_key_opens_is_missing_counted_and_left_for_who_has_the_key() {
    let server = Server::start().await;
    for (theirs, own) in [(ring(1), ring(2)), (ring(1), None), (None, ring(2))] {
        server.command(&["FLUSHALL"]).await;
        site(store(&server, theirs).boxed()).warm("/kept").await;
        let before = bytes(&server).await;
        let lacks = store(&server, own);
        let [name] = &server.keys("larder:keys:*").await[..] else { panic!("one entry") };
        let (_, key) = name.split_at("larder:keys:".len());
        let key = key.parse().expect("a key");
        for count in 1..=3 {
            assert!(lacks.get(&key).await.expect("Redis answers").is_none());
            let tier = &lacks.tiers()[0];
            assert_eq!((tier.sealed, tier.unreadable), (count, 0));
        }
        // It is removed by nobody, not even a little later: this is answered after all that was asked before.
        lacks.health().await;
        assert_eq!(bytes(&server).await, before);
    }
}

#[tokio::test]
async fn a_request_for_what_no_key_opens_stores_it_anew() {
    let server = Server::start().await;
    let lacking: [fn(Redis) -> BoxStore; 2] = [|far| far.boxed(), |far| Tiered::new(Memory::new(1 << 20), far).boxed()];
    for lacks in lacking {
        server.command(&["FLUSHALL"]).await;
        site(store(&server, ring(1)).boxed()).warm("/kept").await;
        // Who waits for that looks a second time.
        eventually("the end of its lease", async || server.keys("*!lease").await.is_empty()).await;
        let lacks = site(lacks(store(&server, ring(2))));
        assert!(!lacks.hits("/kept").await);
        // It was looked at once: that it is there is no news to who claims it.
        assert_eq!((lacks.redis().sealed, lacks.redis().unreadable), (1, 0));
        eventually("the write", async || lacks.handle.stats().stored == 1).await;
        assert!(lacks.hits("/kept").await);
        assert_eq!((lacks.origin.calls(), lacks.redis().sealed), (1, 1));
    }
}

#[tokio::test]
async fn a_new_key_loses_no_entry() {
    let server = Server::start().await;
    let old = site(store(&server, ring(1)).boxed());
    old.warm("/kept").await;
    let rotated = KeyRing::new([2; 32]).previous([1; 32]);
    let new = site(store(&server, Some(rotated)).boxed());
    assert!(new.hits("/kept").await, "the old key opens it");
    new.warm("/new").await;
    assert!(!old.hits("/new").await, "it is closed with the new one");
    assert_eq!((new.redis().sealed, new.redis().unreadable), (0, 0));
    // Those who know the new key, and go on closing with the old one, are how it is made known before it is used.
    let both = site(store(&server, Some(KeyRing::new([1; 32]).previous([2; 32]))).boxed());
    eventually("both", async || both.hits("/kept").await && new.hits("/new").await).await;
}
