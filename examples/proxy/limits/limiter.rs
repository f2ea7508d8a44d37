//! `--limit-store`: where use is counted.

use std::{path::Path, str::FromStr, time::Duration};

use larder::rate_limit::limiter::{BoxLimiter, Local};

use crate::{options::Options, stores};

/// The URL of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitStore(String);

impl FromStr for LimitStore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let takes = "takes the URL of a Redis, such as redis://127.0.0.1:6379";
        if !stores::is_redis(text) {
            return Err(takes.into());
        }
        stores::redis::check(text).map_err(|error| format!("{takes}; {error}"))?;
        Ok(Self(text.into()))
    }
}

/// Whether others count with this process.
pub(super) fn is_shared(options: &Options) -> bool {
    options.limit_store.is_some()
}

/// What the flags say of that Redis besides.
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "all of it is for Redis"))]
struct Settings<'a> {
    prefix: &'a str,
    timeout: Duration,
    root_certificates: Option<&'a Path>,
}

/// Opens it; without a URL, this process counts for itself.
pub(super) fn open(options: &Options) -> anyhow::Result<BoxLimiter> {
    let settings = Settings {
        prefix: &options.store_prefix,
        timeout: options.limit_store_timeout,
        root_certificates: options.limit_store_ca.as_deref(),
    };
    match &options.limit_store {
        Some(LimitStore(url)) => redis(url, &settings),
        None => Ok(BoxLimiter::new(Local::new())),
    }
}

#[cfg(feature = "redis")]
fn redis(url: &str, settings: &Settings<'_>) -> anyhow::Result<BoxLimiter> {
    // A connection of its own: a large entry on that of the store would hold up what is counted.
    let client = stores::redis::client(url, settings.timeout, settings.root_certificates, "--limit-store-ca")?;
    let limiter = larder::rate_limit::limiter::Redis::builder(client).prefix(settings.prefix).build()?;
    Ok(BoxLimiter::new(limiter))
}

#[cfg(not(feature = "redis"))]
fn redis(_: &str, _: &Settings<'_>) -> anyhow::Result<BoxLimiter> {
    anyhow::bail!(stores::redis::MISSING)
}
