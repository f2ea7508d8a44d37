//! The figures of all layers for the [`metrics`](::metrics) facade (feature `metrics`), for those who have an exporter of their own.
//!
//! Layers count by themselves, and a request doesn't touch the facade: an [`Exporter`] hands on what was counted whenever it is told
//! to, to the recorder that is installed then. So the exporter's figures are those of the admin router's `GET /metrics`, under the
//! same names, and the cost of a recorder is nothing to a request.
//!
//! ```
//! use larder::{CacheLayer, RetryFallbackLayer, metrics::Exporter, store::Memory};
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let (cache, retry) = (CacheLayer::new(Memory::new(64 << 20)), RetryFallbackLayer::new());
//! // After a recorder was installed, such as metrics-exporter-prometheus has one:
//! let exporter = Exporter::new().cache("default", cache.handle()).retry("upstream", retry.handle());
//! let task = tokio::spawn(exporter.export_every(Duration::from_secs(10)));
//! # task.abort();
//! # });
//! ```
//!
//! Counters are set to what was counted since their layer was made ([`absolute`](::metrics::Counter::absolute)), gauges to what holds
//! now. Sums of money are gauges, too, for the facade's counters are whole numbers. Histograms are given each time as often as it
//! came since the last export, which is known to 3 %; [`BUCKETS`] are the bounds that `GET /metrics` has, for exporters that are to
//! be told.
//!
//! # Names
//!
#![doc = include_str!("../figures/names.md")]

mod exporter;

pub use self::exporter::Exporter;

/// The upper bounds of the buckets that the admin router shows histograms with, in seconds: 1, 2.5 and 5 µs, and so on to 500 s.
pub const BUCKETS: &[f64] = crate::figures::BOUNDS;
