//! Which limits are for a request, whose use it is, and how much they may use.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::request::Parts;
use larder::{
    RateLimitLayer,
    rate_limit::{
        Address, ApiKey, Charge, Correction, Limit, Limiter, Quota, RateLimitStatus, Subject, Taken,
        limiter::{LimiterError, Local},
    },
};
use tower::Layer as _;

use super::words::{by_user, is_denied, limited, list, retry_after, status, used};
use crate::support::{Script, ask, get};

/// The limits that a request was charged to.
async fn charged(limit: Limit, uri: &str) -> usize {
    let service = limited(limit).build().layer(Script::statuses([200]));
    let response = ask(&service, get(uri, &[])).await;
    response.extensions().get::<RateLimitStatus>().map_or(0, |status| status.limits.len())
}

#[tokio::test(start_paused = true)]
async fn a_path_is_limited_with_all_below_it_and_nothing_beside_it() {
    for (path, uri, is_limited) in [
        ("/v1/chat", "http://a/v1/chat", true),
        ("/v1/chat", "http://a/v1/chat/", true),
        ("/v1/chat", "http://a/v1/chat?model=x", true),
        ("/v1/chat", "http://a/v1/chat/completions", true),
        ("/v1/chat/", "http://a/v1/chat", true),
        ("/v1/chat", "/v1/chat", true),
        ("/v1/chat", "http://a/v1/chats", false),
        ("/v1/chat", "http://a/v1", false),
        ("/v1/chat", "http://a/v2/v1/chat", false),
        ("/v1/chat", "http://a/?/v1/chat", false),
        ("/v1/chat", "http://a/V1/chat", false),
        ("/", "http://a", true),
        ("/", "http://a/any", true),
        ("", "http://a/any", true),
    ] {
        let limit = Limit::new(Quota::per_minute(1)).on_path(path);
        assert_eq!(charged(limit, uri).await, usize::from(is_limited), "{path} and {uri}");
    }
}

