//! What is admitted, and when there is room again.

use super::*;

/// When there is room by the formula, in whole numbers without any scale, of what was admitted and not of what the counter holds.
fn by_formula(trial: &Trial, amount: u64, cost: u64) -> Room {
    let [window, now, amount, cost] = [trial.window, trial.now, amount, cost].map(i128::from);
    let begin = now / window * window;
    let held = |after: i128| i128::try_from(trial.admitted_in(after - 1, trial.now)).expect("a sum");
    let current = held(begin);
    let previous = held(begin - window) - current;
    let elapsed = now - begin;
    if cost == 0 || previous * (window - elapsed) + (current + cost) * window <= amount * window {
        return Room::Now;
    }
    if cost > amount {
        return Room::Never;
    }
    let ceil = |a: i128, b: i128| (a + b - 1) / b;
    let wait = if current + cost <= amount {
        ceil((previous - (amount - current - cost)) * window, previous) - elapsed
    } else {
        window - elapsed + ceil((current - (amount - cost)) * window, current).max(0)
    };
    Room::In(Duration::from_micros(wait.try_into().expect("a time to come")))
}

proptest! {
    #[test]
    fn no_stretch_of_a_windows_length_holds_more_than_the_quota(
        quota in quotas(exact()), begun in beginnings(), trace in vec((forward(), sizes()), 1..60),
    ) {
        let mut trial = Trial::new(quota, begun);
        for (gap, size) in trace {
            trial.go_on(gap);
            let cost = trial.cost(quota.amount(), size);
            trial.ask(quota.amount(), cost);
        }
        prop_assert!(trial.fullest() <= u128::from(quota.amount()), "{trial:?}");
    }

    #[test]
    fn the_log_admits_whatever_fits_into_the_window(
        window in windows(), amount in amounts(), begun in beginnings(), trace in vec((forward(), sizes()), 1..60),
    ) {
        let mut trial = Trial::new(Quota::per(amount, window).algorithm(Algorithm::Log), begun);
        for (gap, size) in trace {
            trial.go_on(gap);
            let cost = trial.cost(amount, size);
            let held = trial.admitted_in(i128::from(trial.now) - i128::from(trial.window), trial.now);
            let fits = cost == 0 || held + u128::from(cost) <= u128::from(amount);
            prop_assert_eq!(trial.ask(amount, cost) == Room::Now, fits, "{:?}", trial);
        }
    }

    #[test]
    fn an_approximate_window_follows_its_formula_and_holds_at_most_two_quotas(
        window in windows(), amount in amounts(), begun in beginnings(), trace in vec((forward(), sizes()), 1..60),
    ) {
        let mut trial = Trial::new(Quota::per(amount, window).algorithm(Algorithm::Approximate), begun);
        let is_plain = matches!(trial.law, Law::Weighted { scale: 1, .. });
        for (gap, size) in trace {
            trial.go_on(gap);
            let cost = trial.cost(amount, size);
            let expected = by_formula(&trial, amount, cost);
            let room = trial.ask(amount, cost);
            if is_plain {
                prop_assert_eq!(room, expected, "{:?}", trial);
            } else if room == Room::Now {
                prop_assert_eq!(expected, Room::Now, "scaled, it never admits more: {:?}", trial);
            }
        }
        prop_assert!(trial.fullest() <= 2 * u128::from(amount), "{trial:?}");
    }

    #[test]
    fn a_retry_at_the_told_time_finds_room_and_a_microsecond_earlier_it_does_not(
        quota in quotas(algorithms()), begun in beginnings(), trace in vec((gaps(), sizes()), 1..40),
    ) {
        let mut trial = Trial::new(quota, begun);
        let amount = quota.amount();
        for (gap, size) in trace {
            trial.go_on(gap);
            let cost = trial.cost(amount, size);
            match trial.ask(amount, cost) {
                Room::Now => {}
                Room::Never => prop_assert!(cost > amount),
                Room::Unknown => prop_assert!(false, "it is only a matter of time: {trial:?}"),
                Room::In(wait) => {
                    prop_assert!(cost <= amount && wait > Duration::ZERO);
                    prop_assert_eq!(trial.room_in(micros(wait), amount, cost), Room::Now, "too early: {:?}", trial);
                    prop_assert!(trial.room_in(micros(wait) - 1, amount, cost) != Room::Now, "too late: {trial:?}");
                }
            }
        }
    }

    #[test]
    fn refill_and_reset_are_told_to_the_microsecond(
        quota in quotas(algorithms()), begun in beginnings(), trace in vec((gaps(), sizes()), 1..40),
    ) {
        let mut trial = Trial::new(quota, begun);
        let amount = quota.amount();
        for (gap, size) in trace {
            trial.go_on(gap);
            let cost = trial.cost(amount, size);
            trial.ask(amount, cost);
            let now = trial.figures_in(0, amount);
            let used_in = |time: u64| trial.figures_in(time, amount).used;
            let left_in = |time: u64| amount.saturating_sub(used_in(time));
            let (refill, reset) = (micros(now.refill), micros(now.reset));
            if now.used == 0 {
                prop_assert_eq!((refill, reset), (0, 0));
            } else {
                prop_assert!(0 < refill && refill <= reset, "{now:?}: {trial:?}");
                prop_assert!(left_in(refill) > left_in(0), "{now:?}: {trial:?}");
                prop_assert!(left_in(refill - 1) <= left_in(0), "{now:?}: {trial:?}");
                prop_assert_eq!(used_in(reset), 0, "{:?}: {:?}", now, trial);
                prop_assert!(used_in(reset - 1) > 0, "{now:?}: {trial:?}");
                prop_assert_eq!(trial.room_in(reset, amount, amount), Room::Now);
            }
        }
    }

    #[test]
    fn use_never_grows_by_time_alone(
        quota in quotas(algorithms()), begun in beginnings(), trace in vec((forward(), sizes()), 1..20),
        steps in vec(forward(), 1..20),
    ) {
        let mut trial = Trial::new(quota, begun);
        for (gap, size) in trace {
            trial.go_on(gap);
            let cost = trial.cost(quota.amount(), size);
            trial.ask(quota.amount(), cost);
        }
        let mut used = trial.figures_in(0, quota.amount()).used;
        prop_assert!(used <= quota.amount(), "{trial:?}");
        for gap in steps {
            trial.go_on(gap);
            let less = trial.figures_in(0, quota.amount()).used;
            prop_assert!(less <= used, "{less} after {used}: {trial:?}");
            used = less;
        }
    }

    #[test]
    fn strict_buckets_forget_at_most_one_bucket_late(
        buckets in 1..=1000u32, window in windows(), amount in 1..=MOST, begun in beginnings(),
    ) {
        let mut trial = Trial::new(Quota::per(amount, window).algorithm(Algorithm::Strict { buckets }), begun);
        prop_assert_eq!(trial.ask(amount, amount), Room::Now);
        let wait = micros(trial.figures_in(0, amount).reset);
        let bucket = trial.window.div_ceil(u64::from(buckets));
        // Buckets are whole microseconds long, so they may be longer than the window together.
        prop_assert!(trial.window <= wait && wait <= bucket * u64::from(buckets) + bucket, "{wait}: {trial:?}");
    }

    // What a clock that is ahead forgets without charging anything is forgotten: there is nothing to tell it from one that is right.
    #[test]
    fn a_clock_that_goes_back_admits_nothing_twice(
        quota in quotas(algorithms()), trace in vec((0..6000u64, sizes()), 1..60),
    ) {
        let mut trial = Trial::new(quota, 0);
        let amount = quota.amount();
        for (time, size) in trace {
            trial.now = 1_700_000_000_000_000 + trial.window * time / 3000;
            let cost = trial.cost(amount, size);
            let is_ahead = trial.admitted.last().is_none_or(|last| last.time < trial.now);
            if !is_ahead || trial.room_in(0, amount, cost.max(1)) == Room::Now {
                trial.ask(amount, cost.max(1));
            }
        }
        let (span, most) = match trial.law {
            Law::Buckets { span, .. } => (span, u128::from(amount)),
            Law::Weighted { .. } | Law::Slots => (1, 2 * u128::from(amount)),
        };
        for last in &trial.admitted {
            let inside = trial.admitted.iter().filter(|used| (last.bucket - span..=last.bucket).contains(&used.bucket));
            let held: u128 = inside.map(|used| u128::from(used.cost)).sum();
            prop_assert!(held <= most, "{held}: {trial:?}");
        }
        prop_assert!(trial.admitted.is_sorted_by_key(|used| used.bucket), "{trial:?}");
    }
}

