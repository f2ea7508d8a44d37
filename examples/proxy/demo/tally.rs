//! How often each request was failed, for those that are to fail so many times and no more.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// More requests than anyone fails at once.
const MOST: usize = 1024;

/// Counts failures by request.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<HashMap<u64, u8>>);

impl Tally {
    /// Whether a request is to fail once more. Once it isn't, counting begins anew.
    pub(super) fn fails(&self, request: u64, times: u8) -> bool {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failed.remove(&request).unwrap_or_default();
        if count >= times {
            return false;
        }
        if failed.len() >= MOST {
            failed.clear();
        }
        failed.insert(request, count + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_fails_as_often_as_told_and_then_again_from_the_start() {
        let tally = Tally::default();
        let seen: Vec<_> = (0..6).map(|_| tally.fails(1, 2)).collect();
        assert_eq!(seen, [true, true, false, true, true, false]);
        assert!(tally.fails(2, 1), "requests are counted apart");
    }

    #[test]
    fn requests_that_nobody_repeats_fill_no_memory() {
        let tally = Tally::default();
        for request in 0..10 * MOST as u64 {
            tally.fails(request, 1);
        }
        assert!(tally.0.lock().expect("a lock").len() <= MOST);
    }
}
