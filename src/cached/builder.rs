//! [`Builder`]: the settings of a cache of values.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    Cached,
    far::{Codec, Far},
    key::{Keys, Labeller, LookupKey, Space},
    near::{Near, Weigh},
    shared::{Settings, Shared},
};
use crate::{
    ConfigError,
    clock::{Clock, SystemClock},
    store::{BoxStore, Store},
    tag::Tag,
};

/// How long a value may be kept: a hundred years. What is longer is a mistake.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Values that are kept near, unless told otherwise.
const ENTRIES: u64 = 10_000;

/// Settings of a [`Cached`], made by [`Cached::builder`].
#[must_use]
pub struct Builder<K: ?Sized, V> {
    space: String,
    secret: Option<Zeroizing<Vec<u8>>>,
    label: Option<Arc<Labeller<K>>>,
    far: Option<(BoxStore, Codec<V>)>,
    schema: u32,
    capacity: u64,
    settings: Settings<V>,
}

impl<K: LookupKey + ?Sized, V: Send + Sync + 'static> Builder<K, V> {
    pub(super) fn new(space: String) -> Self {
        let settings = Settings {
            ttl: Duration::from_secs(5 * 60),
            ttl_of: None,
            negative_ttl: Duration::from_secs(30),
            jitter: 0.1,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            tags: None,
            weigh: Weigh::Entries,
            patience: Duration::from_secs(10),
            across: Some(Duration::from_secs(10)),
            lookup_timeout: Duration::from_millis(250),
            clock: Arc::new(SystemClock),
        };
        Self { space, secret: None, label: None, far: None, schema: 0, capacity: ENTRIES, settings }
    }

    /// For how long a value is fresh. Default: 5 minutes. The guide has a [table](crate::guide::lookups) of what is usual.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// For how long a value is fresh that says so itself, such as a token that expires; `None`: as all others. Zero: it isn't kept.
    /// Default: none says so.
    pub fn ttl_of(mut self, ttl: impl Fn(&V) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.settings.ttl_of = Some(Arc::new(ttl));
        self
    }

    /// For how long it is believed that a key has no value, where a load says so
    /// ([`get_or_try_find`](Cached::get_or_try_find)). Zero: not at all. Default: 30 seconds.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.settings.negative_ttl = ttl;
        self
    }

    /// The part of its time, from 0 to 1, by which a value may be fresh for less, at random: what was loaded together isn't all
    /// loaded again together. Default: 0.1.
    pub fn jitter(mut self, part: f64) -> Self {
        self.settings.jitter = part;
        self
    }

    /// For how long after that a value is served while it is refreshed behind who asks. One refresh is under way at a time, among
    /// all processes that share a store. One that fails is tried again after a second, and one that takes longer than the
    /// [patience](Self::patience) isn't waited for before another begins. Default: zero, never.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.settings.stale_while_revalidate = window;
        self
    }

    /// For how long after that a value is served in place of an error. For a second after a load failed others get it without a
    /// load. Default: zero, never.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.settings.stale_if_error = window;
        self
    }

    /// The tags of a value, by which it can be invalidated together with others. Default: none.
    pub fn tags(mut self, tags: impl Fn(&V) -> Vec<Tag> + Send + Sync + 'static) -> Self {
        self.settings.tags = Some(Arc::new(tags));
        self
    }

    /// What people may read of a key, and [`invalidate_matching`](Cached::invalidate_matching) matches: `openai` for the models of
    /// that provider. It becomes part of names in stores and of listings, so never a secret; what is longer than about 50 bytes is
    /// cut. Default: nothing.
    pub fn label(mut self, label: impl Fn(&K) -> String + Send + Sync + 'static) -> Self {
        self.label = Some(Arc::new(label));
        self
    }

    /// How many values are kept in this process's memory, as they are; what is looked up often stays. Zero: none. Default: 10,000.
    pub fn entries(mut self, most: u64) -> Self {
        (self.capacity, self.settings.weigh) = (most, Weigh::Entries);
        self
    }

    /// How many bytes of values are kept in this process's memory. `heap` says how many bytes a value has besides its own size,
    /// in its strings and lists; what it takes to keep it is added. Default: counted by [entries](Self::entries).
    pub fn bytes(mut self, most: u64, heap: impl Fn(&V) -> usize + Send + Sync + 'static) -> Self {
        (self.capacity, self.settings.weigh) = (most, Weigh::Bytes(Arc::new(heap)));
        self
    }

    /// The store behind this process's memory, which other processes share. What one of them loads the others have, and what is
    /// invalidated in one is in all. Values are written there in MessagePack, with the names of their fields. Default: none.
    pub fn store(mut self, store: impl Store) -> Self
    where
        V: Serialize + DeserializeOwned,
    {
        self.far = Some((store.boxed(), Codec::new()));
        self
    }

    /// A number to be raised when values mean something else than before, though they can still be read. What was written under
    /// another is a miss, and is removed. Default: 0.
    pub fn schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }

    /// The secret under which keys are hashed that are a [`Secret`](super::Secret): 16 random bytes or more, the same in all
    /// processes. Default: a random one, and an error if there is a [store](Self::store) that others are to find values in.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secret = Some(Zeroizing::new(secret.as_ref().to_vec()));
        self
    }

    /// How long a look-up waits for another that loads the same key. Then the next one loads, and all others wait for that; who has
    /// waited twice loads for itself. Default: 10 seconds.
    pub fn patience(mut self, time: Duration) -> Self {
        self.settings.patience = time;
        self
    }

    /// How long a look-up waits for another process that loads the same key; `None`: it isn't asked whether one does. Default: 10
    /// seconds.
    pub fn coalesce_across(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.settings.across = within.into();
        self
    }

    /// How long a look-up waits for the store. Default: 250 ms.
    pub fn lookup_timeout(mut self, time: Duration) -> Self {
        self.settings.lookup_timeout = time;
        self
    }

    /// Sets the clock by which values become stale. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Makes the cache.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) fails.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> Cached<K, V> {
        match self.try_build() {
            Ok(cached) => cached,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the cache.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the space isn't 1 to 64 letters, digits, `-`, `_` and `.`; if a time is zero that mustn't be, or longer than a
    /// hundred years; if the jitter isn't from 0 to 1; if a [secret](Self::secret) is too short, or there is none and a store.
    pub fn try_build(self) -> Result<Cached<K, V>, ConfigError> {
        let Self { space, secret, label, far, schema, capacity, settings } = self;
        let space = Space::new(space)?;
        let times = [
            ("cached ttl", settings.ttl, false),
            ("cached negative_ttl", settings.negative_ttl, true),
            ("cached stale_while_revalidate", settings.stale_while_revalidate, true),
            ("cached stale_if_error", settings.stale_if_error, true),
            ("cached patience", settings.patience, false),
            ("cached coalesce_across", settings.across.unwrap_or(LONGEST), false),
            ("cached lookup_timeout", settings.lookup_timeout, false),
        ];
        for (setting, time, may_be_zero) in times {
            if (time.is_zero() && !may_be_zero) || time > LONGEST {
                let least = if may_be_zero { "zero" } else { "more than zero" };
                let problem = format!("{time:?} makes no sense; take {least}, and no more than a hundred years");
                return Err(ConfigError::new(setting, problem));
            }
        }
        if !(0.0..=1.0).contains(&settings.jitter) {
            let problem = format!("{} makes no sense; take 0 to 1, for example 0.1", settings.jitter);
            return Err(ConfigError::new("cached jitter", problem));
        }
        let keys = Keys::new(&space, label, secret.as_ref().map(|secret| secret.as_slice()), far.is_some())?;
        let near = Near::new(capacity, &settings.weigh)?;
        let far = far.map(|(store, codec)| Far::new(store, codec, schema));
        Ok(Cached::from_parts(keys, Shared::new(space, settings, near, far)))
    }
}

