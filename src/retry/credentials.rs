//! [`Credentials`]: several keys for one upstream, of which one is used until it is refused.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION};

use super::Cause;
use crate::ConfigError;

/// A time that can always be added to now: some hundred years.
const LONGEST: Duration = Duration::from_secs(1 << 32);

/// The longest rest that one answer can demand.
const LONGEST_HINT: Duration = Duration::from_secs(24 * 60 * 60);

/// Several credentials for one upstream.
///
/// The first is used until the upstream refuses it (401, 402, 403) or has no room for it (429). Then the next one takes its turn,
/// at once and as part of the same try, though paid for from the [budget](super::Builder::budget). The one that was refused rests:
/// for as long as the upstream says, up to a day, or else for a [cooldown](Self::cooldown). Each is tried once at most, and once
/// more after a wait. If all of them rest, that wait is not begun unless one of them will have rested by its end; and a request
/// that comes meanwhile isn't sent. The fallback chain goes on.
///
/// A single one rests if it is refused, or if the upstream says for how long. A 429 that doesn't say is retried as it
/// is without credentials.
///
/// They are never logged, and not part of any `Debug` output.
pub struct Credentials {
    name: HeaderName,
    keys: Vec<Credential>,
    current: AtomicUsize,
    cooldown: Duration,
}

struct Credential {
    value: HeaderValue,
    rests_until: Mutex<Option<Instant>>,
}

impl Credentials {
    /// Bearer tokens, for `Authorization`.
    ///
    /// # Errors
    ///
    /// No token at all, and one that can't be in a field.
    pub fn bearer<T: AsRef<str>>(tokens: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        Self::new(AUTHORIZATION, tokens.into_iter().map(|token| format!("Bearer {}", token.as_ref())))
    }

    /// Values of the field `name`, such as `x-api-key`.
    ///
    /// # Errors
    ///
    /// No value at all, and one that can't be in a field.
    pub fn new<T: AsRef<str>>(name: HeaderName, values: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let mut keys = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let value = HeaderValue::from_str(value.as_ref());
            let mut value = value.map_err(|_| {
                let problem =
                    format!("number {index}, counted from 0, can't be the value of {name}: it takes visible ASCII");
                ConfigError::new("credentials", problem)
            })?;
            value.set_sensitive(true);
            keys.push(Credential { value, rests_until: Mutex::new(None) });
        }
        if keys.is_empty() {
            return Err(ConfigError::new("credentials", "there is none; takes one or more"));
        }
        Ok(Self { name, keys, current: AtomicUsize::new(0), cooldown: Duration::from_secs(60) })
    }

    /// How long a credential rests that was refused, or, if it isn't the only one, throttled, unless the upstream says.
    /// Default: 60 s.
    #[must_use]
    pub fn cooldown(mut self, time: Duration) -> Self {
        self.cooldown = time;
        self
    }

    pub(super) fn name(&self) -> &HeaderName {
        &self.name
    }

    pub(super) fn value(&self, index: usize) -> &HeaderValue {
        &self.keys[index].value
    }

    /// The one in use, or the next that doesn't rest; never one that was `tried`. If there is none, how long until there is.
    pub(super) fn pick(&self, tried: &[usize], now: Instant) -> Result<usize, Option<Duration>> {
        let start = self.current.load(Ordering::Relaxed);
        let mut soonest = None;
        for index in (0..self.keys.len()).map(|step| (start + step) % self.keys.len()) {
            let rests_until = *self.keys[index].rests_until.lock().unwrap_or_else(PoisonError::into_inner);
            match rests_until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero()) {
                Some(left) => soonest = Some(soonest.map_or(left, |soonest: Duration| soonest.min(left))),
                None if tried.contains(&index) => {}
                None => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(index);
                }
            }
        }
        Err(soonest)
    }

    /// It was refused, or there was no room for it.
    pub(super) fn rest(&self, index: usize, hint: Option<Duration>, now: Instant) {
        let time = hint.map_or(self.cooldown, |hint| hint.min(LONGEST_HINT));
        // As long as can be said, if it is longer.
        let until = now.checked_add(time).or_else(|| now.checked_add(LONGEST));
        let mut rests_until = self.keys[index].rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was sent before may be answered after.
        *rests_until = (*rests_until).max(until);
    }

    /// Whether a status says that the credential is refused.
    pub(super) fn are_refused(status: StatusCode) -> bool {
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN)
    }

    /// Whether the one in use is to rest: what is wrong is wrong with it, or with how much it was used.
    pub(super) fn are_to_rest(&self, status: StatusCode, cause: Cause, hint: Option<Duration>) -> bool {
        let is_meant = status == StatusCode::TOO_MANY_REQUESTS || cause == Cause::Refused;
        // If there is no other, nothing is won by a cooldown that outlasts every backoff.
        Self::are_refused(status) || is_meant && (self.keys.len() > 1 || hint.is_some())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).field("count", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_used_until_it_is_refused_and_again_when_it_has_rested() {
        let keys = Credentials::bearer(["one", "two"]).expect("tokens").cooldown(Duration::from_secs(10));
        let now = Instant::now();
        assert_eq!(keys.pick(&[], now), Ok(0));
        keys.rest(0, None, now);
        assert_eq!(keys.pick(&[0], now), Ok(1));
        assert_eq!(keys.pick(&[], now), Ok(1), "the next request begins with the one that works");
        keys.rest(1, Some(Duration::from_secs(3)), now);
        assert_eq!(keys.pick(&[], now), Err(Some(Duration::from_secs(3))));
        assert_eq!(keys.pick(&[], now + Duration::from_secs(3)), Ok(1));
        assert_eq!(keys.pick(&[1], now + Duration::from_secs(10)), Ok(0));
        assert_eq!(keys.pick(&[0, 1], now + Duration::from_secs(10)), Err(None));
    }

    #[test]
    fn of_two_rests_the_longer_counts() {
        let (keys, now) = (Credentials::bearer(["one"]).expect("a token"), Instant::now());
        let [short, long] = [1, 9].map(Duration::from_secs);
        keys.rest(0, Some(long), now);
        // Of a request that was under way already.
        keys.rest(0, Some(short), now);
        assert_eq!(keys.pick(&[], now), Err(Some(long)));
    }

    #[test]
    fn no_key_is_shown() {
        let keys = Credentials::bearer(["s3cret"]).expect("tokens");
        assert!(!format!("{keys:?} {:?}", keys.value(0)).contains("s3cret"));
        let problem = Credentials::bearer(["s3\ncret"]).expect_err("no field value").to_string();
        assert!(!problem.contains("cret"), "{problem}");
        assert!(Credentials::bearer::<&str>([]).is_err());
    }
}
