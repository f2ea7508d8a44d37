//! Limits that change while their counters live.

use std::{slice::from_ref, time::Duration};

use larder::rate_limit::{Algorithm, Quota, Room, Unit};

use super::{at_cost, is_allowed, limiter, of_amount, one, policy, take, used};
use crate::support::redis::Server;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Strict { buckets: 30 }, Algorithm::Approximate, Algorithm::Log];

/// At once, though a denial is remembered.
#[tokio::test]
async fn a_raised_amount_has_room_at_once_and_no_more_than_was_added() {
    let server = Server::start().await;
    for algorithm in ALGORITHMS {
        let redis = limiter(&server.url());
        let charge = one(&policy("rph", Quota::per_hour(3).algorithm(algorithm)), "alice");
        let mut admitted = Vec::new();
        for amount in [3, 5] {
            let charge = [of_amount(&charge, amount)];
            for _ in 0..5 {
                admitted.push(is_allowed(&redis, &charge).await);
            }
        }
        assert_eq!(admitted, [true, true, true, false, false, true, true, false, false, false], "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_lowered_amount_counts_what_was_used_before() {
    let server = Server::start().await;
    for algorithm in ALGORITHMS {
        let redis = limiter(&server.url());
        let charge = one(&policy("rph", Quota::per_hour(10).algorithm(algorithm)), "alice");
        for _ in 0..5 {
            assert!(is_allowed(&redis, from_ref(&charge)).await);
        }
        let lowered = of_amount(&charge, 2);
        let denied = take(&redis, from_ref(&lowered)).await;
        let standing = &denied.standings[0];
        assert_eq!((standing.used, standing.remaining(), standing.amount), (5, 0, 2), "{algorithm:?}");
        assert!(matches!(standing.room, Room::In(time) if time > Duration::from_secs(1800)), "{standing:?}");
        // What still fits into the one doesn't fit into the other.
        assert!(is_allowed(&redis, &[of_amount(&charge, 6)]).await, "{algorithm:?}");
        assert!(!is_allowed(&limiter(&server.url()), from_ref(&lowered)).await, "{algorithm:?}");
    }
}

/// A new deployment with another quota of its own, rather than another amount for a subject.
#[tokio::test]
async fn another_amount_in_the_quota_goes_on_with_the_counter() {
    let server = Server::start().await;
    for algorithm in ALGORITHMS {
        let quota = |amount| Quota::per_hour(amount).of(Unit::Tokens).algorithm(algorithm);
        let old = at_cost(&one(&policy("tph", quota(100)), "alice"), 60);
        assert!(is_allowed(&limiter(&server.url()), &[old]).await);
        for (amount, is_free) in [(90, false), (1_000_000, true)] {
            let new = at_cost(&one(&policy("tph", quota(amount)), "alice"), 40);
            assert_eq!(is_allowed(&limiter(&server.url()), &[new]).await, is_free, "{algorithm:?} {amount}");
        }
    }
}

#[tokio::test]
async fn another_window_or_algorithm_begins_anew_and_leaves_the_old_counter_alone() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let quotas = [
        Quota::per_hour(2),
        Quota::per_day(2),
        Quota::per_hour(2).algorithm(Algorithm::Strict { buckets: 60 }),
        Quota::per_hour(2).algorithm(Algorithm::Approximate),
        Quota::per_hour(2).algorithm(Algorithm::Log),
        Quota::concurrent(2),
    ];
    let charges: Vec<_> = quotas.iter().map(|quota| one(&policy("limit", *quota), "alice")).collect();
    let mut held = Vec::new();
    for charge in &charges {
        for number in 0..3 {
            let taken = take(&redis, from_ref(charge)).await;
            assert_eq!(taken.is_allowed(), number < 2, "{charge:?}");
            held.push(taken);
        }
    }
    for charge in &charges {
        assert_eq!(used(&redis, charge).await, 2, "{charge:?}");
    }
}
