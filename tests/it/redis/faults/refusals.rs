//! Redis works, and refuses to write: that is no outage, and what can be read is.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use larder::{
    key::KeyBuilder,
    store::{Redis, Store as _},
    tag::Selector,
};

use super::{Site, damaged::entry, eventually, patient, store};
use crate::support::redis::Server;

/// Both kinds of cache, and a store beside them, by one connection.
fn beside(url: &str) -> ([Site; 2], Redis) {
    let client = patient(url);
    ([Site::alone(client.clone()), Site::tiered(client.clone())], store(client, "beside"))
}

/// What was kept is served while nothing can be written, and nobody stops asking for it.
async fn reads_go_on(site: &Site, store: &Redis) {
    let before = site.redis();
    for number in 0..20 {
        let key = KeyBuilder::new("test").field("id", number.to_string()).finish();
        store.put(&key, entry("text")).await.expect_err("nothing can be written");
    }
    for _ in 0..20 {
        // A path that nobody asked for yet.
        assert!(!site.hits(&format!("/unkept/{}", site.origin.calls())).await);
        assert!(site.hits("/kept").await);
    }
    eventually("writes that are seen to fail", async || site.redis().errors > before.errors + 20).await;
    assert!(site.is_closed() && site.redis().opened == before.opened, "{:?}", site.redis());
    assert_eq!(site.illness().await, None);
}

async fn writes_again(site: &Site, server: &Server) {
    let count = Cell::new(0);
    eventually("an entry that is kept", async || {
        count.set(count.get() + 1);
        let before = server.keys(&site.entries()).await.len();
        site.ask(&format!("/again/{}", count.get())).await;
        server.keys(&site.entries()).await.len() > before
    })
    .await;
}

#[tokio::test]
async fn a_full_server_serves_what_it_has() {
    let server = Server::with(&["maxmemory-policy noeviction"]).await;
    let (sites, store) = beside(&server.url());
    for site in &sites {
        site.warm("/kept").await;
        eventually("a write", async || !server.keys(&site.entries()).await.is_empty()).await;
    }
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for site in &sites {
        reads_go_on(site, &store).await;
    }
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    for site in &sites {
        writes_again(site, &server).await;
    }
}

/// That is how room is made.
#[tokio::test]
async fn a_full_server_can_be_purged() {
    let server = Server::with(&["maxmemory-policy noeviction"]).await;
    for site in Site::patient(&server.url()) {
        site.warm("/kept").await;
        eventually("a write", async || !server.keys(&site.entries()).await.is_empty()).await;
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
        assert_eq!(site.handle.purge(&Selector::All).await.expect("it needs no room"), 1);
        assert!(server.keys(&site.entries()).await.is_empty() && !site.hits("/kept").await);
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    }
}

#[tokio::test]
async fn a_server_that_became_a_replica_serves_what_it_has_until_it_is_a_master_again() {
    let (server, other) = tokio::join!(Server::start(), Server::start());
    let (sites, store) = beside(&server.url());
    for site in &sites {
        site.warm("/kept").await;
        eventually("a write", async || !server.keys(&site.entries()).await.is_empty()).await;
    }
    // So that it finds with its master what it has.
    other.replicaof(Some(&server)).await;
    other.replicaof(None).await;
    server.replicaof(Some(&other)).await;
    let begin = Instant::now();
    // Long enough for it to be doubted whether it is the right server.
    while begin.elapsed() < Duration::from_secs(2) {
        for site in &sites {
            reads_go_on(site, &store).await;
        }
    }
    server.replicaof(None).await;
    for site in &sites {
        writes_again(site, &server).await;
    }
}
