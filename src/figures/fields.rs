//! Which counter of which snapshot is which metric.

/// A counter of a snapshot.
pub(super) struct Field {
    /// Its name there.
    pub(super) name: &'static str,
    pub(super) metric: &'static str,
    /// What tells it from other counters of the same metric.
    pub(super) label: Option<(&'static str, &'static str)>,
}

const fn counter(name: &'static str, metric: &'static str) -> Field {
    Field { name, metric, label: None }
}

const fn part(name: &'static str, metric: &'static str, label: &'static str, value: &'static str) -> Field {
    Field { name, metric, label: Some((label, value)) }
}

/// Of [`stats::Snapshot`](crate::stats::Snapshot).
pub(super) const CACHE: &[Field] = &[
    part("hits", "larder_cache_requests_total", "outcome", "hit"),
    counter("converted", "larder_cache_converted_total"),
    part("stale_hits", "larder_cache_requests_total", "outcome", "stale_hit"),
    part("stale_on_error", "larder_cache_requests_total", "outcome", "stale_on_error"),
    part("revalidated", "larder_cache_requests_total", "outcome", "revalidated"),
    part("collapsed", "larder_cache_requests_total", "outcome", "collapsed"),
    part("misses", "larder_cache_requests_total", "outcome", "miss"),
    part("bypassed", "larder_cache_requests_total", "outcome", "bypass"),
    part("only_if_cached", "larder_cache_requests_total", "outcome", "only_if_cached"),
    part("stored", "larder_cache_responses_total", "outcome", "stored"),
    part("not_storable", "larder_cache_responses_total", "outcome", "not_storable"),
    part("too_large", "larder_cache_responses_total", "outcome", "too_large"),
    part("incomplete", "larder_cache_responses_total", "outcome", "incomplete"),
    part("outdated", "larder_cache_responses_total", "outcome", "outdated"),
    part("bypassed_by_policy", "larder_cache_bypassed_total", "reason", "policy"),
    part("bypassed_method", "larder_cache_bypassed_total", "reason", "method"),
    part("bypassed_directive", "larder_cache_bypassed_total", "reason", "directive"),
    part("bypassed_origin", "larder_cache_bypassed_total", "reason", "origin"),
    part("bypassed_body", "larder_cache_bypassed_total", "reason", "body"),
    part("bypassed_too_large", "larder_cache_bypassed_total", "reason", "too_large"),
    part("bypassed_broken", "larder_cache_bypassed_total", "reason", "broken"),
    part("bypassed_by_fingerprint", "larder_cache_bypassed_total", "reason", "fingerprint"),
    part("errors_rate_limited", "larder_cache_origin_errors_total", "kind", "rate_limited"),
    part("errors_timeout", "larder_cache_origin_errors_total", "kind", "timeout"),
    part("errors_connection", "larder_cache_origin_errors_total", "kind", "connection"),
    part("errors_server", "larder_cache_origin_errors_total", "kind", "server"),
    part("errors_client", "larder_cache_origin_errors_total", "kind", "client"),
    counter("served_bytes", "larder_cache_served_bytes_total"),
    counter("fetched_bytes", "larder_cache_fetched_bytes_total"),
    counter("stored_bytes", "larder_cache_stored_bytes_total"),
    counter("invalidated", "larder_cache_invalidated_total"),
    counter("purged", "larder_cache_purged_total"),
    part("store_read_errors", "larder_cache_store_errors_total", "operation", "read"),
    part("store_write_errors", "larder_cache_store_errors_total", "operation", "write"),
    counter("store_writes_dropped", "larder_cache_store_writes_dropped_total"),
];

/// Of [`store::Tier`](crate::store::Tier).
pub(super) const TIER: &[Field] = &[
    counter("opened", "larder_tier_breaker_opened_total"),
    part("refused", "larder_tier_errors_total", "kind", "refused"),
    part("timeouts", "larder_tier_errors_total", "kind", "timeout"),
    part("errors", "larder_tier_errors_total", "kind", "error"),
    part("unreadable", "larder_tier_unreadable_total", "kind", "damaged"),
    part("sealed", "larder_tier_unreadable_total", "kind", "sealed"),
    counter("too_large", "larder_tier_too_large_total"),
    counter("writes_dropped", "larder_tier_writes_dropped_total"),
    counter("deafened", "larder_tier_deafened_total"),
];

