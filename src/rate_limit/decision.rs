//! What a limiter is asked, and what it answers.

use std::{fmt, time::Duration};

use super::{
    Policy, Subject,
    quota::MOST,
    window::{Figures, Law},
};

/// What a request asks of one limit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Charge {
    /// The limit.
    pub policy: Policy,
    /// Whose use is counted.
    pub subject: Subject,
    /// How much the subject may use in the policy's window; in general the policy's own amount.
    pub amount: u64,
    /// How much is asked for, in the policy's unit; of concurrent requests never more than one. 0: nothing is charged, and the counter
    /// is only read.
    pub cost: u64,
    /// With whom it is counted: a Redis Cluster keeps the counters of one group together, so that one call charges all of them. Without
    /// a group, those of one subject lie together. In Redis a subject counts anew in each group.
    pub group: Option<Subject>,
}

impl Charge {
    /// Asks for this much of a policy's own amount.
    #[must_use]
    pub fn new(policy: Policy, subject: Subject, cost: u64) -> Self {
        let amount = policy.quota().amount();
        Self { policy, subject, amount, cost, group: None }
    }

    /// How much may be used.
    pub(crate) fn allowance(&self) -> u64 {
        self.amount.min(MOST)
    }

    /// How much is charged if there is room.
    pub(crate) fn price(&self) -> u64 {
        if self.policy.law() == Law::Slots { self.cost.min(1) } else { self.cost.min(MOST) }
    }
}

/// A limiter's answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Taken {
    /// How each limit stands, in the order of the charges. After a denial it may be that only those that deny are known.
    pub standings: Vec<Standing>,
    /// The slots of concurrent requests. They are given back when this is dropped.
    pub slots: Slots,
}

impl Taken {
    pub(crate) fn new(standings: Vec<Standing>) -> Self {
        Self { standings, slots: Slots::default() }
    }

    /// Whether all was charged. If not, nothing was.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.standings.iter().all(|standing| !standing.denies())
    }

    /// How long until the same charge finds room in every limit, if nothing else is charged meanwhile. `None` if it was allowed, if it
    /// can never find room, and if nobody knows, since only the end of another request makes some.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let mut longest = None;
        for standing in self.standings.iter().filter(|standing| standing.denies()) {
            match standing.room {
                Room::In(time) => longest = longest.max(Some(time)),
                Room::Now => {}
                Room::Never | Room::Unknown => return None,
            }
        }
        longest
    }
}

/// How a limit stands for a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Which of the charges it belongs to, from 0.
    pub index: usize,
    /// How much the subject may use.
    pub amount: u64,
    /// How much is used, with what was charged just now. It may be more than the amount, if a request cost more than was reserved.
    pub used: u64,
    /// Whether there was room for the charge.
    pub room: Room,
    /// How long until more is free; zero if nothing is used.
    pub refill: Duration,
    /// How long until all is free.
    pub reset: Duration,
    /// Which part of the window was charged; to be given back when a charge is [corrected](super::Limiter::settle).
    pub bucket: u64,
    /// Whether the limit is only watched.
    pub is_shadow: bool,
}

impl Standing {
    /// What is known before the counter was read.
    pub(crate) fn new(index: usize, charge: &Charge, room: Room, bucket: u64) -> Self {
        let (amount, is_shadow) = (charge.amount, charge.policy.is_shadow());
        let (used, refill, reset) = (0, Duration::ZERO, Duration::ZERO);
        Self { index, amount, used, room, refill, reset, bucket, is_shadow }
    }

    /// Takes over what a counter says.
    pub(super) fn tell(&mut self, Figures { used, refill, reset }: Figures) {
        (self.used, self.refill, self.reset) = (used, refill, reset);
    }

    /// How much is left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.amount.saturating_sub(self.used)
    }

    /// Whether this limit forbids the request.
    #[must_use]
    pub fn denies(&self) -> bool {
        !self.is_shadow && self.room != Room::Now
    }

    /// Whether it would forbid the request, were it not only watched.
    #[must_use]
    pub fn would_deny(&self) -> bool {
        self.is_shadow && self.room != Room::Now
    }
}

/// Whether there is room for a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Room {
    /// There was, and it was taken.
    Now,
    /// There will be after so much time, not a microsecond earlier, if nothing else is charged.
    In(Duration),
    /// There will be when another request ends.
    Unknown,
    /// It is more than the whole quota.
    Never,
}

/// Slots held by a request. Dropped, they are given back.
#[derive(Default)]
pub struct Slots(Vec<Box<dyn Held>>);

/// What gives itself back when it is dropped.
pub(crate) trait Held: Send + Sync + 'static {}

impl Slots {
    pub(crate) fn push(&mut self, held: impl Held) {
        self.0.push(Box::new(held));
    }

    #[cfg(feature = "redis")]
    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slots({})", self.0.len())
    }
}

/// A charge that is to be corrected, now that it is known what a request really cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Correction {
    /// The limit.
    pub policy: Policy,
    /// Whose use is counted.
    pub subject: Subject,
    /// With whom it is counted, as in the charge.
    pub group: Option<Subject>,
    /// Which part of the window was charged.
    pub bucket: u64,
    /// How much was charged.
    pub charged: u64,
    /// How much should have been.
    pub real: u64,
}

impl Correction {
    /// Makes a charge that was taken into this much.
    #[must_use]
    pub fn new(charge: &Charge, bucket: u64, real: u64) -> Self {
        let (policy, subject, group) = (charge.policy.clone(), charge.subject.clone(), charge.group.clone());
        Self { policy, subject, group, bucket, charged: charge.price(), real: real.min(MOST) }
    }
}
