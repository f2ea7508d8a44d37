//! How long an entry is fresh, and for how long after that it may still be of use.

use std::time::{Duration, SystemTime};

/// The times that govern an entry, as [RFC 9111 §4.2] and [RFC 5861] name them. All are decided when the response is stored.
///
/// ```text
/// received_at − initial_age          fresh_for            + stale_while_revalidate / stale_if_error / retain
/// ├──────────────────────────────────────┤──────────────────────────────────────────────┤
///   fresh: served                          stale: served within its windows, validated    gone
/// ```
///
/// [RFC 9111 §4.2]: https://www.rfc-editor.org/rfc/rfc9111#section-4.2
/// [RFC 5861]: https://www.rfc-editor.org/rfc/rfc5861
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lifetime {
    /// When the response was received.
    pub received_at: SystemTime,
    /// How old it was by then.
    pub initial_age: Duration,
    /// The freshness lifetime.
    pub fresh_for: Duration,
    /// How long after that it may be served while it is refreshed behind the response.
    pub stale_while_revalidate: Duration,
    /// How long after that it may be served in place of an error.
    pub stale_if_error: Duration,
    /// How long after that it is of use at all: to be validated, or where a request says `max-stale`.
    pub retain: Duration,
    /// Whether it must not be served stale, whatever a window or a request says.
    pub must_revalidate: bool,
}

impl Lifetime {
    /// Fresh for some time from `received_at` on, and of no use after that.
    #[must_use]
    pub fn new(received_at: SystemTime, fresh_for: Duration) -> Self {
        Self {
            received_at,
            initial_age: Duration::ZERO,
            fresh_for,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            retain: Duration::ZERO,
            must_revalidate: false,
        }
    }

    /// The current age (RFC 9111 §4.2.3). A clock that went back adds nothing.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Duration {
        self.initial_age.saturating_add(now.duration_since(self.received_at).unwrap_or_default())
    }

    /// For how much longer it is fresh, if it is.
    #[must_use]
    pub fn fresh_in(&self, now: SystemTime) -> Option<Duration> {
        self.fresh_for.checked_sub(self.age(now)).filter(|left| !left.is_zero())
    }

    /// For how long it has been stale; zero while it is fresh.
    #[must_use]
    pub fn stale_for(&self, now: SystemTime) -> Duration {
        self.age(now).saturating_sub(self.fresh_for)
    }

    /// The remaining freshness in whole seconds, negative if it is stale: the `ttl` of RFC 9211.
    #[must_use]
    pub fn ttl(&self, now: SystemTime) -> i64 {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        seconds(self.fresh_for).saturating_sub(seconds(self.age(now)))
    }

    /// Whether it may be served now in place of an error, within its own window or a wider one that the request asks for. Fresh,
    /// it may, if there is a window at all.
    #[must_use]
    pub fn may_replace_error(&self, now: SystemTime, asked: Option<Duration>) -> bool {
        let window = self.stale_if_error.max(asked.unwrap_or_default());
        (self.fresh_in(now).is_some() || !self.must_revalidate) && self.stale_for(now) < window
    }

    /// For how long a store has to keep it from `now` on: until freshness and every window have passed. `None`: no longer.
    #[must_use]
    pub fn kept_in(&self, now: SystemTime) -> Option<Duration> {
        let windows = if self.must_revalidate {
            self.retain
        } else {
            self.retain.max(self.stale_while_revalidate).max(self.stale_if_error)
        };
        self.fresh_for.saturating_add(windows).checked_sub(self.age(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_entry_goes_from_fresh_to_stale_to_gone() {
        let start = SystemTime::UNIX_EPOCH + 1000 * SECOND;
        let lifetime =
            Lifetime { initial_age: 2 * SECOND, stale_if_error: 5 * SECOND, ..Lifetime::new(start, 10 * SECOND) };
        let at = |seconds| start + seconds * SECOND;
        assert_eq!(lifetime.fresh_in(at(7)), Some(SECOND));
        assert_eq!(
            (lifetime.fresh_in(at(8)), lifetime.ttl(at(8)), lifetime.stale_for(at(8))),
            (None, 0, Duration::ZERO)
        );
        assert_eq!((lifetime.ttl(at(9)), lifetime.stale_for(at(9))), (-1, SECOND));
        assert!(lifetime.may_replace_error(at(12), None) && !lifetime.may_replace_error(at(13), None));
        assert!(lifetime.may_replace_error(at(13), Some(9 * SECOND)));
        assert_eq!((lifetime.kept_in(at(12)), lifetime.kept_in(at(13))), (Some(SECOND), None));
    }

    #[test]
    fn must_revalidate_forbids_every_stale_use() {
        let start = SystemTime::UNIX_EPOCH;
        let lifetime = Lifetime { stale_if_error: 99 * SECOND, must_revalidate: true, ..Lifetime::new(start, SECOND) };
        assert!(!lifetime.may_replace_error(start + 2 * SECOND, Some(9 * SECOND)));
        assert_eq!(lifetime.kept_in(start + 2 * SECOND), None);
    }

    #[test]
    fn extremes_saturate() {
        let start = SystemTime::UNIX_EPOCH + 10 * SECOND;
        let lifetime = Lifetime { initial_age: Duration::MAX, ..Lifetime::new(start, Duration::MAX) };
        assert_eq!(lifetime.age(SystemTime::UNIX_EPOCH), Duration::MAX, "a clock that went back");
        assert_eq!(lifetime.ttl(start), 0);
        assert_eq!(lifetime.kept_in(start), None);
    }
}
