//! [`Redis`]: counts in Redis, for all processes alike.

mod answer;
mod batch;
mod builder;
mod charged;
mod denied;
mod names;
mod slot;

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::timeout;

pub use self::builder::RedisBuilder;
use self::{
    answer::Answer,
    batch::{Batches, Turn},
    charged::Charged,
    denied::Denied,
};
use super::{Limiter, LimiterError};
use crate::{
    rate_limit::{Charge, Correction, Room, Standing, Subject, Taken, window::Law},
    redis::{Call, Client, Failure, Script},
};

static TAKE: Script = Script::new(include_str!("take.lua"));
static SETTLE: Script = Script::new(include_str!("settle.lua"));
static RENEW: Script = Script::new(include_str!("renew.lua"));
static RELEASE: Script = Script::new(include_str!("release.lua"));

/// Counts in Redis, for all processes that use the same prefix; clones share one connection.
///
/// All limits of a request are charged by one script in one round trip: all of them, or none. The clock is Redis's own. Requests alike
/// that wait at the same time are charged together, and what was denied is denied without asking until there can be room.
///
/// Every key has a time to live: that of its window, and a bucket. A subject takes about 100 bytes for two buckets, and 700 for a strict
/// window whose every bucket was charged.
///
/// # What it can't do
///
/// - A charge whose answer didn't come is not tried again. It may have been counted.
/// - In a Cluster, limits of different subjects lie on different servers. They are charged one after another, and those that were charged
///   are given back if a later one denies; meanwhile others may be denied for it, but never are too many admitted. Give the charges a
///   [group](Charge::group) to have them charged at once.
/// - Redis copies to its replicas later: a failover can lose the last charges, and a clock that jumps forward with it forgets as much as
///   it jumps. The denials of a clock that is set back last until it has caught up.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    prefix: String,
    timeout: Duration,
    lease: Duration,
    denied: Denied,
    batches: Batches,
}

impl Redis {
    /// A limiter with the default settings.
    #[must_use]
    pub fn new(client: Client) -> Self {
        RedisBuilder::new(client).finish()
    }

    /// The settings of a limiter.
    pub fn builder(client: Client) -> RedisBuilder {
        RedisBuilder::new(client)
    }

    /// The key of a charge's counter.
    fn name(&self, charge: &Charge) -> String {
        names::counter(&self.0.prefix, &charge.policy, &charge.subject, charge.group.as_ref())
    }

    async fn run(&self, call: Call) -> Result<::redis::Value, LimiterError> {
        let run = self.0.client.call(self.0.timeout, async move |mut link| call.run(&mut link).await);
        run.await.map_err(failed)
    }

    /// Charges limits that lie together.
    async fn take_together(&self, charges: &[Charge], keys: &[String]) -> Result<Taken, LimiterError> {
        if charges.iter().any(|charge| charge.policy.law() == Law::Slots) {
            return self.take_slots(charges, keys).await;
        }
        match self.0.batches.enter(self, charges, keys) {
            Turn::First(_lead) => Ok(self.ask(charges, keys, 1, "").await?.share(0, charges)),
            // What is left of a call that is under way, and the next one.
            Turn::Next(answer) => match timeout(self.0.timeout * 2, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(LimiterError::failed("the runtime is shutting down")),
                Err(_) => Err(LimiterError::late()),
            },
        }
    }

    /// One call, for so many requests alike.
    async fn ask(&self, charges: &[Charge], keys: &[String], alike: usize, slot: &str) -> Result<Answer, LimiterError> {
        let mut call = TAKE.call();
        for key in keys {
            call = call.key(key);
        }
        call = call.number(alike as u64).arg(slot);
        for charge in charges {
            let (law, x, y, most) = match charge.policy.law() {
                Law::Buckets { width, span } => ("b", width, span, 0),
                Law::Weighted { window, scale, most } => ("w", window, scale, most),
                Law::Slots => ("s", u64::try_from(self.0.lease.as_micros()).unwrap_or(u64::MAX), 0, 0),
            };
            let shadow = if charge.policy.is_shadow() { "1" } else { "0" };
            call = call.word(law).number(x).number(y).number(most);
            call = call.number(charge.allowance()).number(charge.price()).word(shadow);
        }
        Answer::read(&self.run(call).await?, charges.len())
            .ok_or_else(|| LimiterError::failed("an answer of another shape"))
    }

