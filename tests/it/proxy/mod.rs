//! The example proxy from without: a process of its own, between raw sockets on both sides.
//!
//! The origin is scripted byte by byte, so that it can stall, lie and break off; most clients are raw sockets too. Needs Linux's
//! `/proc` for what a process holds.

mod admin;
mod bodies;
mod command_line;
mod connection;
mod connections;
mod cost;
mod embeddings;
mod encoded;
mod faults;
mod file;
mod fleet;
mod fleet_faults;
mod framing;
mod http;
mod interim;
mod limits;
mod llm;
mod llm_stream;
mod log;
mod message;
mod messages;
mod origin;
mod process;
mod protocols;
mod retry;
mod rfc9111;
mod shutdown;
mod stores;

use std::time::Duration;

pub(crate) use process::Proxy;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens within a minute")
}
