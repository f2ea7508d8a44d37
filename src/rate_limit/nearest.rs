//! [`Nearest`]: whose use is nearest to the end of a quota, of those who were seen lately.

use std::{
    cmp::Reverse,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{Charge, Standing, Subject};

/// How many subjects are kept in mind of each limit.
const KEPT: usize = 32;

/// A quota that is used up, in millionths.
const WHOLE: u32 = 1_000_000;

/// For how long slots count that nobody has asked about again.
const SLOTS: Duration = Duration::from_secs(60);

/// How a limit stands for a subject that has used much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Near {
    /// The limit's name.
    pub policy: String,
    /// Whose use it is. Its text has no credential: of those there are keyed hashes.
    pub subject: Subject,
    /// How the limit stands for it; the index is of no meaning.
    pub standing: Standing,
    /// How long ago that was so. Zero if the limiter was asked now; else it is as the last decision had it.
    pub age: Duration,
}

/// The subjects that used the most of each limit, by its place.
///
/// Decisions are looked at as they are made. Of a subject that uses little that is a look at the clock; where two come at once, the
/// second isn't waited for: its subject comes again, if it uses much.
#[derive(Debug)]
pub(super) struct Nearest(Vec<Board>);

/// Those of one limit.
#[derive(Debug)]
struct Board {
    seen: Mutex<Vec<Seen>>,
    begun: Instant,
    /// What share of its quota a subject has to use to be taken up; zero while there is room.
    floor: AtomicU32,
    /// Until when that is so, in milliseconds since the beginning: then there is room again.
    until: AtomicU64,
}

/// A subject, and how its limit stood for it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    place: usize,
    pub(super) charge: Charge,
    standing: Standing,
    share: u32,
    at: Instant,
}

impl Nearest {
    pub(super) fn new(limits: usize) -> Self {
        Self((0..limits).map(|_| Board::new()).collect())
    }

    /// Looks at how the limits in these places stand after a decision.
    pub(super) fn see(&self, places: &[usize], charges: &[Charge], standings: &[Standing]) {
        for standing in standings {
            if let (Some(place), Some(charge)) = (places.get(standing.index), charges.get(standing.index))
                && let Some(board) = self.0.get(*place)
            {
                board.see(*place, charge, standing);
            }
        }
    }

    /// So many of those whose use still counts, the nearest first.
    pub(super) fn seen(&self, most: usize) -> Vec<Seen> {
        let now = Instant::now();
        let mut seen: Vec<_> = self.0.iter().flat_map(|board| board.sweep(now)).collect();
        seen.sort_by_key(|seen| Reverse(seen.share));
        seen.truncate(most);
        seen
    }

    /// Takes over what the limiter says of one of them now.
    pub(super) fn learn(&self, seen: &Seen, now: &Standing) {
        let Some(board) = self.0.get(seen.place) else { return };
        let (mut all, at) = (board.lock(), Instant::now());
        if now.used == 0 {
            all.retain(|other| !other.is_of(&seen.charge));
        } else if let Some(known) = all.iter_mut().find(|other| other.is_of(&seen.charge)) {
            (known.standing, known.share, known.at) = (now.clone(), share(now), at);
        }
        board.raise(&all, at);
    }
}

impl Board {
    fn new() -> Self {
        let (floor, until) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { seen: Mutex::default(), begun: Instant::now(), floor, until }
    }

    fn see(&self, place: usize, charge: &Charge, standing: &Standing) {
        let share = share(standing);
        let is_little = share <= self.floor.load(Ordering::Relaxed) && share < WHOLE;
        if share == 0 || (is_little && self.millis(Instant::now()) < self.until.load(Ordering::Relaxed)) {
            return;
        }
        let Ok(mut seen) = self.seen.try_lock() else { return };
        let at = Instant::now();
        match seen.iter_mut().find(|seen| seen.is_of(charge)) {
            Some(known) => {
                known.charge.amount = charge.amount;
                (known.standing, known.share, known.at) = (standing.clone(), share, at);
            }
            None => {
                let mut charge = charge.clone();
                charge.cost = 0;
                let new = Seen { place, charge, standing: standing.clone(), share, at };
                if seen.len() < KEPT {
                    seen.push(new);
                } else if let Some(least) = seen.iter_mut().min_by_key(|seen| seen.rank(at)) {
                    *least = new;
                }
            }
        }
        self.raise(&seen, at);
    }

    /// Those whose use still counts; the others are forgotten.
    fn sweep(&self, now: Instant) -> Vec<Seen> {
        let mut seen = self.lock();
        seen.retain(|seen| seen.counts(now));
        self.raise(&seen, now);
        seen.clone()
    }

    /// Whoever uses no more than the least of them isn't taken up, while all of them count.
    fn raise(&self, seen: &[Seen], now: Instant) {
        let is_full = seen.len() >= KEPT && seen.iter().all(|seen| seen.counts(now));
        let least = if is_full { seen.iter().map(|seen| seen.share).min() } else { None };
        let until = seen.iter().filter_map(|seen| seen.at.checked_add(seen.lasts())).min().unwrap_or(now);
        self.floor.store(least.unwrap_or(0), Ordering::Relaxed);
        self.until.store(self.millis(until), Ordering::Relaxed);
    }

    fn millis(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Whether it is the counter of this charge. In Redis a subject counts anew in each group.
    fn is_of(&self, charge: &Charge) -> bool {
        self.charge.subject == charge.subject && self.charge.group == charge.group
    }

    /// For how long some of what was used is in the window; slots have none.
    fn lasts(&self) -> Duration {
        if self.standing.reset.is_zero() { SLOTS } else { self.standing.reset }
    }

    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < self.lasts()
    }

