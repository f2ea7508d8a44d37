//! What of a batch's usage is whose.

use serde_json::value::RawValue;

use super::members::Members;

/// Counts by their names, such as `prompt_tokens` and `total_tokens`.
pub(super) type Counts = Vec<(String, u64)>;

/// The most counts that are taken of a `usage`, and the longest name of one: each text gets its own.
const MOST: usize = 16;
const LONGEST: usize = 64;

/// The counts that a `usage` has; what else is in it can't be shared out, and is left.
pub(super) fn counts(usage: &RawValue) -> Counts {
    let Ok(members) = serde_json::from_str::<Members<'_>>(usage.get()) else { return Vec::new() };
    let count =
        |(name, value): (std::borrow::Cow<'_, str>, &RawValue)| Some((name.into_owned(), value.get().parse().ok()?));
    let is_short = |(name, _): &(String, u64)| name.len() <= LONGEST;
    members.0.into_iter().filter_map(count).filter(is_short).take(MOST).collect()
}

/// Shares the counts of a batch out by the lengths of its texts; the shares add up to the counts.
pub(super) fn share_out(counts: &Counts, lengths: &[u64]) -> Vec<Counts> {
    let mut shares = vec![Vec::with_capacity(counts.len()); lengths.len()];
    for (name, count) in counts {
        for (own, share) in shares.iter_mut().zip(shares_of(*count, lengths)) {
            own.push((name.clone(), share));
        }
    }
    shares
}

/// The sums of those counts that all have; `None` if some have none at all.
pub(super) fn sum<'a>(mut all: impl Iterator<Item = Option<&'a Counts>>) -> Option<Counts> {
    let mut sums = all.next()??.clone();
    for counts in all {
        let counts = counts?;
        sums.retain_mut(|(name, sum)| {
            let own = counts.iter().find(|(other, _)| other == name);
            *sum = sum.saturating_add(own.map_or(0, |(_, count)| *count));
            own.is_some()
        });
    }
    Some(sums)
}

/// By the method of the largest remainder (Hamilton's); of equal ones the first.
fn shares_of(count: u64, lengths: &[u64]) -> Vec<u64> {
    let total: u128 = lengths.iter().map(|length| u128::from(*length)).sum();
    let even = vec![1; lengths.len()];
    let (lengths, total) = if total == 0 { (&even[..], even.len() as u128) } else { (lengths, total) };
    let exact = |length: &u64| u128::from(count) * u128::from(*length);
    let whole = |length: &u64| u64::try_from(exact(length) / total).unwrap_or(count);
    let mut shares: Vec<_> = lengths.iter().map(whole).collect();
    let mut order: Vec<_> = (0..lengths.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(exact(&lengths[*at]) % total));
    let left = usize::try_from(count - shares.iter().sum::<u64>()).unwrap_or(0);
    order.into_iter().take(left).for_each(|at| shares[at] += 1);
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_by_length_and_the_remainders_go_to_the_largest() {
        assert_eq!(shares_of(7, &[1]), [7]);
        assert_eq!(shares_of(10, &[1, 2, 7]), [1, 2, 7]);
        assert_eq!(shares_of(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(shares_of(3, &[0, 0]), [2, 1]);
        assert_eq!(shares_of(5, &[0, 9]), [0, 5]);
        assert_eq!(shares_of(u64::MAX, &[u64::MAX, u64::MAX]), [u64::MAX / 2 + 1, u64::MAX / 2]);
    }

    #[test]
    fn what_would_be_copied_for_each_text_is_small() {
        let of = |names: &[String]| {
            let members: Vec<_> = names.iter().map(|name| format!("{name:?}:1")).collect();
            counts(&RawValue::from_string(format!("{{{}}}", members.join(","))).expect("JSON")).len()
        };
        assert_eq!(of(&["x".repeat(65), "x".repeat(64)]), 1);
        assert_eq!(of(&(0..20).map(|number| number.to_string()).collect::<Vec<_>>()), 16);
    }

    #[test]
    fn what_some_do_not_say_is_no_sum() {
        let of = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let (one, other): (Counts, Counts) = (of(&[("a", 1), ("b", 2)]), of(&[("b", 3)]));
        assert_eq!(sum([Some(&one), Some(&other)].into_iter()), Some(of(&[("b", 5)])));
        assert_eq!(sum([Some(&one), None].into_iter()), None);
    }

    proptest! {
        #[test]
        fn shares_add_up_and_none_is_off_by_more_than_one(
            count in 0_u64..1_000_000, lengths in prop::collection::vec(0_u64..10_000, 1..50),
        ) {
            let shares = shares_of(count, &lengths);
            prop_assert_eq!(shares.iter().sum::<u64>(), count);
            let total: u64 = lengths.iter().sum();
            for (share, length) in shares.iter().zip(&lengths).filter(|_| total > 0) {
                let exact = count * length / total;
                prop_assert!(*share == exact || *share == exact + 1);
            }
        }
    }
}
