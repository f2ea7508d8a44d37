//! The settings of an [`EmbeddingsLayer`].

use std::{fmt, sync::Arc, time::Duration};

use http::{request, response};

use super::{
    EmbeddingsLayer,
    shared::{Settings, Shared},
};
use crate::{ConfigError, clock::Clock, fingerprint::Fingerprint as _, llm::Fingerprint, store::Store, tag::Tag};

/// The largest `max_body`: a terabyte. What is larger is a mistake.
const MAX_BODY: u64 = 1 << 40;

/// Settings of an [`EmbeddingsLayer`], made by [`EmbeddingsLayer::builder`].
#[must_use]
pub struct Builder<St> {
    store: St,
    settings: Settings,
}

impl<St> Builder<St> {
    pub(super) fn new(store: St, ttl: Duration) -> Self {
        Self { store, settings: Settings::new(ttl) }
    }

    /// Sets what counts in a request, besides its texts, and who shares embeddings. Default: [`Fingerprint::new`], per
    /// credential. Have it as the [`CacheLayer`](crate::CacheLayer) has it. Requests up to its
    /// [`max_request`](Fingerprint::max_request) are read.
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.settings.fingerprint = fingerprint;
        self
    }

    /// Sets which requests for embeddings are taken apart, by their head; others pass. Default: all.
    pub fn when(mut self, when: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.settings.when = Some(Box::new(when));
        self
    }

    /// Gives embeddings tags besides those that the `Surrogate-Key` and `Cache-Tag` fields of their answer name, by the
    /// request and the answer's head. They are purged by them. Default: none.
    pub fn tags(
        mut self,
        tags: impl Fn(&request::Parts, &response::Parts) -> Vec<Tag> + Send + Sync + 'static,
    ) -> Self {
        self.settings.tags = Some(Box::new(tags));
        self
    }

    /// The largest answer that is taken apart, in bytes; larger ones pass. Each request under way takes up to so much memory.
    /// Default: 64 MiB, which is 2048 embeddings of 1536 numbers.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.settings.max_body = bytes;
        self
    }

    /// Whether texts that another request asks for at the time are waited for. Default: true.
    pub fn coalesce(mut self, yes: bool) -> Self {
        self.settings.coalesce = yes;
        self
    }

    /// How long the look-ups of a request may take together; what isn't found by then is asked for. Default: 250 ms.
    pub fn lookup_timeout(mut self, time: Duration) -> Self {
        self.settings.lookup_timeout = time;
        self
    }

    /// Sets the clock. Default: [`SystemClock`](crate::clock::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }
}

impl<St: Store> Builder<St> {
    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) fails: a setting makes no sense.
    #[track_caller]
    pub fn build(self) -> EmbeddingsLayer<St> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a time is zero, `max_body` is zero or more than 2⁴⁰ bytes; and what the fingerprint finds.
    pub fn try_build(self) -> Result<EmbeddingsLayer<St>, ConfigError> {
        let Self { store, settings } = self;
        if settings.ttl.is_zero() {
            return Err(ConfigError::new("EmbeddingsLayer ttl", "zero would keep nothing; take a day, or a month"));
        }
        if settings.lookup_timeout.is_zero() {
            let problem = "zero would never wait for a store; take at least a millisecond";
            return Err(ConfigError::new("EmbeddingsLayer lookup_timeout", problem));
        }
        if !(1..=MAX_BODY).contains(&(settings.max_body as u64)) {
            let problem = format!(
                "{} bytes make no sense; take 1 to {MAX_BODY}, for example 64 << 20 for 64 MiB",
                settings.max_body
            );
            return Err(ConfigError::new("EmbeddingsLayer max_body", problem));
        }
        settings.fingerprint.validate()?;
        Ok(EmbeddingsLayer::from_shared(Shared::new(store, settings)))
    }
}

impl<St: fmt::Debug> fmt::Debug for Builder<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    #[test]
    fn nonsense_settings_say_what_to_do() {
        let builder = |ttl| EmbeddingsLayer::builder(Memory::new(1 << 20), ttl);
        let hour = Duration::from_secs(3600);
        for (builder, setting) in [
            (builder(Duration::ZERO), "ttl"),
            (builder(hour).lookup_timeout(Duration::ZERO), "lookup_timeout"),
            (builder(hour).max_body(0), "max_body"),
            (builder(hour).max_body(usize::MAX), "max_body"),
            (builder(hour).fingerprint(Fingerprint::new().max_request(0)), "max_request"),
        ] {
            let error = builder.try_build().expect_err("nonsense");
            assert!(error.setting().contains(setting) && error.to_string().contains("take"), "{error}");
        }
        assert!(builder(hour).try_build().is_ok());
    }
}
