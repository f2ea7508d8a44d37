//! What the cache makes of a stale answer that comes up the chain: what its client asked for.

use http::{Request, Response, Uri};
use larder::{
    cache::{Cache, CacheBody},
    clock::ManualClock,
    fingerprint::RequestFingerprint,
    policy::Rfc9111,
    retry::{Fallback, RetryBody, RetryFallback, Upstream},
    store::Memory,
};
use tower::{Layer as _, util::BoxCloneSyncService};

use super::stack::{Inner, SECOND, http, quick, sent, within};
use crate::support::{Body, Origin, Refused, empty, field, full, get, reply, request, said, settle, text};

const FIELDS: &[(&str, &str)] = &[
    ("cache-control", "max-age=60, stale-if-error=300"),
    ("etag", "\"1\""),
    ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("content-type", "text/plain"),
];

type Stack =
    Cache<RetryFallback<BoxCloneSyncService<Inner, Response<Body>, Refused>>, Memory, RequestFingerprint, Rfc9111>;

/// A cache with a stale entry, over a layer with this chain, over what is down since.
async fn stale_over(chain: Vec<Fallback>, origin: &Origin) -> (Stack, larder::cache::Handle) {
    let clock = ManualClock::default();
    let layer = http(&clock).build();
    let builder = chain.into_iter().fold(quick().clock(clock.clone()), |builder, step| builder.fallback(step));
    let cache = layer.layer(builder.build().layer(within(origin)));
    text(sent(&cache, get("http://a/", &[])).await).await;
    settle().await;
    clock.advance(100 * SECOND);
    (cache, layer.handle())
}

fn down_after_one() -> Origin {
    Origin::replies(|number| match number {
        0 => reply(200, FIELDS, full("0123456789")),
        _ => reply(503, &[], full("down")),
    })
}

async fn answered(cache: &Stack, request: Request<Body>) -> Response<CacheBody<RetryBody<Body>>> {
    let answer = sent(cache, request).await;
    assert_eq!(said(&answer), "larder; fwd=stale; fwd-status=503; ttl=-40; detail=stale-if-error");
    answer
}

#[tokio::test(start_paused = true)]
async fn ranges_conditions_and_head_are_answered_out_of_the_stale_entry() {
    let (cache, handle) = stale_over(vec![Fallback::stale()], &down_after_one()).await;
    let part = answered(&cache, get("http://a/", &[("range", "bytes=2-4")])).await;
    assert_eq!((part.status().as_u16(), field(&part, "content-range")), (206, Some("bytes 2-4/10")));
    assert_eq!(text(part).await, "234");

    let held = answered(&cache, get("http://a/", &[("range", "bytes=2-4"), ("if-range", "\"other\"")])).await;
    assert_eq!((held.status().as_u16(), text(held).await.as_str()), (200, "0123456789"));

    let same = answered(&cache, get("http://a/", &[("if-none-match", "\"1\"")])).await;
    assert_eq!((same.status().as_u16(), text(same).await.as_str()), (304, ""));

    let other = answered(&cache, get("http://a/", &[("if-none-match", "\"2\"")])).await;
    assert_eq!((other.status().as_u16(), text(other).await.as_str()), (200, "0123456789"));

    let head = answered(&cache, request("HEAD", "http://a/", &[])).await;
    assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, Some("10")));
    assert_eq!(field(&head, "etag"), Some("\"1\""));
    assert_eq!(text(head).await, "");
    assert_eq!(handle.stats().stale_on_error, 5);
}

#[tokio::test(start_paused = true)]
async fn a_range_that_the_stale_entry_doesn_t_have_is_said_not_to_be_there() {
    let (cache, _) = stale_over(vec![], &down_after_one()).await;
    let none = answered_as(&cache, get("http://a/", &[("range", "bytes=20-")])).await;
    assert_eq!((none.status().as_u16(), field(&none, "content-range")), (416, Some("bytes */10")));
}

async fn answered_as(cache: &Stack, request: Request<Body>) -> Response<CacheBody<RetryBody<Body>>> {
    let answer = sent(cache, request).await;
    assert!(said(&answer).contains("detail=stale-if-error"), "{}", said(&answer));
    answer
}

/// The cache asks whether its entry still holds; whoever stands in must not have the client answer that.
#[tokio::test(start_paused = true)]
async fn a_client_that_set_no_condition_gets_no_304_from_who_stands_in() {
    for storable in [true, false] {
        let origin = Origin::by_request(|request| match request.uri().host() {
            Some("b") if request.headers().contains_key("if-none-match") => reply(304, &[("etag", "\"1\"")], empty()),
            Some("b") => reply(200, &[("etag", "\"1\"")], full("whole from b")),
            _ if request.headers().contains_key("if-none-match") => reply(503, &[], empty()),
            _ => reply(200, FIELDS, full("0123456789")),
        });
        let mirror = Upstream::to(Uri::from_static("http://b")).storable(storable);
        let never = Fallback::stale().when(|_| false);
        let (cache, _) = stale_over(vec![mirror.into(), never], &origin).await;
        let answer = sent(&cache, get("http://a/", &[])).await;
        assert_eq!(answer.status(), 200, "storable: {storable}, {}", said(&answer));
        assert!(!text(answer).await.is_empty(), "storable: {storable}");
    }
}

/// Nor does it get a part of what it asked for as a whole.
#[tokio::test(start_paused = true)]
async fn a_client_that_asked_for_the_whole_gets_no_206_from_who_stands_in() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let range = request.headers().get("range").map(|range| range.to_str().expect("text").to_owned());
        match (request.uri().host(), range.as_deref()) {
            (Some("a"), Some("bytes=0-4")) => {
                let fields = [FIELDS, &[("content-range", "bytes 0-4/10"), ("accept-ranges", "bytes")]].concat();
                reply(206, &fields, full("01234"))
            }
            (Some("a"), _) => reply(503, &[], empty()),
            (_, Some("bytes=5-")) => {
                let fields = [FIELDS, &[("content-range", "bytes 5-9/10")]].concat();
                reply(206, &fields, full("56789"))
            }
            (_, _) => reply(200, FIELDS, full("0123456789")),
        }
    });
    let mirror = Upstream::to(Uri::from_static("http://b")).storable(false);
    let cache =
        http(&clock).build().layer(quick().clock(clock.clone()).fallback(mirror).build().layer(within(&origin)));
    let part = sent(&cache, get("http://a/", &[("range", "bytes=0-4")])).await;
    assert_eq!((part.status().as_u16(), text(part).await.as_str()), (206, "01234"));
    settle().await;
    let whole = sent(&cache, get("http://a/", &[])).await;
    assert_eq!((whole.status().as_u16(), said(&whole).contains("stand-in")), (200, true), "{}", said(&whole));
    assert_eq!(text(whole).await, "0123456789");
}
