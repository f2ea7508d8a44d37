//! The alerts and the dashboard that come with larder.

use std::{collections::BTreeSet, fs, path::Path};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Words that begin as the metrics' names do.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
    words.filter(|word| word.starts_with("larder_")).collect()
}

#[test]
fn every_metric_that_is_watched_is_one_that_there_is() {
    let documentation = file("src/admin/metrics/names.md");
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
}
