//! What a server says of the limits that it sets: `RateLimit-Policy` and `RateLimit`, and the older fields that most
//! clients read.
//!
//! | by | fields | a reset is |
//! |---|---|---|
//! | [`Style`] | `RateLimit-Policy`, `RateLimit` ([draft 11]) | seconds from now |
//! | [`Standing::x_fields`] | `X-RateLimit-Limit`, `-Remaining`, `-Reset` | as told by [`Reset`] |
//! | [`Standing::openai_fields`] | `x-ratelimit-*-requests`, `-tokens` ([OpenAI]) | a Go duration: `6m0s` |
//!
//! Times are rounded up, so that nobody is called back too early. Numbers greater than 999,999,999,999,999, the
//! greatest Integer of structured fields ([RFC 9651 §3.3.1]), are written as that.
//!
//! ```
//! use larder::header::rate_limit::{Standing, Style, Unit};
//! use std::time::Duration;
//!
//! let mut requests = Standing::new("rpm", Unit::Requests, 100);
//! requests.window = Some(Duration::from_secs(60));
//! requests.remaining = 0;
//! requests.refill = Some(Duration::from_millis(11_200));
//! let slots = Standing::new("slots", Unit::ConcurrentRequests, 8);
//!
//! let style = Style::default();
//! let policies = style.policy_value(&[requests, slots]).expect("there are limits");
//! assert_eq!(policies, r#""rpm";q=100;w=60, "slots";q=8;qu="concurrent-requests""#);
//! let limits = style.value(&[requests, slots]).expect("there are limits");
//! assert_eq!(limits, r#""rpm";r=0;t=12, "slots";r=8"#);
//! ```
//!
//! [draft 11]: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-11
//! [OpenAI]: https://platform.openai.com/docs/guides/rate-limits
//! [RFC 9651 §3.3.1]: https://www.rfc-editor.org/rfc/rfc9651#section-3.3.1

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue};

use super::{
    delta_seconds, go_duration,
    structured::{Encode, MAX_INTEGER, write_digits, write_integer, write_string},
};

/// `RateLimit-Policy`, the limits that there are (draft 11, §3).
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// `RateLimit`, what is left of them (draft 11, §4).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Where one client stands with one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing<'a> {
    /// The name of the limit. It is written as a String of structured fields, where what is not printable ASCII
    /// becomes `?`.
    pub name: &'a str,
    /// What is counted.
    pub unit: Unit,
    /// How many units there are in a window, or at a time.
    pub limit: u64,
    /// For how long a unit that was used counts. `None` where none is used up, as with requests at a time.
    pub window: Option<Duration>,
    /// How many units could be used now.
    pub remaining: u64,
    /// How long until more could be. `None` if that is not known, or if nothing is used.
    pub refill: Option<Duration>,
    /// How long until the whole limit is there again, if nothing is used meanwhile.
    pub reset: Duration,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens of language models.
    Tokens,
    /// Bytes of content.
    ContentBytes,
    /// Money, or whatever else the server charges in.
    Cost,
    /// Requests under way at a time.
    ConcurrentRequests,
}

/// How `RateLimit-Policy` and `RateLimit` are written: both belong to a draft whose parameters still change their
/// names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Style {
    /// As [draft 11] of May 2026 has them: `"rpm";q=100;w=60` and `"rpm";r=41;t=3`.
    ///
    /// [draft 11]: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-11
    #[default]
    Draft11,
}

/// What `X-RateLimit-Reset` counts: no document says, and servers differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reset {
    /// Seconds from now, the only one for which the client's clock need not be right.
    #[default]
    DeltaSeconds,
    /// Seconds since 1970, as GitHub has it.
    EpochSeconds,
    /// Milliseconds since 1970, as OpenRouter has it.
    EpochMillis,
}

