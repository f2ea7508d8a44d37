//! A breaker does what a plain model of it does, whatever comes in whatever order.

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{Breaker, Outcome, Permit, State};

const MS: Duration = Duration::from_millis(1);

/// In milliseconds: what the breaker is set to.
const WINDOW: u64 = 1000;
const OPEN: u64 = 300;
const MAX_OPEN: u64 = 1500;
const SLOW: u64 = 400;

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Admit,
    TryPass,
    Record(Index, Outcome),
    Drop(Index),
    Trip,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u64..700).prop_map(Step::Advance),
        8 => Just(Step::Admit),
        2 => Just(Step::TryPass),
        3 => any::<Index>().prop_map(|which| Step::Record(which, Outcome::Success)),
        5 => any::<Index>().prop_map(|which| Step::Record(which, Outcome::Failure)),
        1 => any::<Index>().prop_map(Step::Drop),
        1 => prop_oneof![3 => Just(Step::Trip), 1 => Just(Step::Reset)],
    ]
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    row: u32,
    ratio: Option<f64>,
    min_calls: u32,
    slow_ratio: f64,
    probes: u32,
}

fn limits() -> impl Strategy<Value = Limits> {
    let ratio = prop_oneof![Just(None), Just(Some(0.5)), Just(Some(1.0))];
    (0_u32..4, ratio, 1_u32..6, prop_oneof![Just(0.3), Just(1.0)], 1_u32..4)
        .prop_map(|(row, ratio, min_calls, slow_ratio, probes)| Limits { row, ratio, min_calls, slow_ratio, probes })
}

/// Everything as it is said in the docs, and slowly. A period is the list of all that ended in it.
#[derive(Debug)]
struct Model {
    limits: Limits,
    now: u64,
    state: State,
    period: usize,
    ended: Vec<Ended>,
    out: usize,
    until: u64,
    next_open: u64,
    closed_at: Option<u64>,
    opened: u64,
}

#[derive(Debug)]
struct Ended {
    at: u64,
    failed: bool,
    slow: bool,
}

impl Model {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: 0,
            state: State::Closed,
            period: 0,
            ended: Vec::new(),
            out: 0,
            until: 0,
            next_open: OPEN,
            closed_at: None,
            opened: 0,
        }
    }

    fn seen(&self) -> State {
        if self.state == State::Open && self.now >= self.until { State::HalfOpen } else { self.state }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.period += 1;
        self.ended.clear();
        self.out = 0;
    }

    fn open(&mut self) {
        if self.state == State::Closed && self.closed_at.is_none_or(|at| self.now - at >= MAX_OPEN) {
            self.next_open = OPEN;
        }
        self.until = self.now + self.next_open;
        self.next_open = MAX_OPEN.min(self.next_open * 2);
        self.opened += 1;
        self.enter(State::Open);
    }

    fn ripen(&mut self) {
        if self.seen() != self.state {
            self.enter(State::HalfOpen);
        }
    }

    fn admit(&mut self) -> Result<(), u64> {
        self.ripen();
        match self.state {
            State::Open => return Err(self.until - self.now),
            State::HalfOpen if self.out == self.limits.probes as usize => return Err(OPEN),
            State::Closed | State::HalfOpen => self.out += 1,
        }
        Ok(())
    }

    fn record(&mut self, period: usize, admitted: u64, failed: bool) {
        if period != self.period {
            return;
        }
        let slow = self.now - admitted > SLOW;
        self.out -= 1;
        self.ended.push(Ended { at: self.now, failed, slow });
        if self.state == State::HalfOpen {
            if failed || slow {
                self.open();
            } else if self.ended.len() == self.limits.probes as usize {
                self.closed_at = Some(self.now);
                self.enter(State::Closed);
            }
        } else if self.too_many(failed, slow) {
            self.open();
        }
    }

    fn too_many(&self, failed: bool, slow: bool) -> bool {
        let row = self.ended.iter().rev().take_while(|ended| ended.failed).count();
        let tenth = WINDOW / 10;
        let recent = || self.ended.iter().filter(|ended| self.now / tenth - ended.at / tenth < 10);
        let part = |ended: usize| ended as f64 / recent().count() as f64;
        self.limits.row > 0 && failed && row >= self.limits.row as usize
            || recent().count() >= self.limits.min_calls as usize
                && (failed
                    && self
                        .limits
                        .ratio
                        .is_some_and(|limit| part(recent().filter(|ended| ended.failed).count()) >= limit)
                    || slow && part(recent().filter(|ended| ended.slow).count()) >= self.limits.slow_ratio)
    }
}

struct Held {
    permit: Permit,
    period: usize,
    admitted: u64,
}

fn take(held: &mut Vec<Held>, which: &Index) -> Option<Held> {
    (!held.is_empty()).then(|| held.swap_remove(which.index(held.len())))
}

fn breaker(limits: Limits) -> Breaker {
    Breaker::builder()
        .consecutive_failures(limits.row)
        .failure_ratio(limits.ratio)
        .window(MS * WINDOW as u32)
        .min_calls(limits.min_calls)
        .slow_call(MS * SLOW as u32)
        .slow_ratio(limits.slow_ratio)
        .open_for(MS * OPEN as u32)
        .max_open_for(MS * MAX_OPEN as u32)
        .jitter(0.0)
        .probes(limits.probes)
        .build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_breaker_does_as_its_model_does(limits in limits(), steps in vec(step(), 1..150)) {
        let (breaker, mut model, start) = (breaker(limits), Model::new(limits), Instant::now());
        // Ticks of the window are counted from the first time that the breaker hears of.
        breaker.admit(start).expect("closed").success(start);
        breaker.reset();
        let mut held = Vec::new();
        for step in steps {
            let now = start + Duration::from_millis(model.now);
            match step {
                Step::Advance(by) => model.now += by,
                Step::Admit => {
                    let admitted = breaker.admit(now);
                    let expected = model.admit().map_err(Duration::from_millis);
                    prop_assert_eq!(admitted.as_ref().map(|_| ()).map_err(|refused| refused.retry_in), expected);
                    held.extend(admitted.ok().map(|permit| Held { permit, period: model.period, admitted: model.now }));
                }
                Step::TryPass => {
                    let passed = breaker.try_pass(now);
                    prop_assert_eq!(passed.is_some(), model.state == State::Closed);
                    if let Some(permit) = passed {
                        model.out += 1;
                        held.push(Held { permit, period: model.period, admitted: model.now });
                    }
                }
                Step::Record(which, outcome) => if let Some(Held { permit, period, admitted }) = take(&mut held, &which) {
                    permit.record(outcome, now);
                    model.record(period, admitted, outcome == Outcome::Failure);
                },
                Step::Drop(which) => if let Some(Held { permit, period, .. }) = take(&mut held, &which) {
                    drop(permit);
                    model.out -= usize::from(period == model.period);
                },
                Step::Trip => {
                    breaker.trip(now);
                    model.ripen();
                    if model.state != State::Open {
                        model.open();
                    }
                }
                Step::Reset => {
                    breaker.reset();
                    model.closed_at = None;
                    model.next_open = OPEN;
                    model.enter(State::Closed);
                }
            }
            let snapshot = breaker.snapshot(start + Duration::from_millis(model.now));
            prop_assert_eq!((snapshot.state, snapshot.opened), (model.seen(), model.opened));
        }
    }
}
