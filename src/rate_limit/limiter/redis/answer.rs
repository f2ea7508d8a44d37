//! What `take.lua` answers.

use std::time::Duration;

use ::redis::Value;

use crate::rate_limit::{Charge, Room, Standing, Taken};

/// For how many requests there was room, and how the limits stand.
#[derive(Debug)]
pub(super) struct Answer {
    admitted: usize,
    limits: Vec<Stand>,
}

#[derive(Debug)]
struct Stand {
    used: u64,
    room: i64,
    refill: Duration,
    reset: Duration,
    bucket: u64,
    fits: usize,
    charged: usize,
}

impl Answer {
    pub(super) fn read(value: &Value, limits: usize) -> Option<Self> {
        let Value::Array(values) = value else { return None };
        let numbers: Option<Vec<i64>> =
            values.iter().map(|value| if let Value::Int(number) = value { Some(*number) } else { None }).collect();
        let numbers = numbers?;
        let (admitted, rest) = numbers.split_first()?;
        let stands: Option<Vec<Stand>> = rest.chunks(7).map(Stand::read).collect();
        let limits = stands.filter(|stands| stands.len() == limits)?;
        Some(Self { admitted: usize::try_from(*admitted).ok()?, limits })
    }

    /// What it means for one of the requests, the first being number 0.
    pub(super) fn share(&self, number: usize, charges: &[Charge]) -> Taken {
        let is_admitted = number < self.admitted;
        let standings = self.limits.iter().zip(charges).enumerate().map(|(index, (limit, charge))| {
            let price = charge.price();
            let room = if is_admitted && number < limit.fits { Room::Now } else { room(limit.room) };
            let mut standing = Standing::new(index, charge, room, limit.bucket);
            // Those after it are charged already.
            let later = if is_admitted { limit.charged.saturating_sub(number + 1) } else { 0 };
            let later = u64::try_from(later).unwrap_or(u64::MAX).saturating_mul(price);
            standing.used = limit.used.saturating_sub(later);
            (standing.refill, standing.reset) = (limit.refill, limit.reset);
            standing
        });
        Taken::new(standings.collect())
    }
}

impl Stand {
    fn read(numbers: &[i64]) -> Option<Self> {
        let [used, room, refill, reset, bucket, fits, charged] = *numbers else { return None };
        let time = |micros: i64| u64::try_from(micros).ok().map(Duration::from_micros);
        Some(Self {
            used: u64::try_from(used).ok()?,
            room,
            refill: time(refill)?,
            reset: time(reset)?,
            bucket: u64::try_from(bucket).ok()?,
            fits: usize::try_from(fits).ok()?,
            charged: usize::try_from(charged).ok()?,
        })
    }
}

fn room(said: i64) -> Room {
    match (said, u64::try_from(said)) {
        (-1, _) => Room::Now,
        (-3, _) => Room::Never,
        (_, Ok(micros)) => Room::In(Duration::from_micros(micros)),
        _ => Room::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::{Policy, Quota, Subject};

    #[test]
    fn each_of_several_requests_alike_is_told_its_own_share() {
        let policy = Policy::try_new("rpm", Quota::per_minute(5)).expect("a policy");
        let charges = [Charge::new(policy, Subject::everyone(), 1)];
        let value = Value::Array([2, 5, 7_000_000, 7_000_000, 60_000_000, 9, 2, 2].map(Value::Int).to_vec());
        let answer = Answer::read(&value, 1).expect("an answer");
        let taken: Vec<Taken> = (0..3).map(|number| answer.share(number, &charges)).collect();
        let remaining = |number: usize| taken[number].standings[0].remaining();
        assert_eq!((taken[0].is_allowed(), remaining(0)), (true, 1));
        assert_eq!((taken[1].is_allowed(), remaining(1)), (true, 0));
        assert_eq!((taken[2].is_allowed(), remaining(2)), (false, 0));
        assert_eq!(taken[2].retry_after(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn what_never_fits_is_not_waited_for_as_what_nobody_knows() {
        let policy = Policy::try_new("rpm", Quota::per_minute(5)).expect("a policy");
        let charges = [Charge::new(policy, Subject::everyone(), 1)];
        for (said, room) in [(-1, Room::Now), (-2, Room::Unknown), (-3, Room::Never)] {
            let value = Value::Array([0, 0, said, 0, 0, 7, 0, 0].map(Value::Int).to_vec());
            let taken = Answer::read(&value, 1).expect("an answer").share(0, &charges);
            assert_eq!(taken.standings[0].room, room);
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_none() {
        for numbers in [&[][..], &[1], &[1, 2, 3], &[1, -5, 0, 0, 0, 0, 0, 0], &[-1, 1, 0, 0, 0, 0, 0, 0]] {
            let value = Value::Array(numbers.iter().copied().map(Value::Int).collect());
            assert!(Answer::read(&value, 1).is_none(), "{numbers:?}");
        }
        assert!(Answer::read(&Value::Nil, 1).is_none());
    }
}
