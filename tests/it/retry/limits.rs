//! How long an attempt may take, and how long a request.

use larder::retry::{Backoff, FailureKind, Hedge, Upstream};
use tower::Layer as _;

use super::words::{MS, SECOND, default_answer, half, noted, problem};
use crate::support::{Act, Script, ask, channel, get, reply, request, text};

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_time_and_the_waits_come_on_top() {
    let script = Script::new(|_, _| Act::hang());
    let layer = half().backoff(Backoff::constant(100 * MS)).attempt_timeout(SECOND).build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((script.times(), script.now()), (vec![0, 1100, 2200], 3200));
    let (status, problem) = problem(response).await;
    assert_eq!((status.as_u16(), problem["attempts"].as_u64()), (504, Some(3)));
    assert!(problem.get("last_status").is_none());
    assert_eq!((script.running(), layer.handle().stats().timeouts), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_the_last_attempt_short() {
    let script = Script::new(|_, _| Act::hang());
    let (failures, note) = noted();
    let builder = half().backoff(Backoff::constant(100 * MS)).attempt_timeout(SECOND).deadline(2500 * MS);
    let service = builder.fallback(note).build().layer(script.clone());
    let response = ask(&service, get("http://a/", &[])).await;
    assert_eq!((script.times(), script.now()), (vec![0, 1100, 2200], 2500));
    assert_eq!(problem(response).await.0, 504);
    let failures = failures.lock().expect("no panic");
    assert_eq!((failures[0].kind, failures[0].attempts), (FailureKind::DeadlineExceeded, 3));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_in_time_leaves_the_rest_to_the_others() {
    let script =
        Script::new(|number, _| if number == 0 { Act::status(503).after(900) } else { Act::status(200).after(900) });
    let service = half().attempt_timeout(SECOND).deadline(2 * SECOND).build().layer(script.clone());
    assert_eq!(text(ask(&service, get("http://a/", &[])).await).await, "200");
    assert_eq!((script.times(), script.now()), (vec![0, 1000], 1900));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_only_attempt_and_nobody_else_is_asked() {
    let script = Script::new(|_, _| Act::hang());
    let (failures, note) = noted();
    let chain = half().deadline(SECOND).fallback(Upstream::to("http://b".parse().expect("a URI"))).fallback(note);
    let service = chain.fallback(default_answer()).build().layer(script.clone());
    assert_eq!(text(ask(&service, get("http://a/", &[])).await).await, "default");
    assert_eq!((script.calls(), script.now(), script.running()), (1, 1000, 0));
    assert_eq!(failures.lock().expect("no panic")[0].kind, FailureKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_past_the_deadline() {
    let script = Script::statuses([200]);
    let other = Upstream::to("http://b".parse().expect("a URI"));
    let service = half().deadline(SECOND).fallback(other).build().layer(script.clone());
    let (feed, body) = channel();
    feed.data("ab");
    let response = ask(&service, request("PUT", "http://a/", &[]).map(|_| body)).await;
    assert_eq!((script.calls(), script.now(), feed.is_dropped()), (0, 1000, true));
    assert_eq!(problem(response).await.0, 504);
}

#[tokio::test(start_paused = true)]
async fn other_upstreams_have_their_own_time_within_the_deadline() {
    let to = |uri: &str| Upstream::to(uri.parse().expect("a URI"));
    let script = Script::new(|_, _| Act::hang());
    let chain = half().attempts(1).attempt_timeout(600 * MS).deadline(SECOND);
    let service =
        chain.fallback(to("http://b").timeout(100 * MS)).fallback(to("http://c")).build().layer(script.clone());
    let response = ask(&service, get("http://a/", &[])).await;
    assert_eq!(script.seen().iter().map(|seen| seen.host().to_owned()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((script.times(), script.now()), (vec![0, 600, 700], 1000));
    assert_eq!(problem(response).await.0, 504);
}

#[tokio::test(start_paused = true)]
async fn a_head_without_a_body_is_no_answer_in_time() {
    let feeds = std::sync::Mutex::new(Vec::new());
    let script = Script::new(move |number, _| {
        if number > 0 {
            return Act::status(200);
        }
        let (feed, body) = channel();
        feeds.lock().expect("no panic").push(feed);
        Act::answer(reply(200, &[], body))
    });
    let service = half().attempt_timeout(SECOND).build().layer(script.clone());
    assert_eq!(text(ask(&service, get("http://a/", &[])).await).await, "200");
    assert_eq!(script.times(), [0, 1100]);
}

#[tokio::test(start_paused = true)]
async fn a_time_beyond_all_time_is_no_limit() {
    let ages = std::time::Duration::MAX;
    let script = Script::new(|number, _| match number {
        0 => Act::with(503, &[("retry-after", "99999999999999999999")]),
        _ => Act::status(200),
    });
    let builder = half().attempt_timeout(ages).deadline(ages).max_retry_after(ages).hedge(Hedge::after(ages));
    let response = ask(&builder.build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!(response.status(), 200);
    assert_eq!(script.seen().len(), 2);
}
