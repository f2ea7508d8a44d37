//! The laws of sliding windows, without a clock and without a place: what is used, and when there is room again.
//!
//! Time is in microseconds since some beginning. `limiter::Local` runs this code, and `take.lua` says the same in Lua; the tests
//! give both the same traces. In the formulas *now* is the time, *N* the quota, *c* what is asked for.
//!
//! - **Buckets** of a width *δ*. *k* = ⌊now/δ⌋ is the one that is being filled, and those from *k − s* on count, *s* being the span. With
//!   the window's length cut into *B* pieces, *δ* = ⌈W/B⌉ and *s* = *B*, they cover more than (now − W, now], so that no window ever holds
//!   more than *N*. With *δ* = 1 µs and *s* = *W* − 1 they cover just that: the log. There is room when the eldest have left: bucket *b*
//!   leaves at (b + s + 1)δ.
//! - **Weighted**: two buckets as wide as the window, *e* into the younger. There is room if
//!   prev·min(⌈(W − e)/σ⌉, ⌊W/σ⌋) ≤ (N − cur − c)·⌊W/σ⌋, where the scale *σ*, mostly 1, keeps both sides exact in Lua's numbers.
//! - **Slots** are taken and given back; time has no part in it.
//!
//! A clock that went back fills the youngest bucket that there is, so nothing is admitted twice.

use std::{collections::VecDeque, time::Duration};

use super::{Algorithm, Quota, Room, Unit};

/// How often its quota a bucket may hold, or a subject may be allowed, and count in full.
const OVERFULL: u64 = 1000;

/// The most that a bucket holds: what is exact in Lua's numbers.
const FULLEST: u64 = (1 << 53) - 1;

/// How use is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Law {
    Buckets {
        width: u64,
        span: u64,
    },
    /// `most` is what any number counts as at most; more would not be exact in Lua's numbers.
    Weighted {
        window: u64,
        scale: u64,
        most: u64,
    },
    Slots,
}

impl Law {
    pub(crate) fn of(quota: &Quota) -> Self {
        if quota.unit() == Unit::Concurrent {
            return Self::Slots;
        }
        let window = micros(quota.window()).max(1);
        match quota.how() {
            Algorithm::Strict { buckets } => {
                let span = u64::from(buckets.max(1));
                Self::Buckets { width: window.div_ceil(span), span }
            }
            Algorithm::Log => Self::Buckets { width: 1, span: window - 1 },
            Algorithm::Approximate => {
                // The products stay below 2^53.
                let most = quota.amount().max(1).saturating_mul(OVERFULL).min(1 << 52);
                let product = u128::from(window) * u128::from(most);
                let scale = u64::try_from(product.div_ceil(1 << 52)).unwrap_or(u64::MAX).min(window);
                Self::Weighted { window, scale, most }
            }
        }
    }

    /// The bucket that a time falls into.
    fn bucket(self, now: u64) -> u64 {
        match self {
            Self::Buckets { width, .. } => now / width,
            Self::Weighted { window, .. } => now / window,
            Self::Slots => 0,
        }
    }

    /// The first bucket that still counts when this one is filled.
    fn first(self, bucket: u64) -> u64 {
        match self {
            Self::Buckets { span, .. } => bucket.saturating_sub(span),
            Self::Weighted { .. } => bucket.saturating_sub(1),
            Self::Slots => 0,
        }
    }

    /// How much of what is allowed counts.
    fn limit(self, amount: u64) -> u64 {
        match self {
            Self::Weighted { most, .. } => amount.min(most),
            Self::Buckets { .. } | Self::Slots => amount,
        }
    }

    /// Whether what one counts, the other can go on with.
    pub(crate) fn counts_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Weighted { window, .. }, Self::Weighted { window: others, .. }) => window == others,
            _ => self == other,
        }
    }
}

/// What was used, by bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter {
    /// The eldest first; none is empty.
    buckets: VecDeque<(u64, u64)>,
    used: u64,
}

/// What is to be said of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) used: u64,
    /// How long until more is free; zero if all is.
    pub(crate) refill: Duration,
    /// How long until all is free.
    pub(crate) reset: Duration,
}

impl Counter {
    /// Forgets what doesn't count any more. Returns the bucket that a charge falls into.
    pub(crate) fn advance(&mut self, law: Law, now: u64) -> u64 {
        let bucket = law.bucket(now).max(self.youngest().unwrap_or(0));
        let first = law.first(bucket);
        while let Some((_, count)) = self.buckets.front().filter(|(at, _)| *at < first) {
            self.used = self.used.saturating_sub(*count);
            self.buckets.pop_front();
        }
        bucket
    }

