//! Each transition, and what must not make one.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{Breaker, Builder, Outcome, Permit, State};

const SECOND: Duration = Duration::from_secs(1);

/// Without jitter; opens after two failures in a row, and by nothing else.
fn builder() -> Builder {
    Breaker::builder().consecutive_failures(2).failure_ratio(None).jitter(0.0)
}

/// By ratio alone.
fn by_ratio() -> Builder {
    Breaker::builder().consecutive_failures(0).min_calls(4).jitter(0.0)
}

fn admitted(breaker: &Breaker, now: Instant) -> Permit {
    breaker.admit(now).expect("admitted")
}

fn fail(breaker: &Breaker, now: Instant) {
    admitted(breaker, now).failure(now);
}

fn succeed(breaker: &Breaker, now: Instant) {
    admitted(breaker, now).success(now);
}

/// How long the breaker refuses.
fn refused_for(breaker: &Breaker, now: Instant) -> Duration {
    breaker.admit(now).expect_err("refused").retry_in
}

/// The breaker, opened at `now`.
fn opened(builder: Builder, now: Instant) -> Breaker {
    let breaker = builder.build();
    breaker.trip(now);
    assert_eq!(breaker.state(now), State::Open);
    breaker
}

#[test]
fn only_failures_in_a_row_open_it() {
    let now = Instant::now();
    let breaker = builder().consecutive_failures(3).build();
    for outcomes in ["ffsffs", "sssss"] {
        for outcome in outcomes.chars() {
            if outcome == 'f' { fail(&breaker, now) } else { succeed(&breaker, now) }
        }
    }
    drop(admitted(&breaker, now));
    assert_eq!(breaker.state(now), State::Closed);
    fail(&breaker, now);
    fail(&breaker, now);
    drop(admitted(&breaker, now));
    fail(&breaker, now);
    assert_eq!(breaker.state(now), State::Open, "a dropped permit ends no row");
    assert_eq!(refused_for(&breaker, now), SECOND);
    let snapshot = breaker.snapshot(now);
    assert_eq!((snapshot.state, snapshot.opened, snapshot.refused, snapshot.failures), (State::Open, 1, 1, 7));
}

#[test]
fn with_all_off_only_a_hand_opens_it() {
    let now = Instant::now();
    let breaker = builder().consecutive_failures(0).build();
    (0..100).for_each(|_| fail(&breaker, now));
    assert_eq!(breaker.state(now), State::Closed);
    breaker.trip(now);
    assert_eq!(breaker.state(now), State::Open);
}

#[test]
fn a_ratio_opens_it_once_there_are_enough_calls() {
    let now = Instant::now();
    for (outcomes, expected) in [
        ("fff", State::Closed),
        ("sfsf", State::Open),
        ("ffff", State::Open),
        ("sssf", State::Closed),
        ("sssff", State::Closed),
        ("sssfff", State::Open),
        // It is looked at when a call fails.
        ("fffs", State::Closed),
    ] {
        let breaker = by_ratio().build();
        for outcome in outcomes.chars() {
            if outcome == 'f' { fail(&breaker, now) } else { succeed(&breaker, now) }
        }
        assert_eq!(breaker.state(now), expected, "{outcomes}");
    }
}

#[test]
fn failures_older_than_the_window_do_not_count() {
    let now = Instant::now();
    for (seconds, expected) in [(9, State::Open), (10, State::Closed), (1000, State::Closed)] {
        let breaker = by_ratio().build();
        (0..3).for_each(|_| fail(&breaker, now));
        fail(&breaker, now + SECOND * seconds);
        assert_eq!(breaker.state(now), expected, "{seconds} s");
    }
}

#[test]
fn calls_before_an_opening_do_not_count_after_it() {
    let now = Instant::now();
    let breaker = by_ratio().build();
    (0..4).for_each(|_| fail(&breaker, now));
    let now = now + SECOND;
    succeed(&breaker, now);
    (0..3).for_each(|_| fail(&breaker, now));
    assert_eq!(breaker.state(now), State::Closed);
    fail(&breaker, now);
    assert_eq!(breaker.state(now), State::Open);
}

