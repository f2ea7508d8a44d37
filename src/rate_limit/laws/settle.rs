//! What was charged is corrected, and what is allowed changes, while counters live.

use super::*;

proptest! {
    #[test]
    fn a_changed_amount_holds_from_then_on(
        quota in quotas(algorithms()), begun in beginnings(), trace in vec((forward(), amounts(), sizes()), 1..60),
    ) {
        let mut trial = Trial::new(quota, begun);
        for (gap, amount, size) in trace {
            trial.go_on(gap);
            let cost = trial.cost(amount, size);
            let room = trial.ask(amount, cost);
            if room == Room::Now && cost > 0 {
                prop_assert!(trial.figures_in(0, amount).used <= amount, "{trial:?}");
                if let Law::Buckets { .. } = trial.law {
                    let after = i128::from(trial.now) - i128::from(trial.window);
                    prop_assert!(trial.admitted_in(after, trial.now) <= u128::from(amount), "{trial:?}");
                }
            }
            if let Room::In(wait) = room {
                prop_assert_eq!(trial.room_in(micros(wait), amount, cost), Room::Now, "{:?}", trial);
                prop_assert!(trial.room_in(micros(wait) - 1, amount, cost) != Room::Now, "{trial:?}");
            }
        }
    }

    #[test]
    fn what_is_settled_counts_as_what_it_really_cost(
        quota in quotas(exact()), begun in beginnings(),
        trace in vec((forward(), sizes(), any::<prop::sample::Index>(), sizes()), 1..60),
    ) {
        let mut trial = Trial::new(quota, begun);
        let amount = quota.amount();
        let Law::Buckets { width, span } = trial.law else { return Ok(()) };
        let mut open = Vec::new();
        for (gap, size, which, real) in trace {
            trial.go_on(gap);
            let cost = trial.cost(amount, size);
            let before = trial.figures_in(0, amount).used;
            if trial.ask(amount, cost) == Room::Now {
                prop_assert!(cost == 0 || before + cost <= amount);
                if cost > 0 {
                    open.push(trial.admitted.len() - 1);
                }
            } else {
                prop_assert!(before + cost > amount, "there was room: {trial:?}");
            }
            if !open.is_empty() && which.index(3) > 0 {
                let index = open.swap_remove(which.index(open.len()));
                let (real, now, Use { bucket, cost: charged, .. }) = (trial.cost(amount, real), trial.now, trial.admitted[index]);
                let untouched = format!("{:?}", trial.counter);
                trial.counter.correct(trial.law, bucket, charged, real, now);
                if bucket + span < now / width {
                    prop_assert_eq!(format!("{:?}", trial.counter), untouched, "it counts no more");
                }
                trial.admitted[index].cost = real;
            }
            let counts = trial.admitted.iter().filter(|used| used.bucket + span >= trial.now / width);
            let held: u64 = counts.map(|used| used.cost).sum();
            prop_assert_eq!(trial.figures_in(0, amount).used, held, "{:?}", trial);
        }
    }

    #[test]
    fn an_approximate_window_settles_too(
        window in windows(), amount in 1..=MOST, begun in beginnings(), charged in 1..=100u64, real in sizes(),
        gap in forward(),
    ) {
        let quota = Quota::per(amount, window).algorithm(Algorithm::Approximate);
        let (mut settled, mut plain) = (Trial::new(quota, begun), Trial::new(quota, begun));
        let charged = settled.cost(amount, Size::Part(charged)).max(1);
        let real = settled.cost(amount, real).min(amount);
        settled.ask(amount, charged);
        plain.ask(amount, real);
        settled.go_on(gap);
        plain.go_on(gap);
        let (bucket, now) = (settled.admitted[0].bucket, settled.now);
        settled.counter.correct(settled.law, bucket, charged, real, now);
        prop_assert_eq!(settled.figures_in(0, amount), plain.figures_in(0, amount));
    }

    #[test]
    fn no_correction_makes_it_panic_or_fall_below_nothing(
        quota in quotas(algorithms()), begun in beginnings(),
        trace in vec((forward(), sizes(), -3..=3i64, any::<bool>(), 0..=MOST, 0..=MOST), 1..60),
    ) {
        let mut trial = Trial::new(quota, begun);
        let amount = quota.amount();
        for (gap, size, buckets, is_far, charged, real) in trace {
            trial.go_on(gap);
            let cost = trial.cost(amount, size);
            trial.ask(amount, cost);
            let bucket = trial.counter.advance(trial.law, trial.now);
            let bucket = if is_far { u64::MAX } else { bucket.saturating_add_signed(buckets) };
            trial.counter.correct(trial.law, bucket, charged, real, trial.now);
            let figures = trial.figures_in(0, amount);
            // A bucket that is still to come was never charged.
            prop_assert!(micros(figures.reset) <= 2 * trial.window + 1000, "{figures:?}: {trial:?}");
            if cost > 0 && figures.used >= amount {
                prop_assert!(trial.room_in(0, amount, 1) != Room::Now, "{trial:?}");
            }
        }
    }
}

#[test]
fn what_settles_above_the_quota_is_paid_for_by_those_who_come_after() {
    for algorithm in [Algorithm::default(), Algorithm::Log, Algorithm::Approximate] {
        let mut trial = Trial::new(Quota::per_minute(100).algorithm(algorithm), 60_000_000_000);
        assert_eq!(trial.ask(100, 10), Room::Now);
        let bucket = trial.admitted[0].bucket;
        trial.counter.correct(trial.law, bucket, 10, 250, trial.now);
        assert_eq!(trial.figures_in(0, 100).used, 250);
        let Room::In(wait) = trial.ask(100, 1) else { panic!("{algorithm:?}: it is overdrawn") };
        assert_eq!(trial.figures_in(0, 100).refill, wait);
        assert!(trial.figures_in(micros(wait), 100).used <= 99);
        assert!(trial.figures_in(micros(wait) - 1, 100).used > 99);
    }
}

#[test]
fn thousands_of_absurd_costs_do_not_overflow() {
    for algorithm in [Algorithm::default(), Algorithm::Log, Algorithm::Approximate] {
        let mut trial = Trial::new(Quota::per_minute(MOST).algorithm(algorithm), 0);
        for time in 0..20_000 {
            trial.now = time;
            let bucket = trial.counter.advance(trial.law, trial.now);
            trial.counter.charge(bucket, 1);
            trial.counter.correct(trial.law, bucket, 1, MOST, trial.now);
        }
        assert!(trial.figures_in(0, MOST).used >= MOST, "{algorithm:?}");
        assert!(matches!(trial.ask(MOST, 1), Room::In(_)), "{algorithm:?}");
        assert_eq!(trial.figures_in(180_000_000, MOST).used, 0, "{algorithm:?}");
        assert_eq!(trial.room_in(180_000_000, MOST, MOST), Room::Now, "{algorithm:?}");
    }
}
