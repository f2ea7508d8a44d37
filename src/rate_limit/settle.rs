//! What is done when a response has ended: charges are corrected, slots are given back.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Charge, Correction, Gauge, Limiter, Slots, body::Tracked, shared::Shared, stats::Stats};

/// A charge that is corrected at the end.
pub(super) struct Settle {
    charge: Charge,
    bucket: u64,
    gauge: Option<Box<dyn Gauge>>,
    /// It turned out to cost nothing.
    is_free: bool,
}

impl Settle {
    pub(super) fn new(charge: &Charge, bucket: u64, gauge: Option<Box<dyn Gauge>>, is_free: bool) -> Self {
        Self { charge: charge.clone(), bucket, gauge, is_free }
    }
}

/// Charges that stay unless there is a response: nobody knows what was used when there is none.
pub(super) struct Unknown<'a> {
    stats: &'a Stats,
    charges: u64,
}

impl<'a> Unknown<'a> {
    pub(super) fn new(stats: &'a Stats, charges: usize) -> Self {
        Self { stats, charges: charges as u64 }
    }

    /// There is a response.
    pub(super) fn forget(mut self) {
        self.charges = 0;
    }
}

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        self.stats.unsettled.add(self.charges);
    }
}

/// Follows a response to its end. Dropped before, that is the end.
pub(super) struct Tracking<L: Limiter> {
    settle: Vec<Settle>,
    slots: Slots,
    shared: Arc<Shared<L>>,
    /// Whether it was this process's own share that was charged.
    is_local: bool,
    has_ended: bool,
}

impl<L: Limiter> Tracking<L> {
    /// Begins; `None` if there is nothing to follow.
    pub(super) fn begin(
        settle: Vec<Settle>,
        slots: Slots,
        shared: Arc<Shared<L>>,
        is_local: bool,
    ) -> Option<Box<dyn Tracked>> {
        let (stays, settle): (Vec<_>, Vec<_>) =
            settle.into_iter().partition(|settle| settle.gauge.is_none() && !settle.is_free);
        shared.stats.unsettled.add(stays.len() as u64);
        if settle.is_empty() && slots.is_empty() {
            return None;
        }
        Some(Box::new(Self { settle, slots, shared, is_local, has_ended: false }))
    }
}

impl<L: Limiter> Tracked for Tracking<L> {
    fn read(&mut self, data: &[u8]) {
        for gauge in self.settle.iter_mut().filter_map(|settle| settle.gauge.as_mut()) {
            gauge.read(data);
        }
    }

    fn end(&mut self, is_whole: bool) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        drop(std::mem::take(&mut self.slots));
        let mut corrections = Vec::with_capacity(self.settle.len());
        for Settle { charge, bucket, gauge, is_free } in &mut self.settle {
            let cost = if *is_free { Some(0) } else { gauge.as_mut().and_then(|gauge| gauge.cost(is_whole)) };
            match cost {
                Some(cost) => corrections.push(Correction::new(charge, *bucket, cost)),
                None => self.shared.stats.unsettled.increment(),
            }
        }
        if corrections.is_empty() {
            return;
        }
        self.shared.stats.settled.add(corrections.len() as u64);
        if self.is_local {
            self.shared.fallback.correct(&corrections);
        } else {
            settle(self.shared.limiter.clone(), corrections);
        }
    }
}

impl<L: Limiter> Drop for Tracking<L> {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// Corrects charges: at once if the limiter can, or else behind the response.
fn settle<L: Limiter>(limiter: Arc<L>, corrections: Vec<Correction>) {
    if limiter.settle_now(&corrections) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else {
        tracing::debug!("charges could not be corrected, for there is no runtime");
        return;
    };
    runtime.spawn(async move {
        if let Err(error) = limiter.settle(&corrections).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "charges could not be corrected");
        }
    });
}
