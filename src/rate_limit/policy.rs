//! [`Policy`]: a quota with its name, as limiters take it.

use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use super::{Quota, window::Law};
use crate::ConfigError;

/// A quota with its name, prepared for counting; clones are one.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Box<str>,
    quota: Quota,
    law: Law,
    is_shadow: bool,
    /// Of the name, for look-ups.
    hash: u64,
}

impl Policy {
    pub(super) fn new(name: &str, quota: Quota, is_shadow: bool) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
        Self(Arc::new(Inner { name: name.into(), quota, law: Law::of(&quota), is_shadow, hash }))
    }

    /// A quota with a name, for asking a limiter without a layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the quota or the name can't be taken: a name is 1 to 64 letters, digits, `-`, `_` and `.`.
    pub fn try_new(name: &str, quota: Quota) -> Result<Self, ConfigError> {
        check(name)?;
        quota.check()?;
        Ok(Self::new(name, quota, false))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How much of what in how long, if a subject has nothing else.
    pub fn quota(&self) -> &Quota {
        &self.0.quota
    }

    /// Whether it denies nothing, and is only watched.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.0.is_shadow
    }

    /// Whether what one counts, the other counts, too.
    pub(crate) fn counts_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.name() == other.name() && self.law().counts_with(other.law()))
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0.hash
    }

    pub(crate) fn law(&self) -> Law {
        self.0.law
    }
}

/// Finds a name that fields and keys could not hold.
pub(super) fn check(name: &str) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    let problem = format!("{name:?} can't be a limit's name; take 1 to 64 letters, digits, -, _ and .");
    Err(ConfigError::new("rate_limit::Limit named", problem))
}
