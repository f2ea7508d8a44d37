//! The settings of a [`Redis`] store.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use quick_cache::sync::Cache;

use super::{Redis, Shared, hearing::Hearing, lease::Waiters, names::Names, purge::Log};
use crate::{
    ConfigError,
    clock::{Clock, SystemClock},
    entry::codec::{Codec, Compression},
    redis::Client,
};

/// The largest entry there can be in Redis: 512 MiB, by its own limit.
const MAX_ENTRY: usize = 512 << 20;

/// Of how many entries it is remembered that they couldn't be read.
const UNREAD: usize = 1024;

/// Settings of a [`Redis`] store, made by [`Redis::builder`].
#[must_use]
pub struct RedisBuilder {
    client: Client,
    prefix: String,
    space: String,
    codec: Codec,
    max_entry: usize,
    lease: Duration,
    clock: Arc<dyn Clock>,
}

impl RedisBuilder {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            prefix: "larder".into(),
            space: "default".into(),
            codec: Codec::new(),
            max_entry: 4 << 20,
            lease: Duration::from_secs(3),
            clock: Arc::new(SystemClock),
        }
    }

    /// What every key begins with, for a Redis that others use, too. Default: `larder`.
    pub fn prefix(mut self, text: &str) -> Self {
        self.prefix = text.into();
        self
    }

    /// What follows the prefix: kinds of data have spaces of their own, which are purged and compressed apart. Default: `default`.
    pub fn space(mut self, name: &str) -> Self {
        self.space = name.into();
        self
    }

    /// How bodies are compressed. Default: zstd, level 3.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.codec = self.codec.compression(compression);
        self
    }

    /// Above how many bytes bodies are compressed, unless they are already. Default: 1024.
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.codec = self.codec.compress_above(bytes);
        self
    }

    /// Encrypts entries. Those that aren't, and those that none of the keys opens, count as missing. Default: none.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    pub fn encryption(mut self, keys: crate::entry::codec::KeyRing) -> Self {
        self.codec = self.codec.keys(keys);
        self
    }

    /// The largest entry that is kept, in bytes as Redis holds it: one has to be read within the client's
    /// [deadline](crate::redis::ClientBuilder::response_timeout), and holds up what shares its connection. Default: 4 MiB.
    pub fn max_entry(mut self, bytes: usize) -> Self {
        self.max_entry = bytes;
        self
    }

    /// For how long a process that fetches holds up others if it dies; while it lives it renews its lease. Default: 3 s.
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// Sets the clock by which it is decided how long Redis keeps an entry. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the store. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the prefix or the space can't be part of a key, the compression makes no sense, `max_entry` is zero or more
    /// than 512 MiB, or the lease is shorter than 100 ms or longer than an hour.
    pub fn build(self) -> Result<Redis, ConfigError> {
        let names = Names::new(&self.prefix, &self.space)?;
        self.codec.validate()?;
        if !(1..=MAX_ENTRY).contains(&self.max_entry) {
            let problem = format!("{} bytes make no sense; take 1 to {MAX_ENTRY}", self.max_entry);
            return Err(ConfigError::new("store::Redis max_entry", problem));
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&self.lease) {
            let problem = format!("{:?} makes no sense; take 100 ms to an hour, such as 3 s", self.lease);
            return Err(ConfigError::new("store::Redis lease", problem));
        }
        Ok(Redis(Arc::new(Shared {
            client: self.client,
            names,
            codec: self.codec,
            clock: self.clock,
            max_entry: self.max_entry,
            lease: self.lease,
            origin: RandomState::new().hash_one(0).to_le_bytes(),
            log: Log::default(),
            hearing: Hearing::default(),
            waiters: Waiters::default(),
            unread: Cache::new(UNREAD),
            unreadable: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
        })))
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("client", &self.client)
            .field("prefix", &self.prefix)
            .field("space", &self.space)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_settings_say_what_to_do() {
        let builder = || Redis::builder(Client::new("redis://127.0.0.1").expect("a URL"));
        let cases = [
            (builder().prefix(""), "prefix"),
            (builder().space("a:b"), "space"),
            (builder().max_entry(0), "max_entry"),
            (builder().max_entry(usize::MAX), "max_entry"),
            (builder().lease(Duration::ZERO), "lease"),
            (builder().lease(Duration::MAX), "lease"),
            (builder().compression(Compression::Zstd(99)), "compression"),
        ];
        for (builder, setting) in cases {
            let error = builder.build().expect_err("nonsense");
            let advises = ["take", "expected"].iter().any(|word| error.to_string().contains(word));
            assert!(error.setting().contains(setting) && advises, "{error}");
        }
        assert!(builder().prefix("my-app").space("users").compression(Compression::Off).build().is_ok());
    }
}