/// Of [`retry::Snapshot`](crate::retry::Snapshot).
pub(super) const RETRY: &[Field] = &[
    counter("requests", "larder_retry_requests_total"),
    counter("attempts", "larder_retry_attempts_total"),
    counter("retries", "larder_retry_retries_total"),
    counter("retried_successfully", "larder_retry_recovered_total"),
    counter("retried", "larder_retry_retried_total"),
    part("errors_rate_limited", "larder_retry_errors_total", "kind", "rate_limited"),
    part("errors_timeout", "larder_retry_errors_total", "kind", "timeout"),
    part("errors_connection", "larder_retry_errors_total", "kind", "connection"),
    part("errors_broken", "larder_retry_errors_total", "kind", "broken"),
    part("errors_server", "larder_retry_errors_total", "kind", "server"),
    part("errors_client", "larder_retry_errors_total", "kind", "client"),
    counter("credential_changes", "larder_retry_credential_changes_total"),
    counter("timeouts", "larder_retry_timeouts_total"),
    part("over_budget", "larder_retry_withheld_total", "reason", "budget"),
    part("too_long_to_wait", "larder_retry_withheld_total", "reason", "wait"),
    part("circuit_open", "larder_retry_withheld_total", "reason", "circuit_open"),
    counter("hedges", "larder_retry_hedges_total"),
    counter("hedges_won", "larder_retry_hedges_won_total"),
    part("fallback_stale", "larder_retry_fallbacks_total", "step", "stale"),
    part("fallback_upstream", "larder_retry_fallbacks_total", "step", "upstream"),
    part("fallback_default", "larder_retry_fallbacks_total", "step", "default"),
    part("problems", "larder_retry_fallbacks_total", "step", "problem"),
    part("handed_on", "larder_retry_fallbacks_total", "step", "handed_on"),
];

/// Of [`breaker::Snapshot`](crate::breaker::Snapshot).
pub(super) const UPSTREAM: &[Field] = &[
    counter("opened", "larder_breaker_opened_total"),
    counter("refused", "larder_breaker_refused_total"),
    counter("failures", "larder_breaker_failures_total"),
    counter("slow", "larder_breaker_slow_total"),
];

/// Of [`rate_limit::Snapshot`](crate::rate_limit::Snapshot).
pub(super) const RATE_LIMIT: &[Field] = &[
    part("unlimited", "larder_rate_limit_requests_total", "outcome", "unlimited"),
    part("allowed", "larder_rate_limit_requests_total", "outcome", "allowed"),
    part("denied", "larder_rate_limit_requests_total", "outcome", "denied"),
    part("failed_open", "larder_rate_limit_requests_total", "outcome", "failed_open"),
    part("failed_closed", "larder_rate_limit_requests_total", "outcome", "failed_closed"),
    part("local_allowed", "larder_rate_limit_requests_total", "outcome", "local_allowed"),
    part("local_denied", "larder_rate_limit_requests_total", "outcome", "local_denied"),
    counter("waited", "larder_rate_limit_waited_total"),
    counter("limiter_errors", "larder_rate_limit_limiter_errors_total"),
    counter("limiter_refused", "larder_rate_limit_limiter_refused_total"),
    counter("learned", "larder_rate_limit_learned_total"),
    counter("settled", "larder_rate_limit_settled_total"),
    counter("unsettled", "larder_rate_limit_unsettled_total"),
];

/// Of [`rate_limit::PolicySnapshot`](crate::rate_limit::PolicySnapshot).
pub(super) const POLICY: &[Field] = &[
    part("allowed", "larder_rate_limit_policy_decisions_total", "decision", "allowed"),
    part("denied", "larder_rate_limit_policy_decisions_total", "decision", "denied"),
    part("would_deny", "larder_rate_limit_policy_decisions_total", "decision", "would_deny"),
];

