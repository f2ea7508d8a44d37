//! Whether what is kept near may be believed: only while the changes that other processes make are heard.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often changes fell silent, or were heard again: odd while they may be missed.
#[derive(Debug, Default)]
pub(crate) struct Trust(AtomicU64);

/// A time in which changes may have been missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence(u64);

impl Trust {
    /// Whether all changes have been heard.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.load(Ordering::Acquire).is_multiple_of(2)
    }

    /// From now on changes may be missed.
    pub(crate) fn fall_silent(&self) {
        // Another odd number: what was to end the silence before this doesn't.
        let silent = |count: u64| Some(count + 1 + count % 2);
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, silent);
    }

    /// The silence that there is, if changes are heard again; it is over when what is kept near was emptied.
    pub(crate) fn silence(&self) -> Option<Silence> {
        let silence = self.0.load(Ordering::Acquire);
        (!silence.is_multiple_of(2)).then_some(Silence(silence))
    }

    /// Ends a silence, unless changes fell silent again meanwhile.
    pub(crate) fn end(&self, Silence(silence): Silence) {
        let _ = self.0.compare_exchange(silence, silence + 1, Ordering::AcqRel, Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_that_began_anew_is_not_over_with_the_one_before() {
        let trust = Trust::default();
        assert!(trust.is_whole() && trust.silence().is_none());
        trust.fall_silent();
        let first = trust.silence().expect("it is silent");
        trust.fall_silent();
        trust.end(first);
        assert!(!trust.is_whole(), "what was missed since isn't known");
        trust.end(trust.silence().expect("it is silent"));
        assert!(trust.is_whole());
    }
}
