//! [`Builder`]: what a router is made of.

use std::{fmt, sync::Arc};

use axum::Router;
use tokio::time::Instant;

use super::{
    auth::Auth,
    explain::Explain,
    routes,
    state::{Limits, State},
};
use crate::{
    ConfigError, cache, cached,
    llm::{Ledger, embeddings},
    rate_limit::{self, Limiter},
    retry,
};

/// The longest name of a space or a layer, in bytes.
const LONGEST: usize = 64;

/// What a router is over, and who may use it. Made by [`router`](super::router), or without a cache by [`new`](Self::new).
#[must_use]
pub struct Builder {
    caches: Vec<(String, cache::Handle)>,
    retries: Vec<(String, retry::Handle)>,
    limits: Vec<(String, Arc<dyn Limits>)>,
    embeddings: Vec<(String, embeddings::Handle)>,
    lookups: Vec<(String, cached::Handle)>,
    ledger: Option<Ledger>,
    explain: Option<Arc<dyn Explain>>,
    token: Option<String>,
    is_insecure: bool,
}

impl Builder {
    /// A router over nothing yet.
    pub fn new() -> Self {
        Self {
            caches: Vec::new(),
            retries: Vec::new(),
            limits: Vec::new(),
            embeddings: Vec::new(),
            lookups: Vec::new(),
            ledger: None,
            explain: None,
            token: None,
            is_insecure: false,
        }
    }

