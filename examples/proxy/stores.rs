//! Where responses are kept: `--store`, given once for each tier, nearest first.

use std::{path::PathBuf, str::FromStr, time::Duration};

use anyhow::Context as _;
use larder::store::{BoxStore, Memory, Store as _, Tiered};

use crate::options::size;

/// Room for an entry's fields beside its body.
const ENTRY_HEAD: u64 = 64 * 1024;

/// What one `--store` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    Memory(u64),
    Redis(String),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let takes = "takes memory:SIZE, such as memory:256MiB, or the URL of a Redis, such as redis://127.0.0.1:6379";
        if let Some(given) = text.strip_prefix("memory:") {
            let capacity = size(given).map_err(|error| format!("{takes}; {error}"))?;
            // Said here, where the flag is named, rather than when the store is opened.
            Memory::try_new(capacity).map_err(|error| error.to_string())?;
            return Ok(Self::Memory(capacity));
        }
        if is_redis(text) {
            redis::check(text).map_err(|error| format!("{takes}; {error}"))?;
            return Ok(Self::Redis(text.into()));
        }
        Err(takes.into())
    }
}

/// Whether it is meant to be the URL of a Redis.
pub(crate) fn is_redis(text: &str) -> bool {
    ["redis", "valkey", "unix"].iter().any(|scheme| text.starts_with(scheme)) && text.contains("://")
}

/// What the flags say of stores besides.
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "most of it is for Redis"))]
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_body: usize,
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) keys: Option<PathBuf>,
}

/// What `--store-prefix` takes.
pub(crate) fn prefix(text: &str) -> Result<String, String> {
    match redis::check_prefix(text) {
        Ok(()) => Ok(text.into()),
        Err(_) => Err("takes 1 to 128 visible ASCII characters without any of *?[]{}\\\"!, such as larder".into()),
    }
}

/// A value of `--store` as it may be said: what stands behind a scheme may hold a password.
pub(crate) fn shown(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://…"),
        None if text.contains(['@', ' ', '?']) => "…".into(),
        None => text.into(),
    }
}

/// Opens the stores, each in front of the next.
pub(crate) fn open(urls: &[StoreUrl], settings: &Settings) -> anyhow::Result<BoxStore> {
    if urls.iter().skip(1).any(|url| matches!(url, StoreUrl::Memory(_))) {
        anyhow::bail!("--store takes stores nearest first: memory:SIZE once, and before any Redis");
    }
    let mut opened: Option<BoxStore> = None;
    for url in urls.iter().rev() {
        let store = match url {
            StoreUrl::Memory(capacity) => {
                Memory::builder(*capacity).max_entry(settings.max_body as u64 + ENTRY_HEAD).build()?.boxed()
            }
            StoreUrl::Redis(url) => redis::open(url, settings)?,
        };
        opened = Some(match opened {
            Some(far) => Tiered::new(store, far).boxed(),
            None => store,
        });
    }
    opened.context("--store takes at least one store, such as memory:256MiB")
}

#[cfg(feature = "redis")]
pub(crate) mod redis {
    use std::{path::Path, time::Duration};

    use anyhow::Context as _;
    use larder::{
        redis::Client,
        store::{BoxStore, Redis, Store as _},
    };

    use super::Settings;

    pub(crate) fn check(url: &str) -> Result<(), String> {
        Client::new(url).map(drop).map_err(|error| error.to_string())
    }

    pub(super) fn check_prefix(text: &str) -> Result<(), larder::ConfigError> {
        Redis::builder(Client::new("redis://127.0.0.1")?).prefix(text).build().map(drop)
    }

    /// The way to a Redis, which trusts the certificates that `flag` names.
    pub(crate) fn client(url: &str, timeout: Duration, ca: Option<&Path>, flag: &str) -> anyhow::Result<Client> {
        let client = Client::builder(url).response_timeout(timeout);
        let Some(path) = ca else { return Ok(client.build()?) };
        let takes = || {
            let path = path.display();
            format!("{flag} {path} takes a file of certificates as PEM, for a Redis with TLS at rediss://")
        };
        client.root_certificates(std::fs::read(path).with_context(takes)?).build().with_context(takes)
    }

    pub(super) fn open(url: &str, settings: &Settings) -> anyhow::Result<BoxStore> {
        let client = client(url, settings.timeout, settings.root_certificates.as_deref(), "--store-ca")?;
        let store = Redis::builder(client).prefix(&settings.prefix).space("responses");
        Ok(encrypted(store, settings)?.build()?.boxed())
    }

    #[cfg(feature = "encryption")]
    fn encrypted(
        store: larder::store::RedisBuilder,
        settings: &Settings,
    ) -> anyhow::Result<larder::store::RedisBuilder> {
        let Some(path) = &settings.keys else { return Ok(store) };
        let takes = || {
            let path = path.display();
            format!("--store-keys {path} takes a file of keys, each 64 hexadecimal digits, the current one first")
        };
        let text = std::fs::read_to_string(path).with_context(takes)?;
        let keys = text.split_whitespace().collect::<Vec<_>>().join(",").parse().with_context(takes)?;
        Ok(store.encryption(keys))
    }

    #[cfg(not(feature = "encryption"))]
    fn encrypted(
        store: larder::store::RedisBuilder,
        settings: &Settings,
    ) -> anyhow::Result<larder::store::RedisBuilder> {
        match settings.keys {
            Some(_) => {
                anyhow::bail!("--store-keys: this proxy was built without encryption; add --features encryption")
            }
            None => Ok(store),
        }
    }
}

#[cfg(not(feature = "redis"))]
pub(crate) mod redis {
    use larder::store::BoxStore;

    use super::Settings;

    pub(crate) const MISSING: &str = "this proxy was built without Redis; build it with --features redis";

    pub(crate) fn check(_: &str) -> Result<(), String> {
        Err(MISSING.into())
    }

    pub(super) fn check_prefix(_: &str) -> Result<(), String> {
        Ok(())
    }

    pub(super) fn open(_: &str, _: &Settings) -> anyhow::Result<BoxStore> {
        anyhow::bail!(MISSING)
    }
}
