//! Settings that make no sense are refused when the layer is built, with what to do instead.

use std::time::Duration;

use larder::{
    RateLimitLayer,
    rate_limit::{Algorithm, Limit, Policy, Quota, Unit, limiter::Local},
};

use super::words::{by_cost, limited};

#[test]
fn what_makes_no_sense_is_refused_and_says_what_to_do() {
    let none = RateLimitLayer::builder(Local::new()).try_build().expect_err("no limit").to_string();
    assert_eq!(none, "RateLimitLayer limit: there is none; take one or more");
    let quota = Quota::per_minute(5);
    for (limits, says) in [
        (vec![Limit::new(quota), Limit::new(quota)], "two limits are called \"rpm\"; give them names of their own"),
        (vec![Limit::new(quota).named("a"), Limit::new(Quota::per_day(1)).named("a")], "two limits are called \"a\""),
        (vec![Limit::new(quota).named("")], "\"\" can't be a limit's name; take 1 to 64 letters"),
        (vec![Limit::new(quota).named("a b")], "\"a b\" can't be a limit's name; take"),
        (vec![Limit::new(quota).named("a\"")], "can't be a limit's name; take"),
        (vec![Limit::new(quota).named("é")], "can't be a limit's name; take"),
        (vec![Limit::new(quota).named("x".repeat(65))], "can't be a limit's name; take"),
        (vec![Limit::new(quota.of(Unit::Tokens))], "\"tpm\" counts what only a meter can tell; take one"),
        (vec![Limit::new(quota.of(Unit::Cost))], "\"cpm\" counts what only a meter can tell; take one"),
        (vec![Limit::new(quota).meter(by_cost)], "\"rpm\" counts requests, which need no meter; take it away"),
        (vec![Limit::new(Quota::concurrent(5)).meter(by_cost)], "which need no meter; take it away"),
        (vec![Limit::new(Quota::per(5, Duration::from_micros(999)))], "take one from 1 ms to 366 days"),
        (vec![Limit::new(Quota::per(5, Duration::MAX))], "take one from 1 ms to 366 days"),
        (vec![Limit::new(Quota::per_minute(u64::MAX))], "is more than can be counted; take at most"),
        (vec![Limit::new(quota.algorithm(Algorithm::Strict { buckets: 0 }))], "take 1 to 1000 buckets"),
    ] {
        let mut builder = RateLimitLayer::builder(Local::new());
        for limit in limits {
            builder = builder.limit(limit);
        }
        let error = builder.try_build().expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
#[should_panic(expected = "take one from 1 ms to 366 days")]
fn a_layer_of_one_senseless_limit_panics_with_what_to_do() {
    let _ = RateLimitLayer::new(Quota::per(5, Duration::ZERO));
}

#[test]
fn what_makes_sense_is_taken() {
    for limit in [
        Limit::new(Quota::per(1, Duration::from_millis(1))),
        Limit::new(Quota::per(1, Duration::from_secs(366 * 86_400)).algorithm(Algorithm::Log)),
        Limit::new(Quota::per_second(0)),
        Limit::new(Quota::per_minute(1 << 50).algorithm(Algorithm::Approximate)),
        Limit::new(Quota::per_minute(1).of(Unit::Bytes)),
        Limit::new(Quota::per_minute(1).of(Unit::Tokens)).meter(by_cost),
        Limit::new(Quota::per_minute(1).algorithm(Algorithm::Strict { buckets: 1000 })).named("x".repeat(64)),
        Limit::new(Quota::concurrent(1)).named("A-b_c.9"),
    ] {
        assert!(limited(limit).try_build().is_ok());
    }
    assert!(Policy::try_new("rpm", Quota::per_minute(1)).is_ok());
    assert!(Policy::try_new("r{p}m", Quota::per_minute(1)).is_err());
}
