//! The leave to make a call, and what became of it.

use std::time::Instant;

use super::{Breaker, circuit::Admission};

/// The leave to make one call, and the place to say how it ended.
///
/// A permit that is dropped says nothing of the call, as one that was cancelled says nothing of who was called. If it was a
/// probe, the next call may be one in its place.
///
/// As long as all probes are held, a half-open breaker stays so: give calls a timeout.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once says nothing of the call"]
pub struct Permit {
    breaker: Breaker,
    admission: Admission,
    admitted: Instant,
    /// Whether a probe's seat is still to be given back.
    seated: bool,
}

impl Permit {
    pub(super) fn new(breaker: Breaker, admission: Admission, admitted: Instant) -> Self {
        Self { breaker, admission, admitted, seated: admission.probe }
    }

    /// The call succeeded.
    pub fn success(self, now: Instant) {
        self.record(Outcome::Success, now);
    }

    /// The call failed.
    pub fn failure(self, now: Instant) {
        self.record(Outcome::Failure, now);
    }

    /// The call ended. It took the time from its admission to `now`, which may make it a slow one.
    pub fn record(mut self, outcome: Outcome, now: Instant) {
        self.seated = false;
        let took = now.saturating_duration_since(self.admitted);
        self.breaker.0.record(self.admission, outcome, took, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.seated {
            self.breaker.0.give_back(self.admission);
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a call that neither succeeded nor failed is not recorded")]
pub enum Outcome {
    /// What was called is well. That it refused this call, as with a 404, doesn't matter.
    Success,
    /// What was called can't be reached, or isn't well.
    Failure,
}
