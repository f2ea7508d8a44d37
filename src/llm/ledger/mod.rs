//! [`Ledger`]: what was spent, and what was saved.

mod accounts;
mod balance;
mod bill;
mod builder;
mod cost;
mod trace;

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, request::Parts, response};

use self::{
    accounts::{Accounts, Holder},
    bill::Bill,
    cost::Kind,
};
pub use self::{
    balance::{Account, Balance, Sums},
    builder::LedgerBuilder,
    cost::{Cost, Reason},
};
use super::{NanoDollars, Prices, UsageReader, price::provider_of, tokens::generates};
use crate::{
    cache::{Answer, Fetch, Observed, Observer, Reading},
    entry::Note,
    header::exchange::{LARDER_COST, LARDER_SAVED},
    key::Key,
    retry::{Attempts, FallbackKind},
};

/// Counts what answers cost, and what the cache saves: an [`Observer`] of one layer or of several. Clones share the
/// sums.
///
/// The usage is read as answers pass, whether they are kept or not. What an answer cost is kept with its entry, and
/// that is what it saves each time it is given again, whatever prices are by then; who shares another's fetch saves
/// what that costs. What has no price, or doesn't say how many tokens it took (a stream of OpenAI's without
/// `stream_options.include_usage`; one that broke off), is counted as such, and is in no sum. Errors are taken to cost
/// nothing, and aren't counted; nor are requests that generate nothing. Attempts that were retried or raced aren't
/// seen.
///
/// Each response has a [`Cost`] in its extensions.
///
/// ```
/// use larder::{llm::{self, Ledger, Prices}, store::Memory};
/// use std::time::Duration;
///
/// let ledger = Ledger::new(Prices::builtin());
/// let cache = llm::layer(Memory::new(256 << 20), Duration::from_secs(24 * 60 * 60)).observer(ledger.clone()).build();
/// // Later:
/// let balance = ledger.balance();
/// println!("saved {}, spent {}", balance.total.saved, balance.total.spent);
/// # let _ = cache;
/// ```
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    space: Arc<str>,
}

type Tenant = dyn for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>> + Send + Sync;

struct Shared {
    prices: Prices,
    tenant: Option<Box<Tenant>>,
    provider: Option<Arc<str>>,
    fields: bool,
    accounts: Accounts,
}

impl Ledger {
    /// A ledger with these prices.
    #[must_use]
    pub fn new(prices: Prices) -> Self {
        Self::builder().prices(prices).build()
    }

    /// A ledger with settings.
    pub fn builder() -> LedgerBuilder {
        LedgerBuilder::new()
    }

    /// The same ledger, for a layer whose sums are counted in a space of their own.
    #[must_use]
    pub fn in_space(&self, name: &str) -> Self {
        Self { shared: self.shared.clone(), space: name.into() }
    }

    /// What was counted so far.
    #[must_use]
    pub fn balance(&self) -> Balance {
        Balance::of(self.shared.accounts.rows(), self.shared.prices.date())
    }

    fn tenant<'a>(&self, request: &'a Parts) -> Option<Cow<'a, str>> {
        self.shared.tenant.as_ref()?(request)
    }

    /// Counts an answer, which names its model, or whose label does.
    fn count(&self, tenant: Option<&str>, label: &str, reason: Reason, kind: Kind, bill: &Bill<'_>) {
        let model = if bill.model.is_empty() { model_of(label) } else { bill.model };
        let row = self.shared.accounts.row(Holder { model, space: &self.space, tenant });
        row.add(reason, kind == Kind::Saves, bill);
    }
}

impl Observer for Ledger {
    fn observes(&self, request: &Parts) -> bool {
        generates(request)
    }

