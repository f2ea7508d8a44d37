//! Clients that go away in the middle of a call to Redis.

use larder::{
    key::KeyBuilder,
    store::{Claim, Memory, Store as _, Tiered},
};
use tokio::runtime::Handle;

use super::{Site, eventually, hurried, patient, store};
use crate::support::{
    ask, begun, get, poll_once,
    redis::{Fault, Relay, Server},
    settle, text,
};

#[tokio::test]
async fn a_client_that_goes_away_takes_nobody_with_it() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    for site in [Site::alone(patient(&relay.url())), Site::tiered(patient(&relay.url()))] {
        for number in 0..10 {
            site.warm(&format!("/{number}")).await;
        }
        for _ in 0..20 {
            relay.set(Fault::Hold);
            let mut gone = Vec::new();
            for number in 0..10 {
                let path = format!("http://a/{}{number}", if number % 2 == 0 { "" } else { "new/" });
                let mut request = Box::pin(ask(&site.cache, get(&path, &[])));
                // Those that a near store answers are done.
                if poll_once(&mut request).is_pending() {
                    gone.push(request);
                }
            }
            settle().await;
            drop(gone);
            relay.set(Fault::Pass);
            for number in 0..10 {
                assert!(site.hits(&format!("/{number}")).await, "{number}");
            }
        }
        assert_eq!(site.redis().opened, 0);
    }
}

/// Nobody holds it, and so nobody gives it back.
#[tokio::test]
async fn a_claim_that_nobody_waits_for_holds_nobody_up() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let store = store(patient(&relay.url()), "claims");
    let key = KeyBuilder::new("test").finish();
    // Redis is connected, and knows the script.
    drop(store.claim(&KeyBuilder::new("another").finish(), None).await);
    eventually("the end of the lease", async || server.keys("*!lease").await.is_empty()).await;
    relay.set(Fault::Delay(std::time::Duration::from_millis(300)));
    let claim = begun(store.claim(&key, None));
    eventually("the lease", async || {
        settle().await;
        !server.keys("*!lease").await.is_empty()
    })
    .await;
    drop(claim);
    relay.set(Fault::Pass);
    // Its own time is three seconds.
    let begin = std::time::Instant::now();
    let claim = loop {
        match store.claim(&key, None).await {
            Claim::Taken(waiting) => drop(waiting.ended().await),
            claim @ (Claim::Free | Claim::Held(_) | Claim::Changed) => break claim,
        }
    };
    assert!(matches!(claim, Claim::Held(_)), "{claim:?}");
    assert!(begin.elapsed() < std::time::Duration::from_millis(2000), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_for_another_process_is_forgotten() {
    let server = Server::start().await;
    let [holder, waiter] = [(); 2].map(|()| store(patient(&server.url()), "waits"));
    let key = KeyBuilder::new("test").finish();
    let lease = holder.claim(&key, None).await;
    assert!(matches!(lease, Claim::Held(_)), "{lease:?}");
    let Claim::Taken(gone) = waiter.claim(&key, None).await else { panic!("it is held") };
    drop(gone);
    let Claim::Taken(stays) = waiter.claim(&key, None).await else { panic!("it is held") };
    drop(lease);
    stays.ended().await;
    assert!(matches!(waiter.claim(&key, None).await, Claim::Held(_)));
}

/// Whatever Redis does then.
#[tokio::test]
async fn a_cache_that_is_dropped_leaves_no_task_and_no_connection() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    // The relay's own.
    let before = tasks();
    for fault in [Fault::Pass, Fault::Refuse, Fault::Hold, Fault::Garbage] {
        relay.set(Fault::Pass);
        let sites = [Site::alone(hurried(&relay.url())), Site::tiered(hurried(&relay.url()))];
        for site in &sites {
            site.warm("/kept").await;
        }
        relay.set(fault);
        for site in &sites {
            for number in 0..20 {
                site.ask(&format!("/{number}")).await;
            }
        }
        drop(sites);
        eventually("the end of all tasks", async || {
            if fault == Fault::Hold {
                // The relay doesn't see that a connection ended before it may pass on what comes by it.
                relay.cut_all();
            }
            tasks() <= before
        })
        .await;
    }
}

#[tokio::test]
async fn a_store_that_never_found_redis_ends_when_it_is_dropped() {
    let mut server = Server::start().await;
    server.kill();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let store = Tiered::new(Memory::new(1 << 20), store(hurried(&server.url()), "never"));
    let key = KeyBuilder::new("test").finish();
    assert!(store.get(&key).await.is_err() && tasks() > before);
    drop(store);
    eventually("the end of all tasks", async || tasks() == before).await;
}

#[tokio::test]
async fn a_body_that_nobody_reads_to_its_end_is_read_again_whole() {
    let server = Server::start().await;
    for site in Site::patient(&server.url()) {
        site.warm("/big/1").await;
        for _ in 0..10 {
            let mut answer = ask(&site.cache, get("http://a/big/1", &[])).await;
            crate::support::data(&mut answer).await;
            drop(answer);
        }
        let answer = ask(&site.cache, get("http://a/big/1", &[])).await;
        assert_eq!(text(answer).await, super::body_of("/big/1"));
    }
}