/// Of [`embeddings::Snapshot`](crate::llm::embeddings::Snapshot).
pub(super) const EMBEDDINGS: &[Field] = &[
    counter("requests", "larder_embeddings_requests_total"),
    part("hits", "larder_embeddings_answers_total", "outcome", "hit"),
    part("partial", "larder_embeddings_answers_total", "outcome", "partial"),
    part("misses", "larder_embeddings_answers_total", "outcome", "miss"),
    part("passed", "larder_embeddings_answers_total", "outcome", "bypass"),
    counter("asked_whole", "larder_embeddings_asked_whole_total"),
    part("items_hit", "larder_embeddings_texts_total", "outcome", "hit"),
    part("items_missed", "larder_embeddings_texts_total", "outcome", "miss"),
    part("items_shared", "larder_embeddings_texts_total", "outcome", "collapsed"),
    part("items_repeated", "larder_embeddings_texts_total", "outcome", "repeated"),
    counter("items_stored", "larder_embeddings_stored_total"),
    part("store_read_errors", "larder_embeddings_store_errors_total", "operation", "read"),
    part("store_write_errors", "larder_embeddings_store_errors_total", "operation", "write"),
    counter("store_writes_dropped", "larder_embeddings_store_writes_dropped_total"),
];

/// Of [`cached::Snapshot`](crate::cached::Snapshot).
pub(super) const LOOKUPS: &[Field] = &[
    part("hits", "larder_lookups_total", "outcome", "hit"),
    part("far_hits", "larder_lookups_total", "outcome", "far_hit"),
    part("stale_hits", "larder_lookups_total", "outcome", "stale_hit"),
    part("stale_on_error", "larder_lookups_total", "outcome", "stale_on_error"),
    part("collapsed", "larder_lookups_total", "outcome", "collapsed"),
    part("misses", "larder_lookups_total", "outcome", "miss"),
    counter("loads", "larder_lookups_loads_total"),
    part("load_errors", "larder_lookups_load_errors_total", "kind", "failed"),
    part("loads_unfinished", "larder_lookups_load_errors_total", "kind", "unfinished"),
    part("sets", "larder_lookups_values_total", "outcome", "stored"),
    part("outdated", "larder_lookups_values_total", "outcome", "outdated"),
    part("unwritable", "larder_lookups_values_total", "outcome", "unwritable"),
    counter("invalidations", "larder_lookups_invalidations_total"),
    counter("invalidated", "larder_lookups_invalidated_total"),
    counter("unreadable", "larder_lookups_unreadable_total"),
    part("store_read_errors", "larder_lookups_store_errors_total", "operation", "read"),
    part("store_write_errors", "larder_lookups_store_errors_total", "operation", "write"),
    counter("store_writes_dropped", "larder_lookups_store_writes_dropped_total"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;

    use super::*;
    use crate::{breaker::Breaker, cached, llm::embeddings, rate_limit, retry, stats, store::Tier};

    /// A counter that nobody can see may as well not be counted.
    #[test]
    fn every_counter_of_every_snapshot_is_a_metric() {
        fn check(snapshot: &impl Serialize, fields: &[Field], what: &str) {
            let snapshot = serde_json::to_value(snapshot).expect("JSON");
            let counters = snapshot.as_object().expect("an object").iter().filter(|(_, value)| value.is_u64());
            let counters: BTreeSet<_> = counters.map(|(name, _)| name.as_str()).collect();
            let named: BTreeSet<_> = fields.iter().map(|field| field.name).collect();
            assert_eq!(counters, named, "{what}: name it in figures/fields.rs and figures/names.md");
            assert_eq!(named.len(), fields.len(), "{what}: each once");
        }
        check(&stats::Snapshot::default(), CACHE, "stats::Snapshot");
        check(&Tier::new("test"), TIER, "store::Tier");
        check(&retry::Snapshot::default(), RETRY, "retry::Snapshot");
        check(&Breaker::new().snapshot(std::time::Instant::now()), UPSTREAM, "breaker::Snapshot");
        check(&rate_limit::Snapshot::default(), RATE_LIMIT, "rate_limit::Snapshot");
        check(&rate_limit::PolicySnapshot::default(), POLICY, "rate_limit::PolicySnapshot");
        check(&embeddings::Snapshot::default(), EMBEDDINGS, "llm::embeddings::Snapshot");
        check(&cached::Snapshot::default(), LOOKUPS, "cached::Snapshot");
    }
}