    /// Adds a cache. `space` is what it is called in paths and metrics: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub fn cache(mut self, space: impl Into<String>, handle: cache::Handle) -> Self {
        self.caches.push((space.into(), handle));
        self
    }

    /// Adds a layer that retries, under a name of the same kind.
    pub fn retry(mut self, name: impl Into<String>, handle: retry::Handle) -> Self {
        self.retries.push((name.into(), handle));
        self
    }

    /// Adds a layer with limits, under a name of the same kind.
    pub fn rate_limit<L: Limiter>(mut self, name: impl Into<String>, handle: rate_limit::Handle<L>) -> Self {
        self.limits.push((name.into(), Arc::new(handle)));
        self
    }

    /// Adds an [`EmbeddingsLayer`](crate::llm::EmbeddingsLayer), under a name of the same kind: its figures are shown, and a purge
    /// that names no space is of what it keeps, too. Entries are listed of caches only; it may have the store of one.
    pub fn embeddings(mut self, name: impl Into<String>, handle: embeddings::Handle) -> Self {
        self.embeddings.push((name.into(), handle));
        self
    }

    /// Adds a [`Cached`](cached::Cached) by its [handle](cached::Cached::handle). `space` is what it is called here, best as its own
    /// [space](cached::Cached::builder), and not as any other cache. Its figures are shown, and purges mean its values as they do
    /// responses, by labels that begin with its own space: `pattern=users:*`. Values are never shown, and aren't listed but where a
    /// cache of responses has the same store.
    pub fn lookups(mut self, space: impl Into<String>, handle: cached::Handle) -> Self {
        self.lookups.push((space.into(), handle));
        self
    }

    /// The ledger that says what answers cost and what was saved. One is enough for all caches: its
    /// [spaces](Ledger::in_space) are best called as the caches are here. Models and tenants are shown by their names, and are
    /// labels of metrics, as many as the ledger has [room](crate::llm::LedgerBuilder::max_accounts) for. Default: none; no costs are
    /// shown.
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// Who says why two requests share an entry, or don't. Default: nobody; the endpoint answers 501.
    pub fn explain(mut self, explain: impl Explain) -> Self {
        self.explain = Some(Arc::new(explain));
        self
    }

    /// The bearer token that every request needs, but for that of the page at `/`. It is compared in constant time, and never
    /// logged. Take a long random text, such as `openssl rand -hex 32` prints.
    pub fn token(mut self, secret: &str) -> Self {
        self.token = Some(secret.to_owned());
        self
    }

    /// Lets everybody in who can reach the router: they see what is kept, and can purge it. Only for what nobody else can reach, or
    /// behind a check of your own.
    pub fn insecure(mut self) -> Self {
        self.is_insecure = true;
        self
    }

    /// Makes the router, to be served or nested.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) fails.
    #[track_caller]
    pub fn build(self) -> Router {
        match self.try_build() {
            Ok(router) => router,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the router, to be served or nested.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if neither [`token`](Self::token) nor [`insecure`](Self::insecure) was called, or both were; if the token can't
    /// be sent in a field; and if a name can't be taken, or is there twice.
    pub fn try_build(self) -> Result<Router, ConfigError> {
        let auth = match (&self.token, self.is_insecure) {
            (Some(token), false) => Auth::token(token)?,
            (None, true) => Auth::Nobody,
            (Some(_), true) => {
                let problem = "there is one, and insecure() says that none is needed; take one of the two away";
                return Err(ConfigError::new("admin token", problem));
            }
            (None, false) => {
                let problem = "there is none; take a long random text, or say insecure() if nobody else can reach it";
                return Err(ConfigError::new("admin token", problem));
            }
        };
        check("admin cache", self.caches.iter().map(|(name, _)| name))?;
        // One of each name in all: spaces are what purges mean, and what metrics are told apart by.
        let caches = self.caches.iter().map(|(name, _)| name);
        check("admin lookups", caches.chain(self.lookups.iter().map(|(name, _)| name)))?;
        check("admin retry", self.retries.iter().map(|(name, _)| name))?;
        check("admin rate_limit", self.limits.iter().map(|(name, _)| name))?;
        check("admin embeddings", self.embeddings.iter().map(|(name, _)| name))?;
        let Self { caches, retries, limits, embeddings, lookups, ledger, explain, .. } = self;
        let started = Instant::now();
        Ok(routes::router(Arc::new(State {
            caches,
            retries,
            limits,
            embeddings,
            lookups,
            ledger,
            explain,
            auth,
            started,
        })))
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.caches.iter().map(|(name, _)| name).collect();
        f.debug_struct("Builder")
            .field("caches", &names)
            .field("is_insecure", &self.is_insecure)
            .finish_non_exhaustive()
    }
}

/// Finds names that paths and metrics could not hold, and those that are there twice.
fn check<'a>(setting: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), ConfigError> {
    let mut known: Vec<&str> = Vec::new();
    for name in names {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=LONGEST).contains(&name.len()) || !name.bytes().all(plain) {
            let problem = format!("{name:?} can't be a name; take 1 to {LONGEST} letters, digits, -, _ and .");
            return Err(ConfigError::new(setting, problem));
        }
        if known.contains(&name.as_str()) {
            return Err(ConfigError::new(setting, format!("there are two of the name {name:?}; take another for one")));
        }
        known.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{CacheLayer, cached::Cached, store::Memory};

    #[test]
    fn nonsense_settings_say_what_to_do_and_no_secret() {
        let handle = || CacheLayer::new(Memory::new(1 << 20)).handle();
        let lookups = || Cached::<str, u32>::builder("users").build().handle();
        let router = || super::super::router(handle());
        let cases = [
            (router(), "admin token"),
            (router().token("secret").insecure(), "admin token"),
            (router().token(""), "admin token"),
            (router().token("a secret"), "admin token"),
            (router().token("sécret"), "admin token"),
            (router().insecure().cache("default", handle()), "admin cache"),
            (router().insecure().cache("", handle()), "admin cache"),
            (router().insecure().cache("a/b", handle()), "admin cache"),
            (router().insecure().lookups("default", lookups()), "admin lookups"),
            (router().insecure().lookups("a b", lookups()), "admin lookups"),
        ];
        for (builder, setting) in cases {
            let error = builder.try_build().expect_err(setting);
            assert!(error.setting() == setting && error.to_string().contains("take"), "{error}");
            assert!(!error.to_string().contains("cret"), "{error}");
        }
        assert!(!format!("{:?}", router().token("secret")).contains("secret"));
        assert!(router().token("secret").try_build().is_ok() && router().insecure().try_build().is_ok());
    }
}
