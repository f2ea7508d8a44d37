//! What is counted of requests and answers, and how long they take.

use std::sync::Arc;

use http::{Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;

use super::{body::Served, fill::Fill, shared::Shared, trace::told};
use crate::stats::{self, ErrorKind, Outcome, Stats};

impl<St, F, P> Shared<St, F, P> {
    /// Counts a request that came when it was `begun` and is answered with this.
    pub(super) fn answered(&self, outcome: Outcome, begun: Instant, response: &Response<Served>) {
        self.stats.answered(outcome, begun.elapsed());
        // What is live is being fetched, and counted there.
        if !matches!(response.body(), Served::Live(_)) {
            self.stats.served_bytes.add(response.body().size_hint().lower());
        }
    }

    /// Hears how the inner service answered.
    pub(super) fn heard(&self, status: StatusCode) {
        match stats::of_status(status) {
            None => {}
            Some(ErrorKind::RateLimited) => self.stats.errors_rate_limited.increment(),
            Some(ErrorKind::Timeout) => self.stats.errors_timeout.increment(),
            Some(ErrorKind::Server) => self.stats.errors_server.increment(),
            Some(ErrorKind::Client) => self.stats.errors_client.increment(),
            Some(ErrorKind::Connection | ErrorKind::Broken) => self.stats.errors_connection.increment(),
        }
    }

    /// Counts the bytes of a body that comes from the inner service. `begun`: when the request came, if its miss is to be timed.
    pub(super) fn meter(&self, begun: Option<Instant>) -> Meter {
        Meter { stats: Some(self.stats.clone()), begun, left: None }
    }
}

impl<St, F, P> Fill<St, F, P> {
    /// Counts the request as answered with this, if it was not before.
    pub(super) fn answered(&self, outcome: Outcome, response: &Response<Served>) {
        if let Some(begun) = self.begun.filter(|_| !self.behind_response) {
            told(outcome);
            self.shared.answered(outcome, begun, response);
        }
    }

    /// Counts the request as a miss whose response is there, if it was not answered before.
    pub(super) fn count_miss(&self) {
        if let Some(begun) = self.begun.filter(|_| !self.behind_response) {
            told(Outcome::Miss);
            self.shared.stats.answered(Outcome::Miss, begun.elapsed());
        }
    }

    pub(super) fn meter(&self) -> Meter {
        self.shared.meter(self.begun.filter(|_| !self.behind_response))
    }
}

/// Counts what comes of a body, and times its end.
pub(super) struct Meter {
    stats: Option<Arc<Stats>>,
    /// Until the end.
    begun: Option<Instant>,
    /// How much is still to come, if that is known.
    left: Option<u64>,
}

impl Meter {
    /// For a body that is counted elsewhere.
    pub(super) fn none() -> Self {
        Self { stats: None, begun: None, left: None }
    }

    pub(super) fn expect(&mut self, length: Option<u64>) {
        self.left = length;
    }

    pub(super) fn add(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.stats.iter().for_each(|stats| stats.fetched_bytes.add(bytes));
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes);
            // Who knows the length doesn't ask for what comes after.
            if *left == 0 {
                self.end();
            }
        }
    }

    pub(super) fn end(&mut self) {
        if let (Some(stats), Some(begun)) = (&self.stats, self.begun.take()) {
            stats.fetches.record(begun.elapsed());
        }
    }
}
