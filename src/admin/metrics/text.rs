//! [`Text`]: [Prometheus' text format](https://prometheus.io/docs/instrumenting/exposition_formats/), version 0.0.4.

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

/// What the metrics are called, as the documentation has it.
const NAMES: &str = include_str!("names.md");

/// The metrics, in the order in which they are documented.
static METRICS: LazyLock<Vec<Metric>> = LazyLock::new(|| NAMES.lines().filter_map(Metric::parse).collect());

#[derive(Debug)]
struct Metric {
    name: &'static str,
    kind: &'static str,
    labels: Vec<&'static str>,
    help: String,
}

impl Metric {
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
        let help = help.trim_end_matches(" |").replace('`', "").replace('\\', "\\\\");
        Some(Self { name, kind, labels: labels.collect(), help })
    }
}

/// The samples, by metric.
pub(super) struct Text(HashMap<&'static str, String>);

impl Text {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Adds a sample of a metric that is documented, with labels that are.
    pub(super) fn add(&mut self, metric: &'static str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        debug_assert!(
            METRICS
                .iter()
                .any(|known| known.name == metric && known.labels.iter().eq(labels.iter().map(|(name, _)| name))),
            "{metric} with {labels:?} isn't in names.md"
        );
        let samples = self.0.entry(metric).or_default();
        samples.push_str(metric);
        for (at, (name, value)) in labels.iter().enumerate() {
            let sign = if at == 0 { '{' } else { ',' };
            let _ = write!(samples, "{sign}{name}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(samples, "{end} {value}");
    }

    /// The whole, in the order in which the metrics are documented.
    pub(super) fn finish(mut self) -> String {
        let mut text = String::new();
        for metric in &*METRICS {
            if let Some(samples) = self.0.remove(metric.name) {
                let Metric { name, kind, help, .. } = metric;
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
            }
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
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
            assert!(is_counter || metric.kind == "gauge", "{metric:?}");
            assert_eq!(metric.name.ends_with("_total"), is_counter, "{metric:?}");
            assert!(metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{metric:?}");
            assert!(
                metric.labels.iter().all(|label| label.bytes().all(|byte| byte.is_ascii_lowercase())),
                "{metric:?}"
            );
            assert!(metric.name.starts_with("larder_") && !metric.help.contains(['|', '\n']), "{metric:?}");
        }
        let uptime = METRICS.iter().find(|metric| metric.name == "larder_uptime_seconds").expect("it is there");
        assert_eq!((uptime.labels.len(), &*uptime.help), (0, "how long ago the router was made"));
    }

    #[test]
    fn every_counter_that_is_mapped_is_documented() {
        use super::super::fields::{CACHE, POLICY, RATE_LIMIT, RETRY, TIER, UPSTREAM};
        for field in [CACHE, TIER, RETRY, UPSTREAM, RATE_LIMIT, POLICY].into_iter().flatten() {
            let metric = METRICS.iter().find(|metric| metric.name == field.metric).expect(field.metric);
            if let Some((label, value)) = field.label {
                assert!(metric.labels.contains(&label) && metric.help.contains(value), "{}: {value}", field.metric);
            }
        }
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut text = Text::new();
        text.add("larder_build_info", &[("version", "a\"} 2\nb\\")], 1);
        text.add("larder_uptime_seconds", &[], 1.5);
        let expected = "# HELP larder_build_info 1, for the version of larder\n# TYPE larder_build_info gauge\n\
                        larder_build_info{version=\"a\\\"} 2\\nb\\\\\"} 1\n\
                        # HELP larder_uptime_seconds how long ago the router was made\n\
                        # TYPE larder_uptime_seconds gauge\nlarder_uptime_seconds 1.5\n";
        assert_eq!(text.finish(), expected);
    }
}
