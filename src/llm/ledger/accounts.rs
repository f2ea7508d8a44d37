//! [`Accounts`]: a row of counters for each model, space and tenant, found without a lock.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Reason, bill::Bill};
use crate::stats::Counter;

/// How many slots are looked at before the next table is.
const PROBES: usize = 16;

/// How many slots the first table has; each further one has twice as many.
const SLOTS: usize = 64;

/// Whose row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder<'a> {
    pub(super) model: &'a str,
    pub(super) space: &'a str,
    pub(super) tenant: Option<&'a str>,
}

/// The counters of one holder, by reason.
#[derive(Debug)]
pub(super) struct Row {
    model: Box<str>,
    space: Box<str>,
    tenant: Option<Box<str>>,
    cells: [Cell; Reason::ALL.len()],
}

#[derive(Debug, Default)]
pub(super) struct Cell {
    pub(super) requests: Counter,
    pub(super) saved: Counter,
    pub(super) spent: Counter,
    pub(super) unpriced: Counter,
    pub(super) unmetered: Counter,
}

/// Rows are added and never taken away, so that a slot, once filled, stays as it is; who finds an empty one knows that
/// there is no such row behind it.
#[derive(Debug)]
pub(super) struct Accounts {
    hasher: RandomState,
    first: Table,
    count: AtomicUsize,
    most: usize,
    /// For whom there is no room any more.
    rest: Row,
}

#[derive(Debug)]
struct Table {
    slots: Box<[OnceLock<Box<Row>>]>,
    next: OnceLock<Box<Self>>,
}

impl Accounts {
    /// With room for so many rows.
    pub(super) fn new(most: usize) -> Self {
        let rest = Row::new(Holder { model: "*", space: "*", tenant: Some("*") });
        Self { hasher: RandomState::new(), first: Table::new(SLOTS), count: AtomicUsize::new(0), most, rest }
    }

    /// The holder's row.
    pub(super) fn row(&self, holder: Holder<'_>) -> &Row {
        let hash = self.hasher.hash_one(holder);
        let mut table = &self.first;
        loop {
            for probe in 0..PROBES {
                // A number of slots is a power of two, and smaller than that of hashes.
                let slot = &table.slots[(hash as usize).wrapping_add(probe) & (table.slots.len() - 1)];
                let row = match slot.get() {
                    Some(row) => row,
                    None if self.count.fetch_add(1, Ordering::Relaxed) >= self.most => {
                        self.count.fetch_sub(1, Ordering::Relaxed);
                        return &self.rest;
                    }
                    None => {
                        let mut is_mine = false;
                        let row = slot.get_or_init(|| {
                            is_mine = true;
                            Box::new(Row::new(holder))
                        });
                        if !is_mine {
                            self.count.fetch_sub(1, Ordering::Relaxed);
                        }
                        row
                    }
                };
                if row.holder() == holder {
                    return row;
                }
            }
            table = table.next.get_or_init(|| Box::new(Table::new(table.slots.len() * 2)));
        }
    }

    /// All rows, in no order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let tables = std::iter::successors(Some(&self.first), |table| table.next.get().map(|next| &**next));
        let rows = tables.flat_map(|table| table.slots.iter().filter_map(|slot| slot.get().map(|row| &**row)));
        rows.chain([&self.rest])
    }
}

impl Table {
    fn new(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_| OnceLock::new()).collect(), next: OnceLock::new() }
    }
}

impl Row {
    fn new(holder: Holder<'_>) -> Self {
        let Holder { model, space, tenant } = holder;
        Self { model: model.into(), space: space.into(), tenant: tenant.map(Into::into), cells: Default::default() }
    }

    pub(super) fn holder(&self) -> Holder<'_> {
        Holder { model: &self.model, space: &self.space, tenant: self.tenant.as_deref() }
    }

    pub(super) fn cell(&self, reason: Reason) -> &Cell {
        &self.cells[reason as usize]
    }

    /// Counts a request for which this was paid, or was not.
    pub(super) fn add(&self, reason: Reason, saves: bool, bill: &Bill<'_>) {
        let cell = self.cell(reason);
        cell.requests.increment();
        match (bill.cost, bill.usage) {
            (Some(cost), _) if saves => cell.saved.add(cost.get()),
            (Some(cost), _) => cell.spent.add(cost.get()),
            (None, Some(_)) => cell.unpriced.increment(),
            (None, None) => cell.unmetered.increment(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::llm::NanoDollars;

    fn bill(cost: u64) -> Bill<'static> {
        Bill { cost: Some(NanoDollars::new(cost)), ..Bill::default() }
    }

    fn saved(accounts: &Accounts) -> BTreeMap<String, u64> {
        let rows = accounts.rows().filter(|row| row.cell(Reason::Hit).requests.get() > 0);
        rows.map(|row| (row.holder().model.to_owned(), row.cell(Reason::Hit).saved.get())).collect()
    }

    #[test]
    fn each_holder_has_one_row_however_many_there_are() {
        let accounts = Accounts::new(10_000);
        let names: Vec<_> = (0..5000).map(|number| format!("model-{number}")).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for name in &names {
                        let holder = Holder { model: name, space: "s", tenant: None };
                        accounts.row(holder).add(Reason::Hit, true, &bill(1));
                    }
                });
            }
        });
        let saved = saved(&accounts);
        assert_eq!(saved.len(), 5000);
        assert!(saved.values().all(|saved| *saved == 4), "nothing is counted twice or lost");
        assert_eq!(accounts.count.load(Ordering::Relaxed), 5000);
    }

    #[test]
    fn who_finds_no_room_is_counted_together_with_others() {
        let accounts = Accounts::new(2);
        for model in ["a", "b", "c", "d", "a"] {
            accounts.row(Holder { model, space: "s", tenant: Some("t") }).add(Reason::Hit, true, &bill(1));
        }
        assert_eq!(saved(&accounts), BTreeMap::from([("a".into(), 2), ("b".into(), 1), ("*".into(), 2)]));
    }

    #[test]
    fn space_and_tenant_make_another_holder() {
        let accounts = Accounts::new(10);
        let holders = [("s", None), ("s", Some("")), ("t", None), ("s", Some("t"))];
        for (space, tenant) in holders {
            accounts.row(Holder { model: "m", space, tenant }).add(Reason::Miss, false, &Bill::default());
        }
        let rows = accounts.rows().filter(|row| row.cell(Reason::Miss).unmetered.get() == 1);
        assert_eq!(rows.count(), holders.len());
    }
}
