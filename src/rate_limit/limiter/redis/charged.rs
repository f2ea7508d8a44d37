//! What was charged in one place, while another is asked.

use std::mem;

use tokio::{runtime::Handle, task::JoinHandle};

use super::{Limiter as _, Redis};
use crate::rate_limit::{Charge, Correction, Room, Standing};

/// Charges that are given back unless they are kept: also if the request goes away before all are made.
pub(super) struct Charged<'a> {
    redis: &'a Redis,
    back: Vec<Correction>,
}

impl<'a> Charged<'a> {
    pub(super) fn new(redis: &'a Redis) -> Self {
        Self { redis, back: Vec::new() }
    }

    /// Adds those of the charges that were made.
    pub(super) fn add(&mut self, charges: &[Charge], standings: &[Standing]) {
        let made = standings.iter().filter(|standing| standing.room == Room::Now);
        self.back.extend(
            made.filter_map(|standing| Some(Correction::new(charges.get(standing.index)?, standing.bucket, 0))),
        );
    }

    /// All were made.
    pub(super) fn keep(mut self) {
        self.back.clear();
    }

    /// Returns when they are given back, and nobody finds them charged any more.
    pub(super) async fn give_back(mut self) {
        if let Some(task) = self.begin() {
            let _ = task.await;
        }
    }

    /// In a task, so that it is done once, whoever waits for it.
    fn begin(&mut self) -> Option<JoinHandle<()>> {
        let back = mem::take(&mut self.back);
        let runtime = Handle::try_current().ok().filter(|_| !back.is_empty())?;
        let redis = self.redis.clone();
        Some(runtime.spawn(async move {
            if let Err(error) = redis.settle(&back).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "what a denied request had been charged could not be given back");
            }
        }))
    }
}

impl Drop for Charged<'_> {
    fn drop(&mut self) {
        self.begin();
    }
}
