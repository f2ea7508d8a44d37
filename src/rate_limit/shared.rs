//! What the services of a layer share.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, request::Parts};
use quick_cache::sync::Cache;
use tokio::{sync::Notify, time::Instant};

use super::{
    Charge, Fields, Limiter, OnFailure, Outcome, Problem, Room, Subject, SubjectOf, Taken, limit::Prepared,
    limiter::Local, line::Lines, nearest::Nearest, stats::Stats,
};
use crate::{
    clock::Clock,
    header::{provider_limit, retry_after},
};

/// For how long a provider is believed at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Shared<L> {
    pub(super) limiter: Arc<L>,
    /// For when that does not answer.
    pub(super) fallback: Local,
    pub(super) limits: Vec<Prepared>,
    pub(super) settings: Settings,
    pub(super) stats: Stats,
    /// Who has used most.
    pub(super) nearest: Nearest,
    /// Until when a provider has no room, by whose requests.
    pub(super) learned: Cache<Who, Instant>,
    /// Those who wait for room.
    pub(super) lines: Lines,
    /// Rung when a slot is given back.
    pub(super) freed: Arc<Notify>,
}

/// Whose requests: the limits that are for them, by their places, and the subject of each.
pub(super) type Who = Vec<(usize, Subject)>;

pub(super) struct Settings {
    pub(super) group: Option<Box<dyn SubjectOf>>,
    pub(super) on_failure: OnFailure,
    pub(super) wait: Duration,
    pub(super) learns: bool,
    pub(super) hits_are_free: bool,
    pub(super) max_body: usize,
    pub(super) fields: Fields,
    pub(super) problem: Problem,
    pub(super) clock: Arc<dyn Clock>,
}

/// What was decided, and by whom.
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    pub(super) taken: Taken,
    pub(super) retry_after: Option<Duration>,
    /// What was charged to this process's own share, which may be less than was asked for.
    pub(super) own: Option<Vec<Charge>>,
}

impl Decided {
    /// A provider has no room for so long.
    pub(super) fn learned(left: Duration) -> Self {
        Self { outcome: Outcome::Learned, taken: Taken::new(Vec::new()), retry_after: Some(left), own: None }
    }

    fn of(outcome: Outcome, taken: Taken) -> Self {
        let retry_after = taken.retry_after();
        Self { outcome, taken, retry_after, own: None }
    }
}

impl<L: Limiter> Shared<L> {
    /// What a request is charged to, and the place of each limit; of what a meter tells, nothing yet.
    pub(super) fn charges(&self, head: &Parts) -> (Vec<usize>, Vec<Charge>) {
        let most = self.limits.len();
        let (mut places, mut charges) = (Vec::with_capacity(most), Vec::with_capacity(most));
        for (place, limit) in self.limits.iter().enumerate() {
            let Some((subject, amount)) = limit.applies(head) else { continue };
            let mut charge = Charge::new(limit.policy.clone(), subject, u64::from(limit.meter.is_none()));
            charge.amount = amount;
            places.push(place);
            charges.push(charge);
        }
        if let Some(group) =
            self.settings.group.as_ref().filter(|_| !charges.is_empty()).and_then(|group| group.subject(head))
        {
            charges.iter_mut().for_each(|charge| charge.group = Some(group.clone()));
        }
        (places, charges)
    }

    /// Asks the limiter; if it doesn't answer, does as is set.
    pub(super) async fn decide(&self, charges: &[Charge]) -> Decided {
        let error = match self.limiter.take(charges).await {
            Ok(taken) => {
                let outcome = if taken.is_allowed() { Outcome::Allowed } else { Outcome::Denied };
                return Decided::of(outcome, taken);
            }
            Err(error) => error,
        };
        if error.is_refused() {
            self.stats.limiter_refused.increment();
        } else {
            self.stats.limiter_errors.increment();
            tracing::warn!(error = &error as &dyn std::error::Error, "a limiter did not answer");
        }
        match self.settings.on_failure {
            OnFailure::Open => Decided::of(Outcome::FailedOpen, Taken::new(Vec::new())),
            OnFailure::Closed => Decided::of(Outcome::FailedClosed, Taken::new(Vec::new())),
            share @ OnFailure::Local { .. } => {
                let mut own = charges.to_vec();
                for charge in &mut own {
                    let amount = share.share(charge.amount);
                    // What would fit into the whole quota fits into the whole share; what never would, does not.
                    if charge.price() <= charge.allowance() {
                        charge.cost = charge.cost.min(amount);
                    }
                    charge.amount = amount;
                }
                let taken = self.fallback.take_now(&own);
                let outcome = if taken.is_allowed() { Outcome::LocalAllowed } else { Outcome::LocalDenied };
                Decided { own: Some(own), ..Decided::of(outcome, taken) }
            }
        }
    }

    /// Whose requests these are, if anybody is going to ask.
    pub(super) fn who(&self, places: &[usize], charges: &[Charge]) -> Who {
        if !self.settings.learns && self.settings.wait.is_zero() {
            return Vec::new();
        }
        places.iter().zip(charges).map(|(place, charge)| (*place, charge.subject.clone())).collect()
    }

    /// How long a provider has no room for these subjects, by what it said.
    pub(super) fn learned(&self, who: &Who) -> Option<Duration> {
        if !self.settings.learns || self.learned.is_empty() {
            return None;
        }
        let left = self.learned.get(who)?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.learned.remove(who);
            return None;
        }
        Some(left)
    }

    /// Believes a provider that says that it has no room.
    pub(super) fn learn(&self, who: Who, status: http::StatusCode, headers: &HeaderMap) {
        if !self.settings.learns {
            return;
        }
        let now = self.settings.clock.now();
        let refused = status == http::StatusCode::TOO_MANY_REQUESTS;
        let said = if refused { retry_after::parse(headers, now) } else { None };
        let time = said.or_else(|| provider_limit::reset_of_exhausted(headers, now)).filter(|time| !time.is_zero());
        if let Some(until) = time.and_then(|time| Instant::now().checked_add(time.min(LONGEST))) {
            self.stats.learned.increment();
            // Of two that were under way, whoever was told the longer wait is believed.
            let known = self.learned.get(&who).unwrap_or(until);
            self.learned.insert(who, until.max(known));
        }
    }

    /// Counts how a request was decided.
    pub(super) fn count(&self, places: &[usize], decided: &Decided) {
        let stats = &self.stats;
        match decided.outcome {
            Outcome::Allowed => &stats.allowed,
            Outcome::Denied | Outcome::Learned => &stats.denied,
            Outcome::FailedOpen => &stats.failed_open,
            Outcome::FailedClosed => &stats.failed_closed,
            Outcome::LocalAllowed => &stats.local_allowed,
            Outcome::LocalDenied => &stats.local_denied,
        }
        .increment();
        for standing in &decided.taken.standings {
            let Some(policy) = places.get(standing.index).and_then(|place| stats.policy(*place)) else { continue };
            if standing.denies() {
                policy.denied.increment();
            } else if standing.would_deny() {
                policy.would_deny.increment();
            } else if standing.room == Room::Now {
                policy.allowed.increment();
            }
        }
    }
}
