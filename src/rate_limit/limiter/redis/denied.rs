//! What was denied stays denied until there can be room: no need to ask.

use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::rate_limit::{Charge, Room, Standing, Taken, Unit};

/// For how long it is believed that there is no room where some may be given back.
const DOUBTFUL: Duration = Duration::from_secs(1);

pub(super) struct Denied(Option<Cache<String, Denial>>);

#[derive(Clone)]
struct Denial {
    /// When there can be room.
    until: Instant,
    price: u64,
    amount: u64,
    used: u64,
    /// When all is free.
    whole: Instant,
}

impl Denied {
    pub(super) fn new(most: usize) -> Self {
        Self((most > 0).then(|| Cache::new(most)))
    }

    /// A denial, if one of the charges is known to find no room.
    pub(super) fn look_up(&self, charges: &[Charge], keys: &[String]) -> Option<Taken> {
        let known = self.0.as_ref().filter(|known| !known.is_empty())?;
        let now = Instant::now();
        for (index, (charge, key)) in charges.iter().zip(keys).enumerate() {
            if charge.policy.is_shadow() {
                continue;
            }
            let Some(denial) = known.get(key) else { continue };
            let left = denial.until.saturating_duration_since(now);
            if left.is_zero() {
                known.remove(key);
            } else if charge.price() >= denial.price && charge.allowance() <= denial.amount {
                let mut standing = Standing::new(index, charge, Room::In(left), 0);
                (standing.used, standing.refill) = (denial.used, left);
                standing.reset = denial.whole.saturating_duration_since(now);
                return Some(Taken::new(vec![standing]));
            }
        }
        None
    }

    /// Keeps a denial in mind. `apart`: some of what stands in the way may be given back at once.
    pub(super) fn remember(&self, charges: &[Charge], keys: &[String], taken: &Taken, apart: bool) {
        let Some(known) = &self.0 else { return };
        let now = Instant::now();
        for standing in taken.standings.iter().filter(|standing| standing.denies()) {
            let (Some(charge), Some(key), Room::In(time)) =
                (charges.get(standing.index), keys.get(standing.index), standing.room)
            else {
                continue;
            };
            let is_sure = charge.policy.quota().unit() == Unit::Requests && !apart;
            let until = now.checked_add(if is_sure { time } else { time.min(DOUBTFUL) });
            if let (Some(until), Some(whole)) = (until, now.checked_add(standing.reset)) {
                let (price, amount, used) = (charge.price(), charge.allowance(), standing.used);
                known.insert(key.clone(), Denial { until, price, amount, used, whole });
            }
        }
    }
}
