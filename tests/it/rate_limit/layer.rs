//! What is let through, what isn't, and how the inner service is called.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response};
use larder::{
    RateLimitLayer,
    body::ReplayBody,
    rate_limit::{
        Limit, Outcome, Quota,
        limiter::{BoxLimiter, Local},
    },
};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _};

use super::words::{SECOND, by_user, head, is_denied, limited, room_in, status, used};
use crate::support::{Act, Body, Origin, Refused, Script, ask, full, get, post, reply, text};

#[tokio::test(start_paused = true)]
async fn a_denied_request_never_reaches_the_inner_service() {
    let script = Script::statuses([200]);
    let service = limited(Quota::per_minute(2)).build().layer(script.clone());
    for denied in [false, false, true, true] {
        assert_eq!(is_denied(&ask(&service, get("http://a/", &[])).await), denied);
    }
    assert_eq!(script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_lets_one_through_and_a_limit_of_none_nobody() {
    let script = Script::statuses([200]);
    let service = limited(Quota::per_second(1)).build().layer(script.clone());
    for _ in 0..3 {
        assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
        let denied = ask(&service, get("http://a/", &[])).await;
        assert!(is_denied(&denied));
        tokio::time::advance(room_in(&denied)).await;
    }
    assert_eq!(script.calls(), 3);
    for quota in [Quota::per_second(0), Quota::concurrent(0)] {
        let service = limited(quota).build().layer(script.clone());
        assert!(is_denied(&ask(&service, get("http://a/", &[])).await), "{quota:?}");
    }
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_inner_error_comes_out_as_it_was_and_stays_charged() {
    let script = Script::failing_with(|_, _| Act::fail(Refused("mine")));
    let layer = limited(Quota::per_minute(2)).build();
    let service = layer.layer(script.clone());
    for _ in 0..2 {
        let error = service.clone().oneshot(get("http://a/", &[])).await.map(drop);
        assert_eq!(error, Err(Refused("mine")));
    }
    assert!(is_denied(&service.oneshot(get("http://a/", &[])).await.expect("a denial")));
    assert_eq!((script.calls(), layer.handle().stats().allowed), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_inner_services_readiness_is_the_layers() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Request<ReplayBody<Body>>> for Broken {
        type Response = Response<Body>;
        type Error = io::Error;
        type Future = std::future::Ready<Result<Response<Body>, io::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
            Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
        }

        fn call(&mut self, _: Request<ReplayBody<Body>>) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let layer = limited(Quota::per_minute(1)).build();
    let error = layer.layer(Broken).oneshot(get("http://a/", &[])).await.map(drop).expect_err("not ready");
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert_eq!(layer.handle().stats().allowed, 0);
}

/// What a service answers that is not cloned for each request.
async fn called<S>(service: &mut S) -> S::Response
where
    S: Service<Request<Body>>,
    S::Error: std::fmt::Debug,
{
    service.ready().await.expect("ready").call(get("http://a/", &[])).await.expect("a response")
}

/// A permit of the inner service that a clone was given would be lost.
#[tokio::test(start_paused = true)]
async fn the_very_service_that_was_polled_is_called_and_a_denial_gives_its_place_back() {
    let script = Script::statuses([200]);
    let one_at_a_time = ServiceBuilder::new().concurrency_limit(1).service(script.clone());
    let mut service = limited(Quota::per_second(1)).wait(5 * SECOND).build().layer(one_at_a_time.clone());
    for _ in 0..3 {
        assert_eq!(text(called(&mut service).await).await, "200");
    }
    let mut service = limited(Quota::per_minute(0)).build().layer(one_at_a_time.clone());
    for _ in 0..3 {
        assert!(is_denied(&called(&mut service).await));
    }
    drop(service);
    assert_eq!(ask(&one_at_a_time, get("http://a/", &[])).await.status(), 200);
    assert_eq!(script.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_count_together() {
    let layer = limited(Quota::per_minute(2)).build();
    let script = Script::statuses([200]);
    let services = [layer.layer(script.clone()), layer.clone().layer(script.clone()), layer.layer(script.clone())];
    let mut denied = Vec::new();
    for service in &services {
        denied.push(is_denied(&ask(service, get("http://a/", &[])).await));
    }
    assert_eq!(denied, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn layers_over_one_limiter_count_limits_of_one_name_together_and_others_apart() {
    let limiter = Local::new();
    let layer = |quota: Quota| RateLimitLayer::builder(limiter.clone()).limit(quota).build();
    let script = Script::statuses([200]);
    let (one, other) = (layer(Quota::per_minute(3)), layer(Quota::per_minute(3)));
    ask(&one.layer(script.clone()), get("http://a/", &[])).await;
    let second = ask(&other.layer(script.clone()), get("http://a/", &[])).await;
    let hourly = ask(&layer(Quota::per_hour(3)).layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((used(&second, "rpm"), used(&hourly, "rph")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_charged_to_all_its_limits_or_to_none() {
    let script = Script::statuses([200]);
    let layer = limited(Quota::per_minute(100))
        .limit(Limit::new(Quota::per_minute(2)).named("narrow"))
        .limit(Quota::per_hour(50))
        .build();
    let service = layer.layer(script.clone());
    for _ in 0..10 {
        ask(&service, get("http://a/", &[])).await;
    }
    let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
    let used: Vec<_> = standings.iter().map(|(policy, standing)| (policy.name(), standing.used)).collect();
    assert_eq!(used, [("rpm", 2), ("narrow", 2), ("rph", 2)], "a denial charged others");
    assert_eq!(script.calls(), 2);
    let stats = layer.handle().stats();
    assert_eq!((stats.allowed, stats.denied, stats.policies[1].denied, stats.policies[0].denied), (2, 8, 8, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_limit_is_for_passes_untouched() {
    let fields = &[("ratelimit", "\"theirs\";r=1"), ("x-ratelimit-remaining", "7")];
    let script = Script::new(move |_, _| Act::answer(reply(200, fields, full("x"))));
    let layer = limited(Limit::new(Quota::per_minute(0)).per(by_user)).build();
    let response = ask(&layer.layer(script), get("http://a/", &[])).await;
    assert_eq!(response.headers()["x-ratelimit-remaining"], "7");
    assert_eq!(response.headers()["ratelimit"], "\"theirs\";r=1");
    assert!(!response.headers().contains_key("ratelimit-policy"));
    assert_eq!(layer.handle().stats().unlimited, 1);
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_gets_the_request_as_it_came() {
    let script = Script::statuses([200]);
    let service = limited(Quota::per_minute(9)).build().layer(script.clone());
    let fields = &[("x-one", "1"), ("authorization", "Bearer secret"), ("content-length", "5")];
    let mut request = post("http://a/p?q", fields, "hello");
    request.extensions_mut().insert(42_u8);
    ask(&service, request).await;
    let seen = script.last();
    assert_eq!((seen.text().as_str(), seen.head.method.as_str()), ("hello", "POST"));
    assert_eq!(seen.head.uri, "http://a/p?q");
    assert_eq!(seen.head.extensions.get::<u8>(), Some(&42));
    for (name, value) in fields {
        assert_eq!(seen.field(name), Some(*value));
    }
    assert_eq!(seen.head.headers.len(), fields.len());
}

#[tokio::test(start_paused = true)]
async fn who_handles_the_response_is_told_how_it_was_decided() {
    let service = limited(Quota::per_minute(1)).build().layer(Script::statuses([500]));
    let response = ask(&service, get("http://a/", &[])).await;
    let (allowed, standing) = (status(&response), &status(&response).limits[0].1);
    assert_eq!((allowed.outcome, allowed.retry_after, allowed.limits.len()), (Outcome::Allowed, None, 1));
    assert_eq!((standing.amount, standing.used, standing.remaining()), (1, 1, 0));
    let denied = ask(&service, get("http://a/", &[])).await;
    let standing = &status(&denied).limits[0].1;
    assert_eq!((status(&denied).outcome, standing.used, standing.denies()), (Outcome::Denied, 1, true));
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_standings_charges_nothing() {
    let layer = limited(Limit::new(Quota::per_minute(2)).per(by_user)).limit(Quota::concurrent(1)).build();
    let (handle, mine) = (layer.handle(), head("http://a/", &[("x-user", "me")]));
    let standings = async || -> Vec<_> {
        let standings = handle.standings(&mine).await.expect("an answer");
        standings.iter().map(|(policy, standing)| (policy.name().to_owned(), standing.remaining())).collect()
    };
    for _ in 0..5 {
        assert_eq!(standings().await, [("rpm".to_owned(), 2), ("concurrent".to_owned(), 1)]);
    }
    let response = ask(&layer.layer(Script::statuses([200])), get("http://a/", &[("x-user", "me")])).await;
    assert_eq!(standings().await, [("rpm".to_owned(), 1), ("concurrent".to_owned(), 0)]);
    drop(response);
    assert_eq!(standings().await, [("rpm".to_owned(), 1), ("concurrent".to_owned(), 1)]);
    let others = handle.standings(&head("http://a/", &[])).await.expect("an answer");
    assert_eq!(others.len(), 1, "the first limit is for users only");
    assert_eq!(handle.stats().allowed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_behind_a_pointer_limits_as_well() {
    let service = RateLimitLayer::builder(BoxLimiter::new(Local::new()))
        .limit(Quota::per_minute(1))
        .limit(Quota::concurrent(5))
        .build()
        .layer(Script::statuses([200]));
    assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
    assert!(is_denied(&ask(&service, get("http://a/", &[])).await));
}

#[tokio::test(start_paused = true)]
async fn of_a_crowd_no_more_than_the_quota_get_through() {
    let passed = Arc::new(AtomicUsize::new(0));
    let origin = Origin::replies(|_| reply(200, &[], full("x")));
    let layer = limited(Quota::per_minute(100)).limit(Limit::new(Quota::per_minute(70)).named("narrow")).build();
    let tasks: Vec<_> = (0..2000)
        .map(|_| {
            let (service, passed) = (layer.layer(origin.clone()), passed.clone());
            tokio::spawn(async move {
                if !is_denied(&ask(&service, get("http://a/", &[])).await) {
                    passed.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!((passed.load(Ordering::SeqCst), origin.calls()), (70, 70));
    let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
    assert_eq!(standings.iter().map(|(_, standing)| standing.used).collect::<Vec<_>>(), [70, 70]);
}
