//! How long a server says to wait.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::header::{provider_limit, retry_after};

/// The longest wait in excess of a hint, as a part of it, so that those who got the same hint don't come back at once.
const SPREAD: f64 = 0.1;

/// What a response says: `retry-after-ms`, `Retry-After`, or when an exhausted limit of a provider has room again.
pub(super) fn of(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after::parse(headers, now).or_else(|| provider_limit::reset_of_exhausted(headers, now))
}

/// The wait for a hint; `random` is from 0 to 1. Never less than the hint.
pub(super) fn wait(hint: Duration, random: f64) -> Duration {
    hint.saturating_add(Duration::try_from_secs_f64(hint.as_secs_f64() * SPREAD * random).unwrap_or(hint))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_server_is_asked_in_its_own_terms_first() {
        let mut headers = HeaderMap::new();
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(of(&headers, now), None);
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("0"));
        headers.insert("x-ratelimit-reset-requests", HeaderValue::from_static("6m0s"));
        assert_eq!(of(&headers, now), Some(Duration::from_secs(360)));
        headers.insert("retry-after", HeaderValue::from_static("2"));
        assert_eq!(of(&headers, now), Some(Duration::from_secs(2)));
        headers.insert("retry-after-ms", HeaderValue::from_static("1500"));
        assert_eq!(of(&headers, now), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_wait_is_no_shorter_than_its_hint_and_a_tenth_longer_at_most() {
        let hint = Duration::from_secs(10);
        assert_eq!(wait(hint, 0.0), hint);
        assert_eq!(wait(hint, 0.5), Duration::from_millis(10_500));
        assert!(wait(Duration::MAX, 0.9) >= Duration::MAX);
    }
}
