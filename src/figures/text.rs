//! [`Text`]: [Prometheus' text format](https://prometheus.io/docs/instrumenting/exposition_formats/), version 0.0.4.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use super::{BOUNDS, Metric, Sink, Value, names::METRICS};
use crate::stats::Latency;

/// The samples, by metric.
pub(crate) struct Text(HashMap<&'static str, String>);

impl Sink for Text {
    fn take(&mut self, metric: &'static Metric, labels: &[(&str, &str)], value: Value<'_>) {
        let samples = self.0.entry(metric.name).or_default();
        match value {
            Value::Whole(number) => sample(samples, metric.name, "", labels, number),
            Value::Real(number) => sample(samples, metric.name, "", labels, number),
            Value::Dollars(sum) => sample(samples, metric.name, "", labels, sum),
            Value::Times(latency) => histogram(samples, metric.name, labels, latency),
        }
    }
}

impl Text {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The whole, in the order in which the metrics are documented.
    pub(crate) fn finish(mut self) -> String {
        let mut text = String::new();
        for metric in &*METRICS {
            if let Some(samples) = self.0.remove(metric.name) {
                let Metric { name, kind, help, .. } = metric;
                let help = help.replace('\\', "\\\\");
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
            }
        }
        text
    }
}

fn sample(samples: &mut String, name: &str, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    samples.push_str(name);
    samples.push_str(suffix);
    for (at, (name, value)) in labels.iter().enumerate() {
        let sign = if at == 0 { '{' } else { ',' };
        let _ = write!(samples, "{sign}{name}=\"{}\"", escaped(value));
    }
    let end = if labels.is_empty() { "" } else { "}" };
    let _ = writeln!(samples, "{end} {value}");
}

fn histogram(samples: &mut String, name: &str, labels: &[(&str, &str)], latency: &Latency) {
    let bounds = BOUNDS.iter().map(|bound| (bound.to_string(), latency.count_within(Duration::from_secs_f64(*bound))));
    for (bound, count) in bounds.chain([("+Inf".to_owned(), latency.count())]) {
        sample(samples, name, "_bucket", &[labels, &[("le", &*bound)]].concat(), count);
    }
    sample(samples, name, "_sum", labels, latency.sum().as_secs_f64());
    sample(samples, name, "_count", labels, latency.count());
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut text = Text::new();
        text.add("larder_build_info", &[("version", "a\"} 2\nb\\")], 1_u64);
        text.add("larder_uptime_seconds", &[], 1.5);
        let expected = "# HELP larder_build_info 1, for the version of larder\n# TYPE larder_build_info gauge\n\
                        larder_build_info{version=\"a\\\"} 2\\nb\\\\\"} 1\n\
                        # HELP larder_uptime_seconds how long ago the router, or the exporter, was made\n\
                        # TYPE larder_uptime_seconds gauge\nlarder_uptime_seconds 1.5\n";
        assert_eq!(text.finish(), expected);
    }
}
