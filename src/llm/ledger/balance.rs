//! [`Balance`]: what was saved and spent, to be shown.

use std::{collections::BTreeMap, ops::AddAssign};

use serde::{Serialize, Serializer};

use super::{Reason, accounts::Row};
use crate::llm::NanoDollars;

/// What a [`Ledger`](super::Ledger) counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Balance {
    /// As of when the prices are, if they say so.
    pub prices_as_of: Option<String>,
    /// All together.
    pub total: Sums,
    /// By reason; those that didn't occur are left out.
    pub reasons: BTreeMap<Reason, Sums>,
    /// By the model that answered; empty where nobody named it.
    pub models: BTreeMap<String, Sums>,
    /// By space.
    pub spaces: BTreeMap<String, Sums>,
    /// By tenant; requests without one are left out.
    pub tenants: BTreeMap<String, Sums>,
    /// By model, space and tenant together.
    pub accounts: Vec<Account>,
}

/// What was counted for one model, space and tenant. All three are `*` for those for which there was no
/// [room](super::LedgerBuilder::max_accounts).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// The model that answered; empty where nobody named it.
    pub model: String,
    /// The space.
    pub space: String,
    /// The tenant, if there is one.
    pub tenant: Option<String>,
    /// All together.
    pub total: Sums,
    /// By reason.
    pub reasons: BTreeMap<Reason, Sums>,
}

/// Sums of money, and how many requests they are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sums {
    /// How many requests; a refresh behind a stale answer is one, too.
    pub requests: u64,
    /// What answers would have cost that were not bought again, by what they cost when they were.
    pub saved: NanoDollars,
    /// What was paid.
    pub spent: NanoDollars,
    /// Of that, what only the cache asked for: refreshes.
    pub overhead: NanoDollars,
    /// How many answers are in neither sum, since their model has no price.
    pub unpriced: u64,
    /// How many answers are in neither sum, since they don't say how many tokens they took.
    pub unmetered: u64,
}

impl Sums {
    /// What was saved, less what only the cache asked for, in nano-dollars.
    #[must_use]
    pub fn net(&self) -> i64 {
        let [saved, overhead] = [self.saved, self.overhead].map(|sum| i64::try_from(sum.get()).unwrap_or(i64::MAX));
        saved.saturating_sub(overhead)
    }

    /// How many answers are in neither sum.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unpriced.saturating_add(self.unmetered)
    }

    fn of(row: &Row, reason: Reason) -> Self {
        let cell = row.cell(reason);
        let spent = NanoDollars::new(cell.spent.get());
        Self {
            requests: cell.requests.get(),
            saved: NanoDollars::new(cell.saved.get()),
            spent,
            overhead: if reason == Reason::Refresh { spent } else { NanoDollars::ZERO },
            unpriced: cell.unpriced.get(),
            unmetered: cell.unmetered.get(),
        }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        let sum = |a: NanoDollars, b: NanoDollars| NanoDollars::new(a.get().saturating_add(b.get()));
        *self = Self {
            requests: self.requests.saturating_add(other.requests),
            saved: sum(self.saved, other.saved),
            spent: sum(self.spent, other.spent),
            overhead: sum(self.overhead, other.overhead),
            unpriced: self.unpriced.saturating_add(other.unpriced),
            unmetered: self.unmetered.saturating_add(other.unmetered),
        };
    }
}

/// Money is said in nano-dollars and, for people, in dollars, as the names say.
impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named {
            requests: u64,
            saved_nano_usd: NanoDollars,
            spent_nano_usd: NanoDollars,
            overhead_nano_usd: NanoDollars,
            net_nano_usd: i64,
            saved_usd: String,
            spent_usd: String,
            overhead_usd: String,
            net_usd: String,
            unpriced: u64,
            unmetered: u64,
            unknown: u64,
        }
        Named {
            requests: self.requests,
            saved_nano_usd: self.saved,
            spent_nano_usd: self.spent,
            overhead_nano_usd: self.overhead,
            net_nano_usd: self.net(),
            saved_usd: self.saved.to_string(),
            spent_usd: self.spent.to_string(),
            overhead_usd: self.overhead.to_string(),
            net_usd: dollars(self.net()),
            unpriced: self.unpriced,
            unmetered: self.unmetered,
            unknown: self.unknown(),
        }
        .serialize(serializer)
    }
}

