//! Proxies whose Redis goes and comes.

use tokio::time::{Duration, sleep};

use super::{
    fleet::{ask, two},
    message::{Message, response},
    origin::Origin,
    process::Proxy,
    within,
};
use crate::support::redis::{Fault, Relay, Server};

/// An origin whose answers say what was asked for, and how often it was asked so far.
async fn origin() -> Origin {
    Origin::answering(|request, number| {
        response(200, &[("Cache-Control", "max-age=600")], format!("{} {number}", request.target()))
    })
    .await
}

/// A whole answer to the right question.
async fn answered(proxy: &Proxy, target: &str) -> Message {
    let given = ask(proxy, target, &[]).await;
    assert_eq!(given.status(), 200, "{}", given.cache());
    assert!(given.text().starts_with(&format!("{target} ")), "{target}: {}", given.text());
    given
}

/// Waits until what one of two proxies fetches is a hit through the other. Redis says so after its next hello.
async fn share(proxies: &[Proxy; 2]) {
    let [one, other] = proxies;
    within(async {
        for number in 0.. {
            let target = format!("/shared/{number}");
            let first = answered(one, &target).await;
            let again = answered(other, &target).await;
            if again.is_hit() {
                assert_eq!(again.text(), first.text());
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn no_request_fails_when_redis_dies_and_what_is_in_memory_is_still_served() {
    let origin = origin().await;
    let mut server = Server::start().await;
    let proxies = two(&origin, &server.url(), true, "http").await;
    let mut kept = Vec::new();
    for proxy in &proxies {
        kept.push(answered(proxy, "/kept").await.text().to_owned());
    }
    assert_eq!(kept[0], kept[1]);
    for round in 0..60 {
        if round == 20 {
            server.kill();
        }
        for (proxy, kept) in proxies.iter().zip(&kept) {
            let given = answered(proxy, "/kept").await;
            assert_eq!((given.text(), given.is_hit()), (kept.as_str(), true), "{round}: {}", given.cache());
            answered(proxy, &format!("/{round}")).await;
        }
    }
    // Without Redis each has what it fetched itself.
    for proxy in &proxies {
        let given = answered(proxy, "/59").await;
        assert!(given.is_hit(), "{}", given.cache());
    }
    server.restart().await;
    share(&proxies).await;
}

#[tokio::test]
async fn proxies_with_redis_alone_pass_requests_on_while_it_is_gone() {
    let origin = origin().await;
    let mut server = Server::start().await;
    let proxies = two(&origin, &server.url(), false, "http").await;
    share(&proxies).await;
    server.kill();
    for round in 0..60 {
        let calls = origin.calls();
        for proxy in &proxies {
            assert!(!answered(proxy, &format!("/{round}")).await.is_hit());
        }
        assert_eq!(origin.calls(), calls + 2);
    }
    server.restart().await;
    share(&proxies).await;
}

#[tokio::test]
async fn proxies_join_a_redis_that_starts_after_them() {
    let origin = origin().await;
    for memory in [false, true] {
        let mut server = Server::start().await;
        server.kill();
        let proxies = two(&origin, &server.url(), memory, "http").await;
        for proxy in &proxies {
            assert!(!answered(proxy, "/a").await.is_hit());
            // The write to Redis is given up first, and who asks meanwhile reads along.
            assert!(!answered(proxy, "/b").await.is_hit());
            assert_eq!(answered(proxy, "/a").await.is_hit(), memory);
        }
        server.restart().await;
        share(&proxies).await;
    }
}

#[tokio::test]
async fn a_slow_redis_is_waited_for_as_long_as_is_said() {
    let origin = origin().await;
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let proxies = two(&origin, &relay.url(), false, "http").await;
    share(&proxies).await;
    relay.set(Fault::Delay(Duration::from_millis(400)));
    let first = answered(&proxies[0], "/slow").await;
    let again = answered(&proxies[1], "/slow").await;
    assert_eq!((again.text(), again.is_hit()), (first.text(), true), "{}", again.cache());
}
