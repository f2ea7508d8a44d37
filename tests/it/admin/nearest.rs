//! Whose use is nearest to the end of a limit, as the router tells it.

use std::{net::SocketAddr, time::Duration};

use larder::{
    RateLimitLayer, admin,
    rate_limit::{
        Address, ApiKey, Handle, Limit, Limiter, Quota, Subject,
        limiter::{Local, Redis},
    },
    redis::Client,
};
use serde_json::Value;
use tower::Layer as _;

use super::Served;
use crate::support::{Origin, ask, full, get, reply, text};

const SECRET: &str = "sk-live-s3cret";

async fn near<L: Limiter>(handle: Handle<L>) -> Vec<Value> {
    let served = Served::new(admin::Builder::new().rate_limit("clients", handle).insecure().build()).await;
    let answer = served.get("/api/limits").await;
    assert!(!answer.text.contains("s3cret"), "{}", answer.text);
    answer.json()["limits"][0]["nearest"].as_array().expect("a list").clone()
}

/// The limit, the subject, and how much it has used and has left.
fn standing(near: &Value) -> (&str, &str, u64, u64) {
    let number = |name: &str| near[name].as_u64().expect("a number");
    let text = |name: &str| near[name].as_str().expect("a text");
    (text("policy"), text("subject"), number("used"), number("remaining"))
}

/// Sends requests with a key, from an address.
async fn send<L: Limiter>(layer: &RateLimitLayer<L>, key: &str, address: [u8; 4], count: usize) {
    let limited = layer.layer(Origin::replies(|_| reply(200, &[], full("hello"))));
    for _ in 0..count {
        let mut request = get("http://h/", &[("authorization", &format!("Bearer {key}"))]);
        request.extensions_mut().insert(SocketAddr::from((address, 4711)));
        text(ask(&limited, request).await).await;
    }
}

#[tokio::test]
async fn those_who_used_most_are_named_first_and_keys_by_their_hashes() {
    let org = |head: &http::request::Parts| {
        Some(Subject::named("org", head.headers.get("authorization")?.to_str().ok()?.split('-').nth(1)?))
    };
    let layer = RateLimitLayer::builder(Local::new())
        .limit(Limit::new(Quota::per_hour(10)).named("key").per(ApiKey::new("a secret of 16 bytes")))
        .limit(Limit::new(Quota::per_hour(100)).named("org").per(org))
        .limit(Limit::new(Quota::per_hour(1000)).named("address").per(Address::new()))
        .build();
    assert_eq!(near(layer.handle()).await, [] as [Value; 0], "nobody was there yet");
    send(&layer, SECRET, [192, 0, 2, 7], 9).await;
    send(&layer, "sk-other-key", [192, 0, 2, 8], 3).await;
    let near = near(layer.handle()).await;
    let shown: Vec<_> = near.iter().map(standing).collect();
    let [(limit, key, ..), ..] = shown[..] else { panic!("{shown:?}") };
    assert!(limit == "key" && key.strip_prefix("key#").is_some_and(|digits| digits.len() == 32), "{shown:?}");
    assert_eq!((shown[0].2, shown[0].3, shown[1].0, shown[1].2), (9, 1, "key", 3));
    let rest = [
        ("org", "org:live", 9, 91),
        ("org", "org:other", 3, 97),
        ("address", "ip:192.0.2.7", 9, 991),
        ("address", "ip:192.0.2.8", 3, 997),
    ];
    assert_eq!(shown[2..], rest);
    assert!(near[0]["refill"].as_f64().is_some_and(|time| time > 3000.0) && near[0]["age"] == 0.0, "{near:?}");
}

#[tokio::test]
async fn what_other_processes_charged_in_redis_is_told_too_and_what_was_seen_if_it_is_down() {
    let mut server = crate::support::redis::Server::start().await;
    let layer = || {
        let client = Client::builder(&server.url()).response_timeout(Duration::from_secs(20));
        let client = client.connect_timeout(Duration::from_secs(20)).build().expect("a URL");
        let limit = Limit::new(Quota::per_hour(10)).named("key").per(ApiKey::new("a secret of 16 bytes"));
        RateLimitLayer::builder(Redis::builder(client).timeout(Duration::from_secs(20)).build().expect("a limiter"))
            .limit(limit)
            .build()
    };
    let (here, there) = (layer(), layer());
    send(&here, SECRET, [192, 0, 2, 7], 2).await;
    send(&there, SECRET, [192, 0, 2, 7], 4).await;
    let told = near(here.handle()).await;
    let [one] = &told[..] else { panic!("{told:?}") };
    assert_eq!((standing(one).2, standing(one).3, &one["age"]), (6, 4, &0.0.into()));
    let asked = near(here.handle()).await;
    assert_eq!(standing(&asked[0]).2, 6, "looking at it charges nothing");
    server.kill();
    let told = near(here.handle()).await;
    assert_eq!((standing(&told[0]).2, told[0]["age"].as_f64().is_some_and(|age| age > 0.0)), (6, true), "{told:?}");
}
