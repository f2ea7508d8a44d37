//! Interleaved rounds: A B C, A B C, …, so that whatever the machine does besides hits all alike.

use std::time::Duration;

/// The cost of one operation, over all rounds of one contestant.
#[derive(Clone, Debug, Default)]
pub struct Costs(Vec<f64>);

impl Costs {
    /// One round: so many operations took so long.
    pub fn record(&mut self, operations: u64, elapsed: Duration) {
        self.0.push(elapsed.as_nanos() as f64 / operations as f64);
    }

    /// Nanoseconds.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half the distance between the quartiles, as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0 / self.median()
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut costs = self.0.clone();
        costs.sort_by(f64::total_cmp);
        costs.get(((costs.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// A count from the environment, for a shorter or a longer run.
pub fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