    /// What is to be said of it, in the bucket that [`advance`](Self::advance) told.
    pub(crate) fn figures(&self, law: Law, amount: u64, bucket: u64, now: u64) -> Figures {
        let used = self.used(law, bucket, now);
        let next = law.limit(amount).saturating_sub(used).saturating_add(1);
        let end = match (law, self.youngest()) {
            (Law::Slots, _) | (_, None) => 0,
            (Law::Buckets { width, span }, Some(youngest)) => (youngest + span + 1).saturating_mul(width),
            (Law::Weighted { window, .. }, Some(youngest)) => (youngest + 2).saturating_mul(window),
        };
        Figures {
            used,
            refill: match self.room(law, amount, next, bucket, now) {
                Room::In(time) => time,
                Room::Now | Room::Unknown | Room::Never => Duration::ZERO,
            },
            reset: Duration::from_micros(end.saturating_sub(now)),
        }
    }

    /// Whether nothing is charged.
    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    fn youngest(&self) -> Option<u64> {
        self.buckets.back().map(|(bucket, _)| *bucket)
    }

    /// How much of the quota is used.
    fn used(&self, law: Law, bucket: u64, now: u64) -> u64 {
        match law {
            Law::Buckets { .. } | Law::Slots => self.used,
            Law::Weighted { window, scale, most } => {
                let (elder, younger) = self.pair(bucket, most);
                let left = (bucket + 1).saturating_mul(window).saturating_sub(now);
                younger + (elder * parts(window, scale, left)).div_ceil(window / scale)
            }
        }
    }

    /// Whether there is room, and when.
    pub(crate) fn room(&self, law: Law, amount: u64, cost: u64, bucket: u64, now: u64) -> Room {
        if cost == 0 {
            return Room::Now;
        }
        let amount = law.limit(amount);
        if cost > amount {
            return Room::Never;
        }
        let fits = |used: u64| used <= amount - cost;
        match law {
            Law::Slots if fits(self.used) => Room::Now,
            Law::Slots => Room::Unknown,
            Law::Buckets { width, span } => {
                let mut used = self.used;
                if fits(used) {
                    return Room::Now;
                }
                for (at, count) in &self.buckets {
                    used = used.saturating_sub(*count);
                    if fits(used) {
                        return room_in((at + span + 1).saturating_mul(width).saturating_sub(now));
                    }
                }
                Room::Unknown
            }
            Law::Weighted { window, scale, most } => {
                let ((elder, younger), all) = (self.pair(bucket, most), window / scale);
                // Too much in the younger for now: when it is the elder, there will be nothing else.
                let (counted, free, end) = if fits(younger) {
                    (elder, amount - cost - younger, bucket + 1)
                } else {
                    (younger, amount - cost, bucket + 2)
                };
                let left = end.saturating_mul(window).saturating_sub(now);
                if fits(younger) && counted * parts(window, scale, left) <= free * all {
                    return Room::Now;
                }
                let covered = (free * all).checked_div(counted).filter(|covered| *covered < all);
                room_in(left.saturating_sub(covered.map_or(window, |covered| covered * scale)))
            }
        }
    }

    /// What the bucket before this one holds, and this one.
    fn pair(&self, bucket: u64, most: u64) -> (u64, u64) {
        let held = |wanted: u64| {
            let found = self.buckets.iter().find(|(at, _)| *at == wanted);
            found.map_or(0, |(_, count)| (*count).min(most))
        };
        (bucket.checked_sub(1).map_or(0, held), held(bucket))
    }

    /// Charges the bucket that [`advance`](Self::advance) told.
    pub(crate) fn charge(&mut self, bucket: u64, cost: u64) {
        if cost == 0 {
            return;
        }
        match self.buckets.back_mut().filter(|(at, _)| *at == bucket) {
            Some((_, count)) => *count += cost,
            None => self.buckets.push_back((bucket, cost)),
        }
        self.used = self.used.saturating_add(cost);
    }

    /// Makes of what was charged to a bucket what it should have been, if it still counts, and if it is one that can have been charged;
    /// never less than nothing.
    pub(crate) fn correct(&mut self, law: Law, bucket: u64, charged: u64, real: u64, now: u64) {
        let filling = law.bucket(now).max(self.youngest().unwrap_or(0));
        if bucket < law.first(filling) || bucket > filling {
            return;
        }
        let at = self.buckets.partition_point(|(at, _)| *at < bucket);
        match self.buckets.get_mut(at).filter(|(at, _)| *at == bucket) {
            Some((_, count)) => {
                let corrected = count.saturating_add(real).saturating_sub(charged).min(FULLEST);
                self.used = self.used.saturating_sub(*count).saturating_add(corrected);
                *count = corrected;
                if corrected == 0 {
                    self.buckets.remove(at);
                }
            }
            None if real > charged => {
                let missing = (real - charged).min(FULLEST);
                self.buckets.insert(at, (bucket, missing));
                self.used = self.used.saturating_add(missing);
            }
            None => {}
        }
    }
}

/// How many parts of the elder bucket the window covers, if so much time is left of it.
fn parts(window: u64, scale: u64, left: u64) -> u64 {
    left.div_ceil(scale).min(window / scale)
}

fn room_in(time: u64) -> Room {
    Room::In(Duration::from_micros(time))
}

/// Rounded up, so that a window is never shorter than it was said to be.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}
