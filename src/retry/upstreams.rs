//! What is known of each upstream: its breaker, its budget, how fast it answers.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use http::Uri;
use tower::retry::budget::{Budget as _, TpsBudget};

use super::latency::Latencies;
use crate::breaker::{self, Breaker};

/// How many upstreams are told apart; those that come later share what is known of them.
const MOST: usize = 4096;

/// The name of what they share.
const SHARED: &str = "*";

/// The longest name of one, in bytes: a part of it may be what a client sent.
const LONGEST_NAME: usize = 1024;

/// For how long a request counts for the budget.
const BUDGET_TTL: Duration = Duration::from_secs(10);

/// How much may be added to the load of an upstream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BudgetSettings {
    pub(super) ratio: f32,
    pub(super) floor: u32,
}

/// The upstreams that a layer has seen.
pub(super) struct Upstreams {
    breaker: Option<breaker::Builder>,
    budget: Option<BudgetSettings>,
    known: RwLock<HashMap<Box<str>, Arc<UpstreamState>>>,
}

/// One of them.
pub(super) struct UpstreamState {
    name: Box<str>,
    pub(super) breaker: Option<Breaker>,
    budget: Option<TpsBudget>,
    pub(super) latencies: Latencies,
}

/// What is known of an upstream.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct UpstreamSnapshot {
    /// Its host in lower case, with the port if that isn't the scheme's own; after a space, the [label](super::Builder::label). `*`
    /// if there are so many that not all are told apart, or if it is too long.
    pub name: String,
    /// The breaker, unless there is none.
    pub breaker: Option<breaker::Snapshot>,
}

impl Upstreams {
    pub(super) fn new(breaker: Option<breaker::Builder>, budget: Option<BudgetSettings>) -> Self {
        Self { breaker, budget, known: RwLock::default() }
    }

    /// What is known of the upstream of this name.
    pub(super) fn get(&self, name: &str) -> Arc<UpstreamState> {
        let name = if name.len() > LONGEST_NAME { SHARED } else { name };
        if let Some(state) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return state.clone();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let name = if known.len() < MOST || known.contains_key(name) { name } else { SHARED };
        known.entry(name.into()).or_insert_with(|| Arc::new(self.make(name))).clone()
    }

    fn make(&self, name: &str) -> UpstreamState {
        let named: Arc<str> = name.into();
        let breaker = self.breaker.clone().map(|builder| {
            builder
                .on_change(move |state| match state {
                    breaker::State::Open => tracing::warn!(upstream = &*named, "refused for a while after failures"),
                    breaker::State::Closed => tracing::info!(upstream = &*named, "well again"),
                    breaker::State::HalfOpen => tracing::debug!(upstream = &*named, "probed"),
                })
                .build()
        });
        let budget = self.budget.map(|settings| TpsBudget::new(BUDGET_TTL, settings.floor, in_tokens(settings.ratio)));
        UpstreamState { name: name.into(), breaker, budget, latencies: Latencies::default() }
    }

    pub(super) fn snapshot(&self, now: Instant) -> Vec<UpstreamSnapshot> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut upstreams: Vec<_> = known
            .values()
            .map(|state| UpstreamSnapshot {
                name: state.name.to_string(),
                breaker: state.breaker.as_ref().map(|breaker| breaker.snapshot(now)),
            })
            .collect();
        upstreams.sort_by(|one, other| one.name.cmp(&other.name));
        upstreams
    }

    /// The breaker of an upstream that has been seen.
    pub(super) fn breaker(&self, name: &str) -> Option<Breaker> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name)?.breaker.clone()
    }
}

impl UpstreamState {
    /// A request was sent for the first time.
    pub(super) fn deposit(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    /// Whether a request may be sent once more.
    pub(super) fn withdraw(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.withdraw())
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(known.keys()).finish()
    }
}

/// The host, and the port if there is one, but no user's name and password: it is shown.
pub(super) fn named_by(uri: &Uri) -> Option<&str> {
    let authority = uri.authority()?.as_str();
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}

/// The ratio, or the next below it that a `TpsBudget` keeps. That makes a whole number of the price of a retry, and cuts off what is
/// left of it, so that with 0.7 every request would pay for a retry.
fn in_tokens(ratio: f32) -> f32 {
    // What it gives a request.
    let tokens = if ratio > 1.0 { 1000.0 } else { 1.0 };
    let price = (tokens / ratio).ceil();
    let mut kept = tokens / price;
    while tokens / kept < price {
        kept = kept.next_down();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_s_ratio_is_never_exceeded_for_the_sake_of_whole_tokens() {
        for (ratio, expected) in [(0.0, 0.0), (0.1, 0.1), (0.2, 0.2), (0.3, 0.25), (0.5, 0.5), (0.7, 0.5), (1.0, 1.0)] {
            assert_eq!(in_tokens(ratio), expected, "{ratio}");
        }
        for ratio in (1..10_000).map(|number| number as f32 / 1000.0).chain([1e-6, 999.0, 1000.0]) {
            let (kept, tokens) = (in_tokens(ratio), if ratio > 1.0 { 1000.0 } else { 1.0 });
            // As it is counted there.
            let price = (tokens / kept) as isize;
            assert!(kept <= ratio && (price as f32) >= (tokens / ratio), "{ratio} {kept} {price}");
        }
    }

    #[test]
    fn an_upstream_keeps_its_state_and_their_number_is_bounded() {
        let upstreams = Upstreams::new(Some(Breaker::builder()), None);
        let one = upstreams.get("a");
        one.breaker.as_ref().expect("a breaker").trip(Instant::now());
        assert!(Arc::ptr_eq(&one, &upstreams.get("a")));
        for number in 0..2 * MOST {
            upstreams.get(&number.to_string());
        }
        assert_eq!(upstreams.snapshot(Instant::now()).len(), MOST + 1);
        assert!(Arc::ptr_eq(&upstreams.get("another"), &upstreams.get("*")));
        assert!(Arc::ptr_eq(&one, &upstreams.get("a")));
    }
}
