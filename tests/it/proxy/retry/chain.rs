//! The order of what stands in: a stale answer, other upstreams, a default answer, a problem.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    super::{llm::answer, message::get},
    *,
};

const DEFAULT: &str = r#"{"status": 203, "headers": {"x-own": "1"}, "body": {"sorry": true}}"#;

/// Asks for what is kept to be asked for anew.
const ANEW: [(&str, &str); 1] = [("Cache-Control", "max-age=0")];

fn anew(model: &str) -> Vec<u8> {
    post_json(CHAT, &ANEW, &QUESTION.replace("gpt-4o", model))
}

/// An origin that can be switched off: then it answers with 503.
async fn switched() -> (Origin, Arc<AtomicBool>) {
    let is_up = Arc::new(AtomicBool::new(true));
    let seen = is_up.clone();
    let origin = Origin::answering(move |_, number| {
        if seen.load(Ordering::SeqCst) { response(200, &[JSON], answer(number)) } else { error(503) }
    })
    .await;
    (origin, is_up)
}

fn assert_is_default(given: &Message) {
    assert_eq!((given.status(), given.text()), (203, r#"{"sorry":true}"#), "{given:?}");
    assert_eq!((given.field("x-own"), given.field("content-type")), (Some("1"), Some("application/json")));
    assert_eq!((given.field("larder-fallback"), given.field("cache-control")), (Some("default"), Some("no-store")));
    assert!(given.cache().contains("detail=stand-in") && !given.cache().contains("stored"), "{}", given.cache());
}

#[tokio::test]
async fn stale_beats_default_and_default_beats_error_and_the_upstream_beats_all() {
    let (origin, is_up) = switched().await;
    let file = File::with(DEFAULT);
    let proxy = Proxy::start(&origin, &["--default-response", file.path()]).await;
    assert_eq!(proxy.ask(about("kept")).await.text(), answer(1));
    is_up.store(false, Ordering::SeqCst);

    let stale = proxy.ask(anew("kept")).await;
    assert_eq!((stale.status(), stale.text()), (200, &*answer(1)));
    assert!(stale.cache().contains("fwd-status=503") && stale.cache().contains("detail=stale-if-error"));
    assert_eq!((stale.field("larder-fallback"), stale.field("larder-attempts")), (Some("stale"), Some("3")));
    let line = proxy.log().find(|line| line.contains("stale-if-error")).await;
    assert!(line.contains("attempts=3") && line.contains("fallback=\"stale\""), "{line}");

    for _ in 0..2 {
        let default = proxy.ask(about("new")).await;
        assert_is_default(&default);
        assert_eq!(default.field("larder-attempts"), Some("3"));
    }
    assert_eq!(origin.calls(), 10, "a default answer is not kept, so the upstream is asked again");

    is_up.store(true, Ordering::SeqCst);
    for model in ["kept", "new"] {
        let back = proxy.ask(anew(model)).await;
        assert!(back.status() == 200 && !back.text().contains("sorry"), "{back:?}");
        assert_eq!((back.field("larder-fallback"), back.field("larder-attempts")), (None, None), "{back:?}");
        assert!(proxy.ask(about(model)).await.is_hit(), "{model}");
    }
}

#[tokio::test]
async fn without_a_default_the_last_answer_is_a_problem() {
    let (origin, is_up) = switched().await;
    is_up.store(false, Ordering::SeqCst);
    let proxy = Proxy::start(&origin, &[]).await;
    assert_is_problem(&proxy.ask(about("m")).await, 503, 3);
    assert_eq!(origin.calls(), 3);
    is_up.store(true, Ordering::SeqCst);
    assert_eq!(proxy.ask(about("m")).await.text(), answer(4), "a problem is not kept");
}

#[tokio::test]
async fn no_stale_answer_stands_in_where_the_flag_forbids_it() {
    let (origin, is_up) = switched().await;
    let file = File::with(DEFAULT);
    let proxy = Proxy::start(&origin, &["--stale-if-error", "0s", "--default-response", file.path()]).await;
    proxy.ask(about("m")).await;
    is_up.store(false, Ordering::SeqCst);
    assert_is_default(&proxy.ask(anew("m")).await);
}

#[tokio::test]
async fn a_mistake_of_the_clients_is_not_hidden_by_a_default() {
    let file = File::with(DEFAULT);
    for status in [400, 401, 404, 422] {
        let origin = Origin::answering(move |_, _| response(status, &[JSON], "{\"error\":1}")).await;
        let proxy = Proxy::start(&origin, &["--default-response", file.path()]).await;
        let given = proxy.ask(about("m")).await;
        assert_eq!((given.status(), given.text(), given.field("larder-fallback")), (status, "{\"error\":1}", None));
    }
}

#[tokio::test]
async fn a_default_stands_in_for_an_upstream_that_is_not_there_in_both_profiles() {
    let (_socket, address) = nowhere();
    let file = File::with(r#"{"status": 503, "headers": {"content-type": "text/html"}, "body": "<h1>Back soon</h1>"}"#);
    for profile in ["llm", "http"] {
        let args = ["--profile", profile, "--default-response", file.path()];
        let proxy = Proxy::before(&format!("http://{address}"), &args).await;
        for asked in [get("/page", &[]), about("m")] {
            let given = proxy.ask(asked).await;
            assert_eq!((given.status(), given.text()), (503, "<h1>Back soon</h1>"), "{profile}");
            assert_eq!(given.field("content-type"), Some("text/html"));
            assert_eq!(given.field("larder-fallback"), Some("default"));
        }
    }
}

#[tokio::test]
async fn another_upstream_goes_before_a_default_and_after_a_stale_answer() {
    let (origin, is_up) = switched().await;
    let other = Origin::answering(|_, number| response(200, &[JSON], format!("{{\"other\":{number}}}"))).await;
    let file = File::with(DEFAULT);
    let url = other.url();
    let proxy = Proxy::start(&origin, &["--default-response", file.path(), "--fallback", &url]).await;
    proxy.ask(about("kept")).await;
    is_up.store(false, Ordering::SeqCst);
    assert_eq!(proxy.ask(anew("kept")).await.text(), answer(1));
    assert_eq!(other.calls(), 0);
    let given = proxy.ask(about("new")).await;
    assert_eq!(
        (given.status(), given.text(), given.field("larder-fallback")),
        (200, "{\"other\":1}", Some("upstream"))
    );
    drop(other);
    assert_is_default(&proxy.ask(about("newer")).await);
}
