//! [`Fields`]: which response fields say how the limits stand.

use std::{cmp::Reverse, time::SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

use super::{Policy, RateLimitStatus, Room, Standing, Unit};
use crate::header::rate_limit::{self, RATE_LIMIT, RATE_LIMIT_POLICY, Reset, Style};

/// Which response fields say how the limits stand. All responses bear them: hits, streams, errors and denials; but not where nobody
/// knows how they stand, since the limiter doesn't answer ([`Open`](super::OnFailure::Open), [`Closed`](super::OnFailure::Closed)) or
/// wasn't asked ([`Learned`](super::Outcome::Learned)).
///
/// They replace fields of the same names that the inner service set: those tell of somebody else's limits. Shadows aren't told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fields {
    draft: Option<Style>,
    x_fields: Option<Reset>,
    openai: bool,
}

impl Fields {
    /// `RateLimit-Policy` and `RateLimit` for all limits, and `X-RateLimit-Limit`, `-Remaining` and `-Reset`, in seconds from now, for the
    /// one that is nearest to its end.
    pub const fn new() -> Self {
        Self { draft: Some(Style::Draft11), x_fields: Some(Reset::DeltaSeconds), openai: false }
    }

    /// No fields but `Retry-After`.
    pub const fn none() -> Self {
        Self { draft: None, x_fields: None, openai: false }
    }

    /// Whether there are `RateLimit-Policy` and `RateLimit`, and as which draft has them. Default: draft 11.
    pub const fn rate_limit(mut self, style: Option<Style>) -> Self {
        self.draft = style;
        self
    }

    /// Whether there are `X-RateLimit-*`, and how they say a time. Default: in seconds from now.
    pub const fn x_rate_limit(mut self, reset: Option<Reset>) -> Self {
        self.x_fields = reset;
        self
    }

    /// Whether there are OpenAI's, `x-ratelimit-*-requests` and `x-ratelimit-*-tokens`, for the limit of each that is nearest to its end.
    /// Default: `false`.
    pub const fn openai(mut self, with: bool) -> Self {
        self.openai = with;
        self
    }

    pub(super) fn write(self, status: &RateLimitStatus, headers: &mut HeaderMap, now: SystemTime) {
        let told = || status.limits.iter().filter(|(policy, _)| !policy.is_shadow());
        // A denial's, or the inner service's own; one that nobody knows is later than all others.
        let is_awaited = headers.contains_key(RETRY_AFTER) || told().any(|(_, standing)| standing.denies());
        let standings: Vec<_> = told().map(|(policy, standing)| said(policy, standing, is_awaited)).collect();
        if let Some(style) = self.draft
            && let (Some(policy), Some(value)) = (style.policy_value(&standings), style.value(&standings))
        {
            headers.insert(RATE_LIMIT_POLICY, policy);
            headers.insert(RATE_LIMIT, value);
        }
        let nearest = |unit: Option<Unit>| {
            let of_unit = told().filter(|(policy, _)| unit.is_none_or(|unit| policy.quota().unit() == unit));
            let (policy, standing) = of_unit.min_by_key(|(_, standing)| urgency(standing))?;
            Some(said(policy, standing, is_awaited))
        };
        let x_fields = nearest(None).zip(self.x_fields).map(|(standing, reset)| standing.x_fields(reset, now));
        let units = if self.openai { &[Unit::Requests, Unit::Tokens][..] } else { &[] };
        let openai = units.iter().filter_map(|unit| nearest(Some(*unit))?.openai_fields());
        for (name, value) in x_fields.into_iter().chain(openai).flatten() {
            // `extend` would leave those of the inner service beside them.
            headers.insert(name, value);
        }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::new()
    }
}

/// What denies first, then what has least left of its quota.
fn urgency(standing: &Standing) -> (bool, u128, Reverse<std::time::Duration>) {
    let parts = u128::from(standing.remaining()) * 1_000_000 / u128::from(standing.amount.max(1));
    (!standing.denies(), parts, Reverse(standing.reset))
}

fn said<'a>(policy: &'a Policy, standing: &Standing, is_awaited: bool) -> rate_limit::Standing<'a> {
    let unit = match policy.quota().unit() {
        Unit::Requests => rate_limit::Unit::Requests,
        Unit::Tokens => rate_limit::Unit::Tokens,
        Unit::Bytes => rate_limit::Unit::ContentBytes,
        Unit::Cost => rate_limit::Unit::Cost,
        Unit::Concurrent => rate_limit::Unit::ConcurrentRequests,
    };
    let mut said = rate_limit::Standing::new(policy.name(), unit, standing.amount);
    said.window = Some(policy.quota().window()).filter(|window| !window.is_zero());
    said.remaining = standing.remaining();
    said.refill = match standing.room {
        Room::In(time) if standing.denies() => Some(time),
        Room::Unknown | Room::Never => None,
        // `Retry-After` may not be earlier than any `t`, and those that have room can be full for longer.
        Room::Now | Room::In(_) => {
            (!is_awaited && policy.quota().unit() != Unit::Concurrent).then_some(standing.refill)
        }
    };
    said.reset = standing.reset;
    said
}
