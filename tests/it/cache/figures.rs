//! What a cache counts besides its outcomes: why requests passed by, how the origin erred, bytes, and how long it took.

use std::future::ready;

use http::Request;
use larder::{
    clock::ManualClock,
    fingerprint::RequestFingerprint,
    stats::{Latency, Snapshot},
};
use tokio::time::sleep;
use tower::{Layer as _, ServiceExt as _};

use super::{SECOND, http, minute};
use crate::support::{Body, Origin, Refused, ask, channel, full, get, post, read, reply, request, settle, text};

const KEPT: [(&str, &str); 1] = [("cache-control", "max-age=60, stale-while-revalidate=60, stale-if-error=600")];

/// Each took so long, to 3 %.
#[track_caller]
fn took(latency: &Latency, seconds: &[f64]) {
    assert_eq!(latency.count(), seconds.len() as u64, "{latency:?}");
    let times = latency.times().flat_map(|(time, count)| std::iter::repeat_n(time.as_secs_f64(), count as usize));
    for (time, expected) in times.zip(seconds) {
        assert!((time - expected).abs() <= expected * 0.03 + 1e-9, "{time} for {expected}");
    }
}

/// A body that breaks after so much.
fn cut(begins: &'static str) -> Body {
    let (feed, body) = channel();
    feed.data(begins);
    feed.fail("cut");
    body
}

#[tokio::test(start_paused = true)]
async fn how_long_requests_take_is_known_by_how_they_were_answered() {
    let clock = ManualClock::default();
    let origin = Origin::new(|call| async move {
        sleep(2 * SECOND).await;
        match call.number {
            0 => {
                let (feed, body) = channel();
                tokio::spawn(async move {
                    sleep(3 * SECOND).await;
                    feed.data("all of it");
                });
                Ok(reply(200, &KEPT, body))
            }
            1 => Ok(reply(200, &KEPT, full("refreshed"))),
            _ => Err(Refused("gone")),
        }
    });
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    let ask = |fields: &'static [(&str, &str)]| {
        let cache = cache.clone();
        async move { cache.oneshot(get("http://a/", fields)).await }
    };
    let first = tokio::spawn(ask(&[]));
    sleep(SECOND / 2).await;
    let second = ask(&[]).await.expect("an answer");
    let first = first.await.expect("no panic").expect("an answer");
    assert_eq!((text(first).await, text(second).await), ("all of it".into(), "all of it".into()));
    text(ask(&[]).await.expect("a hit")).await;
    clock.advance(70 * SECOND);
    text(ask(&[]).await.expect("stale, and refreshed")).await;
    sleep(5 * SECOND).await;
    clock.advance(200 * SECOND);
    text(ask(&[]).await.expect("stale, for the origin failed")).await;
    assert!(ask(&[("cache-control", "no-store")]).await.is_err());
    assert_eq!(ask(&[("cache-control", "no-cache, only-if-cached")]).await.expect("504").status(), 504);

    let stats = layer.handle().stats();
    let latency = &stats.latency;
    took(&latency.miss, &[2.0]);
    took(&latency.collapsed, &[1.5]);
    took(&latency.hit, &[0.0]);
    took(&latency.stale_hit, &[0.0]);
    took(&latency.stale_on_error, &[2.0]);
    took(&latency.bypass, &[2.0]);
    took(&latency.only_if_cached, &[0.0]);
    took(&latency.revalidated, &[]);
    took(&stats.fetches, &[5.0]);
    assert_eq!(stats.errors_connection, 2);
    assert_eq!(latency.iter().map(|(_, times)| times.count()).sum::<u64>(), stats.requests());
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_is_timed_as_such_and_a_broken_body_has_no_end() {
    let clock = ManualClock::default();
    let origin = Origin::new(|call| async move {
        sleep(SECOND).await;
        Ok(match call.number {
            0 => reply(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], full("kept")),
            1 => reply(304, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], full("")),
            _ => reply(200, &KEPT, cut("be")),
        })
    });
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    text(ask(&cache, get("http://a/", &[])).await).await;
    assert!(read(ask(&cache, get("http://b/", &[])).await).await.is_err());
    let stats = layer.handle().stats();
    took(&stats.latency.revalidated, &[1.0]);
    took(&stats.latency.miss, &[1.0, 1.0]);
    took(&stats.fetches, &[1.0]);
    // What is stored is served once, after it was confirmed.
    assert_eq!((stats.fetched_bytes, stats.stored_bytes, stats.served_bytes), (6, 8, 4));
}

