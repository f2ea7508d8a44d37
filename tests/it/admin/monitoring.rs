//! The alerts and the dashboard that come with larder.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::figures;
use crate::support::program::program;

/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Words that begin as the metrics' names do.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
    // A histogram is looked at by its parts.
    let parts = ["_bucket", "_sum", "_count"];
    let whole = |word| parts.iter().find_map(|part| str::strip_suffix(word, part)).unwrap_or(word);
    words.filter(|word| word.starts_with("larder_")).map(whole).collect()
}

#[test]
fn every_metric_that_is_watched_is_one_that_there_is() {
    let documentation = file("src/figures/names.md");
    let there_are = names(&documentation);
    for watching in
        ["examples/monitoring/alerts.yml", "examples/monitoring/alerts_test.yml", "examples/monitoring/grafana.json"]
    {
        let text = file(watching);
        let watched = names(&text);
        assert!(watched.len() > 5, "{watching} watches something");
        let unknown: Vec<_> = watched.difference(&there_are).collect();
        assert!(unknown.is_empty(), "{watching} watches what there isn't: {unknown:?}");
    }
}

#[test]
fn the_dashboard_is_json_whose_panels_have_names_of_their_own() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("examples/monitoring/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let titles: BTreeSet<_> = panels.iter().map(|panel| panel["title"].as_str().expect("a title")).collect();
    assert_eq!(titles.len(), panels.len());
    for panel in panels {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(targets.iter().all(|target| target["expr"].as_str().is_some_and(|expr| expr.contains("larder_"))));
    }
    let text = dashboard.to_string();
    for shown in ["request_duration_seconds", "fetch_duration_seconds", "saved_dollars_total", "spent_dollars_total"] {
        assert!(names(&text).iter().any(|name| name.ends_with(shown)), "nobody sees {shown}");
    }
}

/// Places of the grid that two panels have are seen of one only.
#[test]
fn no_panel_of_the_dashboard_hides_another() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("examples/monitoring/grafana.json")).expect("JSON");
    let (mut taken, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        let (x, y) = (at("x")..at("x") + at("w"), at("y")..at("y") + at("h"));
        assert!(x.end <= 24 && numbers.insert(panel["id"].as_u64()), "{}", panel["title"]);
        for place in y.flat_map(|y| x.clone().map(move |x| (x, y))) {
            assert!(taken.insert(place), "{} at {place:?}", panel["title"]);
        }
    }
}

/// What promtool says of `input`, or of the files that are named.
async fn promtool(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(program("promtool", "prometheus"));
    command.args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("promtool starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let checked = timeout(PATIENCE, async {
        // It reads nothing if it is given files, and has ended then.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    });
    checked.await.expect("promtool comes to its end").expect("it can be waited for")
}

#[track_caller]
fn assert_accepted(output: &Output, checked: &str) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    assert!(output.status.success(), "{checked}: {}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn prometheus_takes_the_alerts_and_each_fires_when_it_should() {
    assert_accepted(&promtool(&["check", "rules", "alerts.yml"], "").await, "alerts.yml");
    assert_accepted(&promtool(&["test", "rules", "alerts_test.yml"], "").await, "alerts_test.yml");
}

#[tokio::test]
async fn prometheus_takes_the_queries_of_the_dashboard() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("examples/monitoring/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let rules: Vec<_> = targets
        .enumerate()
        .map(|(number, target)| {
            let query = target["expr"].as_str().expect("a query");
            // What Grafana puts in their place.
            let query = query.replace("$__rate_interval", "2m").replace("$__range", "3h").replace("$space", ".*");
            serde_json::json!({ "record": format!("query:{number}"), "expr": query })
        })
        .collect();
    assert!(rules.len() > 20);
    // JSON is YAML.
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    assert_accepted(&promtool(&["check", "rules", "/dev/stdin"], &rules).await, "grafana.json");
}

#[tokio::test]
async fn prometheus_takes_the_metrics_and_has_nothing_to_say_against_them() {
    let metrics = figures::used().await.get("/metrics").await.text;
    assert!(metrics.contains("larder_cache_requests_total"), "{metrics}");
    assert_accepted(&promtool(&["check", "metrics"], &metrics).await, "GET /metrics");
}