/// RFC 3986 §6.2.2.2: what is behind the layer may take them for the same.
#[tokio::test(start_paused = true)]
async fn a_path_is_not_another_by_how_its_letters_are_written() {
    for uri in ["/v1/%63hat", "/%76%31/chat", "/v1/ch%61t/x", "//v1//chat", "/x/../v1/./chat", "/v1%2Fchat"] {
        let limit = Limit::new(Quota::per_minute(1)).on_path("/v1/chat");
        assert_eq!(charged(limit, &format!("http://a{uri}")).await, 1, "{uri}");
    }
    for path in ["/v1/%63hat", "/v1/ch%61t/"] {
        assert_eq!(charged(Limit::new(Quota::per_minute(1)).on_path(path), "http://a/v1/chat").await, 1, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_conditions_all_have_to_agree() {
    let posts = |head: &Parts| head.method == http::Method::POST;
    let limit = || Limit::new(Quota::per_minute(1)).on_path("/a").on(posts);
    let service = limited(limit()).build().layer(Script::statuses([200]));
    for (method, uri, is_limited) in
        [("POST", "http://h/a", true), ("GET", "http://h/a", false), ("POST", "http://h/", false)]
    {
        let response = ask(&service, crate::support::request(method, uri, &[])).await;
        assert_eq!(response.headers().contains_key("ratelimit"), is_limited, "{method} {uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_class_of_routes_has_a_quota_of_its_own() {
    let layer = limited(Limit::new(Quota::per_minute(20)).named("generation").on_path("/v1/chat"))
        .limit(Limit::new(Quota::per_minute(10)).named("expensive").on_path("/v1/images"))
        .limit(Limit::new(Quota::per_minute(100)).named("standard"))
        .build();
    let service = layer.layer(Script::statuses([200]));
    let mut passed = Vec::new();
    for path in ["/v1/chat/completions", "/v1/images", "/v1/models"] {
        let mut count = 0;
        while !is_denied(&ask(&service, get(&format!("http://a{path}"), &[])).await) {
            count += 1;
        }
        passed.push(count);
    }
    assert_eq!(passed, [20, 10, 70]);
    let policies: Vec<_> = layer.handle().stats().policies.iter().map(|policy| policy.allowed).collect();
    // What was denied by one found room in the other.
    assert_eq!(policies, [20, 10, 102]);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_its_peer_whatever_it_says() {
    let service = limited(Limit::new(Quota::per_minute(1)).per(Address::new())).build().layer(Script::statuses([200]));
    let from = |peer: [u8; 4], claims: &str| {
        let mut request = get("http://a/", &[("x-forwarded-for", claims), ("forwarded", &format!("for={claims}"))]);
        request.extensions_mut().insert(SocketAddr::from((peer, 4711)));
        request
    };
    for (peer, claims, denied) in [
        ([192, 0, 2, 1], "203.0.113.1", false),
        ([192, 0, 2, 1], "203.0.113.2", true),
        ([192, 0, 2, 2], "203.0.113.1", false),
    ] {
        assert_eq!(is_denied(&ask(&service, from(peer, claims)).await), denied, "{peer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_limited_wherever_it_is_sent_and_others_apart_from_it() {
    let key = ApiKey::new("not 16 random bytes at all");
    let layer = limited(Limit::new(Quota::per_minute(1)).per(key)).build();
    let service = layer.layer(Script::statuses([200]));
    for (field, denied) in [
        (Some(("authorization", "Bearer sk-1")), false),
        (Some(("x-api-key", "sk-1")), true),
        (Some(("x-api-key", "sk-2")), false),
        (Some(("authorization", "Bearer sk-2")), true),
        (None, false),
        (None, false),
    ] {
        let response = ask(&service, get("http://a/", field.as_slice())).await;
        assert_eq!(response.status() == 429, denied, "{field:?}");
        assert!(!format!("{:?}", response.extensions().get::<RateLimitStatus>()).contains("sk-"));
    }
    assert_eq!(layer.handle().stats().unlimited, 2);
}

#[tokio::test(start_paused = true)]
async fn a_closure_says_whose_use_it_is_or_that_it_is_nobodys() {
    let layer = limited(Limit::new(Quota::per_minute(1)).per(by_user))
        .limit(Quota::per_minute(9).of(larder::rate_limit::Unit::Bytes))
        .build();
    let service = layer.layer(Script::statuses([200]));
    for (user, denied) in
        [(Some("one"), false), (Some("two"), false), (Some("one"), true), (None, false), (None, false)]
    {
        let fields: Vec<_> = user.map(|user| ("x-user", user)).into_iter().collect();
        let response = ask(&service, get("http://a/", &fields)).await;
        assert_eq!((is_denied(&response), list(&response, "ratelimit").contains_key("rpm")), (denied, user.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_and_a_closure_say_what_particular_subjects_may_use() {
    let table = HashMap::from([(Subject::named("user", "big"), 3), (Subject::named("user", "none"), 0)]);
    let by_table = Limit::new(Quota::per_minute(1)).per(by_user).amounts(table);
    let by_closure = Limit::new(Quota::per_minute(1)).per(by_user).amounts(|subject: &Subject, head: &Parts| {
        assert!(head.headers.contains_key("x-user"));
        match subject.to_string().as_str() {
            "user:big" => Some(3),
            "user:none" => Some(0),
            _ => None,
        }
    });
    for limit in [by_table, by_closure] {
        let service = limited(limit).build().layer(Script::statuses([200]));
        for (user, amount) in [("big", 3), ("none", 0), ("other", 1)] {
            for number in 0..5 {
                let response = ask(&service, get("http://a/", &[("x-user", user)])).await;
                assert_eq!(is_denied(&response), number >= amount, "{user}");
                assert_eq!(list(&response, "ratelimit-policy")["rpm"]["q"], amount.to_string());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shadow_denies_nothing_and_says_nothing_but_counts() {
    let shadow = Limit::new(Quota::per_minute(2)).named("shadow").shadow(true);
    let layer = limited(shadow).limit(Quota::per_minute(4)).build();
    let service = layer.layer(Script::statuses([200]));
    for number in 0..5 {
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!(is_denied(&response), number == 4);
        assert!(!list(&response, "ratelimit").contains_key("shadow"));
        let (_, standing) = &status(&response).limits[0];
        assert_eq!((standing.is_shadow, standing.would_deny(), standing.denies()), (true, number >= 2, false));
        assert_eq!(used(&response, "shadow"), (number + 1).min(2), "what it would deny is not charged");
        if is_denied(&response) {
            assert_eq!(super::words::problem(response).await["violated-policies"], serde_json::json!(["rpm"]));
        }
    }
    let [shadow, real] = layer.handle().stats().policies.try_into().expect("two");
    assert_eq!((shadow.allowed, shadow.denied, shadow.would_deny), (2, 0, 3));
    assert_eq!((real.allowed, real.denied, real.would_deny), (4, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shadow_alone_leaves_no_mark_on_responses() {
    let layer = limited(Limit::new(Quota::per_minute(0)).shadow(true)).build();
    let response = ask(&layer.layer(Script::statuses([200])), get("http://a/", &[])).await;
    assert_eq!((is_denied(&response), retry_after(&response)), (false, None));
    assert!(response.headers().keys().all(|name| !name.as_str().contains("ratelimit")));
    assert_eq!(layer.handle().stats().policies[0].would_deny, 1);
}

/// Takes down what it is asked.
#[derive(Clone, Default)]
struct Noting {
    local: Local,
    groups: Arc<Mutex<Vec<Option<String>>>>,
}

impl Limiter for Noting {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, LimiterError> {
        let groups = charges.iter().map(|charge| charge.group.as_ref().map(ToString::to_string));
        self.groups.lock().expect("no panic").extend(groups);
        self.local.take(charges).await
    }

    async fn settle(&self, corrections: &[Correction]) -> Result<(), LimiterError> {
        self.local.settle(corrections).await
    }
}

#[tokio::test(start_paused = true)]
async fn all_charges_of_a_request_are_of_one_group() {
    let limiter = Noting::default();
    let layer = RateLimitLayer::builder(limiter.clone())
        .limit(Limit::new(Quota::per_minute(5)).per(by_user))
        .limit(Quota::per_hour(5))
        .group(|head: &Parts| Some(Subject::named("org", head.headers.get("x-org")?.to_str().ok()?)))
        .build();
    let service = layer.layer(Script::statuses([200]));
    ask(&service, get("http://a/", &[("x-user", "me"), ("x-org", "acme")])).await;
    ask(&service, get("http://a/", &[("x-user", "me")])).await;
    let acme = Some("org:acme".to_owned());
    assert_eq!(*limiter.groups.lock().expect("no panic"), [acme.clone(), acme, None, None]);
}
