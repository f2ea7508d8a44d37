//! Counters in Redis that something else has written to.

use std::time::Duration;

use larder::rate_limit::{Algorithm, Charge, Correction, Policy, Quota};

use super::{
    asking::{charge, policy},
    traces::Scripts,
};

/// A time of these days.
const NOW: u64 = 1_790_000_000_123_456;

/// What is no count, or none that could be added to.
const WRONG: &[&str] = &[
    "",
    "x",
    "-1",
    "-5",
    "0",
    "1.5",
    "2.0",
    "1e3",
    "0x10",
    " 3",
    "3 ",
    "+3",
    "03",
    "inf",
    "-inf",
    "nan",
    "9007199254740992",
    "99999999999999999999999999",
    "1\n",
];

fn policies() -> [Policy; 3] {
    [Algorithm::Strict { buckets: 30 }, Algorithm::Approximate, Algorithm::Log]
        .map(|algorithm| policy("rpm", Quota::per_minute(5).algorithm(algorithm)))
}

fn key() -> [String; 1] {
    ["counter".to_owned()]
}

/// Whether it was admitted, how much is used then, and which bucket was charged.
fn ask(scripts: &Scripts, now: u64, charges: &[Charge]) -> (bool, i64, i64) {
    let said = scripts.take(now, 1, &key(), charges);
    (said[0] == 1, said[1], said[5])
}

/// It counts from nothing: five, and no more.
fn counts(scripts: &Scripts, now: u64, policy: &Policy, what: &str) {
    for number in 1..=5 {
        let (admitted, used, _) = ask(scripts, now, &[charge(policy, 1)]);
        assert!(admitted && used == number, "{what}: {used} of {policy:?}");
    }
    assert!(!ask(scripts, now, &[charge(policy, 1)]).0, "{what}: {policy:?}");
}

#[test]
fn a_count_that_cannot_be_read_counts_nothing_and_is_removed() {
    let scripts = Scripts::load();
    for policy in policies() {
        let (_, _, bucket) = ask(&scripts, NOW, &[charge(&policy, 0)]);
        for wrong in WRONG {
            for at in [bucket, bucket - 1] {
                scripts.command::<()>(&["HSET", "counter", &at.to_string(), wrong]);
                counts(&scripts, NOW, &policy, wrong);
                let fields: Vec<String> = scripts.command(&["HKEYS", "counter"]);
                assert_eq!(fields, [bucket.to_string()], "{wrong}");
                scripts.command::<()>(&["DEL", "counter"]);
            }
        }
    }
}

#[test]
fn a_bucket_that_cannot_be_read_counts_nothing_and_is_removed() {
    let scripts = Scripts::load();
    for policy in policies() {
        let (_, _, bucket) = ask(&scripts, NOW, &[charge(&policy, 0)]);
        let spelt = [format!("0{bucket}"), format!("+{bucket}"), format!("{bucket}.0"), format!(" {bucket}")];
        for wrong in WRONG.iter().copied().chain(spelt.iter().map(String::as_str)) {
            scripts.command::<()>(&["HSET", "counter", wrong, "3"]);
            counts(&scripts, NOW, &policy, wrong);
            let fields: Vec<String> = scripts.command(&["HKEYS", "counter"]);
            assert_eq!(fields, [bucket.to_string()], "{wrong}");
            scripts.command::<()>(&["DEL", "counter"]);
        }
    }
}

#[test]
fn a_bucket_of_another_century_does_not_stop_the_clock() {
    let scripts = Scripts::load();
    let far = (1_u64 << 53) - 1;
    for policy in policies() {
        scripts.command::<()>(&["HSET", "counter", &far.to_string(), "3"]);
        counts(&scripts, NOW, &policy, "far ahead");
        counts(&scripts, NOW + 120_000_000, &policy, "two minutes later");
        scripts.command::<()>(&["DEL", "counter"]);
    }
}

#[test]
fn thousands_of_wrong_fields_are_removed_at_once() {
    let scripts = Scripts::load();
    let policy = &policies()[0];
    let fields: Vec<String> = (0..10_000).flat_map(|number| [format!("x{number}"), "1".to_owned()]).collect();
    let words: Vec<&str> = ["HSET", "counter"].into_iter().chain(fields.iter().map(String::as_str)).collect();
    scripts.command::<()>(&words);
    counts(&scripts, NOW, policy, "many");
    assert_eq!(scripts.command::<u64>(&["HLEN", "counter"]), 1);
}

