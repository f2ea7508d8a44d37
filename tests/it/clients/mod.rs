//! The official clients of LLM APIs, in front of the proxy.
//!
//! Each runs its script of `tests/clients` three times: against an upstream itself, through the proxy, and through the
//! proxy again. Whatever a client makes of an answer has to be the same each time.

mod answers;
mod renderings;
mod upstream;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use self::upstream::Upstream;
use crate::{proxy::Proxy, support::clients};

/// How long a script may take; what is measured are objects, not times.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn openais_python_client_gets_from_the_cache_what_it_gets_from_the_api() {
    assert_transparent("openai_client.py", 24, 8).await;
}

#[tokio::test]
async fn openais_node_client_gets_from_the_cache_what_it_gets_from_the_api() {
    assert_transparent("openai_client.mjs", 23, 8).await;
}

#[tokio::test]
async fn anthropics_python_client_gets_from_the_cache_what_it_gets_from_the_api() {
    assert_transparent("anthropic_client.py", 13, 9).await;
}

#[tokio::test]
async fn anthropics_node_client_gets_from_the_cache_what_it_gets_from_the_api() {
    assert_transparent("anthropic_client.mjs", 12, 9).await;
}

/// What a client made of an answer, or of an error.
#[derive(Debug)]
struct Step {
    cache: Option<String>,
    object: Value,
    error: Value,
}

/// Runs a script that has so many steps with an answer, and so many with an error.
async fn assert_transparent(script: &str, answers: usize, errors: usize) {
    let alone = Upstream::start().await;
    let direct = run(script, &alone.url()).await;
    let upstream = Upstream::start().await;
    // What the client is told of an error has to be the upstream's first word of it.
    let proxy = Proxy::before(&upstream.url(), &["--retries", "0"]).await;
    let url = format!("http://{}", proxy.address());
    let first = run(script, &url).await;
    let asked = upstream.calls();
    let second = run(script, &url).await;

    assert_eq!(direct.values().filter(|step| step.error.is_null()).count(), answers, "{direct:#?}");
    assert_eq!(direct.len(), answers + errors);
    assert_eq!(asked, alone.calls(), "each step asks the upstream once");
    let again = upstream.calls().split_off(asked.len());
    assert_eq!(again.len(), errors, "only what failed is asked for again: {again:?}");
    assert!(again.iter().all(|name| name.contains("error")), "{again:?}");

    assert!(first.keys().eq(direct.keys()) && second.keys().eq(direct.keys()));
    for (name, direct) in &direct {
        let (first, second) = (&first[name], &second[name]);
        assert_eq!(direct.cache, None, "{name}");
        assert!(!first.is_hit(), "{name}: {:?}", first.cache);
        if direct.error.is_null() {
            assert!(second.is_hit(), "{name}: {:?}", second.cache);
            assert_eq!(first.object, direct.object, "{name}, when it isn't kept yet");
            assert_eq!(second.object, direct.object, "{name}, when it is kept");
        } else {
            assert!(!second.is_hit(), "{name}: {:?}", second.cache);
            assert_eq!(first.error, second.error, "{name}");
            assert_same_error(name, &first.error, &direct.error);
        }
    }
}

impl Step {
    fn is_hit(&self) -> bool {
        self.cache.as_deref().is_some_and(|said| said.starts_with("larder; hit"))
    }
}

/// The proxy says in its own words that an upstream failed, so of that only what a program acts upon is the same.
fn assert_same_error(name: &str, given: &Value, expected: &Value) {
    let said = given["message"].as_str().unwrap_or_default();
    if name == "broken stream" {
        assert!(said.contains("The upstream's stream broke off"), "{name}: {said}");
        let bases = given["bases"].as_array().expect("a list");
        assert!(bases.contains(&"APIError".into()), "{name} is an error of the client's: {bases:?}");
    } else if expected["status"].as_u64().is_none_or(|status| status < 500) {
        assert_eq!(given, expected, "{name}");
    } else {
        for member in ["class", "bases", "status"] {
            assert_eq!(given[member], expected[member], "{name}");
        }
        assert!(said.contains("The upstream failed"), "{name}: {said}");
        let overloaded = |error: &Value| error["type"] == "overloaded_error";
        assert_eq!(overloaded(given), overloaded(expected), "{name}");
    }
}

/// Runs a script against this, and reads its steps.
async fn run(script: &str, url: &str) -> BTreeMap<String, Step> {
    let mut steps = BTreeMap::new();
    for mut step in lines(script, &[url]).await {
        let cache = step["cache"].as_str().map(str::to_owned);
        let read = Step { cache, object: step["object"].take(), error: step["error"].take() };
        let name = step["step"].as_str().expect("a name").to_owned();
        assert!(steps.insert(name, read).is_none(), "a step's name is its own: {step}");
    }
    steps
}

/// Runs a script to its end, and reads what it says: lines of JSON.
async fn lines(script: &str, args: &[&str]) -> Vec<Value> {
    let mut command = if script.ends_with(".py") { clients::python().await } else { clients::node().await };
    let output = command.arg(clients::script(script)).args(args).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it comes to its end").expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test]
async fn the_clients_are_those_that_are_pinned() {
    let versions = r#"for (const name of ["openai", "@anthropic-ai/sdk", "playwright-core"]) {
        require(name);
        const file = `${process.env.NODE_PATH}/${name}/package.json`;
        console.log(name, JSON.parse(require("node:fs").readFileSync(file)).version);
    }"#;
    let output = clients::node().await.args(["-e", versions]).output().await.expect("node runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let pinned = std::fs::read_to_string(clients::script("package.json")).expect("a file");
    let pinned: Value = serde_json::from_str(&pinned).expect("JSON");
    for line in said.lines() {
        let (name, version) = line.split_once(' ').expect("two words");
        assert_eq!(pinned["dependencies"][name], version, "{name}");
    }
    assert_eq!(said.lines().count(), 3, "{said}");

    let versions = "import openai, anthropic; print(openai.VERSION, anthropic.__version__)";
    let output = clients::python().await.args(["-c", versions]).output().await.expect("python runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let pinned = std::fs::read_to_string(clients::script("requirements.txt")).expect("a file");
    for (name, version) in ["openai", "anthropic"].into_iter().zip(said.split_whitespace()) {
        assert!(pinned.lines().any(|line| line == format!("{name}=={version}")), "{name} {version}");
    }
    assert_eq!(said.split_whitespace().count(), 2, "{said}");
}
