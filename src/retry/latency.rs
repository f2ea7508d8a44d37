//! [`Latencies`]: how fast an upstream answers, for hedging by a percentile.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How many answers are remembered.
const KEPT: usize = 256;

/// How many answers a percentile needs.
const ENOUGH: usize = 32;

/// After how many further answers a percentile is counted anew.
const ANEW: usize = 16;

/// The times of the last answers, and a percentile of them.
#[derive(Debug, Default)]
pub(super) struct Latencies(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    times: Vec<Duration>,
    next: usize,
    since: usize,
    counted: Option<(f64, Duration)>,
}

impl Latencies {
    pub(super) fn add(&self, time: Duration) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ring.next;
        match ring.times.get_mut(next) {
            Some(oldest) => *oldest = time,
            None => ring.times.push(time),
        }
        ring.next = (next + 1) % KEPT;
        ring.since += 1;
    }

    /// The time within which this part of the last answers came, from 0 to 1; `None` if there were too few.
    pub(super) fn percentile(&self, part: f64) -> Option<Duration> {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.times.len() < ENOUGH {
            return None;
        }
        if let Some((counted, time)) = ring.counted
            && counted == part
            && ring.since < ANEW
        {
            return Some(time);
        }
        let mut times = ring.times.clone();
        let rank = ((times.len() - 1) as f64 * part).round() as usize;
        let (_, time, _) = times.select_nth_unstable(rank);
        (ring.counted, ring.since) = (Some((part, *time)), 0);
        Some(*time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_percentile_is_of_the_last_answers() {
        let latencies = Latencies::default();
        for time in 1..ENOUGH as u32 {
            latencies.add(MS * time);
        }
        assert_eq!(latencies.percentile(0.5), None);
        latencies.add(MS * ENOUGH as u32);
        assert_eq!(latencies.percentile(0.0), Some(MS));
        for _ in 0..KEPT {
            latencies.add(MS * 7);
        }
        assert_eq!(latencies.percentile(0.95), Some(MS * 7));
        for time in 1..=100 {
            latencies.add(MS * 10 * time);
        }
        assert_eq!(latencies.percentile(1.0), Some(MS * 1000));
    }
}