impl<'a> Standing<'a> {
    /// A limit of which nothing is used, without a window.
    #[must_use]
    pub const fn new(name: &'a str, unit: Unit, limit: u64) -> Self {
        Self { name, unit, limit, window: None, remaining: limit, refill: None, reset: Duration::ZERO }
    }

    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, which have room for one limit.
    ///
    /// The reset is when the whole limit is there again, seen from `now`. Allocates once for each.
    #[must_use]
    pub fn x_fields(&self, reset: Reset, now: SystemTime) -> [(HeaderName, HeaderValue); 3] {
        // A clock that shows a time before 1970 is taken to show 1970.
        let since_1970 = || now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(self.reset);
        let reset = match reset {
            Reset::DeltaSeconds => delta_seconds::round_up(self.reset),
            Reset::EpochSeconds => delta_seconds::round_up(since_1970()),
            Reset::EpochMillis => since_1970().as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX),
        };
        [
            (HeaderName::from_static("x-ratelimit-limit"), Integer(self.limit).to_value()),
            (HeaderName::from_static("x-ratelimit-remaining"), Integer(self.remaining).to_value()),
            (HeaderName::from_static("x-ratelimit-reset"), Integer(reset).to_value()),
        ]
    }

    /// `x-ratelimit-limit-requests`, `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`, or the same
    /// with `-tokens`, as [OpenAI] writes them. `None` if the limit is on anything else than requests and tokens.
    ///
    /// The reset is how long until the whole limit is there again, as a Go duration in whole milliseconds: `6m0s`,
    /// `120ms`. Allocates once for each.
    ///
    /// [OpenAI]: https://platform.openai.com/docs/guides/rate-limits
    #[must_use]
    pub fn openai_fields(&self) -> Option<[(HeaderName, HeaderValue); 3]> {
        let [limit, remaining, reset] = match self.unit {
            Unit::Requests => {
                ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
            }
            Unit::Tokens => ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
            Unit::ContentBytes | Unit::Cost | Unit::ConcurrentRequests => return None,
        };
        Some([
            (HeaderName::from_static(limit), Integer(self.limit).to_value()),
            (HeaderName::from_static(remaining), Integer(self.remaining).to_value()),
            (HeaderName::from_static(reset), GoDuration(self.reset).to_value()),
        ])
    }
}

impl Unit {
    /// The unit as `qu` names it. Of these the draft's registry (§10.3) has `requests`, `content-bytes` and
    /// `concurrent-requests`; `tokens` and `cost` are larder's own.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::ContentBytes => "content-bytes",
            Self::Cost => "cost",
            Self::ConcurrentRequests => "concurrent-requests",
        }
    }
}

impl Style {
    /// The value of [`RATE_LIMIT_POLICY`] (draft 11, §3): the quota `q`, its window `w` in seconds, and its unit `qu`,
    /// which is left out for requests. `None` if there are no limits, as the field is a non-empty List.
    ///
    /// Says nothing that changes from one request to the next. Allocates once.
    #[must_use]
    pub fn policy_value(self, standings: &[Standing<'_>]) -> Option<HeaderValue> {
        match self {
            Self::Draft11 => (!standings.is_empty()).then(|| Policies(standings).to_value()),
        }
    }

    /// The value of [`RATE_LIMIT`] (draft 11, §4): what is available now, `r`, and in how many seconds more will be,
    /// `t`, which is left out if that is not known. `None` if there are no limits.
    ///
    /// Allocates once.
    #[must_use]
    pub fn value(self, standings: &[Standing<'_>]) -> Option<HeaderValue> {
        match self {
            Self::Draft11 => (!standings.is_empty()).then(|| Limits(standings).to_value()),
        }
    }
}

struct Policies<'a>(&'a [Standing<'a>]);

impl Encode for Policies<'_> {
    fn write(&self, emit: &mut impl FnMut(&[u8])) {
        write_members(self.0, emit, |standing, emit| {
            write_parameter(b";q=", standing.limit, emit);
            if let Some(window) = standing.window {
                // Zero is not allowed (§3.1.3).
                write_parameter(b";w=", delta_seconds::round_up(window).max(1), emit);
            }
            if standing.unit != Unit::Requests {
                emit(b";qu=");
                write_string(standing.unit.as_str(), emit);
            }
        });
    }
}

struct Limits<'a>(&'a [Standing<'a>]);

impl Encode for Limits<'_> {
    fn write(&self, emit: &mut impl FnMut(&[u8])) {
        write_members(self.0, emit, |standing, emit| {
            write_parameter(b";r=", standing.remaining, emit);
            if let Some(refill) = standing.refill {
                write_parameter(b";t=", delta_seconds::round_up(refill), emit);
            }
        });
    }
}

struct Integer(u64);

impl Encode for Integer {
    fn write(&self, emit: &mut impl FnMut(&[u8])) {
        write_digits(self.0.min(MAX_INTEGER.unsigned_abs()), emit);
    }
}

struct GoDuration(Duration);

impl Encode for GoDuration {
    fn write(&self, emit: &mut impl FnMut(&[u8])) {
        go_duration::write(self.0, emit);
    }
}

/// Writes a List (RFC 9651 §4.1.1) of the limits' names, each with its `parameters`.
fn write_members<E: FnMut(&[u8])>(
    standings: &[Standing<'_>],
    emit: &mut E,
    parameters: impl Fn(&Standing<'_>, &mut E),
) {
    for (index, standing) in standings.iter().enumerate() {
        if index > 0 {
            emit(b", ");
        }
        write_string(standing.name, emit);
        parameters(standing, emit);
    }
}

fn write_parameter(key: &[u8], number: u64, emit: &mut impl FnMut(&[u8])) {
    emit(key);
    write_integer(number.try_into().unwrap_or(MAX_INTEGER), emit);
}
