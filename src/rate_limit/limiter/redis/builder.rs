//! The settings of a [`Redis`] limiter.

use std::{sync::Arc, time::Duration};

use super::{Inner, Redis, batch::Batches, denied::Denied, names};
use crate::{ConfigError, redis::Client};

/// Settings of a [`Redis`] limiter, made by [`Redis::builder`].
#[derive(Debug)]
#[must_use]
pub struct RedisBuilder {
    client: Client,
    prefix: String,
    timeout: Option<Duration>,
    lease: Duration,
    max_denials: usize,
}

impl RedisBuilder {
    pub(super) fn new(client: Client) -> Self {
        let lease = Duration::from_secs(30);
        Self { client, prefix: "larder".to_owned(), timeout: None, lease, max_denials: 10_000 }
    }

    /// What every key begins with, for a Redis that others use, too. Default: `larder`.
    pub fn prefix(mut self, text: &str) -> Self {
        text.clone_into(&mut self.prefix);
        self
    }

    /// How long a call to Redis may take; then it is as if Redis were down. A request waits as long at most, or twice as long if one
    /// alike is being charged when it comes. Default: the
    /// [client's](crate::redis::ClientBuilder::response_timeout).
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// For how long the slots of a process that died stay taken; while it lives they are renewed at a third of it. Default: 30 s.
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// Of how many counters it is remembered that they have no room, so that Redis isn't asked. 0: of none. Default: 10,000.
    pub fn max_denials(mut self, count: usize) -> Self {
        self.max_denials = count;
        self
    }

    /// Makes the limiter. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the prefix can't begin a key, the timeout is zero, or the lease is shorter than 100 ms or longer than a day.
    pub fn build(self) -> Result<Redis, ConfigError> {
        names::check(&self.prefix)?;
        if self.timeout == Some(Duration::ZERO) {
            return Err(ConfigError::new(
                "limiter::Redis timeout",
                "no call can be answered in no time; take some milliseconds",
            ));
        }
        if self.lease < Duration::from_millis(100) || self.lease > Duration::from_secs(24 * 3600) {
            let problem = format!("{:?} is too short or too long; take 100 ms to a day", self.lease);
            return Err(ConfigError::new("limiter::Redis lease", problem));
        }
        Ok(self.finish())
    }

    pub(super) fn finish(self) -> Redis {
        let timeout = self.timeout.unwrap_or_else(|| self.client.response_timeout());
        Redis(Arc::new(Inner {
            client: self.client.once(),
            prefix: self.prefix,
            timeout,
            lease: self.lease,
            denied: Denied::new(self.max_denials),
            batches: Batches::default(),
        }))
    }
}
