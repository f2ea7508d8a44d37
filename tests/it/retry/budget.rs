//! How much retries and hedges may add to the load of an upstream.

use std::time::Duration;

use larder::retry::{Backoff, Builder, Credentials, Hedge, Upstream};
use tokio::task::JoinSet;
use tower::Layer as _;

use super::words::{MS, SECOND, half};
use crate::support::{Act, Script, ask, get};

/// Sends a request every 10 ms to each of these hosts, by clones of four services of one layer, and waits for all.
async fn storm(builder: Builder, script: &Script, hosts: &[&str], seconds: u64) -> u64 {
    let layer = builder.build();
    let services = [(); 4].map(|()| layer.layer(script.clone()));
    let (mut requests, sent) = (JoinSet::new(), seconds * 100);
    for number in 0..sent {
        for host in hosts {
            let (service, request) = (services[number as usize % 4].clone(), get(&format!("http://{host}/"), &[]));
            requests.spawn(async move { ask(&service, request).await.status() });
        }
        tokio::time::sleep(10 * MS).await;
    }
    while let Some(status) = requests.join_next().await {
        status.expect("no panic");
    }
    sent
}

fn extra(script: &Script, host: &str, requests: u64) -> u64 {
    script.seen().iter().filter(|seen| seen.host() == host).count() as u64 - requests
}

#[tokio::test(start_paused = true)]
async fn a_storm_adds_no_more_than_the_budget_to_each_upstream() {
    let script = Script::new(|_, seen| if seen.host() == "well" { Act::status(200) } else { Act::status(503) });
    let requests = storm(half().no_breaker(), &script, &["down", "out", "well"], 30).await;
    assert_eq!(extra(&script, "well", requests), 0);
    for host in ["down", "out"] {
        let extra = extra(&script, host, requests);
        // A fifth, and ten a second: for as long as it lasted, and as long as a request counts.
        assert!(extra <= requests / 5 + 10 * (30 + 10), "{extra} for {requests} at {host}");
        assert!(extra >= requests / 5, "{extra} for {requests} at {host}: the budget isn't used");
    }
}

#[tokio::test(start_paused = true)]
async fn no_ratio_lets_more_through_than_it_says() {
    for ratio in [0.0, 0.05, 0.1, 0.142_857, 0.15, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.3] {
        let script = Script::statuses([503]);
        let builder = half().no_breaker().budget(ratio, 0).backoff(Backoff::constant(Duration::ZERO));
        let requests = storm(builder, &script, &["a"], 5).await;
        let extra = extra(&script, "a", requests) as f32;
        let most = ratio * requests as f32;
        assert!(extra <= most + 0.01, "{extra} of {requests} with {ratio}");
        // In whole tokens, the nearest ratio below it may be no more than a half of it.
        assert!(extra >= (most / 2.0).floor(), "{extra} of {requests} with {ratio}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_floor_alone_is_a_rate() {
    let script = Script::statuses([503]);
    let requests = storm(half().no_breaker().budget(0.0, 2), &script, &["a"], 40).await;
    let extra = extra(&script, "a", requests);
    assert!((2 * 30..=2 * (40 + 10)).contains(&extra), "{extra}");
}

#[tokio::test(start_paused = true)]
async fn what_the_budget_does_not_allow_falls_back_at_once() {
    let script = Script::new(|_, seen| Act::status(if seen.host() == "b" { 200 } else { 503 }));
    let other = Upstream::to("http://b".parse().expect("a URI"));
    let layer = half().budget(0.0, 0).fallback(other).build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), script.times()), (200, vec![0, 0]));
    let stats = layer.handle().stats();
    assert_eq!((stats.over_budget, stats.retries, stats.fallback_upstream), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_each_request_has_all_its_attempts() {
    let script = Script::statuses([503]);
    let requests = storm(half().no_breaker().no_budget(), &script, &["a"], 3).await;
    assert_eq!(extra(&script, "a", requests), 2 * requests);
}

#[tokio::test(start_paused = true)]
async fn hedges_are_paid_from_the_budget() {
    let script = Script::new(|_, _| Act::status(200).after(500));
    let requests = storm(half().budget(0.1, 0).hedge(Hedge::after(100 * MS)), &script, &["a"], 10).await;
    let extra = extra(&script, "a", requests);
    assert!((requests / 20..=requests / 10).contains(&extra), "{extra} of {requests}");

    let script = Script::new(|_, _| Act::status(200).after(500));
    let layer = half().budget(0.0, 0).hedge(Hedge::after(100 * MS)).build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), script.calls(), script.now()), (200, 1, 500));
    assert_eq!((layer.handle().stats().over_budget, layer.handle().stats().hedges), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_was_spent_comes_back_with_time() {
    let script = Script::statuses([503]);
    let service = half().attempts(2).no_breaker().budget(0.0, 1).build().layer(script.clone());
    for _ in 0..20 {
        ask(&service, get("http://a/", &[])).await;
    }
    // One a second for ten seconds.
    assert_eq!(script.calls(), 30);
    tokio::time::advance(30 * SECOND).await;
    ask(&service, get("http://a/", &[])).await;
    assert_eq!(script.calls(), 32);
}

#[tokio::test(start_paused = true)]
async fn keys_that_all_are_refused_add_no_more_than_the_budget() {
    for status in [401, 429] {
        // They need not rest, so that each request could try all of them.
        let script = Script::new(move |_, _| Act::with(status, &[("retry-after", "0")]));
        let keys = Credentials::bearer((0..10).map(|number| number.to_string())).expect("tokens");
        let requests = storm(half().no_breaker().budget(0.2, 0).credentials(keys), &script, &["a"], 5).await;
        let extra = extra(&script, "a", requests);
        assert!(extra <= requests / 5, "{extra} of {requests} with {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_key_that_the_budget_does_not_allow_falls_back_at_once() {
    let script = Script::new(|_, _| Act::status(429));
    let keys = Credentials::bearer(["one", "two"]).expect("tokens");
    let layer = half().budget(0.0, 0).credentials(keys).build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), script.times()), (429, vec![0]));
    assert_eq!((layer.handle().stats().over_budget, layer.handle().stats().credential_changes), (1, 0));
}
