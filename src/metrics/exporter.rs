//! [`Exporter`]: hands figures to the recorder of the facade.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit, with_recorder};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    cache, cached,
    figures::{Figures, METRICS, Metric, OfCache, OfLookups, Sink, Value},
    llm::{Ledger, embeddings},
    rate_limit::{self, Limiter},
    retry,
    stats::Latency,
};

/// Hands what layers counted to the recorder of the [`metrics`](::metrics) facade; see the [module](super).
///
/// What was handed on of histograms is remembered here: keep one exporter for all time, and make it when the recorder is there.
#[must_use]
pub struct Exporter {
    caches: Vec<(String, cache::Handle)>,
    retries: Vec<(String, retry::Handle)>,
    limits: Vec<(String, Snapshots)>,
    embeddings: Vec<(String, embeddings::Handle)>,
    lookups: Vec<(String, cached::Handle)>,
    ledger: Option<Ledger>,
    started: Instant,
    /// How often each time of each histogram was handed on.
    told: Mutex<HashMap<Key, HashMap<Duration, u64>>>,
}

/// What a layer with limits counted, whatever limiter it has.
type Snapshots = Arc<dyn Fn() -> rate_limit::Snapshot + Send + Sync>;

impl Exporter {
    /// An exporter of nothing yet.
    pub fn new() -> Self {
        Self {
            caches: Vec::new(),
            retries: Vec::new(),
            limits: Vec::new(),
            embeddings: Vec::new(),
            lookups: Vec::new(),
            ledger: None,
            started: Instant::now(),
            told: Mutex::default(),
        }
    }

    /// Adds a cache. `space` is its name in the label `space`; each cache has to have one of its own.
    pub fn cache(mut self, space: impl Into<String>, handle: cache::Handle) -> Self {
        self.caches.push((space.into(), handle));
        self
    }

    /// Adds a layer that retries, under a name of its own in the label `layer`.
    pub fn retry(mut self, name: impl Into<String>, handle: retry::Handle) -> Self {
        self.retries.push((name.into(), handle));
        self
    }

    /// Adds a layer with limits, under a name of its own in the label `layer`.
    pub fn rate_limit<L: Limiter>(mut self, name: impl Into<String>, handle: rate_limit::Handle<L>) -> Self {
        self.limits.push((name.into(), Arc::new(move || handle.stats())));
        self
    }

    /// Adds a layer that keeps embeddings, under a name of its own in the label `layer`.
    pub fn embeddings(mut self, name: impl Into<String>, handle: embeddings::Handle) -> Self {
        self.embeddings.push((name.into(), handle));
        self
    }

    /// Adds a cache of look-ups. `space` is its name in the label `space`, which no other cache may have.
    pub fn lookups(mut self, space: impl Into<String>, handle: cached::Handle) -> Self {
        self.lookups.push((space.into(), handle));
        self
    }

    /// Adds the ledger that counts what answers cost. Models and tenants are labels, as many as it has
    /// [room](crate::llm::LedgerBuilder::max_accounts) for.
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// Hands on what was counted so far, once. Stores are asked how they are, all at once, which takes five seconds at most; those
    /// that don't answer are said to be down.
    pub async fn export(&self) {
        let (caches, lookups) = tokio::join!(OfCache::ask_all(&self.caches), OfLookups::ask_all(&self.lookups));
        let figures = Figures {
            uptime: self.started.elapsed(),
            caches,
            retries: self.retries.iter().map(|(layer, retry)| (layer.as_str(), retry.stats())).collect(),
            limits: self.limits.iter().map(|(layer, limit)| (layer.as_str(), limit())).collect(),
            embeddings: self.embeddings.iter().map(|(layer, kept)| (layer.as_str(), kept.stats())).collect(),
            lookups,
            costs: self.ledger.as_ref().map(Ledger::balance),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        with_recorder(|recorder| {
            METRICS.iter().for_each(|metric| describe(recorder, metric));
            figures.tell(&mut Teller { recorder, told: &mut told });
        });
    }

    /// Hands on what was counted, at once and then in each period, for ever: to be spawned. A period of zero counts as a millisecond.
    pub async fn export_every(self, period: Duration) {
        let mut ticks = interval(period.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.export().await;
        }
    }
}

impl Default for Exporter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaces: Vec<_> = self.caches.iter().map(|(space, _)| space).collect();
        f.debug_struct("Exporter").field("caches", &spaces).finish_non_exhaustive()
    }
}

/// Where it comes from, for recorders that ask.
const METADATA: Metadata<'static> = Metadata::new("larder", Level::INFO, Some("larder::metrics"));

fn describe(recorder: &dyn Recorder, metric: &'static Metric) {
    let name = KeyName::from_const_str(metric.name);
    let unit = match metric.name {
        name if name.contains("_seconds") => Some(Unit::Seconds),
        name if name.contains("_bytes") => Some(Unit::Bytes),
        _ => None,
    };
    let help = SharedString::const_str(&metric.help);
    match metric.kind {
        "counter" if !metric.name.contains("_dollars") => recorder.describe_counter(name, unit, help),
        "histogram" => recorder.describe_histogram(name, unit, help),
        _ => recorder.describe_gauge(name, unit, help),
    }
}

/// Hands samples to a recorder.
struct Teller<'a> {
    recorder: &'a dyn Recorder,
    told: &'a mut HashMap<Key, HashMap<Duration, u64>>,
}

impl Sink for Teller<'_> {
    fn take(&mut self, metric: &'static Metric, labels: &[(&str, &str)], value: Value<'_>) {
        // Those of the table come first in it; what a label says may be new.
        let labels: Vec<_> =
            metric.labels.iter().zip(labels).map(|(name, (_, value))| Label::new(*name, (*value).to_owned())).collect();
        let key = Key::from_parts(metric.name, labels);
        match (metric.kind, value) {
            ("counter", Value::Whole(count)) => self.recorder.register_counter(&key, &METADATA).absolute(count),
            #[expect(clippy::cast_precision_loss, reason = "the facade's gauges are doubles")]
            (_, Value::Whole(number)) => self.recorder.register_gauge(&key, &METADATA).set(number as f64),
            (_, Value::Real(number)) => self.recorder.register_gauge(&key, &METADATA).set(number),
            #[expect(clippy::cast_precision_loss, reason = "the facade's counters are whole, and its gauges doubles")]
            (_, Value::Dollars(sum)) => {
                self.recorder.register_gauge(&key, &METADATA).set(sum.get() as f64 / 1_000_000_000.0);
            }
            (_, Value::Times(latency)) => self.tell_times(key, latency),
        }
    }
}

impl Teller<'_> {
    /// What came since the last time.
    fn tell_times(&mut self, key: Key, latency: &Latency) {
        let histogram = self.recorder.register_histogram(&key, &METADATA);
        let told = self.told.entry(key).or_default();
        for (took, count) in latency.times() {
            let before = told.insert(took, count).unwrap_or(0);
            if let Ok(more @ 1..) = usize::try_from(count.saturating_sub(before)) {
                histogram.record_many(took.as_secs_f64(), more);
            }
        }
    }
}