fn dollars(nano_dollars: i64) -> String {
    let sign = if nano_dollars < 0 { "-" } else { "" };
    format!("{sign}{}", NanoDollars::new(nano_dollars.unsigned_abs()))
}

impl Balance {
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a Row>, prices_as_of: Option<&str>) -> Self {
        let mut balance = Self { prices_as_of: prices_as_of.map(str::to_owned), ..Self::default() };
        for row in rows {
            let holder = row.holder();
            let mut account = Account {
                model: holder.model.to_owned(),
                space: holder.space.to_owned(),
                tenant: holder.tenant.map(str::to_owned),
                ..Account::default()
            };
            for reason in Reason::ALL {
                let sums = Sums::of(row, reason);
                if sums.requests > 0 {
                    account.total += sums;
                    account.reasons.insert(reason, sums);
                    *balance.reasons.entry(reason).or_default() += sums;
                }
            }
            if account.total.requests > 0 {
                balance.add(account);
            }
        }
        balance.accounts.sort_by(|a, b| (&a.space, &a.tenant, &a.model).cmp(&(&b.space, &b.tenant, &b.model)));
        balance
    }

    fn add(&mut self, account: Account) {
        self.total += account.total;
        *self.models.entry(account.model.clone()).or_default() += account.total;
        *self.spaces.entry(account.space.clone()).or_default() += account.total;
        if let Some(tenant) = &account.tenant {
            *self.tenants.entry(tenant.clone()).or_default() += account.total;
        }
        self.accounts.push(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::ledger::{
        accounts::{Accounts, Holder},
        bill::Bill,
    };

    #[test]
    fn every_cut_through_the_accounts_comes_to_the_same_total() {
        let accounts = Accounts::new(100);
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            for model in ["a", "b"] {
                for tenant in ["x", "y"] {
                    let cost = Some(NanoDollars::new(10_u64.pow(u32::try_from(number).expect("few"))));
                    let saves = reason == Reason::Hit;
                    let row = accounts.row(Holder { model, space: "s", tenant: Some(tenant) });
                    row.add(reason, saves, &Bill { cost, ..Bill::default() });
                    row.add(reason, saves, &Bill { usage: Some(crate::llm::Usage::default()), ..Bill::default() });
                    row.add(reason, saves, &Bill::default());
                }
            }
        }
        let balance = Balance::of(accounts.rows(), Some("2026-01-01"));
        let total = |sums: &mut dyn Iterator<Item = &Sums>| {
            let mut total = Sums::default();
            sums.for_each(|sums| total += *sums);
            total
        };
        assert_eq!(total(&mut balance.reasons.values()), balance.total);
        assert_eq!(total(&mut balance.models.values()), balance.total);
        assert_eq!(total(&mut balance.spaces.values()), balance.total);
        assert_eq!(total(&mut balance.tenants.values()), balance.total);
        assert_eq!(total(&mut balance.accounts.iter().map(|account| &account.total)), balance.total);
        let calls = 4 * Reason::ALL.len() as u64;
        assert_eq!(
            (balance.total.requests, balance.total.unpriced, balance.total.unmetered),
            (calls * 3, calls, calls)
        );
        assert_eq!(balance.total.unknown(), calls * 2);
        assert_eq!(balance.accounts.len(), 4);
        let refreshed = balance.reasons[&Reason::Refresh].spent;
        assert_eq!((balance.total.overhead, balance.total.saved.get()), (refreshed, 4));
        assert_eq!(balance.total.net(), 4 - i64::try_from(refreshed.get()).expect("little"));
        let json = serde_json::to_value(&balance).expect("JSON");
        assert_eq!(json["reasons"]["hit"]["saved_nano_usd"], 4);
        assert_eq!(json["total"]["net_nano_usd"], balance.total.net());
        assert_eq!(
            (&json["reasons"]["hit"]["saved_usd"], &json["total"]["unknown"]),
            (&"0.000000004".into(), &(calls * 2).into())
        );
        assert_eq!(json["total"]["net_usd"], "-0.003999996");
    }
}
