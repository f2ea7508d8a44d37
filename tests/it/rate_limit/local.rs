//! `limiter::Local`, through what anybody can call.

use std::time::Duration;

use larder::rate_limit::{Algorithm, Charge, Correction, Limiter, Policy, Quota, Room, Unit, limiter::Local};
use tokio::time::advance;

use super::asking::{charge, of, policy, shadow, take, used, user};

const TICK: Duration = Duration::from_micros(1);

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Strict { buckets: 30 }, Algorithm::Approximate, Algorithm::Log];

fn per_minute(amount: u64) -> Policy {
    policy("rpm", Quota::per_minute(amount))
}

#[tokio::test(start_paused = true)]
async fn a_denial_charges_nothing_anywhere() {
    let [wide, narrow, other] =
        [("wide", 10), ("narrow", 1), ("other", 10)].map(|(name, amount)| policy(name, Quota::per_minute(amount)));
    let local = Local::new();
    for order in [[&wide, &narrow, &other], [&narrow, &other, &wide], [&other, &wide, &narrow]] {
        let before = used(&local, [&wide, &narrow, &other]);
        let taken = take(&local, &order.map(|policy| charge(policy, 2)));
        assert!(!taken.is_allowed());
        let rooms: Vec<_> = taken.standings.iter().map(|standing| (standing.denies(), standing.used)).collect();
        assert_eq!(rooms, order.map(|policy| (policy.name() == "narrow", 0)), "as it was");
        assert_eq!(used(&local, [&wide, &narrow, &other]), before);
    }
    assert!(take(&local, &[&wide, &narrow, &other].map(|policy| charge(policy, 1))).is_allowed());
    let denied = take(&local, &[&wide, &narrow, &other].map(|policy| charge(policy, 1)));
    assert_eq!(denied.retry_after(), Some(Duration::from_secs(62)), "of the one that denies");
    assert_eq!(used(&local, [&wide, &narrow, &other]), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_denial_lasts_as_long_as_the_one_that_lasts_longest() {
    let [short, long] = [("short", 1), ("long", 3600)]
        .map(|(name, seconds)| policy(name, Quota::per(1, Duration::from_secs(seconds)).algorithm(Algorithm::Log)));
    let local = Local::new();
    let both = [charge(&short, 1), charge(&long, 1)];
    assert!(take(&local, &both).is_allowed());
    let wait = take(&local, &both).retry_after().expect("a time");
    assert_eq!(wait, Duration::from_secs(3600));
    advance(wait - TICK).await;
    assert!(!take(&local, &both).is_allowed());
    assert_eq!(used(&local, [&short]), [0]);
    advance(TICK).await;
    assert!(take(&local, &both).is_allowed());
}

#[tokio::test(start_paused = true)]
async fn a_shadow_denies_nothing_and_is_charged_only_if_it_has_room() {
    let (watched, plain) = (shadow("watched", Quota::per_minute(1)).await, per_minute(3));
    let local = Local::new();
    let both = [charge(&watched, 1), charge(&plain, 1)];
    let seen: Vec<_> = (0..4).map(|_| take(&local, &both)).collect();
    let allowed: Vec<bool> = seen.iter().map(|taken| taken.is_allowed()).collect();
    let would_deny: Vec<bool> = seen.iter().map(|taken| taken.standings[0].would_deny()).collect();
    assert_eq!((allowed, would_deny), (vec![true, true, true, false], vec![false, true, true, true]));
    assert_eq!(used(&local, [&watched, &plain]), [1, 3]);
    let fresh = [charge(&watched, 1), charge(&plain, 4)].map(|charge| of("v", charge));
    assert!(!take(&local, &fresh).is_allowed());
    let look = of("v", charge(&watched, 0));
    assert_eq!(take(&local, &[look]).standings[0].used, 0, "what is denied uses no shadow");
}

#[tokio::test(start_paused = true)]
async fn a_look_charges_nothing_and_is_never_denied() {
    let (local, full, none) = (Local::new(), per_minute(1), policy("none", Quota::per_minute(0)));
    assert!(take(&local, &[charge(&full, 1)]).is_allowed());
    for _ in 0..3 {
        let looked = take(&local, &[charge(&full, 0), charge(&none, 0)]);
        assert!(looked.is_allowed());
        let [full, none] = &looked.standings[..] else { panic!("two limits") };
        assert_eq!((full.used, full.remaining(), full.refill), (1, 0, Duration::from_secs(62)));
        assert_eq!((none.used, none.remaining(), none.refill), (0, 0, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn charges_of_one_counter_need_room_for_all_of_them() {
    for algorithm in ALGORITHMS {
        let (local, policy) = (Local::new(), policy("rpm", Quota::per_minute(3).algorithm(algorithm)));
        assert!(!take(&local, &[charge(&policy, 2), charge(&policy, 2)]).is_allowed(), "{algorithm:?}");
        assert_eq!(used(&local, [&policy]), [0], "{algorithm:?}");
        let both = [charge(&policy, 1), charge(&policy, 2)];
        assert!(take(&local, &both).is_allowed(), "{algorithm:?}");
        assert_eq!(used(&local, [&policy]), [3], "{algorithm:?}");
        assert!(!take(&local, &both).is_allowed(), "{algorithm:?}");
        advance(take(&local, &[charge(&policy, 0)]).standings[0].reset).await;
        assert!(take(&local, &both).is_allowed(), "{algorithm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_at_the_told_time_finds_room() {
    for algorithm in ALGORITHMS {
        let (local, policy) = (Local::new(), policy("rpm", Quota::per_minute(100).algorithm(algorithm)));
        for _ in 0..10 {
            advance(Duration::from_micros(1_234_567)).await;
            assert!(take(&local, &[charge(&policy, 10)]).is_allowed(), "{algorithm:?}");
        }
        for cost in [1, 10, 55, 100] {
            let wait = take(&local, &[charge(&policy, cost)]).retry_after().expect("a time");
            advance(wait - TICK).await;
            assert!(!take(&local, &[charge(&policy, cost)]).is_allowed(), "{algorithm:?}");
            advance(TICK).await;
            let taken = take(&local, &[charge(&policy, cost)]);
            assert!(taken.is_allowed(), "{algorithm:?}");
            let rest = charge(&policy, taken.standings[0].remaining());
            assert!(take(&local, &[rest]).is_allowed(), "{algorithm:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_given_back_when_the_request_lets_go_of_it() {
    let (local, policy) = (Local::new(), policy("concurrent", Quota::concurrent(2)));
    let first = take(&local, &[charge(&policy, 1)]);
    // However much is asked for, a request takes one slot.
    let second = take(&local, &[charge(&policy, 7)]);
    assert_eq!((second.is_allowed(), second.standings[0].used), (true, 2));
    let denied = take(&local, &[charge(&policy, 1)]);
    assert_eq!((denied.standings[0].room, denied.retry_after()), (Room::Unknown, None));
    assert!(denied.slots.is_empty());
    drop(denied);
    advance(Duration::from_secs(366 * 86_400)).await;
    assert_eq!(used(&local, [&policy]), [2], "a denial gives nothing back, and neither does time");
    drop(first);
    assert_eq!(used(&local, [&policy]), [1]);
    let slots = second.slots;
    assert_eq!(used(&local, [&policy]), [1], "the slots are what counts, not the answer");
    drop(slots);
    assert_eq!(used(&local, [&policy]), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_another_limit_denies_takes_no_slot() {
    let (local, slots, none) =
        (Local::new(), policy("concurrent", Quota::concurrent(1)), policy("none", Quota::per_minute(0)));
    for order in [[&slots, &none], [&none, &slots]] {
        let denied = take(&local, &order.map(|policy| charge(policy, 1)));
        assert!(!denied.is_allowed() && denied.slots.is_empty());
        assert_eq!(used(&local, [&slots]), [0], "before it is dropped");
        drop(denied);
        assert_eq!(used(&local, [&slots]), [0], "and after it");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slot_of_a_shadow_is_given_back_once_and_only_if_it_was_taken() {
    let (local, watched) = (Local::new(), shadow("watched", Quota::concurrent(1)).await);
    let held = take(&local, &[charge(&watched, 1)]);
    let over = take(&local, &[charge(&watched, 1)]);
    assert!(over.is_allowed() && over.slots.is_empty());
    drop(over);
    assert_eq!(used(&local, [&watched]), [1]);
    drop(held);
    assert_eq!(used(&local, [&watched]), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_amount_changed_while_counters_live_holds_at_once() {
    let (local, five, two) = (Local::new(), per_minute(5), per_minute(2));
    assert!(take(&local, &[charge(&five, 4)]).is_allowed());
    let over = take(&local, &[charge(&two, 1)]);
    let standing = &over.standings[0];
    assert_eq!((over.is_allowed(), standing.amount, standing.used, standing.remaining()), (false, 2, 4, 0));
    assert!(take(&local, &[charge(&five, 1)]).is_allowed());
    let mut more = charge(&five, 3);
    more.amount = 8;
    assert!(take(&local, std::slice::from_ref(&more)).is_allowed(), "a subject's own amount");
    assert!(!take(&local, &[more]).is_allowed());
}

#[tokio::test(start_paused = true)]
async fn counters_are_kept_apart_by_name_subject_and_window() {
    let local = Local::new();
    let policies = [
        policy("a", Quota::per_minute(1)),
        policy("b", Quota::per_minute(1)),
        policy("a", Quota::per_hour(1)),
        policy("a", Quota::per_minute(1).algorithm(Algorithm::Log)),
        policy("a", Quota::concurrent(1)),
    ];
    let mut held = Vec::new();
    for (policy, name) in policies.iter().flat_map(|policy| [(policy, "u"), (policy, "v")]) {
        let asked = [Charge::new(policy.clone(), user(name), 1)];
        let taken = take(&local, &asked);
        assert!(taken.is_allowed(), "{policy:?} {name}");
        held.push(taken);
        assert!(!take(&local.clone(), &asked).is_allowed(), "clones share");
    }
    assert_eq!(local.subjects(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_is_settled_where_it_was_charged() {
    for algorithm in ALGORITHMS {
        let quota = Quota::per_minute(100).of(Unit::Tokens).algorithm(algorithm);
        let (local, policy) = (Local::new(), policy("tpm", quota));
        let reserved = charge(&policy, 80);
        let bucket = take(&local, std::slice::from_ref(&reserved)).standings[0].bucket;
        assert!(!take(&local, &[charge(&policy, 30)]).is_allowed(), "{algorithm:?}");
        advance(Duration::from_secs(5)).await;
        assert!(local.settle_now(&[Correction::new(&reserved, bucket, 30)]), "at once");
        assert_eq!(used(&local, [&policy]), [30], "{algorithm:?}");
        local.settle(&[Correction::new(&charge(&policy, 30), bucket, 130)]).await.expect("it never fails");
        assert_eq!(used(&local, [&policy]), [130], "{algorithm:?}");
        let wait = take(&local, &[charge(&policy, 100)]).retry_after().expect("a time");
        advance(wait - TICK).await;
        assert!(!take(&local, &[charge(&policy, 100)]).is_allowed(), "{algorithm:?}");
        advance(TICK).await;
        assert!(take(&local, &[charge(&policy, 100)]).is_allowed(), "{algorithm:?}");
        local.settle_now(&[Correction::new(&charge(&policy, 130), bucket, 0)]);
        assert_eq!(used(&local, [&policy]), [100], "{algorithm:?}: its bucket is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_correction_of_what_nobody_charged_changes_nothing() {
    let (local, policy) = (Local::new(), per_minute(5));
    let reserved = charge(&policy, 1);
    for bucket in [0, 7, u64::MAX] {
        local.settle_now(&[Correction::new(&reserved, bucket, 5)]);
    }
    assert_eq!(local.subjects(), 0, "nobody is remembered for it");
    assert!(take(&local, std::slice::from_ref(&reserved)).is_allowed());
    for bucket in [7, u64::MAX] {
        local.settle_now(&[Correction::new(&reserved, bucket, 5)]);
        local.settle_now(&[Correction::new(&reserved, bucket, 0)]);
    }
    let [standing] = &take(&local, &[charge(&policy, 0)]).standings[..] else { panic!("one limit") };
    assert_eq!((standing.used, standing.reset), (1, Duration::from_secs(62)), "a bucket to come was never charged");
}

/// As a meter has it that can't tell before the answer has come.
#[tokio::test(start_paused = true)]
async fn a_first_request_that_was_charged_nothing_is_settled_too() {
    for algorithm in ALGORITHMS {
        let (local, policy) = (Local::new(), policy("rpm", Quota::per_minute(9).algorithm(algorithm)));
        let bucket = take(&local, &[charge(&policy, 0)]).standings[0].bucket;
        local.settle_now(&[Correction::new(&charge(&policy, 0), bucket, 7)]);
        assert_eq!(used(&local, [&policy]), [7], "{algorithm:?}");
    }
}

/// Else whoever asks for others' names could have those forgotten who are limited.
#[tokio::test(start_paused = true)]
async fn nobody_is_remembered_who_only_looks_or_is_denied() {
    for algorithm in ALGORITHMS {
        let local = Local::new();
        let [wide, none] = [("wide", 9), ("none", 0)]
            .map(|(name, amount)| policy(name, Quota::per_minute(amount).algorithm(algorithm)));
        let slots = policy("slots", Quota::concurrent(0));
        assert!(take(&local, &[&wide, &none, &slots].map(|policy| charge(policy, 0))).is_allowed());
        for denied in [vec![(&none, 1)], vec![(&slots, 1)], vec![(&wide, 10)], vec![(&wide, 0), (&none, 1)]] {
            let charges: Vec<_> = denied.iter().map(|(policy, cost)| charge(policy, *cost)).collect();
            assert!(!take(&local, &charges).is_allowed(), "{algorithm:?} {denied:?}");
        }
        assert_eq!(local.subjects(), 0, "{algorithm:?}");
        // Charged, and given back.
        assert!(!take(&local, &[charge(&wide, 1), charge(&none, 1)]).is_allowed());
        assert_eq!(local.subjects(), 0, "{algorithm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn absurd_costs_and_amounts_are_taken_as_the_most_that_counts() {
    let most = 1 << 50;
    for algorithm in ALGORITHMS {
        let (local, policy) = (Local::new(), policy("rpm", Quota::per_minute(most).algorithm(algorithm)));
        let mut absurd = charge(&policy, u64::MAX);
        absurd.amount = u64::MAX;
        let taken = take(&local, std::slice::from_ref(&absurd));
        assert_eq!((taken.is_allowed(), taken.standings[0].used), (true, most), "{algorithm:?}");
        assert!(matches!(take(&local, std::slice::from_ref(&absurd)).standings[0].room, Room::In(_)));
        let mut correction = Correction::new(&absurd, taken.standings[0].bucket, u64::MAX);
        (correction.charged, correction.real) = (0, u64::MAX);
        for _ in 0..3 {
            local.settle_now(std::slice::from_ref(&correction));
        }
        assert!(!take(&local, &[charge(&policy, 1)]).is_allowed(), "{algorithm:?}");
        let many = vec![of("v", absurd); 20_000];
        assert!(!take(&local, &many).is_allowed(), "{algorithm:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subject_allowed_far_more_than_the_quota_is_answered_all_the_same() {
    for algorithm in ALGORITHMS {
        let (local, policy) = (Local::new(), policy("rpm", Quota::per_minute(1).algorithm(algorithm)));
        let mut asked = charge(&policy, 4000);
        asked.amount = 5000;
        let taken = take(&local, std::slice::from_ref(&asked));
        let expected = if algorithm == Algorithm::Approximate { Room::Never } else { Room::Now };
        assert_eq!(taken.standings[0].room, expected, "{algorithm:?}");
        asked.cost = 900;
        assert!(take(&local, std::slice::from_ref(&asked)).is_allowed(), "{algorithm:?}");
        assert!(matches!(take(&local, &[asked]).standings[0].room, Room::In(_)), "{algorithm:?}");
    }
}
