//! What has to hold for every trace, whoever sends it: checked on adversarial ones, against counting by hand.

mod room;
mod settle;

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    Algorithm, Quota, Room,
    quota::MOST,
    window::{Counter, Figures, Law},
};

const DAY: u64 = 86_400_000_000;

/// A counter, and all that it admitted.
#[derive(Debug)]
struct Trial {
    law: Law,
    window: u64,
    now: u64,
    counter: Counter,
    admitted: Vec<Use>,
}

/// What a request used.
#[derive(Clone, Copy, Debug)]
struct Use {
    time: u64,
    bucket: u64,
    cost: u64,
}

/// How much later a request comes: so many 3000ths of the window, and so many microseconds more, or less. Below zero: the clock goes back.
#[derive(Clone, Copy, Debug)]
struct Gap(i64, i64);

/// How much a request costs.
#[derive(Clone, Copy, Debug)]
enum Size {
    Exactly(u64),
    /// So many hundredths of the quota.
    Part(u64),
    /// Whatever is left, and so much more.
    Rest(u64),
}

impl Trial {
    fn new(quota: Quota, begun: u64) -> Self {
        let window = u64::try_from(quota.window().as_micros()).expect("a window in microseconds");
        Self { law: Law::of(&quota), window, now: begun, counter: Counter::default(), admitted: Vec::new() }
    }

    fn go_on(&mut self, Gap(parts, more): Gap) {
        let gap = i64::try_from(self.window).expect("a window") * parts / 3000 + more;
        self.now = self.now.saturating_add_signed(if parts < 0 { gap } else { gap.max(0) });
    }

    fn cost(&mut self, amount: u64, size: Size) -> u64 {
        let cost = match size {
            Size::Exactly(cost) => cost,
            Size::Part(parts) => u64::try_from(u128::from(amount) * u128::from(parts) / 100).expect("a part"),
            Size::Rest(more) => amount.saturating_sub(self.figures_in(0, amount).used) + more,
        };
        cost.min(MOST)
    }

    fn ask(&mut self, amount: u64, cost: u64) -> Room {
        let bucket = self.counter.advance(self.law, self.now);
        let room = self.counter.room(self.law, amount, cost, bucket, self.now);
        if room == Room::Now && cost > 0 {
            self.counter.charge(bucket, cost);
            self.admitted.push(Use { time: self.now, bucket, cost });
        }
        room
    }

    /// What would be answered so much later, if nothing were charged until then.
    fn room_in(&self, later: u64, amount: u64, cost: u64) -> Room {
        let (mut counter, now) = (self.counter.clone(), self.now + later);
        let bucket = counter.advance(self.law, now);
        counter.room(self.law, amount, cost, bucket, now)
    }

    fn figures_in(&self, later: u64, amount: u64) -> Figures {
        let (mut counter, now) = (self.counter.clone(), self.now + later);
        let bucket = counter.advance(self.law, now);
        counter.figures(self.law, amount, bucket, now)
    }

    /// What was admitted after a time, up to another.
    fn admitted_in(&self, after: i128, until: u64) -> u128 {
        let inside = self.admitted.iter().filter(|used| i128::from(used.time) > after && used.time <= until);
        inside.map(|used| u128::from(used.cost)).sum()
    }

    /// The most that any stretch of time as long as the window holds; what begins just after a charge never holds less.
    fn fullest(&self) -> u128 {
        let ends = self.admitted.iter().map(|used| used.time);
        ends.map(|end| self.admitted_in(i128::from(end) - i128::from(self.window), end)).max().unwrap_or(0)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("microseconds")
}

fn exact() -> impl Strategy<Value = Algorithm> {
    let buckets = prop_oneof![select(vec![1, 2, 7, 30, 1000]), 1..=1000u32];
    prop_oneof![2 => buckets.prop_map(|buckets| Algorithm::Strict { buckets }), 1 => Just(Algorithm::Log)]
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![2 => exact(), 1 => Just(Algorithm::Approximate)]
}

fn windows() -> impl Strategy<Value = Duration> {
    let usual = vec![1000, 1_000_000, 60_000_000, 3_600_000_000, DAY, 30 * DAY, 366 * DAY];
    prop_oneof![select(usual), 1000..10_000u64, 1000..=366 * DAY].prop_map(Duration::from_micros)
}

fn amounts() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..=5u64, 3 => 6..=1000u64, 1 => 1000..=MOST, 1 => select(vec![MOST - 1, MOST])]
}

/// When a trace begins: with the process, at any time since 1970, or far beyond it.
fn beginnings() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..10_000_000u64, 1_700_000_000_000_000..1_900_000_000_000_000u64, 0..1u64 << 52]
}

fn forward() -> impl Strategy<Value = Gap> {
    let parts = prop_oneof![
        4 => Just(0),
        4 => select(vec![1, 3, 100, 200, 1500, 2900, 2997, 3000, 3003, 3100, 6000]),
        2 => 0..3000i64,
        1 => 0..9000i64,
    ];
    (parts, -1..=1i64).prop_map(|(parts, more)| Gap(parts, more))
}

fn gaps() -> impl Strategy<Value = Gap> {
    prop_oneof![9 => forward(), 1 => (-6000..0i64, -1..=1i64).prop_map(|(parts, more)| Gap(parts, more))]
}

fn sizes() -> impl Strategy<Value = Size> {
    prop_oneof![
        4 => (0..=3u64).prop_map(Size::Exactly),
        2 => (0..=110u64).prop_map(Size::Part),
        3 => (0..=1u64).prop_map(Size::Rest),
        1 => prop_oneof![Just(u64::MAX), 0..=MOST].prop_map(Size::Exactly),
    ]
}

fn quotas(algorithm: impl Strategy<Value = Algorithm>) -> impl Strategy<Value = Quota> {
    (algorithm, windows(), amounts())
        .prop_map(|(algorithm, window, amount)| Quota::per(amount, window).algorithm(algorithm))
}
