//! Who waits for whom: a hit for nobody, a miss for the inner service; and what services of one layer share.

use std::{
    convert::Infallible,
    future::{Future, Ready, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use axum::{Router, routing::get as route};
use http::{Request, Response};
use larder::{
    CacheLayer,
    body::ReplayBody,
    cache::{CacheBody, ResponseFuture},
    clock::ManualClock,
    store::Memory,
};
use tower::{Layer as _, Service, ServiceExt as _};

use super::http;
use crate::support::{Body, Origin, Refused, ask, begun, full, get, poll_once, reply, said, text};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// Ready when it is told to be.
#[derive(Clone)]
struct Gate {
    open: Arc<AtomicBool>,
    origin: Origin,
}

impl Service<Request<ReplayBody<Body>>> for Gate {
    type Response = Response<Body>;
    type Error = Refused;
    type Future = <Origin as Service<Request<ReplayBody<Body>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        if self.open.load(Ordering::SeqCst) { self.origin.poll_ready(cx) } else { Poll::Pending }
    }

    fn call(&mut self, request: Request<ReplayBody<Body>>) -> Self::Future {
        self.origin.call(request)
    }
}

#[tokio::test]
async fn a_hit_does_not_wait_for_an_inner_service_that_is_never_ready() {
    let clock = ManualClock::default();
    let open = Arc::new(AtomicBool::new(true));
    let origin = Origin::replies(|_| reply(200, FRESH, full("x")));
    let mut cache = http(&clock).build().layer(Gate { open: open.clone(), origin: origin.clone() });
    text(ask(&cache, get("http://a/", &[])).await).await;
    open.store(false, Ordering::SeqCst);
    assert!(cache.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    let hit = ask(&cache, get("http://a/", &[])).await;
    assert_eq!(text(hit).await, "x");
    let miss = begun(ask(&cache, get("http://a/other", &[])));
    assert_eq!(origin.calls(), 1, "a miss waits for the inner service");
    drop(miss);
}

/// The scripted origin fails the test if it is called unready, as axum-response-cache does.
#[tokio::test]
async fn the_inner_service_is_polled_ready_before_each_call() {
    let clock = ManualClock::default();
    let origin =
        Origin::replies(|_| reply(200, &[("cache-control", "max-age=60, stale-while-revalidate=60")], full("x")));
    let mut cache = http(&clock).build().layer(origin.clone());
    for (uri, fields) in [
        ("http://a/", &[][..]),
        ("http://a/", &[("cache-control", "no-cache")]),
        ("http://a/", &[("if-match", "\"a\"")]),
    ] {
        // Called without poll_ready: the layer says it is always ready.
        text(cache.call(get(uri, fields)).await.expect("answer")).await;
    }
    clock.advance(super::SECOND * 70);
    text(cache.call(get("http://a/", &[])).await.expect("answer")).await;
    crate::support::settle().await;
    assert_eq!(origin.calls(), 4);
}

#[tokio::test]
async fn the_inner_services_error_comes_out_unchanged() {
    let clock = ManualClock::default();
    let cache = http(&clock).build().layer(Origin::new(|_| std::future::ready(Err(Refused("no route")))));
    let error: Refused = cache.clone().oneshot(get("http://a/", &[])).await.expect_err("refused");
    assert_eq!(error, Refused("no route"));
    let error = cache.oneshot(get("http://a/", &[("cache-control", "no-store")])).await.expect_err("refused");
    assert_eq!(error, Refused("no route"));
}

#[tokio::test]
async fn an_inner_service_that_is_never_ready_because_it_failed_says_so() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Request<ReplayBody<Body>>> for Broken {
        type Response = Response<Body>;
        type Error = Refused;
        type Future = Ready<Result<Response<Body>, Refused>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
            Poll::Ready(Err(Refused("closed")))
        }

        fn call(&mut self, _: Request<ReplayBody<Body>>) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let clock = ManualClock::default();
    let cache = http(&clock).build().layer(Broken);
    assert_eq!(cache.oneshot(get("http://a/", &[])).await.expect_err("closed"), Refused("closed"));
}

#[test]
fn a_memory_hit_needs_no_runtime_and_is_ready_at_once() {
    let clock = ManualClock::default();
    let mut cache = http(&clock).build().layer(Origin::replies(|_| reply(200, FRESH, full("x"))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { text(cache.call(get("http://a/", &[])).await.expect("answer")).await });
    drop(runtime);
    // Its type has a name, so nobody has to box it, and the first poll has the answer.
    let mut hit: ResponseFuture<Body, Refused> = cache.call(get("http://a/", &[]));
    let Poll::Ready(Ok(answer)) = Pin::new(&mut hit).poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("not ready")
    };
    assert_eq!(said(&answer), "larder; hit; ttl=60");
    assert!(poll_once(&mut hit).is_pending(), "a future that was polled to its end does not panic");
}

#[tokio::test]
async fn all_services_of_a_layer_share_one_cache() {
    let clock = ManualClock::default();
    let layer = http(&clock).build();
    let (first, second) =
        (Origin::replies(|_| reply(200, FRESH, full("first"))), Origin::replies(|_| reply(200, FRESH, full("second"))));
    text(ask(&layer.layer(first.clone()), get("http://a/", &[])).await).await;
    let other = layer.clone().layer(second.clone());
    assert_eq!(text(ask(&other, get("http://a/", &[])).await).await, "first");
    assert_eq!((first.calls(), second.calls(), layer.handle().stats().hits), (1, 0, 1));
}

#[tokio::test]
async fn two_routes_of_an_axum_router_share_one_cache() {
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = |name: &'static str| {
        let calls = calls.clone();
        move || async move {
            calls.fetch_add(1, Ordering::SeqCst);
            ([("cache-control", "max-age=60")], name)
        }
    };
    let layer = CacheLayer::new(Memory::new(1 << 20));
    let app: Router =
        Router::new().route("/a", route(handler("a"))).route("/b", route(handler("b"))).layer(layer.clone());
    for _ in 0..3 {
        for path in ["/a", "/b"] {
            let request = Request::get(path).body(axum::body::Body::empty()).expect("request");
            let answer: Result<_, Infallible> = app.clone().oneshot(request).await;
            assert_eq!(text(answer.expect("infallible")).await, path[1..]);
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!((layer.handle().stats().hits, layer.handle().usage().await.expect("usage").entries), (4, 2));
}

#[tokio::test]
async fn a_fetch_that_never_ends_does_not_hold_up_another_key() {
    let clock = ManualClock::default();
    let origin = Origin::new(|call| async move {
        if call.request.uri().path() == "/stuck" {
            pending::<()>().await;
        }
        Ok(reply(200, FRESH, full("x")))
    });
    let cache = http(&clock).build().layer(origin);
    let _stuck = begun(ask(&cache, get("http://a/stuck", &[])));
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "x");
}

#[test]
fn bodies_of_a_cache_can_be_sent_to_other_tasks() {
    fn can_move<T: Send + 'static>() {}
    can_move::<CacheBody<Body>>();
    can_move::<ResponseFuture<Body, Refused>>();
}