impl<K: ?Sized, V> fmt::Debug for Builder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("space", &self.space).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cached::Secret, store::Memory};

    #[test]
    fn nonsense_settings_say_what_to_do() {
        let builder = || Cached::<str, u32>::builder("rows");
        let century = LONGEST + Duration::from_secs(1);
        let cases = [
            (Cached::builder("a b"), "cached space"),
            (builder().ttl(Duration::ZERO), "cached ttl"),
            (builder().ttl(century), "cached ttl"),
            (builder().negative_ttl(century), "cached negative_ttl"),
            (builder().jitter(-0.1), "cached jitter"),
            (builder().jitter(f64::NAN), "cached jitter"),
            (builder().patience(Duration::ZERO), "cached patience"),
            (builder().coalesce_across(Duration::ZERO), "cached coalesce_across"),
            (builder().lookup_timeout(Duration::ZERO), "cached lookup_timeout"),
            (builder().entries(u64::MAX), "cached memory"),
        ];
        for (builder, setting) in cases {
            let error = builder.try_build().expect_err(setting);
            assert!(error.setting() == setting && error.to_string().contains("take"), "{error}");
        }
        let secret = Cached::<Secret<String>, u32>::builder("keys").store(Memory::new(1 << 20));
        assert_eq!(secret.try_build().expect_err("no secret").setting(), "cached secret");
        assert!(builder().entries(0).coalesce_across(None).jitter(1.0).try_build().is_ok());
    }
}
