//! Redis asks for a login that the cache lacks.

use super::{Site, eventually, hurried};
use crate::support::redis::Server;

/// The cache works without Redis, and says why.
async fn degraded(site: &Site, why: &str) {
    for number in 0..30 {
        assert!(!site.hits(&format!("/{number}")).await || site.space == "tiered");
        let illness = site.illness().await.expect("it can't log in");
        assert!(illness.contains(why), "{illness}");
    }
    assert!(!site.is_closed(), "{:?}", site.redis());
}

async fn joins(site: &Site) {
    eventually("a closed breaker", async || site.is_closed()).await;
    site.warm("/joined").await;
    eventually("health", async || site.illness().await.is_none()).await;
}

#[tokio::test]
async fn a_password_that_the_cache_lacks_is_named_and_not_missed_once_it_is_gone() {
    let server = Server::with(&["requirepass secret"]).await;
    let sites = Site::both(&server.url());
    // What is logged in stays so.
    let client = redis::Client::open(format!("redis://:secret@127.0.0.1:{}", server.port())).expect("a URL");
    let mut own = client.get_multiplexed_async_connection().await.expect("the right password");
    for site in &sites {
        degraded(site, "NOAUTH").await;
    }
    redis::cmd("CONFIG").arg(&["SET", "requirepass", ""]).exec_async(&mut own).await.expect("a setting");
    for site in &sites {
        joins(site).await;
    }
}

#[tokio::test]
async fn a_password_that_nobody_set_yet_is_no_use_until_somebody_does() {
    let server = Server::start().await;
    let sites = Site::both(&format!("redis://:secret@127.0.0.1:{}", server.port()));
    for site in &sites {
        degraded(site, "authentication failed").await;
    }
    server.command(&["CONFIG", "SET", "requirepass", "secret"]).await;
    for site in &sites {
        joins(site).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_named_and_good_once_it_is_the_right_one() {
    let server = Server::start().await;
    server.command(&["ACL", "SETUSER", "cache", "on", ">right", "~*", "&*", "+@all"]).await;
    let sites = Site::both(&format!("redis://cache:secret@127.0.0.1:{}", server.port()));
    for site in &sites {
        degraded(site, "authentication failed").await;
    }
    server.command(&["ACL", "SETUSER", "cache", ">secret"]).await;
    for site in &sites {
        joins(site).await;
    }
}

/// A cache that has been let in isn't let in any more: its connection is closed, and the next one refused.
#[tokio::test]
async fn a_login_that_is_taken_away_costs_hits_only() {
    let server = Server::start().await;
    server.command(&["ACL", "SETUSER", "cache", "on", ">secret", "~*", "&*", "+@all"]).await;
    let site = Site::alone(hurried(&format!("redis://cache:secret@127.0.0.1:{}", server.port())));
    site.warm("/kept").await;
    server.command(&["ACL", "DELUSER", "cache"]).await;
    eventually("a refusal", async || !site.hits("/kept").await && !site.is_closed()).await;
    // At first that the connection was closed.
    let refused = async || site.illness().await.is_some_and(|illness| illness.contains("authentication failed"));
    eventually("the reason", refused).await;
    degraded(&site, "authentication failed").await;
    server.command(&["ACL", "SETUSER", "cache", "on", ">secret", "~*", "&*", "+@all"]).await;
    joins(&site).await;
}
