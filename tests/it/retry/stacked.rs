//! Layers over layers, in one process or in several, make no more attempts than one.

use larder::retry::{Attempts, Hedge, Upstream};
use tower::Layer as _;

use super::words::{MS, default_answer, half, noted, problem};
use crate::support::{Act, Script, ask, field, get, text};

#[tokio::test(start_paused = true)]
async fn a_layer_over_another_makes_no_more_attempts() {
    for (statuses, expected, made) in [(vec![503], 503, 3), (vec![503, 503, 200], 200, 3), (vec![503, 200], 200, 2)] {
        let script = Script::statuses(statuses);
        let (inner, outer) = (half().build(), half().build());
        let response = ask(&outer.layer(inner.layer(script.clone())), get("http://a/", &[])).await;
        assert_eq!((response.status().as_u16(), script.calls()), (expected, made));
        assert_eq!(outer.handle().stats().retries, 0);
        let counted = made.to_string();
        assert_eq!(field(&response, "larder-attempts"), Some(&*counted));
        assert_eq!(Attempts::of(&response).made as usize, made);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_inner_layer_has_given_up_still_falls_back_in_the_outer_one() {
    let script = Script::statuses([503]);
    let outer = half().fallback(default_answer()).build();
    let response = ask(&outer.layer(half().build().layer(script.clone())), get("http://a/", &[])).await;
    assert_eq!((text(response).await.as_str(), script.calls()), ("default", 3));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_further_in_is_not_asked_for_again() {
    let script = Script::new(|_, seen| if seen.host() == "a" { Act::status(503) } else { Act::status(502) });
    let inner = half().attempts(1).fallback(Upstream::to("http://b".parse().expect("a URI"))).build();
    let response = ask(&half().build().layer(inner.layer(script.clone())), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), script.calls()), (502, 2));
    // Not even if the breaker further in sent nothing at all.
    for name in ["a", "b"] {
        let breaker = inner.handle().breaker(name).expect("it was asked");
        breaker.trip(tokio::time::Instant::now().into_std());
    }
    let response = ask(&half().build().layer(inner.layer(script.clone())), get("http://a/", &[])).await;
    assert_eq!((problem(response).await.0.as_u16(), script.calls(), script.now()), (503, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_a_retry_already_is_sent_once() {
    for (fields, calls) in [(&[("larder-attempt", "2")][..], 1), (&[], 3)] {
        let script = Script::statuses([503]);
        ask(&half().build().layer(script.clone()), get("http://a/", fields)).await;
        assert_eq!(script.calls(), calls);
        assert_eq!(script.seen()[0].field("larder-attempt"), fields.first().map(|(_, value)| *value));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_a_retry_already_is_sent_once_to_each_upstream_and_not_hedged() {
    for (fields, calls) in [(&[("larder-attempt", "2")][..], 2), (&[], 6)] {
        let script = Script::statuses([503]);
        let other = Upstream::to("http://b".parse().expect("a URI")).attempts(3);
        ask(&half().fallback(other).build().layer(script.clone()), get("http://a/", fields)).await;
        assert_eq!(script.calls(), calls);

        let script = Script::new(|_, _| Act::status(200).after(1000));
        ask(&half().hedge(Hedge::after(100 * MS)).build().layer(script.clone()), get("http://a/", fields)).await;
        assert_eq!(script.calls(), if fields.is_empty() { 2 } else { 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_took_several_attempts_further_in_is_not_asked_for_again() {
    let script = Script::new(|_, _| Act::with(503, &[("larder-attempts", "3")]));
    let response = ask(&half().fallback(default_answer()).build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((text(response).await.as_str(), script.calls(), script.now()), ("default", 1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_attempts_further_in_is_counted_and_does_no_harm() {
    for (said, attempts) in [("3", 3), ("1", 1), ("0", 1), ("4294967295", 1), ("-1", 1), ("many", 1)] {
        let script = Script::new(move |_, seen| match seen.host() {
            "a" => Act::with(503, &[("larder-attempts", said)]),
            _ => Act::status(502),
        });
        let other = Upstream::to("http://b".parse().expect("a URI"));
        let (failures, note) = noted();
        let service = half().fallback(note).fallback(other).build().layer(script.clone());
        let (_, problem) = problem(ask(&service, get("http://a/", &[])).await).await;
        assert_eq!(failures.lock().expect("no panic")[0].attempts, attempts, "{said}");
        assert_eq!(problem["attempts"].as_u64(), Some(u64::from(attempts) + 1), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_4xx_that_was_retried_further_in_passes_as_it_came() {
    let script = Script::new(|_, _| Act::with(429, &[("larder-attempts", "3"), ("retry-after", "1")]));
    let response = ask(&half().build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((field(&response, "larder-fallback"), field(&response, "larder-attempts")), (None, Some("3")));
    assert_eq!((text(response).await.as_str(), script.calls()), ("429", 1));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_says_which_it_is() {
    let script = Script::new(|_, seen| if seen.host() == "a" { Act::status(503) } else { Act::status(200) });
    let service = half().fallback(Upstream::to("http://b".parse().expect("a URI"))).build().layer(script.clone());
    let response = ask(&service, get("http://a/", &[])).await;
    let said: Vec<_> = script.seen().iter().map(|seen| seen.field("larder-attempt").map(str::to_owned)).collect();
    assert_eq!(said, [None, Some("2".to_owned()), Some("3".to_owned()), Some("4".to_owned())]);
    assert_eq!((Attempts::of(&response).made, field(&response, "larder-attempts")), (4, Some("4")));
}
