//! Redis is gone, stuck, slow, or talks nonsense.

use std::time::Duration;

use larder::{
    breaker::Breaker,
    redis::Client,
    store::{Tier, TierState},
};

use super::{DEADLINE, Site, body_of, eventually, hurried};
use crate::support::redis::{Fault, Relay, Server};

/// Requests in an outage, each of which would call Redis several times.
const MANY: usize = 300;

/// What an outage is to caches that were well before, and are again after.
async fn outage(
    sites: &[Site],
    server: Server,
    breaks: impl AsyncFnOnce(Server) -> Server,
    mends: impl AsyncFnOnce(Server) -> Server,
) {
    let mut opened = Vec::new();
    for site in sites {
        site.warm("/kept").await;
        if site.space == "tiered" {
            site.warm_near("/kept", &server).await;
        }
        eventually("a closed breaker", async || site.is_closed()).await;
        opened.push(site.redis().opened);
    }
    let server = breaks(server).await;
    for (site, opened) in sites.iter().zip(opened) {
        suffers(site, opened).await;
    }
    let server = mends(server).await;
    for site in sites {
        recovers(site, &server).await;
    }
}

async fn suffers(site: &Site, opened: u64) {
    // A few calls find it out.
    for number in 0..20 {
        site.ask(&format!("/first/{number}")).await;
    }
    let found = site.redis();
    assert!(found.state != TierState::Closed && found.opened > opened, "{found:?}");
    // The others cost nothing: none of their calls is made.
    for number in 0..MANY {
        site.ask(&format!("/then/{number}")).await;
    }
    let after = site.redis();
    let calls = |tier: &Tier| tier.errors + tier.timeouts;
    // Those that were under way when it opened may end later.
    assert!(calls(&after) - calls(&found) <= 20, "{found:?} {after:?}");
    assert!(after.refused - found.refused >= MANY as u64, "{found:?} {after:?}");
    assert!(site.illness().await.is_some(), "it can be seen from outside");
    assert_eq!(site.hits("/kept").await, site.space == "tiered", "what lies near is served");
}

async fn recovers(site: &Site, server: &Server) {
    eventually("a closed breaker", async || site.is_closed()).await;
    server.command(&["FLUSHALL"]).await;
    let count = std::cell::Cell::new(0);
    eventually("entries that are kept in Redis, and served", async || {
        count.set(count.get() + 1);
        let path = format!("/after/{}", count.get());
        site.ask(&path).await;
        !server.keys(&site.entries()).await.is_empty() && site.hits(&path).await
    })
    .await;
    eventually("health", async || site.illness().await.is_none()).await;
}

#[tokio::test]
async fn a_killed_server_costs_hits_only_until_it_is_back() {
    let server = Server::start().await;
    let sites = Site::both(&server.url());
    let kill = async |mut server: Server| {
        server.kill();
        server
    };
    let restart = async |mut server: Server| {
        server.restart().await;
        server
    };
    outage(&sites, server, kill, restart).await;
}

#[tokio::test]
async fn a_stopped_server_costs_hits_only_until_it_goes_on() {
    let server = Server::start().await;
    let sites = Site::both(&server.url());
    let deafened = sites[1].redis().deafened;
    let stop = async |server: Server| {
        server.stop();
        server
    };
    let cont = async |server: Server| {
        // That takes seconds.
        eventually("deafness", async || sites[1].redis().deafened > deafened).await;
        server.cont();
        server
    };
    outage(&sites, server, stop, cont).await;
}

async fn relayed(fault: Fault) {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let sites = Site::both(&relay.url());
    let set = |fault| {
        let relay = &relay;
        async move |server: Server| {
            relay.set(fault);
            server
        }
    };
    outage(&sites, server, set(fault), set(Fault::Pass)).await;
}

#[tokio::test]
async fn replies_that_come_too_late_cost_hits_only() {
    relayed(Fault::Delay(Duration::from_millis(400))).await;
}

#[tokio::test]
async fn replies_that_trickle_cost_hits_only() {
    relayed(Fault::Throttle(1)).await;
}

#[tokio::test]
async fn connections_that_are_cut_in_a_reply_cost_hits_only() {
    relayed(Fault::CutAfter(3)).await;
}

#[tokio::test]
async fn replies_that_are_garbage_cost_hits_only() {
    relayed(Fault::Garbage).await;
}

#[tokio::test]
async fn a_network_that_swallows_everything_costs_hits_only() {
    relayed(Fault::Hold).await;
}

#[tokio::test]
async fn connections_that_are_refused_cost_hits_only() {
    relayed(Fault::Refuse).await;
}

#[tokio::test]
async fn a_server_that_starts_after_the_cache_is_used_from_then_on() {
    let mut server = Server::start().await;
    server.kill();
    let sites = Site::both(&server.url());
    for site in &sites {
        for number in 0..50 {
            site.ask(&format!("/{number}")).await;
        }
        assert!(!site.is_closed() && site.illness().await.is_some(), "{:?}", site.redis());
    }
    server.restart().await;
    for site in &sites {
        recovers(site, &server).await;
    }
}

/// What is read of it is thrown away, and what is left of it is taken for nothing else.
#[tokio::test]
async fn an_entry_that_is_cut_in_its_middle_is_missing() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    Site::alone(hurried(&server.url())).warm("/big/1").await;
    let site = Site::alone(hurried(&relay.url()));
    site.warm("/small").await;
    assert!(body_of("/big/1").len() > 100_000);
    relay.set(Fault::CutAfter(50_000));
    assert!(!site.hits("/big/1").await);
    for number in 0..20 {
        site.ask(&format!("/other/{number}")).await;
    }
    relay.set(Fault::Pass);
    site.warm("/big/1").await;
}

#[tokio::test]
async fn a_reply_that_came_too_late_is_not_taken_for_the_next() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    // One that goes on asking, by the same connection.
    let breaker = Breaker::builder().consecutive_failures(None).failure_ratio(None);
    let client = Client::builder(&relay.url()).response_timeout(DEADLINE).breaker(breaker).build();
    let site = Site::alone(client.expect("a URL"));
    for number in 0..8 {
        site.warm(&format!("/big/{number}")).await;
    }
    for fault in [Fault::Delay(2 * DEADLINE), Fault::Throttle(50_000), Fault::Hold] {
        relay.set(fault);
        for number in 0..4 {
            site.ask(&format!("/big/{number}")).await;
        }
        relay.set(Fault::Pass);
        for number in (0..8).rev() {
            site.warm(&format!("/big/{number}")).await;
        }
    }
    assert!(site.redis().timeouts > 0 && site.redis().opened == 0, "{:?}", site.redis());
}
