//! The official clients of LLM APIs, in front of the proxy.

use crate::support::clients;

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
    let pinned: serde_json::Value = serde_json::from_str(&pinned).expect("JSON");
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
