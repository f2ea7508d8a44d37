//! How many calls there were of late, and how they ended.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A window is counted in so many parts. The part under way is one of them, so a call is forgotten after nine to ten tenths of
/// the window.
const PARTS: usize = 10;

/// Counts of the last ten ticks, for the generation that counts last.
///
/// A call is counted by one addition. When a tick begins, the part of ten ticks ago is cleared under a lock: a thread that had
/// found the part before that may add to it afterwards, and one call is counted in the wrong tick.
#[derive(Debug)]
pub(super) struct Window {
    /// In nanoseconds.
    tick: u64,
    parts: Box<[Part; PARTS]>,
    turning: Mutex<()>,
}

/// What happened in one tick.
#[derive(Debug, Default)]
struct Part {
    /// The generation in the upper half, the tick in the lower.
    stamp: AtomicU64,
    calls: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
}

/// The sums over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) slow: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { tick: nanos(length) / PARTS as u64, parts: Box::default(), turning: Mutex::new(()) }
    }

    /// Counts a call that ended so long after the breaker's beginning.
    pub(super) fn count(&self, generation: u32, at: Duration, failed: bool, slow: bool) {
        let tick = self.tick(at);
        let Some(part) = self.part(generation, tick) else { return };
        part.calls.fetch_add(1, Ordering::Relaxed);
        if failed {
            part.failures.fetch_add(1, Ordering::Relaxed);
        }
        if slow {
            part.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted for a generation in the window that ends at `at`.
    pub(super) fn sum(&self, generation: u32, at: Duration) -> Counts {
        let tick = self.tick(at);
        let mut counts = Counts::default();
        for part in self.parts.iter() {
            let (of, then) = split(part.stamp.load(Ordering::Acquire));
            if of == generation && tick.saturating_sub(then) < PARTS as u32 {
                counts.calls += part.calls.load(Ordering::Relaxed);
                counts.failures += part.failures.load(Ordering::Relaxed);
                counts.slow += part.slow.load(Ordering::Relaxed);
            }
        }
        counts
    }

    /// Ticks are 100 ms or more, so their number fits for 13 years.
    fn tick(&self, at: Duration) -> u32 {
        (nanos(at) / self.tick) as u32
    }

    /// The part of a tick, cleared if it held an older one; `None` if it holds a newer one.
    fn part(&self, generation: u32, tick: u32) -> Option<&Part> {
        let part = &self.parts[tick as usize % PARTS];
        let mine = stamp(generation, tick);
        if part.stamp.load(Ordering::Acquire) == mine {
            return Some(part);
        }
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let there = part.stamp.load(Ordering::Acquire);
        if there == mine {
            return Some(part);
        }
        if is_older((generation, tick), split(there)) {
            return None;
        }
        for count in [&part.calls, &part.failures, &part.slow] {
            count.store(0, Ordering::Relaxed);
        }
        part.stamp.store(mine, Ordering::Release);
        Some(part)
    }
}

/// 64 bits are enough for 584 years.
fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

fn stamp(generation: u32, tick: u32) -> u64 {
    (u64::from(generation) << 32) | u64::from(tick)
}

fn split(stamp: u64) -> (u32, u32) {
    ((stamp >> 32) as u32, stamp as u32)
}

/// Whether `a` is older than `b`. Generations begin again after the last of them.
fn is_older(a: (u32, u32), b: (u32, u32)) -> bool {
    match a.0.wrapping_sub(b.0) {
        0 => a.1 < b.1,
        ahead => ahead > u32::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sums(window: &Window, generation: u32, at: u32) -> (u64, u64, u64) {
        let Counts { calls, failures, slow } = window.sum(generation, SECOND * at);
        (calls, failures, slow)
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let window = Window::new(SECOND * 10);
        window.count(0, SECOND * 3, true, false);
        window.count(0, SECOND * 3, false, true);
        window.count(0, SECOND * 8, true, true);
        for (at, expected) in [(3, (3, 2, 2)), (8, (3, 2, 2)), (12, (3, 2, 2)), (13, (1, 1, 1)), (18, (0, 0, 0))] {
            assert_eq!(sums(&window, 0, at), expected, "at {at} s");
        }
        // The part of second 3 is that of second 13 now.
        window.count(0, SECOND * 13, false, false);
        assert_eq!(sums(&window, 0, 13), (2, 1, 1));
        assert_eq!(sums(&window, 0, 99), (0, 0, 0));
    }

    #[test]
    fn a_call_of_a_tick_that_is_gone_does_not_clear_the_newer_one() {
        let window = Window::new(SECOND * 10);
        window.count(0, SECOND * 13, true, false);
        window.count(0, SECOND * 3, true, false);
        assert_eq!(sums(&window, 0, 13), (1, 1, 0));
    }

    #[test]
    fn generations_are_counted_apart() {
        let window = Window::new(SECOND * 10);
        for generation in [1 << 30, 1 << 31, 3 << 30, u32::MAX, 0, 1] {
            window.count(generation, SECOND, true, false);
            window.count(generation.wrapping_sub(1), SECOND, true, true);
            assert_eq!(sums(&window, generation, 1), (1, 1, 0), "{generation}");
            assert_eq!(sums(&window, generation.wrapping_sub(1), 1), (0, 0, 0), "{generation}");
        }
    }
}
