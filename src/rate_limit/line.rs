//! [`Lines`]: those who wait for room, in the order in which they came.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::{Instant, timeout_at};

use super::shared::Who;

/// The lines there are: one for each whose requests wait.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<Who, Line>>);

/// Whoever has the lock asks for room; the others get it in the order in which they asked for it.
type Line = Arc<tokio::sync::Mutex<()>>;

/// A place in a line; left when it is dropped.
pub(super) struct Place<'a> {
    lines: &'a Lines,
    who: Who,
    line: Line,
}

/// The turn to ask for room; over when it is dropped.
pub(super) struct Turn<'a> {
    _turn: tokio::sync::MutexGuard<'a, ()>,
    /// Whether others were in front.
    pub(super) has_queued: bool,
}

impl Lines {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self, who: &Who) -> bool {
        !self.lock().contains_key(who)
    }

    /// Stands behind those who wait already.
    pub(super) fn join(&self, who: Who) -> Place<'_> {
        let line = self.lock().entry(who.clone()).or_default().clone();
        Place { lines: self, who, line }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Waits for its turn; `None` if that doesn't come in time.
    pub(super) async fn turn(&self, deadline: Instant) -> Option<Turn<'_>> {
        if let Ok(turn) = self.line.try_lock() {
            return Some(Turn { _turn: turn, has_queued: false });
        }
        let turn = timeout_at(deadline, self.line.lock()).await.ok()?;
        Some(Turn { _turn: turn, has_queued: true })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        // The map's and this one.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::Subject;

    #[tokio::test(start_paused = true)]
    async fn a_line_in_which_nobody_waits_any_more_is_forgotten() {
        let (lines, who) = (Lines::default(), vec![(0, Subject::everyone())]);
        let soon = Instant::now() + std::time::Duration::from_secs(1);
        let (first, second) = (lines.join(who.clone()), lines.join(who.clone()));
        let turn = first.turn(soon).await.expect("nobody is in front");
        assert!(!turn.has_queued && second.turn(soon).await.is_none());
        drop(turn);
        drop(first);
        assert!(!lines.is_empty(&who) && second.turn(soon).await.is_some());
        drop(second);
        assert!(lines.is_empty(&who));
    }
}
