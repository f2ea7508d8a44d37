//! The exporter for the `metrics` facade, with a real recorder.

use std::{collections::BTreeMap, time::Duration};

use ::metrics::with_local_recorder;
use larder::{
    RateLimitLayer, RetryFallbackLayer, admin,
    metrics::{BUCKETS, Exporter},
    rate_limit::Quota,
    store::Memory,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::runtime::Runtime;
use tower::Layer as _;

use super::{Served, costs, embeddings, figures::samples, hits, lookups, site};
use crate::support::{Origin, ask, full, get, reply};

fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().set_buckets(BUCKETS).expect("bounds").build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

/// With the labels of each sample in order, and without what changes from one moment to the next.
fn comparable(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.is_empty());
    let samples = samples(&lines.map(|line| format!("{line}\n")).collect::<String>());
    let sorted = |sample: &str| match sample.split_once('{') {
        Some((name, labels)) => {
            let mut labels: Vec<_> = labels.trim_end_matches('}').split(',').collect();
            labels.sort_unstable();
            format!("{name}{{{}}}", labels.join(","))
        }
        None => sample.to_owned(),
    };
    let moments = ["larder_uptime_seconds", "larder_tier_latency_seconds"];
    let lasting = samples.into_iter().filter(|(sample, _)| !moments.iter().any(|moment| sample.starts_with(moment)));
    lasting.map(|(sample, value)| (sorted(&sample), value)).collect()
}

#[test]
fn a_recorder_shows_what_the_admin_router_shows() {
    let runtime = Runtime::new().expect("a runtime");
    let (retry, limit) = (RetryFallbackLayer::new(), RateLimitLayer::new(Quota::per_day(2)));
    let (recorder, shown) = recorder();
    let (site, handle) = runtime.block_on(site(Memory::new(64 << 20)));
    let router = admin::router(handle.clone()).retry("provider", retry.handle()).rate_limit("clients", limit.handle());
    let ledger = costs::ledger();
    let texts = embeddings::layer();
    let users = lookups::users(&Memory::new(1 << 20));
    let router = router.embeddings("texts", texts.handle()).ledger(ledger.clone()).lookups("users", users.handle());
    let served = runtime.block_on(Served::new(router.insecure().build()));
    let exporter = Exporter::new()
        .embeddings("texts", texts.handle())
        .lookups("users", users.handle())
        .cache("default", handle)
        .retry("provider", retry.handle())
        .rate_limit("clients", limit.handle())
        .ledger(ledger.clone());
    for round in 0..3 {
        runtime.block_on(async {
            for path in ["/a", "/a", &format!("/{round}")] {
                hits(&site, path).await;
            }
            costs::spend(&ledger, &[("m", "a"), ("m", "a"), ("unheard-of", "b")]).await;
            let origin = || Origin::replies(|_| reply(200, &[], full("hello")));
            ask(&retry.layer(origin()), get("http://upstream.example/", &[])).await;
            ask(&limit.layer(origin()), get("http://h/", &[])).await;
            embeddings::embed(&texts, &["a", &round.to_string()]).await;
            lookups::look(&users, &round.to_string(), 1).await;
        });
        with_local_recorder(&recorder, || runtime.block_on(exporter.export()));
        let expected = comparable(&runtime.block_on(served.get("/metrics")).text);
        let found = comparable(&shown.render());
        for (sample, value) in &expected {
            let found = found.get(sample);
            if sample.contains("_seconds_sum") {
                // What is handed on are times that are known to 3 %.
                assert!(found.is_none_or(|found| (found - value).abs() <= value * 0.03), "{sample}: {found:?} {value}");
            } else if sample.contains("_duration_seconds_") && *value == 0.0 {
                // A recorder shows no histogram that nothing came into.
                assert!(found.is_none_or(|found| *found == 0.0), "{sample}: {found:?}");
            } else {
                assert_eq!(found, Some(value), "{sample} in {}", shown.render());
            }
        }
        let unknown: Vec<_> = found.keys().filter(|sample| !expected.contains_key(*sample)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    let help = "# HELP larder_retry_retries_total attempts after one that failed, at the same upstream";
    assert!(shown.render().contains(help));
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_runs_by_itself_goes_on_until_it_is_stopped() {
    let (_site, handle) = site(Memory::new(1 << 20)).await;
    let (recorder, shown) = recorder();
    let task = Exporter::new().cache("default", handle).export_every(Duration::from_secs(10));
    // The recorder is this thread's while it runs, and nothing in between gives it up.
    let mut task = Box::pin(task);
    let mut uptimes = Vec::new();
    for _ in 0..3 {
        with_local_recorder(&recorder, || assert!(crate::support::poll_once(&mut task).is_pending()));
        let samples = samples(
            &shown.render().lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect::<String>(),
        );
        uptimes.push(samples["larder_uptime_seconds"]);
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    assert_eq!(uptimes, [0.0, 10.0, 20.0]);
}
