//! The settings of a [`Ledger`].

use std::{borrow::Cow, fmt, sync::Arc};

use http::request::Parts;

use super::{Ledger, Shared, accounts::Accounts};
use crate::{ConfigError, llm::Prices};

/// Settings of a [`Ledger`], made by [`Ledger::builder`].
#[must_use]
pub struct LedgerBuilder {
    prices: Prices,
    space: String,
    tenant: Option<Box<super::Tenant>>,
    provider: Option<String>,
    fields: bool,
    max_accounts: usize,
}

impl LedgerBuilder {
    pub(super) fn new() -> Self {
        Self {
            prices: Prices::builtin(),
            space: "default".into(),
            tenant: None,
            provider: None,
            fields: false,
            max_accounts: 10_000,
        }
    }

    /// Sets what tokens cost. Default: [`Prices::builtin`].
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = prices;
        self
    }

    /// Sets the space for which is counted; [`Ledger::in_space`] makes others. Default: `default`.
    pub fn space(mut self, name: impl Into<String>) -> Self {
        self.space = name.into();
        self
    }

    /// Sets for whom is counted, by the request's head. The name is shown where sums are shown: it must be no secret.
    /// Default: nobody in particular.
    ///
    /// ```
    /// use larder::llm::Ledger;
    ///
    /// let ledger = Ledger::builder()
    ///     .tenant(|head| Some(head.headers.get("x-team")?.to_str().ok()?.into()))
    ///     .build();
    /// # let _ = ledger;
    /// ```
    pub fn tenant(
        mut self,
        tenant: impl for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>> + Send + Sync + 'static,
    ) -> Self {
        self.tenant = Some(Box::new(tenant));
        self
    }

    /// Sets the provider whose prices hold, by LiteLLM's name for it, such as `azure` or `openrouter`. Default: by the
    /// host that is asked, where it is a well-known one; else the maker of the model.
    pub fn provider(mut self, name: impl Into<String>) -> Self {
        self.provider = Some(name.into());
        self
    }

    /// Whether answers say in fields what they cost and saved, in US dollars: `larder-saved`, and `larder-cost` where
    /// nothing was fetched, and so nothing paid. What a fetch costs is known only after its body. A sum that isn't
    /// known is left out. Default: false.
    pub fn fields(mut self, yes: bool) -> Self {
        self.fields = yes;
        self
    }

    /// For how many models, spaces and tenants, by three, is counted apart; what is beyond that is counted together,
    /// under `*`. Each takes about half a KiB. Default: 10,000.
    pub fn max_accounts(mut self, count: usize) -> Self {
        self.max_accounts = count;
        self
    }

    /// Makes the ledger.
    ///
    /// # Panics
    ///
    /// Where [`try_build`](Self::try_build) fails: a setting makes no sense.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> Ledger {
        match self.try_build() {
            Ok(ledger) => ledger,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the ledger.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if `max_accounts` is more than ten millions.
    pub fn try_build(self) -> Result<Ledger, ConfigError> {
        let Self { prices, space, tenant, provider, fields, max_accounts } = self;
        if max_accounts > 10_000_000 {
            let problem = format!("{max_accounts} would take gigabytes; take 10000000 at most");
            return Err(ConfigError::new("llm::Ledger max_accounts", problem));
        }
        let accounts = Accounts::new(max_accounts);
        let shared = Shared { prices, tenant, provider: provider.map(Arc::from), fields, accounts };
        Ok(Ledger { shared: Arc::new(shared), space: space.into() })
    }
}

impl fmt::Debug for LedgerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerBuilder")
            .field("prices", &self.prices)
            .field("space", &self.space)
            .finish_non_exhaustive()
    }
}
