//! The state that the clones of a breaker share, and its transitions.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Outcome, Snapshot, State, settings::Settings, streak::Streak, window::Window};

/// Calls are admitted and counted without the lock while closed, and refused without it while open. Every transition is made
/// under the lock, and begins a new generation; what belongs to an earlier one counts no more.
pub(super) struct Circuit {
    settings: Settings,
    /// A [`Phase`], written under the lock.
    phase: AtomicU64,
    streak: Streak,
    window: Option<Window>,
    /// The first `now` that mattered; times are counted from it.
    origin: OnceLock<Instant>,
    /// When the open time is over, in nanoseconds. Meaningful while open.
    until: AtomicU64,
    control: Mutex<Control>,
    opened: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
}

/// What the lock guards.
#[derive(Debug, Default)]
struct Control {
    /// Probes that are out.
    seats: u32,
    /// Probes that succeeded since it became half-open.
    passed: u32,
    /// How often the open time has been doubled.
    doublings: u32,
    /// When it closed, after having been open.
    closed_at: Option<Instant>,
    /// States entered that `on_change` has not been told of.
    untold: VecDeque<State>,
    /// Whether a thread is telling it.
    telling: bool,
}

/// A state, and which period of it this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phase {
    generation: u32,
    state: State,
}

/// What a permit is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admission {
    generation: u32,
    pub(super) probe: bool,
}

