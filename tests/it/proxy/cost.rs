//! What answers cost and save, as the log and fields tell it.

use super::{
    file::File,
    llm::CHAT,
    message::{Message, post_json},
    process::{Ended, Proxy, run},
};

async fn demo(args: &[&str]) -> Proxy {
    let args: Vec<_> = ["--demo", "--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
    Proxy::launch(&args, &[]).await
}

/// Asks the demo, and gives what was answered and the line in the log.
async fn ask(proxy: &Proxy, body: &str) -> (Message, String) {
    let lines = |lines: &[String]| lines.iter().filter(|line| line.contains(CHAT)).count();
    let before = lines(&proxy.log().all());
    let given = proxy.ask(post_json(CHAT, &[], body)).await;
    proxy.log().wait(|all| lines(all) > before).await;
    let line = proxy.log().all().into_iter().rfind(|line| line.contains(CHAT)).expect("a line");
    (given, line.replace('"', ""))
}

fn question(model: &str, rest: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"how much?"}}]{rest}}}"#)
}

/// Nano-dollars, as they are shown.
fn dollars(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000).trim_end_matches('0').to_owned()
}

#[tokio::test]
async fn the_log_says_what_an_answer_cost_and_what_its_repetition_saved() {
    let proxy = demo(&[]).await;
    let (first, line) = ask(&proxy, &question("gpt-4o-mini", "")).await;
    let tokens = |name: &str| first.json()["usage"][name].as_u64().expect("a number");
    let cost = dollars(tokens("prompt_tokens") * 150 + tokens("completion_tokens") * 600);
    assert!(line.contains(&format!("model=gpt-4o-mini cost={cost} saved=0 ")), "{line}");
    let (again, line) = ask(&proxy, &question("gpt-4o-mini", "")).await;
    assert!(again.is_hit() && line.contains(&format!("model=gpt-4o-mini cost=0 saved={cost} ")), "{line}");
    assert_eq!((again.field("larder-cost"), again.field("larder-saved")), (None, None), "not asked for");

    let streamed = |rest| question("gpt-4o-mini", &format!(r#","stream":true{rest}"#));
    let (first, line) = ask(&proxy, &streamed(r#","seed":1,"stream_options":{"include_usage":true}"#)).await;
    assert!(first.text().contains("\"usage\":{"), "{first:?}");
    assert!(line.contains(&format!("model=gpt-4o-mini cost={cost} saved=0 ")), "{line}");
    let (plain, line) = ask(&proxy, &question("gpt-4o-mini", r#","seed":1"#)).await;
    assert!(plain.is_hit() && line.contains(&format!("model=gpt-4o-mini cost=0 saved={cost} ")), "{line}");
    let (_, line) = ask(&proxy, &streamed(r#","seed":2"#)).await;
    assert!(line.contains("model=gpt-4o-mini cost=unknown saved=0 "), "it doesn't say what it took: {line}");
    let (_, line) = ask(&proxy, &question("no-such-model", "")).await;
    assert!(line.contains("model=no-such-model cost=unknown saved=0 "), "{line}");
}

#[tokio::test]
async fn a_file_says_what_the_user_s_models_cost_and_fields_what_was_saved() {
    let file = File::with(r#"{"no-such-model": {"input_cost_per_token": 1, "output_cost_per_token": "5e-1"}}"#);
    let proxy = demo(&["--prices", file.path(), "--cost-fields"]).await;
    let (first, line) = ask(&proxy, &question("no-such-model", "")).await;
    let tokens = |name: &str| first.json()["usage"][name].as_u64().expect("a number");
    let nano = tokens("prompt_tokens") * 1_000_000_000 + tokens("completion_tokens") * 500_000_000;
    let cost = dollars(nano).trim_end_matches('.').to_owned();
    assert!(line.contains(&format!("cost={cost} saved=0 ")), "{line}");
    assert_eq!((first.field("larder-cost"), first.field("larder-saved")), (None, Some("0")));
    let (again, _) = ask(&proxy, &question("no-such-model", "")).await;
    assert_eq!((again.field("larder-cost"), again.field("larder-saved")), (Some("0"), Some(&*cost)));
}

#[tokio::test]
async fn a_file_of_prices_that_can_not_be_read_is_said() {
    let cases = [
        (File::with("[]"), "LiteLLM"),
        (File::with(r#"{"m": {"input_cost_per_token": -1}}"#), "m: input_cost_per_token"),
    ];
    for (file, said) in cases {
        let args = ["--demo", "--listen", "127.0.0.1:0", "--prices", file.path()];
        let Ended { code, errors, .. } = run(&args, &[]).await;
        assert!(code == Some(2) && errors.contains("--prices") && errors.contains(said), "{code:?} {errors}");
    }
    let args = ["--demo", "--listen", "127.0.0.1:0", "--prices", "/no/such/file"];
    let Ended { code, errors, .. } = run(&args, &[]).await;
    assert!(code == Some(2) && errors.contains("--prices") && errors.contains("No such file"), "{code:?} {errors}");
}
