//! `limiter::Local` under many threads, and with more subjects than it has room for.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use larder::rate_limit::{Algorithm, Charge, Correction, Limiter, Quota, Subject, limiter::Local};

use super::asking::{charge, policy, take, used, user};

const THREADS: usize = 8;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Strict { buckets: 30 }, Algorithm::Approximate, Algorithm::Log];

/// Runs this on each of eight threads, which begin together.
fn together(run: impl Fn(usize) + Sync) {
    let begin = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (begin, run) = (&begin, &run);
            scope.spawn(move || {
                begin.wait();
                run(number);
            });
        }
    });
}

#[test]
fn threads_together_are_admitted_as_often_as_the_quota_says() {
    for algorithm in ALGORITHMS {
        let (local, admitted) = (Local::new(), AtomicU64::new(0));
        // As long as that, so that nothing is forgotten however long the test takes.
        let policy = policy("rpd", Quota::per_day(1000).algorithm(algorithm));
        together(|_| {
            for _ in 0..10_000 {
                admitted.fetch_add(u64::from(take(&local, &[charge(&policy, 1)]).is_allowed()), Ordering::Relaxed);
            }
        });
        assert_eq!(admitted.into_inner(), 1000, "{algorithm:?}");
        assert_eq!(used(&local, [&policy]), [1000], "{algorithm:?}");
    }
}

#[test]
fn threads_that_name_limits_in_different_orders_wait_for_none_and_charge_all_or_nothing() {
    let (local, admitted) = (Local::new(), AtomicU64::new(0));
    let [a, b, c] = [("a", 4000), ("b", 3000), ("c", 5000)].map(|(name, amount)| policy(name, Quota::per_day(amount)));
    together(|number| {
        for turn in 0..2000 {
            let mut charges = [charge(&a, 1), charge(&b, 1), charge(&c, 1)];
            charges.rotate_left((number + turn) % 3);
            if number % 2 == 0 {
                charges.reverse();
            }
            admitted.fetch_add(u64::from(take(&local, &charges).is_allowed()), Ordering::Relaxed);
        }
    });
    assert_eq!(admitted.into_inner(), 3000);
    assert_eq!(used(&local, [&a, &b, &c]), [3000, 3000, 3000]);
}

#[test]
fn what_threads_reserve_and_settle_adds_up() {
    let local = Local::new();
    let policies = ALGORITHMS.map(|algorithm| policy("tpd", Quota::per_day(1 << 40).algorithm(algorithm)));
    for policy in &policies {
        together(|number| {
            for turn in 0..2000u64 {
                let reserved = charge(policy, 100);
                let bucket = take(&local, std::slice::from_ref(&reserved)).standings[0].bucket;
                let real = if number % 2 == 0 { 7 } else { 100 + turn % 2 };
                local.settle_now(&[Correction::new(&reserved, bucket, real)]);
            }
        });
        // Half of them seven each, the others a hundred and a half.
        assert_eq!(used(&local, [policy]), [8000 * 7 + 8000 * 100 + 4000], "{policy:?}");
    }
}

#[test]
fn threads_never_hold_more_slots_than_there_are_and_leave_none_behind() {
    let (local, slots) = (Local::new(), policy("concurrent", Quota::concurrent(3)));
    let (held, admitted) = (AtomicU64::new(0), AtomicU64::new(0));
    together(|_| {
        for _ in 0..5000 {
            let taken = take(&local, &[charge(&slots, 1)]);
            if taken.is_allowed() {
                assert!(held.fetch_add(1, Ordering::SeqCst) < 3);
                admitted.fetch_add(1, Ordering::Relaxed);
                held.fetch_sub(1, Ordering::SeqCst);
            }
        }
    });
    assert!(admitted.into_inner() >= 5000, "one thread alone would have been admitted so often");
    assert_eq!(used(&local, [&slots]), [0]);
}

/// Subjects that are all different.
fn strangers(policy: &larder::rate_limit::Policy, count: u32) -> impl Iterator<Item = Charge> {
    let policy = policy.clone();
    (0..count).map(move |number| {
        let address = Subject::address(std::net::Ipv4Addr::from(number).into());
        Charge::new(policy.clone(), address, 1)
    })
}

/// Every one of them is counted as it comes, so that a hundred thousand say what ten million would: past the bound, all alike push one out.
#[test]
fn subjects_beyond_the_bound_are_forgotten() {
    for most in [1, 7, 1000] {
        let (local, policy) = (Local::builder().max_subjects(most).build(), policy("rpm", Quota::per_minute(1)));
        for stranger in strangers(&policy, 100_000) {
            assert!(take(&local, &[stranger]).is_allowed(), "a stranger has used nothing");
            assert!(local.subjects() <= most, "{} of {most}", local.subjects());
        }
        assert_eq!(local.subjects(), most);
    }
}

#[test]
fn a_subject_that_comes_often_is_not_forgotten_for_strangers() {
    let local = Local::builder().max_subjects(1000).build();
    let policy = policy("rpd", Quota::per_day(50));
    let mut admitted = 0;
    for (number, stranger) in strangers(&policy, 100_000).enumerate() {
        assert!(take(&local, &[stranger]).is_allowed());
        if number % 100 == 0 {
            admitted += u64::from(take(&local, &[charge(&policy, 1)]).is_allowed());
        }
    }
    assert_eq!(admitted, 50);
}

#[test]
fn the_slots_of_requests_under_way_are_never_forgotten() {
    let local = Local::builder().max_subjects(4).build();
    let (slots, passing) = (policy("concurrent", Quota::concurrent(1)), policy("rpm", Quota::per_minute(1)));
    let asked = |number: usize| [Charge::new(slots.clone(), user(&number.to_string()), 1)];
    let held: Vec<_> = (0..100).map(|number| take(&local, &asked(number))).collect();
    assert!(held.iter().all(|taken| taken.is_allowed()));
    for stranger in strangers(&passing, 10_000) {
        assert!(take(&local, &[stranger]).is_allowed());
    }
    for number in 0..100 {
        assert!(!take(&local, &asked(number)).is_allowed(), "{number} is under way");
    }
    assert!((100..=104).contains(&local.subjects()), "{}", local.subjects());
    drop(held);
    for number in 0..100 {
        assert!(take(&local, &asked(number)).is_allowed(), "{number} has ended");
    }
    for stranger in strangers(&passing, 1000) {
        take(&local, &[stranger]);
    }
    assert!(local.subjects() <= 4, "{}", local.subjects());
}

#[test]
fn several_limits_are_all_or_nothing_although_there_is_room_for_one_subject_only() {
    let local = Local::builder().max_subjects(1).build();
    let [a, b, c] = ["a", "b", "c"].map(|name| policy(name, Quota::per_day(5)));
    let all = [charge(&a, 3), charge(&b, 6), charge(&c, 3)];
    assert!(!take(&local, &all).is_allowed());
    assert!(local.subjects() <= 1);
    assert_eq!(used(&local, [&a, &b, &c]), [0, 0, 0]);
}
