//! Failures in a row.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many calls of one generation failed in a row. The generation is the upper half of the word: what belongs to another one
/// can't be counted, however late it comes.
#[derive(Debug, Default)]
pub(super) struct Streak(AtomicU64);

impl Streak {
    /// Begins anew.
    pub(super) fn restart(&self, generation: u32) {
        self.0.store(u64::from(generation) << 32, Ordering::Release);
    }

    /// Counts a failure: how many there are in a row now.
    pub(super) fn fail(&self, generation: u32) -> u32 {
        let count = |word| match split(word) {
            (of, failures) if of == generation && failures < u32::MAX => Some(word + 1),
            _ => None,
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, count).map_or(0, |before| split(before).1 + 1)
    }

    /// Ends the row; writes only if there is one.
    pub(super) fn succeed(&self, generation: u32) {
        let end = |word| match split(word) {
            (of, failures) if of == generation && failures > 0 => Some(u64::from(generation) << 32),
            _ => None,
        };
        // `Err`: there was no row to end.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, end);
    }
}

fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_generation_neither_adds_to_a_row_nor_ends_it() {
        let streak = Streak::default();
        streak.restart(7);
        assert_eq!((streak.fail(7), streak.fail(6), streak.fail(8), streak.fail(7)), (1, 0, 0, 2));
        streak.succeed(6);
        assert_eq!(streak.fail(7), 3);
        streak.succeed(7);
        assert_eq!(streak.fail(7), 1);
    }
}