    /// Who goes first when there is no room for another: whose use doesn't count any more, then who used least.
    fn rank(&self, now: Instant) -> (bool, u32) {
        (self.counts(now), self.share)
    }

    /// With what the limiter says now, if it says something; `None` if nothing is used any more.
    pub(super) fn told(self, now: Option<Standing>) -> Option<Near> {
        let age = if now.is_some() { Duration::ZERO } else { self.at.elapsed() };
        let mut standing = now.unwrap_or(self.standing);
        standing.refill = standing.refill.saturating_sub(age);
        standing.reset = standing.reset.saturating_sub(age);
        let (policy, subject) = (self.charge.policy.name().to_owned(), self.charge.subject);
        (standing.used > 0).then_some(Near { policy, subject, standing, age })
    }
}

impl Near {
    /// What share of the quota is used, in millionths; of more than the whole, the whole.
    pub(super) fn share(&self) -> u32 {
        share(&self.standing)
    }
}

fn share(standing: &Standing) -> u32 {
    let Standing { used, amount, .. } = *standing;
    if used >= amount {
        return if used == 0 { 0 } else { WHOLE };
    }
    // Less than the whole, so that it fits.
    u32::try_from(u128::from(used) * u128::from(WHOLE) / u128::from(amount)).unwrap_or(WHOLE).max(u32::from(used > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::{Policy, Quota, Room};

    fn policy() -> Policy {
        Policy::try_new("rpm", Quota::per_minute(100)).expect("a policy")
    }

    fn see(nearest: &Nearest, policy: &Policy, name: &str, used: u64) {
        let charge = Charge::new(policy.clone(), Subject::named("user", name), 1);
        let mut standing = Standing::new(0, &charge, Room::Now, 0);
        (standing.used, standing.reset) = (used, Duration::from_secs(60));
        nearest.see(&[0], &[charge], &[standing]);
    }

    fn names(nearest: &Nearest, most: usize) -> Vec<(String, u64)> {
        let seen = nearest.seen(most).into_iter();
        seen.map(|seen| (seen.charge.subject.to_string(), seen.standing.used)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_used_most_are_kept_however_many_there_are() {
        let (nearest, policy) = (Nearest::new(1), policy());
        for number in 0..1000 {
            // In no order: 7919 is prime.
            let used: u64 = number * 7919 % 1000;
            see(&nearest, &policy, &format!("u{used}"), used.div_ceil(10));
        }
        assert_eq!(nearest.0[0].lock().len(), KEPT, "it is bounded");
        let named = names(&nearest, 5);
        assert_eq!(named.iter().map(|(_, used)| *used).collect::<Vec<_>>(), [100; 5]);
        assert!(names(&nearest, KEPT).iter().all(|(_, used)| *used >= 97), "{:?}", names(&nearest, KEPT));
        see(&nearest, &policy, "u5", 1);
        assert_eq!(nearest.0[0].lock().len(), KEPT);
        assert!(!names(&nearest, KEPT).iter().any(|(name, _)| name == "user:u5"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subject_is_there_once_with_its_latest_use() {
        let (nearest, policy) = (Nearest::new(1), policy());
        for used in [1, 2, 50, 49] {
            see(&nearest, &policy, "a", used);
        }
        see(&nearest, &policy, "b", 60);
        see(&nearest, &policy, "c", 0);
        assert_eq!(names(&nearest, 9), [("user:b".into(), 60), ("user:a".into(), 49)]);
        assert_eq!(names(&nearest, 1).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whose_window_is_over_makes_room_even_if_nobody_looked() {
        let (nearest, policy) = (Nearest::new(1), policy());
        for number in 0..KEPT {
            see(&nearest, &policy, &format!("old{number}"), 99);
        }
        see(&nearest, &policy, "early", 3);
        tokio::time::advance(Duration::from_secs(61)).await;
        // It uses less than any of those did.
        see(&nearest, &policy, "new", 3);
        assert_eq!(names(&nearest, 9), [("user:new".into(), 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_limiter_says_now_counts_and_else_what_was_seen() {
        let (nearest, policy) = (Nearest::new(1), policy());
        for (name, used) in [("a", 90), ("b", 80), ("c", 70)] {
            see(&nearest, &policy, name, used);
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        let [a, b, c] = <[Seen; 3]>::try_from(nearest.seen(9)).expect("three");
        let said = |seen: &Seen, used| Standing { used, ..seen.standing.clone() };
        nearest.learn(&a, &said(&a, 0));
        nearest.learn(&b, &said(&b, 5));
        assert_eq!(names(&nearest, 9), [("user:c".into(), 70), ("user:b".into(), 5)]);
        let none = said(&a, 0);
        assert_eq!(a.told(Some(none)), None);
        let five = said(&b, 5);
        assert_eq!(b.told(Some(five)).map(|near| (near.standing.used, near.age)), Some((5, Duration::ZERO)));
        let near = c.told(None).expect("as it was seen");
        let times = (near.age, near.standing.reset);
        assert_eq!((near.standing.used, times), (70, (Duration::from_secs(20), Duration::from_secs(40))));
    }

    #[test]
    fn a_share_is_never_more_than_the_whole_and_never_nothing_if_something_is_used() {
        let policy = policy();
        let share_of = |used, amount| {
            let mut charge = Charge::new(policy.clone(), Subject::everyone(), 1);
            charge.amount = amount;
            let mut standing = Standing::new(0, &charge, Room::Now, 0);
            standing.used = used;
            share(&standing)
        };
        assert_eq!([share_of(0, 0), share_of(0, 5), share_of(1, 2), share_of(5, 5)], [0, 0, WHOLE / 2, WHOLE]);
        assert_eq!([share_of(9, 5), share_of(1, u64::MAX), share_of(u64::MAX - 1, u64::MAX)], [WHOLE, 1, WHOLE - 1]);
    }
}