#[tokio::test]
async fn why_a_request_passed_by_is_counted() {
    fn reasons(stats: &Snapshot) -> [u64; 8] {
        [
            stats.bypassed_by_policy,
            stats.bypassed_method,
            stats.bypassed_directive,
            stats.bypassed_origin,
            stats.bypassed_body,
            stats.bypassed_too_large,
            stats.bypassed_broken,
            stats.bypassed_by_fingerprint,
        ]
    }
    let clock = ManualClock::default();
    let origin = || Origin::replies(|_| reply(200, &[], full("x")));
    let plain = http(&clock).build();
    let reading = minute(&clock).fingerprint(RequestFingerprint::new().json_body(10)).build();
    let keyless = http(&clock).fingerprint(|_: &http::request::Parts| None).build();
    let cases: [(_, Request<_>, usize); 6] = [
        (&plain, request("DELETE", "http://a/", &[]), 1),
        (&plain, get("http://a/", &[("cache-control", "no-store")]), 2),
        (&plain, get("http://a/", &[("if-match", "\"1\"")]), 3),
        (&plain, Request::get("http://a/").body(full("a body")).expect("a request"), 4),
        (&plain, request("CONNECT", "http://a/", &[]), 1),
        (&plain, get("http://a/", &[("upgrade", "websocket")]), 3),
    ];
    let mut expected = [0; 8];
    for (layer, request, at) in cases {
        text(ask(&layer.layer(origin()), request).await).await;
        expected[at] += 1;
        assert_eq!(reasons(&layer.handle().stats()), expected, "{at}");
    }
    text(ask(&keyless.layer(origin()), get("http://a/", &[])).await).await;
    assert_eq!(reasons(&keyless.handle().stats()), [0, 0, 0, 0, 0, 0, 0, 1]);
    let json = [("content-type", "application/json")];
    text(ask(&reading.layer(origin()), post("http://a/", &json, "{\"far\":\"too large\"}")).await).await;
    let cut = Request::post("http://a/").header("content-type", "application/json").body(cut("{"));
    text(ask(&reading.layer(origin()), cut.expect("a request")).await).await;
    assert_eq!(reasons(&reading.handle().stats()), [0, 0, 0, 0, 0, 1, 1, 0]);
    assert_eq!(reading.handle().stats().bypassed, 2);
}

#[tokio::test]
async fn how_the_origin_erred_is_counted_whatever_became_of_it() {
    let clock = ManualClock::default();
    let statuses = [200, 429, 504, 408, 500, 503, 404, 400, 401];
    let origin = Origin::new(move |call| {
        ready(match statuses.get(call.number) {
            Some(status) => Ok(reply(*status, &KEPT, full("x"))),
            None => Err(Refused("gone")),
        })
    });
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(300 * SECOND);
    for number in 1..statuses.len() {
        // What stands in for an error is counted as that, and the error all the same.
        let uri = if number == 4 { "http://a/" } else { "http://b/" };
        let method = if number % 2 == 0 { "GET" } else { "DELETE" };
        text(ask(&cache, request(method, uri, &[("cache-control", "no-cache")])).await).await;
    }
    assert_eq!(cache.clone().oneshot(get("http://c/", &[])).await.err(), Some(Refused("gone")));
    let stats = layer.handle().stats();
    let errors = [
        stats.errors_rate_limited,
        stats.errors_timeout,
        stats.errors_connection,
        stats.errors_server,
        stats.errors_client,
    ];
    assert_eq!((errors, stats.stale_on_error), ([1, 2, 1, 2, 3], 1));
}

#[tokio::test]
async fn bytes_are_counted_where_they_come_from() {
    let clock = ManualClock::default();
    let origin =
        Origin::replies(|_| reply(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], full("0123456789")));
    let layer = http(&clock).build();
    let cache = layer.layer(origin);
    let bytes = || {
        let stats = layer.handle().stats();
        (stats.fetched_bytes, stats.stored_bytes, stats.served_bytes)
    };
    let head = request("HEAD", "http://a/", &[]);
    text(ask(&cache, get("http://a/", &[])).await).await;
    assert_eq!(bytes(), (10, 10, 0));
    for (request, served) in [
        (get("http://a/", &[]), 10),
        (get("http://a/", &[("range", "bytes=2-4")]), 13),
        (get("http://a/", &[("if-none-match", "\"1\"")]), 13),
        (head, 13),
    ] {
        ask(&cache, request).await;
        assert_eq!(bytes(), (10, 10, served));
    }
    // What isn't kept is fetched, too.
    text(ask(&cache, request("DELETE", "http://b/", &[])).await).await;
    assert_eq!(bytes(), (20, 10, 13));
}

#[tokio::test]
async fn a_refresh_serves_nobody() {
    let clock = ManualClock::default();
    let layer = http(&clock).build();
    let cache = layer.layer(Origin::replies(|number| match number {
        0 => reply(200, &[KEPT[0], ("etag", "\"1\"")], full("0123456789")),
        _ => reply(304, &[KEPT[0], ("etag", "\"1\"")], full("")),
    }));
    text(ask(&cache, get("http://a/", &[])).await).await;
    clock.advance(70 * SECOND);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "0123456789");
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.stale_hits, stats.revalidated, stats.served_bytes), (1, 0, 10));
    assert_eq!((stats.latency.revalidated.count(), stats.fetches.count()), (0, 1));
}
