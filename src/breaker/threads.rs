//! What must hold when many threads use one breaker, and when `on_change` misbehaves.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Breaker, Outcome, State};

const SECOND: Duration = Duration::from_secs(1);
const THREADS: usize = 8;

/// Runs `work` in threads that begin together, and says what each made.
fn together<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS);
    let run = |index| {
        start.wait();
        work(index)
    };
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|index| scope.spawn(move || run(index))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn half_open_lets_exactly_its_probes_out_at_once() {
    for probes in [1, 3] {
        let now = Instant::now();
        let breaker = Breaker::builder().probes(probes).build();
        for round in 1..100 {
            breaker.trip(now);
            let later = now + SECOND * 60;
            let permits = together(|_| breaker.admit(later).ok());
            assert_eq!(permits.iter().flatten().count(), probes as usize, "round {round}");
            drop(permits);
            // Seats go from hand to hand, and there are never more than that.
            let (out, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            together(|_| {
                for _ in 0..20 {
                    if let Ok(permit) = breaker.admit(later) {
                        most.fetch_max(out.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        out.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                }
            });
            assert!((1..=probes as usize).contains(&most.into_inner()), "round {round}");
            assert_eq!(breaker.state(later), State::HalfOpen);
            breaker.reset();
        }
    }
}

#[test]
fn failures_together_open_it_once() {
    let changes = Arc::new(Mutex::new(Vec::new()));
    for round in 0..200 {
        let (hear, now) = (Arc::clone(&changes), Instant::now());
        let breaker = Breaker::builder()
            .consecutive_failures(THREADS as u32)
            .on_change(move |state| hear.lock().expect("no panic").push(state))
            .build();
        let permits: Vec<_> = (0..THREADS * 3).map(|_| Mutex::new(breaker.admit(now).ok())).collect();
        together(|index| {
            for turn in 0..3 {
                let permit = permits[turn * THREADS + index].lock().expect("no panic").take();
                permit.expect("admitted").failure(now);
            }
        });
        let snapshot = breaker.snapshot(now);
        assert_eq!((snapshot.opened, snapshot.failures), (1, THREADS as u64 * 3), "round {round}");
        assert_eq!(std::mem::take(&mut *changes.lock().expect("no panic")), [State::Open], "round {round}");
    }
}

#[test]
fn changes_are_told_in_order_whatever_the_threads_do() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    let breaker = Breaker::builder()
        .consecutive_failures(3)
        .open_for(Duration::from_millis(1))
        .max_open_for(Duration::from_millis(2))
        .probes(2)
        .on_change(move |state| {
            // So that one that doesn't wait its turn would overtake.
            thread::yield_now();
            hear.lock().expect("no panic").push(state);
        })
        .build();
    let (start, clock) = (Instant::now(), AtomicU64::new(0));
    together(|index| {
        for turn in 0..3000_usize {
            let now = || start + Duration::from_micros(clock.fetch_add(50, Ordering::Relaxed));
            let Ok(permit) = breaker.admit(now()) else { continue };
            match (turn / 50 + index) % 5 {
                0 => drop(permit),
                1..=2 => permit.record(Outcome::Success, now()),
                _ => permit.record(Outcome::Failure, now()),
            }
        }
    });
    let told = told.lock().expect("no panic");
    let opened = told.iter().filter(|state| **state == State::Open).count();
    assert!(opened > 10, "{opened}");
    assert_eq!(breaker.snapshot(start).opened, opened as u64, "told of each");
    let mut before = State::Closed;
    for state in told.iter() {
        let can = matches!(
            (before, *state),
            (State::Closed | State::HalfOpen, State::Open)
                | (State::Open, State::HalfOpen)
                | (State::HalfOpen, State::Closed)
        );
        assert!(can, "{before:?} to {state:?}");
        before = *state;
    }
}

#[test]
fn on_change_may_use_the_breaker() {
    let (own, told) = (Arc::new(OnceLock::<Breaker>::new()), Arc::new(Mutex::new(Vec::new())));
    let (its, hear) = (Arc::clone(&own), Arc::clone(&told));
    let breaker = Breaker::builder()
        .on_change(move |state| {
            if state == State::Open {
                its.get().expect("set").reset();
            }
            hear.lock().expect("no panic").push(state);
        })
        .build();
    own.set(breaker.clone()).expect("once");
    breaker.trip(Instant::now());
    assert_eq!(*told.lock().expect("no panic"), [State::Open, State::Closed]);
    assert_eq!(breaker.state(Instant::now()), State::Closed);
}

#[test]
fn on_change_that_panics_is_told_of_later_changes() {
    let (told, now) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
    let hear = Arc::clone(&told);
    let breaker = Breaker::builder()
        .on_change(move |state| {
            assert_ne!(state, State::Open, "on purpose");
            hear.lock().expect("no panic").push(state);
        })
        .build();
    catch_unwind(AssertUnwindSafe(|| breaker.trip(now))).expect_err("the panic comes out");
    assert_eq!(breaker.state(now), State::Open);
    breaker.reset();
    assert_eq!(*told.lock().expect("no panic"), [State::Closed]);
}
