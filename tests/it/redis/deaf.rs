//! An instance that could not hear what others changed doesn't trust what it has near, and without Redis lives by it.

use larder::{store::Store as _, tag::Selector};

use super::instance::{FRESH, Instance, Joining, Kept, until};
use crate::support::{
    Origin, ask, full, get,
    redis::{Fault, Relay, Server},
    reply, said, text,
};

fn says(text: &'static str) -> Origin {
    Origin::replies(move |_| reply(200, FRESH, full(text)))
}

async fn deafened(instance: &Instance) -> u64 {
    instance.layer.handle().tiers().iter().map(|tier| tier.deafened).sum()
}

async fn asked(instance: &Instance) -> String {
    text(ask(&instance.cache, get("http://a/", &[])).await).await
}

/// An instance behind a relay, with an entry near; and one that has a straight way. They have origins of their own, so that one can
/// tell what comes from where.
async fn apart(server: &Server, relay: &Relay) -> (Instance, Instance, Origin) {
    let origin = says("new");
    let other = Joining::new(server.url(), Kept::InTiers).join(&says("old")).await;
    let one = Joining::new(relay.url(), Kept::InTiers).join(&origin).await;
    assert_eq!(asked(&other).await, "old");
    until("it is stored", async || other.layer.handle().stats().stored == 1).await;
    assert_eq!((asked(&one).await.as_str(), origin.calls(), one.nearby().await), ("old", 0, 1));
    (one, other, origin)
}

/// It served what was purged for as long as Redis was away, and no longer.
async fn is_well_again(server: &Server, one: &Instance, origin: &Origin) {
    until("Redis answers", async || one.far.health().await.is_up()).await;
    assert_eq!(asked(one).await, "new", "Redis can be asked, and has no entry");
    one.hears().await;
    assert_eq!(asked(one).await, "new");
    // The first that it fetches may be from before the purge, as far as it knows.
    let keeps = async || asked(one).await == "new" && server.keys("larder:default:*").await.len() == 1;
    until("it keeps what it fetches", keeps).await;
    let calls = origin.calls();
    assert_eq!((asked(one).await.as_str(), origin.calls()), ("new", calls), "and trusts its memory");
}

#[tokio::test]
async fn what_was_purged_while_the_connection_was_cut_is_not_served_after_it() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let (one, other, origin) = apart(&server, &relay).await;
    relay.set(Fault::Refuse);
    until("it notices", async || deafened(&one).await == 1).await;
    assert_eq!(other.layer.handle().purge(&Selector::All).await.expect("a purge"), 1);
    for _ in 0..20 {
        assert_eq!((asked(&one).await.as_str(), origin.calls()), ("old", 0), "without Redis it lives by what is near");
    }
    relay.set(Fault::Pass);
    is_well_again(&server, &one, &origin).await;
}

/// Nothing says that the connection is dead; the server still counts it as one that was told.
#[tokio::test]
async fn what_was_purged_while_nothing_came_through_is_not_served_after_it() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let (one, other, origin) = apart(&server, &relay).await;
    relay.set(Fault::Hold);
    assert_eq!(other.layer.handle().purge(&Selector::All).await.expect("a purge"), 1);
    until("it notices", async || deafened(&one).await == 1).await;
    relay.cut_all();
    relay.set(Fault::Pass);
    is_well_again(&server, &one, &origin).await;
}

#[tokio::test]
async fn an_instance_whose_server_was_restarted_empties_its_memory() {
    let mut server = Server::start().await;
    let origin = Origin::replies(|number| reply(200, FRESH, full(number.to_string())));
    let one = Joining::new(server.url(), Kept::InTiers).join(&origin).await;
    assert_eq!(asked(&one).await, "0");
    until("it is stored", async || one.layer.handle().stats().stored == 1).await;
    server.kill();
    until("it notices", async || deafened(&one).await == 1).await;
    for _ in 0..20 {
        assert_eq!(asked(&one).await, "0", "it lives by what is near");
    }
    assert_ne!(one.far.tiers()[0].opened, 0, "and Redis is not asked each time");
    server.restart().await;
    one.hears().await;
    until("Redis answers", async || one.far.health().await.is_up()).await;
    assert_eq!(asked(&one).await, "1", "what others changed meanwhile is not known");
    until("it is stored", async || one.layer.handle().stats().stored == 2).await;
    let answer = ask(&one.cache, get("http://a/", &[])).await;
    assert!(said(&answer).contains("hit"));
    assert_eq!(text(answer).await, "1");
}

#[tokio::test]
async fn an_instance_that_never_reached_redis_lives_by_its_memory() {
    let mut server = Server::start().await;
    let url = server.url();
    server.kill();
    let origin = Origin::replies(|number| reply(200, FRESH, full(number.to_string())));
    let one = Joining::new(url, Kept::InTiers).begin(&origin);
    for _ in 0..20 {
        assert_eq!(asked(&one).await, "0");
    }
    server.restart().await;
    one.hears().await;
    until("Redis answers", async || one.far.health().await.is_up()).await;
    asked(&one).await;
    until("what is fetched is in Redis", async || !server.keys("larder:default:*").await.is_empty()).await;
}
