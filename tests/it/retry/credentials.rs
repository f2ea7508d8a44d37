//! Several credentials for one upstream.

use std::io;

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use larder::retry::{Asked, Attempts, Builder, Cause, Credentials, FailureKind, Outcome, Upstream, Verdict};
use tower::Layer as _;

use super::words::{SECOND, default_answer, half, noted, problem};
use crate::support::{Act, Log, Script, Seen, ask, get, pieces, post, text};

fn keys(keys: &[&str]) -> Credentials {
    Credentials::bearer(keys).expect("tokens").cooldown(10 * SECOND)
}

fn with(names: &[&str]) -> Builder {
    half().credentials(keys(names))
}

/// Which key a request came with.
fn key(seen: &Seen) -> &str {
    seen.field("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("none")
}

fn used(script: &Script) -> Vec<String> {
    script.seen().iter().map(|seen| key(seen).to_owned()).collect()
}

/// Has no room for these keys, and answers with all others.
fn refusing(status: u16, refused: &'static [&'static str]) -> Script {
    Script::new(move |_, seen| Act::status(if refused.contains(&key(seen)) { status } else { 200 }))
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_has_the_next_take_its_turn_at_once() {
    for status in [401, 402, 403, 429] {
        let script = refusing(status, &["one", "two"]);
        let layer = with(&["one", "two", "three"]).build();
        let service = layer.layer(script.clone());
        let response = ask(&service, get("http://a/", &[("authorization", "Bearer mine")])).await;
        assert_eq!((response.status().as_u16(), Attempts::of(&response).made), (200, 3), "{status}");
        assert_eq!((used(&script), script.now()), (["one", "two", "three"].map(str::to_owned).to_vec(), 0));
        ask(&service, get("http://a/", &[])).await;
        assert_eq!(key(&script.last()), "three", "the next request begins with the one that works");
        let stats = layer.handle().stats();
        assert_eq!((stats.credential_changes, stats.retries), (2, 0));
        assert_eq!((stats.retried, stats.retried_successfully), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_moved_on_as_well() {
    for status in [401, 402, 403, 429] {
        let script = refusing(status, &["one"]);
        let response = ask(&with(&["one", "two"]).build().layer(script.clone()), post("http://a/", &[], "x")).await;
        assert_eq!((response.status().as_u16(), script.last().text().as_str()), (200, "x"), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_upstream_changes_no_key() {
    let script = Script::statuses([503, 500, 200]);
    ask(&with(&["one", "two"]).build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!(used(&script), ["one"; 3]);
}

#[tokio::test(start_paused = true)]
async fn each_key_rests_on_its_own_and_for_as_long_as_the_upstream_says() {
    let script = Script::new(|_, seen| match key(seen) {
        "one" => Act::with(429, &[("retry-after", "3")]),
        "two" => Act::status(401),
        _ => Act::status(200),
    });
    let (failures, note) = noted();
    let service = with(&["one", "two"]).attempts(1).fallback(note).build().layer(script.clone());
    let ask_at = async |seconds: u32| {
        tokio::time::advance((seconds * SECOND).saturating_sub(std::time::Duration::from_millis(script.now() as u64)))
            .await;
        let calls = script.calls();
        ask(&service, get("http://a/", &[])).await;
        used(&script)[calls..].to_vec()
    };
    assert_eq!(ask_at(0).await, ["one", "two"]);
    assert!(ask_at(2).await.is_empty());
    assert_eq!(ask_at(3).await, ["one"]);
    assert!(ask_at(5).await.is_empty());
    assert_eq!(ask_at(6).await, ["one"]);
    // By then both have rested, and the one in use goes first.
    assert_eq!(ask_at(10).await, ["one", "two"]);
    let failures = failures.lock().expect("no panic");
    assert_eq!((failures[1].kind, failures[1].retry_after), (FailureKind::NoCredential, Some(SECOND)));
}

#[tokio::test(start_paused = true)]
async fn while_all_rest_nothing_is_sent_and_the_chain_is_taken() {
    let script = refusing(401, &["one", "two"]);
    let layer = with(&["one", "two"]).fallback(default_answer()).build();
    let service = layer.layer(script.clone());
    for _ in 0..3 {
        assert_eq!(text(ask(&service, post("http://a/", &[], "x")).await).await, "default");
    }
    assert_eq!((script.calls(), script.now()), (2, 0));

    let script = refusing(402, &["one"]);
    let service = with(&["one"]).build().layer(script.clone());
    assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 402, "the upstream's own answer");
    let (status, problem) = problem(ask(&service, get("http://a/", &[])).await).await;
    assert_eq!((status.as_u16(), problem["retry_after_ms"].as_u64(), script.calls()), (503, Some(10_000), 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_will_have_rested_is_waited_for_and_no_other() {
    // With a hint, the key has rested when the wait is over.
    let script =
        Script::new(|number, _| if number == 0 { Act::with(429, &[("retry-after", "2")]) } else { Act::status(200) });
    let response = ask(&with(&["one"]).build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), script.times()), (200, vec![0, 2100]));
    // Without one, the backoff is over long before.
    let script = refusing(429, &["one", "two"]);
    let service = with(&["one", "two"]).fallback(default_answer()).build().layer(script.clone());
    let response = ask(&service, get("http://a/", &[])).await;
    assert_eq!((text(response).await.as_str(), script.times()), ("default", vec![0, 0]));
    assert_eq!(script.now(), 0);
}

/// There is no other to take its turn, and a cooldown outlasts every backoff.
#[tokio::test(start_paused = true)]
async fn the_only_key_is_retried_as_without_keys_if_a_429_doesn_t_say_when_to_come_back() {
    let keyed = Script::statuses([429, 429, 200]);
    let response = ask(&with(&["one"]).build().layer(keyed.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), used(&keyed)), (200, vec!["one".to_owned(); 3]));
    let bare = Script::statuses([429, 429, 200]);
    ask(&half().build().layer(bare.clone()), get("http://a/", &[])).await;
    assert_eq!(keyed.times(), bare.times());

    let script = Script::statuses([429, 200]);
    let service = with(&["one"]).attempts(1).build().layer(script.clone());
    for status in [429_u16, 200] {
        assert_eq!(ask(&service, get("http://a/", &[])).await.status(), status, "the next request is sent at once");
    }
    let used_up = |_: &Asked, outcome: Outcome<'_, io::Error>| {
        let is_well = matches!(outcome, Outcome::Response { head, .. } if head.status == 200);
        if is_well { Verdict::Accept } else { Verdict::Fallback(Cause::Refused) }
    };
    for (status, sent) in [(400, 2), (429, 2), (401, 1), (402, 1), (403, 1)] {
        let script = Script::statuses([status]);
        let service = with(&["one"]).classify(used_up).build().layer(script.clone());
        ask(&service, get("http://a/", &[])).await;
        ask(&service, get("http://a/", &[])).await;
        assert_eq!(script.calls(), sent, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_upstream_with_one_key_is_not_silent_after_a_429() {
    let script = Script::new(|number, seen| match (seen.host(), number) {
        ("a", _) => Act::status(503),
        (_, 1) => Act::status(429),
        _ => Act::status(200),
    });
    let other = Upstream::to("http://b".parse().expect("a URI")).credentials(keys(&["one"]));
    let service = half().attempts(1).fallback(other).build().layer(script.clone());
    for status in [429_u16, 200] {
        assert_eq!(ask(&service, get("http://a/", &[])).await.status(), status);
    }
    assert_eq!((script.calls(), script.now()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_need_not_rest_is_still_tried_once() {
    for status in [401, 429] {
        let script = Script::new(move |_, _| Act::with(status, &[("retry-after", "0")]));
        ask(&with(&["one", "two"]).attempts(1).build().layer(script.clone()), get("http://a/", &[])).await;
        assert_eq!(used(&script), ["one", "two"], "{status}");
    }
    // Each retry may try them again.
    let script = Script::new(|_, _| Act::with(429, &[("retry-after", "0")]));
    ask(&with(&["one", "two"]).build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!(
        (used(&script), script.now()),
        (["one", "two", "two", "one", "one", "two"].map(str::to_owned).to_vec(), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_gone_is_not_sent_with_another_key() {
    let script = refusing(401, &["one"]);
    let service = with(&["one", "two"]).max_request_body(1).build().layer(script.clone());
    let response = ask(&service, post("http://a/", &[], "").map(|_| pieces(["ab", "cd"]))).await;
    assert_eq!((response.status().as_u16(), script.calls()), (401, 1));
    // The next request has the benefit.
    ask(&service, get("http://a/", &[])).await;
    assert_eq!(key(&script.last()), "two");
}

#[tokio::test(start_paused = true)]
async fn another_upstream_has_keys_of_its_own() {
    let script = Script::new(|_, seen| Act::status(if seen.field("x-api-key") == Some("four") { 200 } else { 429 }));
    let named = Credentials::new(HeaderName::from_static("x-api-key"), ["three", "four"]).expect("keys");
    let other = Upstream::to("http://b".parse().expect("a URI")).credentials(named);
    let service = with(&["one", "two"]).fallback(other).build().layer(script.clone());
    assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 200);
    assert_eq!(used(&script), ["one", "two", "none", "none"]);
}

/// What the layer puts its own in place of is a credential, whatever its name.
#[tokio::test(start_paused = true)]
async fn a_client_s_own_key_goes_to_no_other_upstream() {
    let name = HeaderName::from_static("x-my-key");
    let to = || Upstream::to("http://b".parse().expect("a URI"));
    let value = HeaderValue::from_static("another");
    for (other, expected) in [
        (to(), None),
        (to().keep_credentials(true), Some("theirs")),
        (to().header(name.clone(), value), Some("another")),
    ] {
        let script = Script::statuses([503, 200]);
        let credentials = Credentials::new(name.clone(), ["ours"]).expect("a key");
        let service = half().attempts(1).credentials(credentials).fallback(other).build().layer(script.clone());
        ask(&service, get("http://a/", &[("x-my-key", "theirs")])).await;
        assert_eq!((script.seen()[0].field("x-my-key"), script.last().field("x-my-key")), (Some("ours"), expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_given_up_for_years_because_one_answer_says_so() {
    for long in ["2147483648", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let script = Script::new(move |number, _| match number {
            0 => Act::with(429, &[("retry-after", long)]),
            _ => Act::status(200),
        });
        let service = with(&["one"]).build().layer(script.clone());
        for expected in [429, 503] {
            assert_eq!(ask(&service, get("http://a/", &[])).await.status(), expected);
        }
        tokio::time::advance(24 * 3600 * SECOND).await;
        assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 200, "{long}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_is_logged_shown_or_answered_with() {
    let log = Log::new();
    let script = Script::new(|number, _| match number % 3 {
        0 => Act::status(429),
        1 => Act::refused(),
        _ => Act::status(503),
    });
    let value = HeaderValue::from_static("Bearer s3cret-3");
    let other = Upstream::to("http://user:s3cret-4@b".parse().expect("a URI")).header(AUTHORIZATION, value).attempts(2);
    let other = other.header(HeaderName::from_static("x-my-token"), HeaderValue::from_static("s3cret-5"));
    let builder = with(&["s3cret-1", "s3cret-2"]).fallback(other);
    let mut shown = format!("{builder:?}");
    let layer = builder.build();
    let service = layer.layer(());
    shown += &format!("{layer:?} {service:?} {:?}", keys(&["s3cret-1"]));
    let service = layer.layer(script.clone());
    for _ in 0..40 {
        let response = ask(&service, get("http://me:s3cret-6@a/", &[])).await;
        shown += &format!("{:?} {:?}", response.headers(), response.extensions());
        shown += &text(response).await;
        tokio::time::advance(SECOND).await;
    }
    shown += &format!("{:?} {:?}", layer.handle(), layer.handle().stats());

    assert!(used(&script).contains(&"s3cret-2".to_owned()), "they were used");
    let logged = log.text();
    for told in
        ["another credential takes its turn", "another upstream is asked", "a request failed", "refused for a while"]
    {
        assert!(logged.contains(told), "{told} is not in {logged}");
    }
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(!logged.contains("s3cret"), "{logged}");
}
