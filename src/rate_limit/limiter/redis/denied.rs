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
    /// When there can be room, if nothing is given back.
    room: Instant,
    /// Until when that is believed.
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

    /// A denial, if any of the charges are known to find no room: of all that are, for the longest wait counts.
    pub(super) fn look_up(&self, charges: &[Charge], keys: &[String]) -> Option<Taken> {
        let known = self.0.as_ref().filter(|known| !known.is_empty())?;
        let now = Instant::now();
        let mut standings = Vec::new();
        for (index, (charge, key)) in charges.iter().zip(keys).enumerate() {
            if charge.policy.is_shadow() {
                continue;
            }
            let Some(denial) = known.get(key) else { continue };
            let left = denial.room.saturating_duration_since(now);
            if left.is_zero() {
                known.remove(key);
            } else if charge.price() == denial.price && charge.allowance() == denial.amount {
                // What asks for more would find none either, but later or never: that is Redis's to say.
                if denial.until <= now {
                    known.remove(key);
                    return None;
                }
                let mut standing = Standing::new(index, charge, Room::In(left), 0);
                (standing.used, standing.refill) = (denial.used, left);
                standing.reset = denial.whole.saturating_duration_since(now);
                standings.push(standing);
            }
        }
        (!standings.is_empty()).then(|| Taken::new(standings))
    }

    /// Keeps a denial in mind. `may_be_given_back`: some of what stands in the way, at any time.
    pub(super) fn remember(&self, charges: &[Charge], keys: &[String], taken: &Taken, may_be_given_back: bool) {
        let Some(known) = &self.0 else { return };
        let now = Instant::now();
        for standing in taken.standings.iter().filter(|standing| standing.denies()) {
            let (Some(charge), Some(key), Room::In(time)) =
                (charges.get(standing.index), keys.get(standing.index), standing.room)
            else {
                continue;
            };
            let is_sure = charge.policy.quota().unit() == Unit::Requests && !may_be_given_back;
            if let (Some(room), Some(whole)) = (now.checked_add(time), now.checked_add(standing.reset)) {
                let until = if is_sure { room } else { room.min(now + DOUBTFUL) };
                let (price, amount, used) = (charge.price(), charge.allowance(), standing.used);
                known.insert(key.clone(), Denial { room, until, price, amount, used, whole });
            }
        }
    }
}