#[test]
fn slow_calls_open_it() {
    let slow_after = |ratio| by_ratio().slow_call(SECOND).slow_ratio(ratio);
    for (builder, took, expected) in [
        (by_ratio(), [9, 9, 9, 9], State::Closed),
        (slow_after(1.0), [1, 1, 1, 1], State::Closed),
        (slow_after(1.0), [1, 2, 2, 2], State::Closed),
        (slow_after(1.0), [2, 2, 2, 2], State::Open),
        (slow_after(0.5), [1, 1, 2, 2], State::Open),
        (slow_after(0.5).failure_ratio(None), [1, 1, 2, 2], State::Open),
    ] {
        let (start, breaker) = (Instant::now(), builder.build());
        for took in took {
            admitted(&breaker, start).success(start + SECOND * took);
        }
        assert_eq!(breaker.state(start + SECOND * 2), expected, "{took:?} {breaker:?}");
    }
}

#[test]
fn a_slow_call_is_no_failure_in_a_row_and_a_failed_one_may_be_slow() {
    let (start, end) = (Instant::now(), Instant::now() + SECOND * 2);
    let breaker = builder().slow_call(SECOND).build();
    admitted(&breaker, start).failure(end);
    admitted(&breaker, start).success(end);
    admitted(&breaker, start).failure(end);
    assert_eq!(breaker.state(end), State::Closed);
    assert_eq!((breaker.snapshot(end).failures, breaker.snapshot(end).slow), (2, 3));
}

#[test]
fn a_slow_probe_opens_it_again() {
    let now = Instant::now();
    let breaker = opened(builder().slow_call(SECOND), now);
    let now = now + SECOND;
    admitted(&breaker, now).success(now + SECOND * 2);
    assert_eq!(refused_for(&breaker, now + SECOND * 2), SECOND * 2);
}

#[test]
fn try_pass_never_probes() {
    let now = Instant::now();
    let breaker = builder().build();
    breaker.try_pass(now).expect("closed").success(now);
    breaker.trip(now);
    let later = now + SECOND;
    assert!(breaker.try_pass(now).is_none() && breaker.try_pass(later).is_none());
    let probe = admitted(&breaker, later);
    assert!(breaker.try_pass(later).is_none());
    probe.success(later);
    let permits = [breaker.try_pass(later), breaker.try_pass(later)];
    permits.into_iter().for_each(|permit| permit.expect("closed").failure(later));
    assert_eq!((breaker.state(later), breaker.snapshot(later).refused), (State::Open, 3));
}

#[test]
fn all_probes_must_succeed_to_close_it() {
    let now = Instant::now();
    let breaker = opened(builder().probes(2), now);
    assert_eq!(refused_for(&breaker, now + SECOND / 4), SECOND * 3 / 4);
    let now = now + SECOND;
    let (first, second) = (admitted(&breaker, now), admitted(&breaker, now));
    assert_eq!(refused_for(&breaker, now), SECOND, "both seats are taken");
    first.success(now);
    assert_eq!(breaker.state(now), State::HalfOpen);
    let third = admitted(&breaker, now);
    assert_eq!(refused_for(&breaker, now), SECOND, "both seats are taken");
    second.success(now);
    assert_eq!(breaker.state(now), State::Closed);
    // Late: it closed without it.
    third.failure(now);
    fail(&breaker, now);
    assert_eq!(breaker.state(now), State::Closed);
    fail(&breaker, now);
    assert_eq!(breaker.state(now), State::Open);
}

