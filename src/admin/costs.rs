//! `GET /api/cache/costs`.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use axum::{extract::State as Shared, response::Response};
use serde::{Deserialize, Serialize};

use super::{
    params::{Params, json},
    problem::Problem,
    state::State,
};
use crate::llm::{Account, Ledger, Reason, Sums};

/// How many rows there are of each kind, if nobody says.
const ROWS: usize = 100;

/// How many there can be.
const MOST: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CostsParams {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Costs {
    /// Whether there is a ledger; if not, all else is empty.
    counted: bool,
    prices_as_of: Option<String>,
    total: Sums,
    reasons: BTreeMap<Reason, Sums>,
    models: Vec<Row<OfModel>>,
    spaces: Vec<Row<OfSpace>>,
    tenants: Vec<Row<OfTenant>>,
    accounts: Vec<Account>,
    left_out: LeftOut,
}

#[derive(Serialize)]
struct Row<N> {
    #[serde(flatten)]
    name: N,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Serialize)]
struct OfModel {
    model: String,
}

#[derive(Serialize)]
struct OfSpace {
    space: String,
}

#[derive(Serialize)]
struct OfTenant {
    tenant: String,
}

/// How many rows of each kind there is no place for.
#[derive(Serialize)]
struct LeftOut {
    models: usize,
    spaces: usize,
    tenants: usize,
    accounts: usize,
}

pub(super) async fn costs(
    Shared(state): Shared<Arc<State>>,
    Params(params): Params<CostsParams>,
) -> Result<Response, Problem> {
    let limit = params.limit.unwrap_or(ROWS);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad_request(format!("limit takes 1 to {MOST}")));
    }
    let mut balance = state.ledger.as_ref().map(Ledger::balance).unwrap_or_default();
    let over = |count: usize| count.saturating_sub(limit);
    let left_out = LeftOut {
        models: over(balance.models.len()),
        spaces: over(balance.spaces.len()),
        tenants: over(balance.tenants.len()),
        accounts: over(balance.accounts.len()),
    };
    balance.accounts.sort_by_key(|account| Reverse(weight(&account.total)));
    balance.accounts.truncate(limit);
    Ok(json(&Costs {
        counted: state.ledger.is_some(),
        prices_as_of: balance.prices_as_of,
        total: balance.total,
        reasons: balance.reasons,
        models: rows(balance.models, limit, |model| OfModel { model }),
        spaces: rows(balance.spaces, limit, |space| OfSpace { space }),
        tenants: rows(balance.tenants, limit, |tenant| OfTenant { tenant }),
        accounts: balance.accounts,
        left_out,
    }))
}

/// Those with the most money first.
fn rows<N>(sums: BTreeMap<String, Sums>, limit: usize, name: impl Fn(String) -> N) -> Vec<Row<N>> {
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sums)| Reverse(weight(sums)));
    sums.into_iter().take(limit).map(|(text, sums)| Row { name: name(text), sums }).collect()
}

fn weight(sums: &Sums) -> (u64, u64) {
    (sums.saved.get().saturating_add(sums.spent.get()), sums.requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::NanoDollars;

    #[test]
    fn rows_that_are_left_out_are_those_with_the_least_money() {
        let mut sums = BTreeMap::new();
        for (name, saved, spent) in [("a", 5, 0), ("b", 0, 9), ("c", 3, 3), ("d", 0, 0)] {
            let mut of = Sums::default();
            (of.saved, of.spent) = (NanoDollars::new(saved), NanoDollars::new(spent));
            sums.insert(name.to_owned(), of);
        }
        let shown = serde_json::to_value(rows(sums, 2, |model| OfModel { model })).expect("JSON");
        assert_eq!((&shown[0]["model"], &shown[1]["model"]), (&"b".into(), &"c".into()));
        assert_eq!((shown.as_array().map(Vec::len), &shown[1]["saved_nano_usd"]), (Some(2), &3.into()));
    }
}
