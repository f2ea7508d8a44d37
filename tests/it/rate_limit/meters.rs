//! What is reserved before, and settled after.

use std::{
    str,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, HeaderValue, Response, request, response};
use http_body::Body as _;
use larder::{
    RateLimitLayer,
    rate_limit::{Builder, Gauge, Handle, Limit, Meter, Quota, RateLimitBody, Unit, limiter::Local},
};
use tower::{Layer as _, ServiceExt as _};

use super::words::{SECOND, by_cost, head, is_denied, limited, told, used};
use crate::support::{
    Act, Body, Origin, Refused, Script, ask, channel, data, empty, full, get, pieces, post, read, reply, request, text,
};

/// Reserves what the request's body says, or 100 if there is none; what was used comes last in the response's: `used 20`.
pub(super) struct Said;

impl Meter for Said {
    fn reads(&self, _: &request::Parts) -> usize {
        1000
    }

    fn reserve(&self, _: &request::Parts, body: &[u8]) -> u64 {
        str::from_utf8(body).expect("text").trim().parse().unwrap_or(100)
    }

    fn gauge(&self, head: &response::Parts, _: u64) -> Option<Box<dyn Gauge>> {
        (!head.headers.contains_key("x-unmetered")).then(|| Box::new(Text(String::new())) as Box<dyn Gauge>)
    }
}

struct Text(String);

impl Gauge for Text {
    fn read(&mut self, data: &[u8]) {
        self.0.push_str(str::from_utf8(data).expect("text"));
    }

    fn cost(&mut self, _: bool) -> Option<u64> {
        self.0.rsplit_once("used ")?.1.trim().parse().ok()
    }
}

fn tokens() -> Builder<Local> {
    limited(Limit::new(Quota::per_minute(1000).of(Unit::Tokens)).meter(Said))
}

async fn charged(handle: &Handle<Local>) -> u64 {
    handle.standings(&head("http://a/", &[])).await.expect("an answer")[0].1.used
}

