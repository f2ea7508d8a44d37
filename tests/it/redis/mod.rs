//! Entries in Redis, against real servers.

mod cluster;
mod conformance;
mod deaf;
mod faults;
mod fence;
mod follow;
mod gate;
mod instance;
mod keys;
mod lease;
mod lease_faults;
mod listing;
mod one_fetch;
mod overtaken;
mod purge;
mod renderings;
mod reshard;
mod samples;
mod sentinel;
mod tiers;
mod tls;

use std::time::Duration;

/// A deadline that a busy machine meets, for tests that are not about deadlines.
const PATIENT: Duration = Duration::from_secs(5);