    async fn take_slots(&self, charges: &[Charge], keys: &[String]) -> Result<Taken, LimiterError> {
        let name = slot::name();
        // Made before it is taken: if nobody waits for the answer, it is given back all the same.
        let slots = keys.iter().zip(charges).enumerate();
        let slots = slots.filter(|(_, (_, charge))| charge.policy.law() == Law::Slots && charge.price() > 0);
        let slots: Vec<_> = slots.map(|(index, (key, _))| (index, slot::Asked::new(self, key, &name))).collect();
        let answer = match self.ask(charges, keys, 1, &name).await {
            // It was not asked for.
            Err(error) if error.is_refused() => {
                slots.into_iter().for_each(|(_, slot)| slot.forget());
                return Err(error);
            }
            answer => answer?,
        };
        let mut taken = answer.share(0, charges);
        let is_allowed = taken.is_allowed();
        for (index, slot) in slots {
            // All charges have a standing, in their order.
            if is_allowed && taken.standings.get(index).is_some_and(|standing| standing.room == Room::Now) {
                slot.keep().into_iter().for_each(|slot| taken.slots.push(slot));
            } else {
                slot.forget();
            }
        }
        Ok(taken)
    }

    /// Charges limits that lie in several places, one after another; gives back what was charged if a later one denies.
    async fn take_apart(&self, charges: &[Charge], keys: &[String]) -> Result<Taken, LimiterError> {
        let mut places: Vec<Vec<usize>> = Vec::new();
        for (index, charge) in charges.iter().enumerate() {
            let place = names::place(charge);
            match places
                .iter_mut()
                .find(|there| there.first().is_some_and(|first| names::place(&charges[*first]) == place))
            {
                Some(there) => there.push(index),
                None => places.push(vec![index]),
            }
        }
        let mut all = Taken::new(Vec::with_capacity(charges.len()));
        let mut charged = Charged::new(self);
        for there in places {
            let (own, names): (Vec<_>, Vec<_>) =
                there.iter().map(|index| (charges[*index].clone(), keys[*index].clone())).unzip();
            let taken = self.take_together(&own, &names).await;
            let mut taken = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    charged.give_back().await;
                    return Err(error);
                }
            };
            for standing in &mut taken.standings {
                standing.index = there.get(standing.index).copied().unwrap_or_default();
            }
            if !taken.is_allowed() {
                charged.give_back().await;
                // What was given back is not told: nobody knows how it stands.
                taken.standings.retain(Standing::denies);
                return Ok(taken);
            }
            charged.add(charges, &taken.standings);
            all.standings.append(&mut taken.standings);
            all.slots.append(taken.slots);
        }
        charged.keep();
        all.standings.sort_unstable_by_key(|standing| standing.index);
        Ok(all)
    }
}

impl Limiter for Redis {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, LimiterError> {
        let keys: Vec<String> = charges.iter().map(|charge| self.name(charge)).collect();
        if let Some(taken) = self.0.denied.look_up(charges, &keys) {
            return Ok(taken);
        }
        let apart = self.0.client.is_cluster()
            && charges.iter().any(|charge| names::place(charge) != names::place(&charges[0]));
        let taken =
            if apart { self.take_apart(charges, &keys).await } else { self.take_together(charges, &keys).await }?;
        // Another may have charged it in vain.
        let may_be_given_back = self.0.client.is_cluster();
        self.0.denied.remember(charges, &keys, &taken, may_be_given_back);
        Ok(taken)
    }

    async fn settle(&self, corrections: &[Correction]) -> Result<(), LimiterError> {
        let mut places: Vec<(&Subject, Call, Vec<String>)> = Vec::new();
        let in_cluster = self.0.client.is_cluster();
        for correction in corrections {
            let Correction { policy, subject, group, bucket, charged, real } = correction;
            let (law, x, y) = match policy.law() {
                Law::Buckets { width, span } => ("b", width, span),
                Law::Weighted { window, .. } => ("w", window, 0),
                Law::Slots => continue,
            };
            if real == charged {
                continue;
            }
            let more = i128::from(*real) - i128::from(*charged);
            let place = group.as_ref().unwrap_or(subject);
            let at = places.iter().position(|(other, ..)| !in_cluster || *other == place).unwrap_or_else(|| {
                places.push((place, SETTLE.call(), Vec::new()));
                places.len() - 1
            });
            let (_, call, arguments) = &mut places[at];
            call.push_key(names::counter(&self.0.prefix, policy, subject, group.as_ref()));
            arguments.extend([law.to_owned(), x.to_string(), y.to_string(), bucket.to_string(), more.to_string()]);
        }
        // One place may be gone, and the others not.
        let mut settled = Ok(());
        for (_, call, arguments) in places {
            let call = arguments.into_iter().fold(call, Call::arg);
            settled = settled.and(self.run(call).await.map(drop));
        }
        settled
    }
}

fn failed(failure: Failure) -> LimiterError {
    match failure {
        Failure::Refused => LimiterError::refused(),
        Failure::Late => LimiterError::late(),
        Failure::Failed(error) => LimiterError::failed(error),
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("client", &self.0.client).field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}
