//! What is handed on as it came.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use larder::retry::{Attempts, Backoff, Upstream, Verdict};
use tower::{Layer as _, ServiceExt as _};

use super::words::{MS, SECOND, half, problem};
use crate::support::{Act, Refused, Script, ask, channel, counted, field, full, get, post, reply, text};

#[tokio::test(start_paused = true)]
async fn the_inner_service_s_error_is_handed_on_as_it_came() {
    let script = Script::<Refused>::failing_with(|number, _| Act::fail(Refused(["first", "second", "third"][number])));
    let service = half().problem(None).build().layer(script.clone());
    let error: Refused = service.oneshot(get("http://a/", &[])).await.expect_err("an error");
    assert_eq!((error, script.calls()), (Refused("third"), 3));
}

#[tokio::test(start_paused = true)]
async fn an_error_becomes_a_problem_that_says_nothing_of_it() {
    let script = Script::<Refused>::failing_with(|_, _| Act::fail(Refused("10.0.0.7:5432 is down")));
    let response = ask(&half().build().layer(script.clone()), get("http://a/", &[])).await;
    let (status, problem) = problem(response).await;
    assert_eq!((status.as_u16(), problem["attempts"].as_u64()), (502, Some(3)));
    assert!(!problem.to_string().contains("10.0.0.7"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_accepted_is_the_client_s_at_once() {
    let script = Script::<Refused>::failing_with(|_, _| Act::fail(Refused("mine")));
    let service = half().classify(|_: &_, _: larder::retry::Outcome<'_, Refused>| Verdict::Accept).build();
    let error = service.layer(script.clone()).oneshot(get("http://a/", &[])).await.expect_err("an error");
    assert_eq!((error, script.calls()), (Refused("mine"), 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_problem_the_last_response_is_handed_on() {
    let script = Script::new(|number, _| {
        let status = [500, 502, 503][number];
        Act::answer(reply(status, &[("x-which", &status.to_string())], full(format!("no {status}"))))
    });
    let layer = half().problem(None).build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), field(&response, "x-which")), (503, Some("503")));
    assert_eq!((field(&response, "larder-attempts"), field(&response, "larder-fallback")), (Some("3"), None));
    assert_eq!((Attempts::of(&response).made, Attempts::of(&response).fallback), (3, None));
    assert_eq!(text(response).await, "no 503");
    assert_eq!((layer.handle().stats().handed_on, layer.handle().stats().problems), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_problem_and_without_anything_to_hand_on_it_is_a_problem_still() {
    let script = Script::new(|_, _| Act::hang());
    let service = half().problem(None).attempt_timeout(SECOND).build().layer(script.clone());
    assert_eq!(problem(ask(&service, get("http://a/", &[])).await).await.0, 504);
}

#[tokio::test(start_paused = true)]
async fn a_4xx_that_is_not_retried_passes_as_it_came() {
    for status in 400..=499 {
        let retried = [408, 425, 429].contains(&status);
        let fields = [("x-request-id", "7"), ("retry-after", "2"), ("content-type", "application/json")];
        let fields = if retried { [fields[0], ("retry-after", "90"), fields[2]] } else { fields };
        let script = Script::new(move |_, _| Act::answer(reply(status, &fields, full("{\"mine\": 1}"))));
        let layer = half().build();
        let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
        assert_eq!((response.status().as_u16(), script.calls(), script.now()), (status, 1, 0));
        let expected: HeaderMap = fields
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .into_iter()
            .collect();
        assert_eq!(*response.headers(), expected);
        assert!(response.extensions().get::<Attempts>().is_none());
        assert_eq!(text(response).await, "{\"mine\": 1}");
        assert_eq!(layer.handle().stats().problems, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_4xx_is_handed_on_with_its_stream_and_trailers() {
    let feeds = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hand = feeds.clone();
    let script = Script::new(move |_, _| {
        let (feed, body) = channel();
        feed.data("one");
        hand.lock().expect("no panic").push(feed);
        Act::answer(reply(404, &[], body))
    });
    let response = ask(&half().build().layer(script), get("http://a/", &[])).await;
    let feed = feeds.lock().expect("no panic").pop().expect("a call");
    feed.data("two");
    let trailers = HeaderMap::from_iter([("x-sum".parse().expect("a name"), "1".parse().expect("a value"))]);
    feed.trailers(trailers.clone());
    drop(feed);
    let body = response.into_body().collect().await.expect("whole");
    assert_eq!(body.trailers(), Some(&trailers));
    assert_eq!(body.to_bytes(), "onetwo");
}

#[tokio::test(start_paused = true)]
async fn a_post_s_429_is_the_client_s_to_read_even_if_nobody_else_can_help() {
    let script = Script::new(|_, seen| Act::with(if seen.host() == "a" { 429 } else { 200 }, &[("retry-after", "1")]));
    let chain = half().fallback(Upstream::to("http://b".parse().expect("a URI")));
    let response = ask(&chain.build().layer(script.clone()), post("http://a/", &[], "x")).await;
    assert_eq!((response.status().as_u16(), field(&response, "retry-after")), (429, Some("1")));
    assert_eq!((text(response).await.as_str(), script.calls()), ("429", 1));
}

#[tokio::test(start_paused = true)]
async fn a_4xx_that_was_retried_in_vain_is_a_problem_with_its_status() {
    let script = Script::statuses([429]);
    let layer = half().backoff(Backoff::constant(MS)).build();
    let (status, problem) = problem(ask(&layer.layer(script.clone()), get("http://a/", &[])).await).await;
    assert_eq!((status, problem["last_status"].as_u64()), (StatusCode::TOO_MANY_REQUESTS, Some(429)));
    assert_eq!(layer.handle().stats().problems, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_handed_on_is_let_go() {
    let alive = Arc::<AtomicUsize>::default();
    let count = alive.clone();
    let script = Script::new(move |_, _| Act::answer(reply(503, &[], counted(full("no"), &count))));
    let response = ask(&half().build().layer(script), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), alive.load(Ordering::SeqCst)), (503, 0));
}
