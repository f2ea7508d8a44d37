//! What the metrics are called, and what they say.

use std::sync::LazyLock;

/// What the metrics are called, as the documentation has it.
pub(super) const NAMES: &str = include_str!("names.md");

/// The metrics, in the order in which they are documented.
pub(crate) static METRICS: LazyLock<Vec<Metric>> = LazyLock::new(|| NAMES.lines().filter_map(Metric::parse).collect());

/// A metric, as it is documented.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub(crate) kind: &'static str,
    pub(crate) labels: Vec<&'static str>,
    pub(crate) help: String,
}

impl Metric {
    /// The one of this name, if it has these labels.
    pub(super) fn find(name: &str, labels: &[(&str, &str)]) -> Option<&'static Self> {
        let has = |known: &&Self| known.name == name && known.labels.iter().eq(labels.iter().map(|(name, _)| name));
        METRICS.iter().find(has)
    }

    /// A row of the table.
    fn parse(line: &'static str) -> Option<Self> {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`');
        let kind = cells.next()?;
        // An empty cell leaves one space, not two.
        let labels = cells.next()?;
        let (labels, help) = match labels.strip_prefix("| ") {
            Some(help) => ("", help),
            None => (labels, cells.next()?),
        };
        let labels = labels.split(", ").map(|label| label.trim_matches('`')).filter(|label| !label.is_empty());
        let help = help.trim_end_matches(" |").replace('`', "");
        Some(Self { name, kind, labels: labels.collect(), help })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_documentation_is_read_and_named_as_prometheus_has_it() {
        let rows = NAMES.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(METRICS.len(), rows);
        for metric in &*METRICS {
            let is_counter = metric.kind == "counter";
            assert!(["counter", "gauge", "histogram"].contains(&metric.kind), "{metric:?}");
            assert_eq!(metric.name.ends_with("_total"), is_counter, "{metric:?}");
            assert!(metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{metric:?}");
            assert!(
                metric.labels.iter().all(|label| label.bytes().all(|byte| byte.is_ascii_lowercase())),
                "{metric:?}"
            );
            assert!(metric.name.starts_with("larder_") && !metric.help.contains(['|', '\n']), "{metric:?}");
        }
        let uptime = METRICS.iter().find(|metric| metric.name == "larder_uptime_seconds").expect("it is there");
        assert_eq!((uptime.labels.len(), &*uptime.help), (0, "how long ago the router, or the exporter, was made"));
    }

    #[test]
    fn every_counter_that_is_mapped_is_documented() {
        use super::super::fields::{CACHE, EMBEDDINGS, LOOKUPS, POLICY, RATE_LIMIT, RETRY, TIER, UPSTREAM};
        for field in [CACHE, TIER, RETRY, UPSTREAM, RATE_LIMIT, POLICY, EMBEDDINGS, LOOKUPS].into_iter().flatten() {
            let metric = METRICS.iter().find(|metric| metric.name == field.metric).expect(field.metric);
            if let Some((label, value)) = field.label {
                assert!(metric.labels.contains(&label) && metric.help.contains(value), "{}: {value}", field.metric);
            }
        }
    }

    #[test]
    fn every_outcome_that_is_timed_is_documented() {
        let metric = METRICS.iter().find(|metric| metric.name == "larder_cache_request_duration_seconds");
        let help = &metric.expect("it is there").help;
        let latency = crate::stats::LatencyByOutcome::default();
        for (outcome, _) in latency.iter() {
            assert!(help.contains(outcome), "{outcome}");
        }
        // As in the snapshot's JSON, where there is nothing else.
        let shown = serde_json::to_value(&latency).expect("JSON");
        assert!(shown.as_object().expect("an object").keys().all(|outcome| help.contains(outcome.as_str())));
    }
}
