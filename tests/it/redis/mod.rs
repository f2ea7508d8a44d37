//! Entries in Redis, against real servers.

mod conformance;
mod deaf;
mod faults;
mod follow;
mod gate;
mod instance;
mod one_fetch;
mod tiers;

use std::time::Duration;

/// A deadline that a busy machine meets, for tests that are not about deadlines.
const PATIENT: Duration = Duration::from_secs(5);
