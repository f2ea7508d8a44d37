//! [`Limit`]: a quota, whose use it limits, and of which requests.

use std::{collections::HashMap, fmt, hash::BuildHasher, sync::Arc};

use http::request::Parts;

use super::{ByteMeter, Everyone, Meter, Policy, Quota, Subject, SubjectOf, Unit, path::Below, policy};
use crate::ConfigError;

/// A quota, whose use it limits, and of which requests.
///
/// ```
/// use larder::rate_limit::{Address, Limit, Quota};
///
/// let generation = Limit::new(Quota::per_minute(20)).named("generation").per(Address::new()).on_path("/v1/chat");
/// # let _ = generation;
/// ```
///
/// One limit for everything, which all clients share, is `Limit::new(quota)`, or the quota itself.
#[must_use]
pub struct Limit {
    quota: Quota,
    name: Option<String>,
    subject: Box<dyn SubjectOf>,
    routes: Vec<Box<dyn Fn(&Parts) -> bool + Send + Sync>>,
    amounts: Option<Box<dyn AmountFor>>,
    meter: Option<Arc<dyn Meter>>,
    is_shadow: bool,
}

/// How much a subject may use, where it isn't what the [`Quota`] says. Closures are this, and tables.
pub trait AmountFor: Send + Sync + 'static {
    /// `None`: the quota's own amount.
    fn amount(&self, subject: &Subject, head: &Parts) -> Option<u64>;
}

impl<F> AmountFor for F
where
    F: Fn(&Subject, &Parts) -> Option<u64> + Send + Sync + 'static,
{
    fn amount(&self, subject: &Subject, head: &Parts) -> Option<u64> {
        self(subject, head)
    }
}

impl<S: BuildHasher + Send + Sync + 'static> AmountFor for HashMap<Subject, u64, S> {
    fn amount(&self, subject: &Subject, _: &Parts) -> Option<u64> {
        self.get(subject).copied()
    }
}

impl Limit {
    /// A quota that all requests share.
    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            name: None,
            subject: Box::new(Everyone),
            routes: Vec::new(),
            amounts: None,
            meter: None,
            is_shadow: false,
        }
    }

    /// What it is called in response fields, problems, statistics and in Redis: 1 to 64 letters, digits, `-`, `_` and `.`. Default: `rps`,
    /// `rpm`, `rph`, `rpd` for requests per second, minute, hour and day; likewise `tpm` for tokens, `bpm` for bytes, `cpm` for cost;
    /// `concurrent`; and like `requests-90s` for any other window.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whose use is counted apart. Default: [`Everyone`] shares the quota.
    pub fn per(mut self, subject: impl SubjectOf) -> Self {
        self.subject = Box::new(subject);
        self
    }

    /// Limits only requests of this kind. Given several times, all have to agree. Default: all requests.
    pub fn on(mut self, route: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.routes.push(Box::new(route));
        self
    }

    /// Limits only requests whose path is this or lies below it: `/v1/chat` is for `/v1/chat` and `/v1/chat/completions`, not for
    /// `/v1/chats`. It is for `/v1/%63hat`, `//v1/chat` and `/v1/x/../chat`, too, since a server may take them for the same.
    pub fn on_path(self, path: impl AsRef<str>) -> Self {
        let path = Below::new(path.as_ref());
        self.on(move |head| path.has(head.uri.path()))
    }

    /// What particular subjects may use. Default: all of them what the quota says.
    pub fn amounts(mut self, amounts: impl AmountFor) -> Self {
        self.amounts = Some(Box::new(amounts));
        self
    }

    /// What a request costs. Default: one request; bytes for [`Unit::Bytes`]; there is none for tokens and cost.
    pub fn meter(mut self, meter: impl Meter) -> Self {
        self.meter = Some(Arc::new(meter));
        self
    }

    /// Denies nothing, but counts in the [statistics](super::PolicySnapshot::would_deny) what it would have denied. Default: `false`.
    pub fn shadow(mut self, is_shadow: bool) -> Self {
        self.is_shadow = is_shadow;
        self
    }

    pub(super) fn prepare(self) -> Result<Prepared, ConfigError> {
        self.quota.check()?;
        let name = self.name.unwrap_or_else(|| self.quota.default_name());
        policy::check(&name)?;
        let unit = self.quota.unit();
        let meter = match (self.meter, unit) {
            (Some(_), Unit::Requests | Unit::Concurrent) => {
                let problem =
                    format!("{name:?} counts requests, which need no meter; take it away, or count another unit");
                return Err(ConfigError::new("rate_limit::Limit meter", problem));
            }
            (None, Unit::Tokens | Unit::Cost) => {
                let problem = format!("{name:?} counts what only a meter can tell; take one, such as llm::Tokens");
                return Err(ConfigError::new("rate_limit::Limit meter", problem));
            }
            (None, Unit::Bytes) => Some(Arc::new(ByteMeter) as Arc<dyn Meter>),
            (meter, _) => meter,
        };
        let policy = Policy::new(&name, self.quota, self.is_shadow);
        Ok(Prepared { policy, subject: self.subject, routes: self.routes, amounts: self.amounts, meter })
    }
}

impl From<Quota> for Limit {
    fn from(quota: Quota) -> Self {
        Self::new(quota)
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("quota", &self.quota).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A limit that makes sense.
pub(super) struct Prepared {
    pub(super) policy: Policy,
    subject: Box<dyn SubjectOf>,
    routes: Vec<Box<dyn Fn(&Parts) -> bool + Send + Sync>>,
    amounts: Option<Box<dyn AmountFor>>,
    pub(super) meter: Option<Arc<dyn Meter>>,
}

impl Prepared {
    /// Whose use a request is, and how much they may use; `None` if the limit isn't for it.
    pub(super) fn applies(&self, head: &Parts) -> Option<(Subject, u64)> {
        if !self.routes.iter().all(|route| route(head)) {
            return None;
        }
        let subject = self.subject.subject(head)?;
        let own = self.policy.quota().amount();
        let amount = self.amounts.as_ref().and_then(|amounts| amounts.amount(&subject, head)).unwrap_or(own);
        Some((subject, amount))
    }
}