#[test]
fn one_failed_probe_opens_it_again() {
    let now = Instant::now();
    let breaker = opened(builder().probes(3), now);
    let now = now + SECOND;
    succeed(&breaker, now);
    succeed(&breaker, now);
    fail(&breaker, now);
    assert_eq!((breaker.state(now), breaker.snapshot(now).opened), (State::Open, 2));
    // And the successes before it count no more.
    let now = now + SECOND * 2;
    succeed(&breaker, now);
    succeed(&breaker, now);
    assert_eq!(breaker.state(now), State::HalfOpen);
    succeed(&breaker, now);
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn a_dropped_probe_gives_its_seat_back_and_says_nothing() {
    let now = Instant::now();
    let breaker = opened(builder(), now);
    let now = now + SECOND;
    for _ in 0..3 {
        let probe = admitted(&breaker, now);
        assert!(breaker.admit(now).is_err());
        drop(probe);
        assert_eq!(breaker.state(now), State::HalfOpen);
    }
    succeed(&breaker, now);
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn a_late_probe_neither_frees_a_seat_nor_decides() {
    let start = Instant::now();
    for late in [Some(Outcome::Success), Some(Outcome::Failure), None] {
        let breaker = opened(builder().probes(2), start);
        let now = start + SECOND;
        let old = admitted(&breaker, now);
        fail(&breaker, now);
        let now = now + SECOND * 2;
        let (first, second) = (admitted(&breaker, now), admitted(&breaker, now));
        first.success(now);
        let first = admitted(&breaker, now);
        match late {
            Some(outcome) => old.record(outcome, now),
            None => drop(old),
        }
        assert_eq!(breaker.state(now), State::HalfOpen, "{late:?}");
        assert!(breaker.admit(now).is_err(), "{late:?}: both seats are taken");
        second.success(now);
        assert_eq!(breaker.state(now), State::Closed, "{late:?}");
        drop(first);
    }
}

#[test]
fn calls_admitted_before_it_opened_do_not_count_when_they_end() {
    let now = Instant::now();
    for builder in [builder(), by_ratio()] {
        let breaker = builder.build();
        let mut early: Vec<_> = (0..60).map(|_| admitted(&breaker, now)).collect();
        let mut end = |outcome, now| early.drain(..10).for_each(|permit| permit.record(outcome, now));
        breaker.trip(now);
        end(Outcome::Success, now);
        end(Outcome::Failure, now);
        assert_eq!((breaker.state(now), refused_for(&breaker, now)), (State::Open, SECOND));
        let now = now + SECOND;
        let probe = admitted(&breaker, now);
        end(Outcome::Success, now);
        end(Outcome::Failure, now);
        assert_eq!(breaker.state(now), State::HalfOpen);
        assert!(breaker.admit(now).is_err(), "the seat is still taken");
        probe.success(now);
        end(Outcome::Failure, now);
        assert_eq!((breaker.state(now), breaker.snapshot(now).opened), (State::Closed, 1));
        // Nor does a late success end a row.
        let row: Vec<_> = (0..4).map(|_| admitted(&breaker, now)).collect();
        for permit in row {
            permit.failure(now);
            early.pop().expect("one more").success(now);
        }
        assert_eq!(breaker.state(now), State::Open);
    }
}

#[test]
fn each_reopening_doubles_the_open_time_up_to_the_cap() {
    let mut now = Instant::now();
    let breaker = opened(builder().max_open_for(SECOND * 5), now);
    for expected in [1, 2, 4, 5, 5] {
        assert_eq!(refused_for(&breaker, now), SECOND * expected);
        now += SECOND * expected;
        assert_eq!(breaker.state(now - Duration::from_nanos(1)), State::Open);
        assert_eq!(breaker.state(now), State::HalfOpen);
        fail(&breaker, now);
    }
}

#[test]
fn the_doubling_is_forgotten_after_a_long_enough_rest() {
    for (rest, expected) in [(0, 4), (29, 4), (30, 1), (300, 1)] {
        let now = Instant::now();
        let breaker = opened(builder(), now);
        let now = now + SECOND;
        fail(&breaker, now);
        let now = now + SECOND * 2;
        succeed(&breaker, now);
        let now = now + SECOND * rest;
        fail(&breaker, now);
        fail(&breaker, now);
        assert_eq!(refused_for(&breaker, now), SECOND * expected, "after {rest} s");
    }
}

#[test]
fn the_open_time_is_jittered() {
    for (random, expected) in [((|| 0) as fn() -> u64, 1.0), (|| u64::MAX, 1.5)] {
        let now = Instant::now();
        let breaker = opened(builder().jitter(0.5).random(random), now);
        assert_eq!(refused_for(&breaker, now), SECOND.mul_f64(expected));
    }
}

#[test]
fn a_hand_opens_and_closes_it() {
    let now = Instant::now();
    let breaker = opened(builder(), now);
    breaker.trip(now + SECOND / 2);
    assert_eq!(refused_for(&breaker, now + SECOND / 2), SECOND / 2, "an open breaker stays as it is");
    let now = now + SECOND;
    breaker.trip(now);
    assert_eq!(refused_for(&breaker, now), SECOND * 2, "its time was over, so it opened again");
    breaker.reset();
    assert_eq!(breaker.state(now), State::Closed);
    fail(&breaker, now);
    let before = admitted(&breaker, now);
    breaker.reset();
    before.failure(now);
    fail(&breaker, now);
    assert_eq!(breaker.state(now), State::Closed, "the failures before were forgotten");
    fail(&breaker, now);
    assert_eq!(refused_for(&breaker, now), SECOND, "and so was the doubling");
    assert_eq!(breaker.snapshot(now).opened, 3);
}

#[test]
fn only_an_open_breaker_stays_open_for_longer_and_never_for_less() {
    let (now, breaker) = (Instant::now(), builder().build());
    breaker.stay_open(now, SECOND * 9);
    breaker.trip(now);
    for (time, expected) in [(SECOND / 2, SECOND), (SECOND * 3, SECOND * 3), (SECOND * 2, SECOND * 3)] {
        breaker.stay_open(now, time);
        assert_eq!(refused_for(&breaker, now), expected);
    }
    let now = now + SECOND * 3;
    let probe = admitted(&breaker, now);
    breaker.stay_open(now, SECOND);
    assert_eq!(breaker.state(now), State::HalfOpen);
    probe.failure(now);
    assert_eq!(refused_for(&breaker, now), SECOND * 2, "it doubles what it was, not what it was told");
    breaker.stay_open(now, Duration::MAX);
    assert_eq!(breaker.state(now + SECOND * 1_000_000), State::Open);
}

#[test]
fn a_time_before_the_others_does_no_harm() {
    let now = Instant::now() + SECOND * 100;
    let breaker = builder().failure_ratio(0.5).slow_call(SECOND).build();
    succeed(&breaker, now);
    admitted(&breaker, now).success(now - SECOND * 50);
    breaker.trip(now - SECOND);
    assert_eq!(refused_for(&breaker, now - SECOND * 9), SECOND);
    assert_eq!((breaker.state(now + SECOND), breaker.snapshot(now).slow), (State::HalfOpen, 0));
}

#[test]
fn each_change_is_told_once_and_in_order() {
    let (told, now) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
    let hear = Arc::clone(&told);
    let breaker = builder().on_change(move |state| hear.lock().expect("no panic").push(state)).build();
    fail(&breaker, now);
    fail(&breaker, now);
    breaker.trip(now);
    let now = now + SECOND;
    assert_eq!(breaker.state(now), State::HalfOpen);
    assert_eq!(told.lock().expect("no panic").len(), 1, "looking at it changes nothing");
    fail(&breaker, now);
    let now = now + SECOND * 2;
    breaker.trip(now);
    let now = now + SECOND * 4;
    succeed(&breaker, now);
    breaker.reset();
    breaker.trip(now);
    breaker.reset();
    let thrice = [State::Open, State::HalfOpen].repeat(3);
    let expected = [thrice, vec![State::Closed, State::Open, State::Closed]].concat();
    assert_eq!(*told.lock().expect("no panic"), expected);
}
