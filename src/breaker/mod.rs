//! A circuit breaker: after failures, calls are refused for a while instead of being sent to what is down.
//!
//! ```text
//!             failures, slow calls             open time is over
//!    Closed ───────────────────────► Open ───────────────────────► HalfOpen
//!      ▲                              ▲        a probe failed        │  │
//!      │                              └──────────────────────────────┘  │
//!      └────────────────────────────────────────────────────────────────┘
//!                          `probes` successes in a row
//! ```
//!
//! While closed, everything passes. It opens after a row of failures, or when too large a part of the calls in a rolling window
//! failed or were slow. While open, everything is refused. When the open time is over, the next [`admit`](Breaker::admit) makes
//! it half-open: a few calls probe what is behind it. If they succeed it closes; if one fails it opens again, for twice as long.
//!
//! It does no I/O and has neither timer nor clock: `now` is an argument. What counts as a failure is for the caller to say.
//!
//! ```
//! use larder::breaker::{Breaker, State};
//! use std::time::{Duration, Instant};
//!
//! let breaker = Breaker::builder().consecutive_failures(2).open_for(Duration::from_secs(1)).jitter(0.0).build();
//! let now = Instant::now();
//! for _ in 0..2 {
//!     breaker.admit(now).expect("closed").failure(now);
//! }
//! assert_eq!(breaker.admit(now).expect_err("open").retry_in, Duration::from_secs(1));
//!
//! let later = now + Duration::from_secs(1);
//! breaker.admit(later).expect("a probe").success(later);
//! assert_eq!(breaker.state(later), State::Closed);
//! ```
//!
//! # What is exact, and what isn't
//!
//! Transitions are exact: each happens once, and a result counts only for the period that its call was admitted in. What was
//! admitted before the breaker opened, or in an earlier half-open period, changes nothing when it ends.
//!
//! The counts of the window are kept without a lock. A thread that is held up between finding a tenth of the window and adding
//! its call to it may add it to the tenth that has taken its place, of a later closed period even: one call too many.

mod circuit;
mod permit;
mod settings;
mod streak;
mod window;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod threads;

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use circuit::Circuit;

pub use permit::{Outcome, Permit};
pub use settings::Builder;

/// A circuit breaker. Clones share their state.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Circuit>);

impl Breaker {
    /// A closed breaker with the defaults of [`Builder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings to make a breaker of.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Lets a call pass while the breaker is closed, and else never: for callers who leave probing to someone else.
    ///
    /// It reads one atomic, and where it lets pass counts up the reference that the permit holds.
    #[must_use]
    pub fn try_pass(&self, now: Instant) -> Option<Permit> {
        let admission = self.0.pass();
        admission.map(|admission| Permit::new(self.clone(), admission, now))
    }

    /// Lets a call pass while the breaker is closed, and while half-open up to `probes` calls at a time. An open breaker whose
    /// time is over becomes half-open.
    ///
    /// # Errors
    ///
    /// [`Refused`] while the breaker is open, and while it is half-open and all probes are out.
    pub fn admit(&self, now: Instant) -> Result<Permit, Refused> {
        let admission = self.0.admit(now).map_err(|retry_in| Refused { retry_in })?;
        Ok(Permit::new(self.clone(), admission, now))
    }

    /// The state. An open breaker whose time is over counts as half-open, as that is what the next [`admit`](Self::admit) finds;
    /// it becomes so, and says so to [`on_change`](Builder::on_change), with that call.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        self.0.state(now)
    }

    /// The state and the counters.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        self.0.snapshot(now)
    }

    /// Opens the breaker by hand, as failures do. One that is open stays open for as long as it would have.
    pub fn trip(&self, now: Instant) {
        self.0.trip(now);
    }

    /// Keeps a breaker that is open so for at least this long from now: for callers who were told when to come back. One that
    /// isn't open stays as it is.
    pub fn stay_open(&self, now: Instant, time: Duration) {
        self.0.stay_open(now, time);
    }

    /// Closes the breaker by hand, and forgets what led to any opening. Calls that are under way count no more; the counters of
    /// [`Snapshot`] go on.
    pub fn reset(&self) {
        self.0.reset();
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a circuit breaker has these three states")]
pub enum State {
    /// Lets all pass.
    Closed,
    /// Refuses all.
    Open,
    /// Lets a few pass, to see whether it may close.
    HalfOpen,
}

/// What a breaker is doing, and has done since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state, as [`Breaker::state`] tells it.
    pub state: State,
    /// Times that the breaker opened, by hand or from half-open included.
    pub opened: u64,
    /// Calls refused, those by [`Breaker::try_pass`] included.
    pub refused: u64,
    /// Calls that failed, late ones included.
    pub failures: u64,
    /// Calls that were slow, late and failed ones included. Zero if [`Builder::slow_call`] is off.
    pub slow: u64,
}

/// The breaker let a call not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// When it is worth asking again: the rest of the open time, and while probes are out, whose end isn't known,
    /// [`open_for`](Builder::open_for).
    pub retry_in: Duration,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused after earlier failures; try again in {:?}", self.retry_in)
    }
}

impl Error for Refused {}
