//! What a cache of values did.

use crate::stats::counters_alone;

counters_alone! {
    /// The counters of a cache of values since it was made. Look-ups are counted once each, under how they were answered.
    Snapshot;
    /// Look-ups answered by a fresh value that this process had.
    hits,
    /// Look-ups answered by a fresh value from the far store.
    far_hits,
    /// Look-ups answered by a stale value that was refreshed behind it.
    stale_hits,
    /// Look-ups answered by a stale value in place of an error.
    stale_on_error,
    /// Look-ups answered by another look-up's load.
    collapsed,
    /// Look-ups that nothing kept answers.
    misses,
    /// Loads that were begun, refreshes included.
    loads,
    /// Loads that failed.
    load_errors,
    /// Loads that panicked, or were given up since nobody waited for them any more.
    loads_unfinished,
    /// Values that were kept, and that there is none of a key.
    sets,
    /// Values that were invalidated while they were loaded, and so not kept.
    outdated,
    /// Calls that invalidate something.
    invalidations,
    /// Values that were removed by them.
    invalidated,
    /// Values in the far store that can't be read, most likely of another schema, and were removed.
    unreadable,
    /// Keys and values that can't be written.
    unwritable,
    /// Look-ups that the far store failed, and those that it didn't answer in time.
    store_read_errors,
    /// Writes, removals and purges that the far store failed.
    store_write_errors,
    /// Writes to the far store that were dropped because too many were under way.
    store_writes_dropped,
}

impl Snapshot {
    /// Look-ups in all.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.answered() + self.misses
    }

    /// Look-ups answered without a load of their own.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.hits + self.far_hits + self.stale_hits + self.stale_on_error + self.collapsed
    }

    /// The part of the look-ups that was answered without a load of their own, from 0 to 1; `None` before the first.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.lookups();
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counters need not be exact")]
        (lookups > 0).then(|| self.answered() as f64 / lookups as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_what_was_looked_up() {
        let stats = Stats::default();
        assert_eq!(stats.snapshot().hit_ratio(), None);
        stats.hits.add(2);
        stats.collapsed.increment();
        stats.misses.increment();
        stats.loads.add(96);
        assert_eq!((stats.snapshot().lookups(), stats.snapshot().hit_ratio()), (4, Some(0.75)));
    }
}