/// The layer's handle, and its answer to a request that reserves 100.
async fn answered(body: Body) -> (Handle<Local>, Response<RateLimitBody<Body>>) {
    let (layer, body) = (tokens().build(), Mutex::new(Some(body)));
    let origin = Origin::replies(move |_| reply(200, &[], body.lock().expect("no panic").take().expect("one call")));
    let response = ask(&layer.layer(origin), post("http://a/", &[], "100")).await;
    assert_eq!((used(&response, "tpm"), told(&response, "tpm", "r")), (100, Some(900)));
    (layer.handle(), response)
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_given_back_once_when_the_response_has_ended() {
    let (handle, response) = answered(pieces(["a", "b used ", "20"])).await;
    assert_eq!(charged(&handle).await, 100, "given back too early");
    assert_eq!(text(response).await, "ab used 20");
    assert_eq!((charged(&handle).await, handle.stats().settled, handle.stats().unsettled), (20, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_end_nobody_asks_for_is_settled_at_its_last_byte() {
    let (handle, mut response) = answered(full("used 20")).await;
    data(&mut response).await;
    assert_eq!(charged(&handle).await, 20);
    drop(response);
    assert_eq!((charged(&handle).await, handle.stats().settled), (20, 1), "settled twice");
}

#[tokio::test(start_paused = true)]
async fn what_was_used_beyond_the_reservation_is_charged_as_well() {
    let (handle, response) = answered(full("used 5000")).await;
    text(response).await;
    assert_eq!(charged(&handle).await, 5000);
    let (_, standing) = &handle.standings(&head("http://a/", &[])).await.expect("an answer")[0];
    assert_eq!(standing.remaining(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_settled_only_if_it_said_what_was_used() {
    for (sent, left) in [("used 20", 20), ("nothing", 100)] {
        let (feed, body) = channel();
        let (handle, response) = answered(body).await;
        feed.data(sent);
        feed.fail("cut");
        assert_eq!(read(response).await.expect_err("a break").to_string(), "cut");
        assert_eq!(charged(&handle).await, left);
        assert_eq!(handle.stats().settled + handle.stats().unsettled, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_to_its_end_is_settled_only_if_it_said_what_was_used() {
    for (sent, left) in [(Some("used 20"), 20), (Some("nothing"), 100), (None, 100)] {
        let (feed, body) = channel();
        let (handle, mut response) = answered(body).await;
        if let Some(sent) = sent {
            feed.data(sent);
            data(&mut response).await;
        }
        drop(response);
        assert!(feed.is_dropped());
        assert_eq!(charged(&handle).await, left);
        assert_eq!(handle.stats().settled + handle.stats().unsettled, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_know_stays_charged() {
    let script = Script::failing_with(|number, _| match number {
        0 => Act::answer(reply(200, &[("x-unmetered", "1")], full("used 20"))),
        1 => Act::answer(reply(204, &[], empty())),
        2 => Act::answer(reply(500, &[], full("oops"))),
        _ => Act::fail(Refused("mine")),
    });
    let layer = tokens().build();
    let service = layer.layer(script);
    for number in 1..=4 {
        if let Ok(response) = service.clone().oneshot(post("http://a/", &[], "100")).await {
            text(response).await;
        }
        assert_eq!((charged(&layer.handle()).await, layer.handle().stats().unsettled), (100 * number, number));
    }
    assert_eq!(layer.handle().stats().settled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_its_charge() {
    let (origin, mut calls) = Origin::held();
    let layer = tokens().build();
    let waiting = crate::support::begun(layer.layer(origin).oneshot(post("http://a/", &[], "100")));
    let held = calls.next().await;
    drop(waiting);
    assert!(held.is_cancelled());
    assert_eq!((charged(&layer.handle()).await, layer.handle().stats().unsettled), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn a_correction_goes_where_the_charge_was_made() {
    for (spent, at_61) in [("used 20", 20), ("used 900", 900)] {
        let (feed, body) = channel();
        let (handle, response) = answered(body).await;
        tokio::time::advance(40 * SECOND).await;
        feed.data(spent);
        drop(feed);
        text(response).await;
        tokio::time::advance(21 * SECOND).await;
        assert_eq!(charged(&handle).await, at_61);
        tokio::time::advance(SECOND).await;
        assert_eq!(charged(&handle).await, 0, "it counts for longer than the request's own time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_correction_that_comes_too_late_corrects_nothing() {
    let layer = tokens().build();
    let (feed, body) = channel();
    let body = Mutex::new(Some(body));
    let origin = Origin::replies(move |_| match body.lock().expect("no panic").take() {
        Some(body) => reply(200, &[], body),
        None => reply(200, &[("x-unmetered", "1")], full("x")),
    });
    let service = layer.layer(origin);
    let first = ask(&service, post("http://a/", &[], "100")).await;
    tokio::time::advance(90 * SECOND).await;
    ask(&service, post("http://a/", &[], "300")).await;
    feed.data("used 1");
    drop(feed);
    text(first).await;
    assert_eq!(charged(&layer.handle()).await, 300);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_back_is_there_for_others() {
    let script = Script::new(|_, _| Act::answer(reply(200, &[], full("used 1"))));
    let service = tokens().build().layer(script);
    for _ in 0..100 {
        let response = ask(&service, post("http://a/", &[], "900")).await;
        assert!(!is_denied(&response));
        text(response).await;
    }
    // 100 are used: what asks for more than the rest has to wait, however little it may use in the end.
    assert!(is_denied(&ask(&service, post("http://a/", &[], "901")).await));
}

/// litellm#18730: tokens beyond the limit, as none were reserved.
#[tokio::test(start_paused = true)]
async fn requests_under_way_find_no_room_in_what_others_have_reserved() {
    let (origin, mut calls) = Origin::held();
    let service = tokens().build().layer(origin.clone());
    let waiting: Vec<_> =
        (0..3).map(|_| crate::support::begun(service.clone().oneshot(post("http://a/", &[], "300")))).collect();
    assert!(is_denied(&ask(&service, post("http://a/", &[], "300")).await));
    assert_eq!(origin.calls(), 3);
    drop((waiting, calls.try_next()));
}

#[tokio::test(start_paused = true)]
async fn each_limit_is_settled_by_its_own_meter() {
    let layer = tokens()
        .limit(Limit::new(Quota::per_day(1000).of(Unit::Cost)).meter(Said).named("usd"))
        .limit(Limit::new(Quota::per_hour(1000).of(Unit::Tokens)).meter(by_cost))
        .limit(Quota::per_minute(5))
        .limit(Limit::new(Quota::per_hour(10).of(Unit::Tokens)).meter(Said).named("shadow").shadow(true))
        .build();
    let service = layer.layer(Script::new(|_, _| Act::answer(reply(200, &[], full("used 20")))));
    text(ask(&service, post("http://a/", &[("x-cost", "70")], "100")).await).await;
    let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
    // A shadow that had no room was not charged, and so there is nothing to correct.
    assert_eq!(standings.iter().map(|(_, standing)| standing.used).collect::<Vec<_>>(), [20, 20, 70, 1, 0]);
    assert_eq!((layer.handle().stats().settled, layer.handle().stats().unsettled), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_gets_a_body_that_was_read_as_it_came() {
    let service = |max: usize, script: &Script| tokens().max_body(max).build().layer(script.clone());
    for max in [1000, 7, 3, 1, 0] {
        let script = Script::statuses([200]);
        let response = ask(&service(max, &script), post("http://a/", &[], " 50    ")).await;
        assert_eq!(script.last().text(), " 50    ");
        assert_eq!(used(&response, "tpm"), if max >= 7 { 50 } else { 100 }, "of a longer body nothing is known");
        let script = Script::statuses([200]);
        let (feed, body) = channel();
        for part in ["1", "5", "", "0"] {
            feed.data(part);
        }
        feed.trailers(HeaderMap::from_iter([(http::HeaderName::from_static("x-end"), HeaderValue::from_static("1"))]));
        drop(feed);
        let response = ask(&service(max, &script), request("POST", "http://a/", &[]).map(|_| body)).await;
        let seen = script.last();
        assert_eq!(
            (seen.text().as_str(), seen.trailers.as_ref().map(|end| end["x-end"].clone())),
            ("150", Some("1".parse().expect("a value")))
        );
        assert_eq!(used(&response, "tpm"), if max >= 3 { 150 } else { 100 });
        let script = Script::statuses([200]);
        let (feed, body) = channel();
        feed.data("7");
        feed.fail("cut");
        ask(&service(max, &script), request("POST", "http://a/", &[]).map(|_| body)).await;
        let seen = script.last();
        assert_eq!((seen.text().as_str(), seen.broken.as_deref()), ("7", Some("cut")), "{max}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_no_meter_asks_for_is_not_read() {
    let (origin, mut calls) = Origin::held();
    let layer = limited(Quota::per_minute(5)).limit(Quota::per_minute(99).of(Unit::Bytes)).build();
    let (feed, body) = channel();
    let waiting = crate::support::begun(layer.layer(origin).oneshot(request("POST", "http://a/", &[]).map(|_| body)));
    let held = calls.next().await;
    assert_eq!(held.request.body().size_hint().exact(), None);
    feed.data("later");
    drop(feed);
    held.answer(reply(200, &[], empty()));
    assert!(!is_denied(&waiting.await.expect("a response")));
}

/// The hints of a body before each of its frames.
async fn hints<B>(response: Response<B>) -> Vec<(bool, u64, Option<u64>)>
where
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let (mut body, mut hints) = (response.into_body(), Vec::new());
    loop {
        let hint = body.size_hint();
        hints.push((body.is_end_stream(), hint.lower(), hint.upper()));
        match http_body_util::BodyExt::frame(&mut body).await {
            Some(frame) => frame.expect("no error"),
            None => return hints,
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_metered_body_says_of_its_length_what_it_said_before() {
    let bodies: [fn() -> Body; 3] = [|| full("hello"), empty, || pieces(["a", "", "bc"])];
    for body in bodies {
        let theirs = hints(Response::new(body())).await;
        let layer = tokens().limit(Quota::concurrent(1)).build();
        let service = layer.layer(Origin::replies(move |_| reply(200, &[("content-length", "77")], body())));
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!(response.headers()["content-length"], "77");
        assert_eq!(hints(response).await, theirs);
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_pass_and_come_before_the_end() {
    let (feed, body) = channel();
    let (handle, response) = answered(body).await;
    feed.data("used 20");
    feed.trailers(HeaderMap::from_iter([(http::HeaderName::from_static("x-end"), HeaderValue::from_static("1"))]));
    drop(feed);
    let collected = http_body_util::BodyExt::collect(response.into_body()).await.expect("a whole body");
    assert_eq!(collected.trailers().expect("trailers")["x-end"], "1");
    assert_eq!((collected.to_bytes(), charged(&handle).await), ("used 20".into(), 20));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_those_of_the_request_and_of_the_response() {
    let layer = limited(Quota::per_minute(1000).of(Unit::Bytes)).build();
    let service = layer.layer(Script::new(|_, _| Act::answer(reply(200, &[], pieces(["hello", " you"])))));
    let response = ask(&service, post("http://a/", &[("content-length", "30")], "x".repeat(30))).await;
    assert_eq!(charged(&layer.handle()).await, 30);
    assert_eq!(text(response).await, "hello you");
    assert_eq!(charged(&layer.handle()).await, 39);
    let denied = ask(&service, post("http://a/", &[("content-length", "1001")], "x".repeat(1001))).await;
    assert!(is_denied(&denied));
    assert_eq!(charged(&layer.handle()).await, 39);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_passed_before_a_break_count() {
    let layer = limited(Quota::per_minute(1000).of(Unit::Bytes)).build();
    let feeds = Arc::new(Mutex::new(Vec::new()));
    let kept = feeds.clone();
    let origin = Origin::replies(move |_| {
        let (feed, body) = channel();
        feed.data("hello");
        kept.lock().expect("no panic").push(feed);
        reply(200, &[], body)
    });
    let service = layer.layer(origin);
    let mut broken = ask(&service, get("http://a/", &[])).await;
    data(&mut broken).await;
    feeds.lock().expect("no panic").pop().expect("a feed").fail("cut");
    assert!(read(broken).await.is_err());
    assert_eq!(charged(&layer.handle()).await, 5);
    let mut dropped = ask(&service, get("http://a/", &[])).await;
    data(&mut dropped).await;
    drop(dropped);
    assert_eq!(charged(&layer.handle()).await, 10);
}

/// A download costs nothing before it has begun, but where nothing is left it may not begin.
#[tokio::test(start_paused = true)]
async fn nobody_downloads_who_has_no_bytes_left() {
    let layer = limited(Quota::per_minute(10).of(Unit::Bytes)).build();
    let service = layer.layer(Script::new(|_, _| Act::answer(reply(200, &[], full("x".repeat(25))))));
    text(ask(&service, get("http://a/", &[])).await).await;
    let denied = ask(&service, get("http://a/", &[])).await;
    assert!(is_denied(&denied));
    assert_eq!(told(&denied, "bpm", "t"), Some(62));
    tokio::time::advance(62 * SECOND).await;
    assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
}

#[tokio::test(start_paused = true)]
async fn a_closures_charge_is_final() {
    let limit = Limit::new(Quota::per_minute(10).of(Unit::Cost)).meter(by_cost);
    let layer = limited(limit).build();
    let service = layer.layer(Script::statuses([200]));
    text(ask(&service, get("http://a/", &[("x-cost", "4")])).await).await;
    text(ask(&service, get("http://a/", &[("x-cost", "0")])).await).await;
    assert_eq!((charged(&layer.handle()).await, layer.handle().stats().settled), (4, 0));
}

/// Settling needs no runtime where the limiter needs none.
#[test]
fn a_body_that_is_dropped_outside_of_a_runtime_is_settled() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let layer = runtime.block_on(async { RateLimitLayer::builder(Local::new()).limit(Quota::concurrent(1)).build() });
    let service = layer.layer(Origin::replies(|_| reply(200, &[], full("x"))));
    let response = runtime.block_on(ask(&service, get("http://a/", &[])));
    drop(runtime);
    drop(response);
    let standings = futures_util::FutureExt::now_or_never(async {
        layer.handle().standings(&head("http://a/", &[])).await.expect("an answer")
    });
    assert_eq!(standings.expect("at once")[0].1.used, 0);
}
