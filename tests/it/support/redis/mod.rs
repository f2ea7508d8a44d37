//! Real Redis servers: one alone, one behind TLS, one behind a relay that does it harm, Sentinels, a cluster.
//!
//! Each server is a process of its own on 127.0.0.1, with a directory of its own. Both go when the test lets go of it, also when
//! the test fails; the processes also die with the tests' program. What the harness itself asks a server goes over the server's
//! Unix socket, past every relay and without TLS.

mod cluster;
mod directory;
mod migration;
mod ports;
mod process;
mod relay;
mod sentinel;
mod server;
mod tls;
mod view;

use std::time::{Duration, Instant};

pub(crate) use self::{
    cluster::Cluster,
    relay::{Fault, Relay},
    sentinel::Sentinels,
    server::Server,
    tls::Tls,
};

/// How long a server may take for anything it does alone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what other processes come to on their own, by asking again and again, but not for ever.
///
/// The limit is real time, so a paused clock does not shorten it.
struct Patience {
    what: String,
    end: Instant,
}

impl Patience {
    fn new(what: impl Into<String>, limit: Duration) -> Self {
        Self { what: what.into(), end: Instant::now() + limit }
    }

    /// A moment, before the next look.
    async fn pause(&self) {
        assert!(Instant::now() < self.end, "waited in vain for {}", self.what);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