impl Circuit {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            window: settings.window(),
            settings,
            phase: AtomicU64::new(Phase { generation: 0, state: State::Closed }.to_bits()),
            streak: Streak::default(),
            origin: OnceLock::new(),
            until: AtomicU64::new(0),
            control: Mutex::default(),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }

    pub(super) fn pass(&self) -> Option<Admission> {
        let Phase { generation, state } = self.phase();
        if state == State::Closed {
            return Some(Admission { generation, probe: false });
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Admits a call, or says when to ask again.
    pub(super) fn admit(&self, now: Instant) -> Result<Admission, Duration> {
        let Phase { generation, state } = self.phase();
        let admission = match state {
            State::Closed => return Ok(Admission { generation, probe: false }),
            State::Open => match self.open_still(now) {
                Some(left) => Err(left),
                None => self.seat(now),
            },
            State::HalfOpen => self.seat(now),
        };
        if admission.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        admission
    }

    fn seat(&self, now: Instant) -> Result<Admission, Duration> {
        let mut control = self.lock();
        self.ripen(&mut control, now);
        let Phase { generation, state } = self.phase();
        let admission = match state {
            State::Closed => Ok(Admission { generation, probe: false }),
            State::Open => Err(self.open_still(now).unwrap_or_default()),
            State::HalfOpen if control.seats < self.settings.probes() => {
                control.seats += 1;
                Ok(Admission { generation, probe: true })
            }
            State::HalfOpen => Err(self.settings.open_for()),
        };
        drop(control);
        self.tell();
        admission
    }

    /// Takes back a probe's seat, of a call that said nothing.
    pub(super) fn give_back(&self, admission: Admission) {
        let mut control = self.lock();
        if self.phase().generation == admission.generation {
            control.seats -= 1;
        }
    }

    pub(super) fn record(&self, admission: Admission, outcome: Outcome, took: Duration, now: Instant) {
        let (failed, slow) = (outcome == Outcome::Failure, self.settings.is_slow(took));
        if failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        if slow {
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
        if admission.probe {
            self.conclude(admission, !(failed || slow), now);
        } else if self.phase().generation == admission.generation && self.count(admission.generation, failed, slow, now)
        {
            self.open_if(admission.generation, now);
        }
    }

    /// Counts a call of a closed period: whether it is one too many.
    fn count(&self, generation: u32, failed: bool, slow: bool, now: Instant) -> bool {
        let row = self.settings.consecutive_failures().is_some_and(|limit| {
            if failed {
                return self.streak.fail(generation) >= limit;
            }
            self.streak.succeed(generation);
            false
        });
        let part = self.window.as_ref().is_some_and(|window| {
            let at = self.since(now);
            window.count(generation, at, failed, slow);
            (failed || slow) && self.settings.too_many(window.sum(generation, at), failed, slow)
        });
        row || part
    }

    fn open_if(&self, generation: u32, now: Instant) {
        let mut control = self.lock();
        // Another call's result may have opened it since this one's was counted.
        if self.phase().generation == generation {
            self.open(&mut control, now);
        }
        drop(control);
        self.tell();
    }

    /// Ends a probe.
    fn conclude(&self, admission: Admission, passed: bool, now: Instant) {
        let mut control = self.lock();
        if self.phase().generation == admission.generation {
            control.seats -= 1;
            if passed {
                control.passed += 1;
                if control.passed >= self.settings.probes() {
                    control.closed_at = Some(now);
                    self.enter(&mut control, State::Closed);
                }
            } else {
                self.open(&mut control, now);
            }
        }
        drop(control);
        self.tell();
    }

    pub(super) fn trip(&self, now: Instant) {
        let mut control = self.lock();
        self.ripen(&mut control, now);
        if self.phase().state != State::Open {
            self.open(&mut control, now);
        }
        drop(control);
        self.tell();
    }

    pub(super) fn stay_open(&self, now: Instant, time: Duration) {
        if self.phase().state == State::Closed {
            return;
        }
        let _control = self.lock();
        if self.phase().state == State::Open {
            let until = self.since(now).saturating_add(time).as_nanos();
            self.until.fetch_max(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    pub(super) fn reset(&self) {
        let mut control = self.lock();
        control.doublings = 0;
        control.closed_at = None;
        self.enter(&mut control, State::Closed);
        drop(control);
        self.tell();
    }

    pub(super) fn state(&self, now: Instant) -> State {
        match self.phase().state {
            State::Open if self.open_still(now).is_none() => State::HalfOpen,
            state @ (State::Closed | State::Open | State::HalfOpen) => state,
        }
    }

    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        Snapshot {
            state: self.state(now),
            opened: self.opened.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            slow: self.slow.load(Ordering::Relaxed),
        }
    }

    /// Makes an open breaker half-open if its time is over.
    fn ripen(&self, control: &mut Control, now: Instant) {
        if self.phase().state == State::Open && self.open_still(now).is_none() {
            self.enter(control, State::HalfOpen);
        }
    }

    fn open(&self, control: &mut Control, now: Instant) {
        let again = match self.phase().state {
            State::Closed => {
                let rested = |at| now.saturating_duration_since(at) >= self.settings.max_open_for();
                control.closed_at.is_some_and(|at| !rested(at))
            }
            State::HalfOpen | State::Open => true,
        };
        control.doublings = if again { control.doublings.saturating_add(1) } else { 0 };
        let until = self.since(now) + self.settings.open_time(control.doublings);
        self.until.store(until.as_nanos() as u64, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.enter(control, State::Open);
    }

    /// Begins a generation. The phase is written last: who reads it finds the rest in place.
    fn enter(&self, control: &mut Control, state: State) {
        let before = self.phase();
        let phase = Phase { generation: before.generation.wrapping_add(1), state };
        (control.seats, control.passed) = (0, 0);
        if state != before.state && self.settings.on_change().is_some() {
            control.untold.push_back(state);
        }
        self.streak.restart(phase.generation);
        self.phase.store(phase.to_bits(), Ordering::Release);
    }

    /// Tells `on_change` what it has not heard of, unless another thread, or a call further up in this one, is at it.
    fn tell(&self) {
        let Some(on_change) = self.settings.on_change() else { return };
        let mut control = self.lock();
        if control.telling {
            return;
        }
        while let Some(state) = control.untold.pop_front() {
            control.telling = true;
            drop(control);
            let told = catch_unwind(AssertUnwindSafe(|| on_change(state)));
            control = self.lock();
            control.telling = false;
            if let Err(panic) = told {
                drop(control);
                resume_unwind(panic);
            }
        }
    }

    fn phase(&self) -> Phase {
        Phase::from_bits(self.phase.load(Ordering::Acquire))
    }

    /// How much of the open time is left.
    fn open_still(&self, now: Instant) -> Option<Duration> {
        let until = Duration::from_nanos(self.until.load(Ordering::Relaxed));
        until.checked_sub(self.since(now)).filter(|left| !left.is_zero())
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.origin.get_or_init(|| now))
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuit")
            .field("phase", &self.phase())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Phase {
    const fn to_bits(self) -> u64 {
        let state = match self.state {
            State::Closed => 0,
            State::Open => 1,
            State::HalfOpen => 2,
        };
        ((self.generation as u64) << 2) | state
    }

    const fn from_bits(bits: u64) -> Self {
        let state = match bits & 3 {
            0 => State::Closed,
            1 => State::Open,
            _ => State::HalfOpen,
        };
        Self { generation: (bits >> 2) as u32, state }
    }
}