    fn fetched(
        &self,
        observed: &Observed<'_>,
        how: Fetch,
        response: &mut response::Parts,
        note: &Note,
    ) -> Option<Box<dyn Reading>> {
        if !response.status.is_success() {
            return None;
        }
        let fallback = response.extensions.get::<Attempts>().and_then(|attempts| attempts.fallback);
        let reason = match (fallback, how) {
            (Some(FallbackKind::Upstream), _) | (_, Fetch::StandIn) => Reason::Fallback,
            (_, Fetch::Refresh) => Reason::Refresh,
            (_, Fetch::Bypass) => Reason::Bypass,
            (_, _) => Reason::Miss,
        };
        let tenant = self.tenant(observed.request);
        let label = observed.key.map_or("", Key::label);
        if how == Fetch::StandIn && fallback != Some(FallbackKind::Upstream) {
            // What was looked up elsewhere was counted there.
            if fallback != Some(FallbackKind::Stale) {
                let bill = Bill { cost: Some(NanoDollars::ZERO), ..Bill::default() };
                self.count(tenant.as_deref(), label, reason, Kind::Free, &bill);
            }
            self.say(Cost { reason, kind: Kind::Free, note: None }, response);
            return None;
        }
        let provider = match &self.shared.provider {
            Some(provider) => Some(Cow::Owned(provider.to_string())),
            // Who else answered isn't the one that was asked.
            None if reason == Reason::Fallback => None,
            None => provider_of(observed.request).map(Cow::Borrowed),
        };
        trace::tell(observed.request, model_of(label), provider.as_deref(), || None);
        let purchase = Purchase {
            reader: UsageReader::new(&response.headers),
            ledger: self.clone(),
            tenant: tenant.map(Cow::into_owned),
            label: label.to_owned(),
            provider,
            reason,
        };
        self.say(Cost { reason, kind: Kind::Spends, note: Some(note.clone()) }, response);
        Some(Box::new(purchase))
    }

    fn answered(&self, observed: &Observed<'_>, how: Answer, note: Option<&Note>, response: &mut response::Parts) {
        let reason = match how {
            Answer::Hit | Answer::Confirmed => Reason::Hit,
            Answer::Stale | Answer::StaleIfError => Reason::Stale,
            Answer::Fallback => Reason::Fallback,
            Answer::Coalesced => Reason::Coalesced,
        };
        let tenant = self.tenant(observed.request);
        let label = observed.key.map_or("", Key::label);
        let usage = || Bill::decode(note.and_then(Note::text)?)?.usage;
        trace::tell(observed.request, model_of(label), self.shared.provider.as_deref(), usage);
        match note.filter(|note| !note.is_written()) {
            // It is still to be known what the other pays.
            Some(note) => {
                let (ledger, tenant, label) = (self.clone(), tenant.map(Cow::into_owned), label.to_owned());
                note.then(move |text| ledger.save(tenant.as_deref(), &label, reason, text));
            }
            None => self.save(tenant.as_deref(), label, reason, note.and_then(Note::text)),
        }
        self.say(Cost { reason, kind: Kind::Saves, note: note.cloned() }, response);
    }
}

impl Ledger {
    /// Counts an answer that was not bought again, with what was noted when it was.
    fn save(&self, tenant: Option<&str>, label: &str, reason: Reason, note: Option<&Bytes>) {
        let bill = note.and_then(|note| Bill::decode(note)).unwrap_or_default();
        self.count(tenant, label, reason, Kind::Saves, &bill);
    }

    fn say(&self, cost: Cost, response: &mut response::Parts) {
        if self.shared.fields {
            let amounts = [(LARDER_COST, cost.spent()), (LARDER_SAVED, cost.saved())];
            for (name, amount) in amounts {
                // What an upstream says of itself isn't what its client pays or saves.
                response.headers.remove(&name);
                if let Some(amount) = amount.and_then(|amount| HeaderValue::try_from(amount.to_string()).ok()) {
                    response.headers.insert(name, amount);
                }
            }
        }
        response.extensions.insert(cost);
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("space", &self.space)
            .field("prices", &self.shared.prices)
            .finish_non_exhaustive()
    }
}

/// An answer that is being bought.
struct Purchase {
    /// `None` if its body can't be read.
    reader: Option<UsageReader>,
    ledger: Ledger,
    tenant: Option<String>,
    label: String,
    provider: Option<Cow<'static, str>>,
    reason: Reason,
}

impl Reading for Purchase {
    fn read(&mut self, data: &[u8]) {
        if let Some(reader) = &mut self.reader {
            reader.read(data);
        }
    }

    fn end(self: Box<Self>, _: bool) -> Option<Bytes> {
        let reader = self.reader.as_ref();
        let named = reader.and_then(UsageReader::model);
        let model = named.as_deref().unwrap_or_else(|| model_of(&self.label));
        // What was counted before a stream broke off isn't all of it.
        let usage = reader.filter(|reader| reader.is_final()).and_then(UsageReader::usage);
        let cost = usage.and_then(|usage| {
            let tier = reader.and_then(UsageReader::service_tier);
            self.ledger.shared.prices.find(model, self.provider.as_deref())?.cost(&usage, tier.as_deref())
        });
        let bill = Bill { model, usage, cost };
        self.ledger.count(self.tenant.as_deref(), &self.label, self.reason, Kind::Spends, &bill);
        Some(bill.encode())
    }
}

/// The model that a key's label names, such as `chat:gpt-4o`.
fn model_of(label: &str) -> &str {
    label.split_once(':').map_or("", |(_, model)| model)
}
