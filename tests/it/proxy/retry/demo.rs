//! The demo's faults, as a newcomer sees them through the proxy.

use super::{super::message::get, *};

/// Asks the demo's chat with a model's name.
async fn ask(proxy: &Proxy, model: &str, is_streamed: bool, fields: &[(&str, &str)]) -> Message {
    let body = format!(r#"{{"model":"{model}","stream":{is_streamed},"messages":[{{"role":"user","content":"hi"}}]}}"#);
    proxy.ask(post_json(CHAT, fields, &body)).await
}

async fn demo(args: &[&str]) -> Proxy {
    let args: Vec<_> = ["--demo", "--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
    Proxy::launch(&args, &[]).await
}

#[tokio::test]
async fn a_fault_that_passes_is_seen_as_a_retry() {
    let proxy = demo(&["--attempt-timeout", "5s"]).await;
    let cases = [
        ("demo-503*2", false, "3"),
        ("demo-429*1", false, "2"),
        ("demo-reset*1", false, "2"),
        ("demo-hang*1", false, "2"),
        ("demo-error-first*1", true, "2"),
    ];
    let asked = cases.map(|(model, is_streamed, attempts)| {
        let proxy = &proxy;
        async move {
            let given = ask(proxy, model, is_streamed, &[]).await;
            assert_eq!((given.status(), given.field("larder-attempts")), (200, Some(attempts)), "{model}: {given:?}");
            assert!(ask(proxy, model, is_streamed, &[]).await.is_hit(), "{model}");
        }
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn a_fault_that_stays_is_seen_as_what_stands_in() {
    let proxy = demo(&["--attempt-timeout", "2500ms", "--retries", "1"]).await;
    let cases = [
        ("demo-503", false, 503),
        ("demo-500", false, 500),
        ("demo-reset", false, 502),
        ("demo-hang", false, 504),
        ("demo-error-first", true, 502),
    ];
    let asked = cases.map(|(model, is_streamed, status)| {
        let proxy = &proxy;
        async move { assert_is_problem(&ask(proxy, model, is_streamed, &[]).await, status, 2) }
    });
    futures_util::future::join_all(asked).await;
    let given = ask(&proxy, "demo-quota", false, &[]).await;
    assert_eq!((given.status(), given.field("larder-attempts")), (429, None), "{given:?}");
    assert_eq!(given.json()["error"]["code"], "insufficient_quota");
    let anthropic =
        post_json("/v1/messages", &[], r#"{"model":"demo-quota","messages":[{"role":"user","content":"hi"}]}"#);
    let given = proxy.ask(anthropic).await;
    assert_eq!((given.status(), given.field("larder-attempts")), (400, None), "{given:?}");
}

#[tokio::test]
async fn what_the_demo_can_not_do_is_said() {
    let proxy = demo(&[]).await;
    for (model, fields) in [("demo-503*0", &[][..]), ("demo-503*x", &[][..]), ("demo", &[("X-Demo-Fault", "loud")][..])]
    {
        let given = ask(&proxy, model, false, fields).await;
        assert_eq!(given.status(), 400, "{model}: {given:?}");
        assert!(given.text().contains("*1 to *9"), "{}", given.text());
    }
    let models = proxy.ask(get("/v1/models", &[])).await;
    assert!(models.text().contains("demo-error-first"), "{}", models.text());
}

#[tokio::test]
async fn the_printed_commands_show_retry_stale_and_what_comes_last() {
    let file = File::with(r#"{"body": {"sorry": true}}"#);
    for (args, kind, status) in [(&[][..], "problem", 503), (&["--default-response", file.path()][..], "default", 200)]
    {
        let proxy = demo(args).await;
        let asks = |line: &&String| line.starts_with("curl ") && line.contains(" -d ");
        proxy.out().wait(|lines| lines.iter().filter(asks).count() == 6).await;
        let printed = proxy.out().all();
        let commands: Vec<_> = printed.iter().filter(asks).collect();
        let mut seen = Vec::new();
        for command in commands {
            let mut given = proxy.ask(in_bytes(command)).await;
            given.body.clear();
            let field = |name| given.field(name).unwrap_or_default().to_owned();
            seen.push((given.status(), field("larder-attempts"), field("larder-fallback")));
        }
        let row = |status: u16, attempts: &str, fallback: &str| (status, attempts.to_owned(), fallback.to_owned());
        let mut expected = vec![row(200, "", ""), row(200, "", ""), row(200, "3", ""), row(200, "3", "stale")];
        expected.push(row(status, "3", kind));
        // What can't be mended by asking again can be answered by default.
        expected.push(if kind == "default" { row(200, "1", kind) } else { row(429, "", "") });
        assert_eq!(seen, expected);
    }
}

/// The request that a printed command sends.
fn in_bytes(command: &str) -> Vec<u8> {
    let quoted = |flag: &str| -> Vec<String> {
        command.split(&format!("{flag} '")).skip(1).filter_map(|rest| rest.split('\'').next()).map(Into::into).collect()
    };
    let fields = quoted("-H");
    let fields: Vec<_> = fields.iter().filter_map(|field| field.split_once(": ")).collect();
    let fields: Vec<_> = fields.into_iter().filter(|(name, _)| *name != "content-type").collect();
    post_json(CHAT, &fields, &quoted("-d")[0])
}