#[test]
fn a_limit_of_one_admits_one_and_a_limit_of_none_admits_none() {
    for algorithm in [Algorithm::default(), Algorithm::Approximate, Algorithm::Log] {
        let mut one = Trial::new(Quota::per_second(1).algorithm(algorithm), 1_700_000_000_000_000);
        assert_eq!(one.ask(1, 1), Room::Now, "{algorithm:?}");
        assert!(matches!(one.ask(1, 1), Room::In(_)), "{algorithm:?}");
        let mut none = Trial::new(Quota::per_second(0).algorithm(algorithm), 1_700_000_000_000_000);
        assert_eq!((none.ask(0, 1), none.ask(0, 0)), (Room::Never, Room::Now), "{algorithm:?}");
        let figures = none.figures_in(0, 0);
        assert_eq!((figures.used, figures.refill, figures.reset), (0, Duration::ZERO, Duration::ZERO));
    }
}

#[test]
fn a_window_between_two_microseconds_is_not_cut_short() {
    let quota = Quota::per(1, Duration::from_nanos(1_000_500)).algorithm(Algorithm::Log);
    assert_eq!(Law::of(&quota), Law::Buckets { width: 1, span: 1000 });
}

#[test]
fn slots_have_no_time() {
    let mut slots = Trial::new(Quota::concurrent(2), 0);
    let answers = [slots.ask(2, 1), slots.ask(2, 1), slots.ask(2, 1), slots.ask(2, 3)];
    assert_eq!(answers, [Room::Now, Room::Now, Room::Unknown, Room::Never]);
    slots.now = 366 * DAY;
    assert_eq!(slots.ask(2, 1), Room::Unknown);
    slots.counter.correct(Law::Slots, 0, 1, 0, 0);
    assert_eq!(slots.ask(2, 1), Room::Now);
}