#[test]
fn a_key_of_another_type_is_taken_over() {
    let scripts = Scripts::load();
    let others: [&[&str]; 4] = [
        &["SET", "counter", "x"],
        &["RPUSH", "counter", "x"],
        &["SADD", "counter", "x"],
        &["ZADD", "counter", "1", "x"],
    ];
    for other in others {
        for policy in policies() {
            scripts.command::<()>(other);
            counts(&scripts, NOW, &policy, other[0]);
            scripts.command::<()>(&["DEL", "counter"]);
        }
    }
    let slots = policy("concurrent", Quota::concurrent(5));
    scripts.command::<()>(&["HSET", "counter", "1", "3"]);
    counts(&scripts, NOW, &slots, "HSET");
}

#[test]
fn a_correction_of_what_cannot_be_read_does_not_make_it_count() {
    let scripts = Scripts::load();
    for policy in policies() {
        let (_, _, bucket) = ask(&scripts, NOW, &[charge(&policy, 0)]);
        let bucket = u64::try_from(bucket).expect("a bucket");
        let correct = |bucket: u64, charged: u64, real: u64| {
            scripts.settle(NOW, &key()[0], &Correction::new(&charge(&policy, charged), bucket, real));
        };
        for wrong in WRONG {
            scripts.command::<()>(&["HSET", "counter", &bucket.to_string(), wrong]);
            correct(bucket, 3, 1);
            counts(&scripts, NOW, &policy, wrong);
            scripts.command::<()>(&["HSET", "counter", &bucket.to_string(), wrong]);
            correct(bucket, 1, 3);
            assert_eq!(ask(&scripts, NOW, &[charge(&policy, 0)]).1, 2, "{wrong}: what was missing counts");
            scripts.command::<()>(&["DEL", "counter"]);
        }
        correct(bucket + 1, 1, 3);
        assert_eq!(scripts.command::<u64>(&["EXISTS", "counter"]), 0, "a bucket to come was never charged");
        scripts.command::<()>(&["SET", "counter", "x"]);
        correct(bucket, 1, 3);
        counts(&scripts, NOW, &policy, "a string");
        scripts.command::<()>(&["DEL", "counter"]);
    }
}

#[test]
fn corrections_beyond_what_can_be_counted_leave_it_full() {
    let scripts = Scripts::load();
    for policy in policies() {
        let (admitted, _, bucket) = ask(&scripts, NOW, &[charge(&policy, 1)]);
        assert!(admitted);
        let bucket = u64::try_from(bucket).expect("a bucket");
        for _ in 0..20 {
            scripts.settle(NOW, &key()[0], &Correction::new(&charge(&policy, 0), bucket, u64::MAX));
        }
        assert!(!ask(&scripts, NOW, &[charge(&policy, 1)]).0, "{policy:?}");
        let later = NOW + u64::try_from(Duration::from_secs(180).as_micros()).expect("three minutes");
        counts(&scripts, later, &policy, "later");
        scripts.command::<()>(&["DEL", "counter"]);
    }
}

#[test]
fn a_clock_that_is_set_back_fills_the_youngest_bucket_for_as_long_as_that_counts() {
    let scripts = Scripts::load();
    for policy in policies() {
        let (_, used, bucket) = ask(&scripts, NOW, &[charge(&policy, 3)]);
        assert_eq!(used, 3);
        let back = NOW - 3_600_000_000;
        assert_eq!(ask(&scripts, back, &[charge(&policy, 2)]), (true, 5, bucket), "{policy:?}");
        let denied = scripts.take(back, 1, &key(), &[charge(&policy, 1)]);
        let wait = u64::try_from(denied[2]).expect("a time");
        assert!(!ask(&scripts, back + wait - 1, &[charge(&policy, 1)]).0, "{policy:?}");
        assert!(ask(&scripts, back + wait, &[charge(&policy, 1)]).0, "{policy:?}");
        scripts.command::<()>(&["DEL", "counter"]);
    }
}
