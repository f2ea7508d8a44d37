//! `CacheLayer` over scripted origins.

mod coalesce;
mod completion;
mod conformance;
mod crowd;
mod directives;
mod faults;
mod figures;
mod fingerprint;
mod framing;
mod head;
mod invalidation;
mod leak;
mod listing;
mod mended;
mod observer;
mod overtaken;
mod parts;
mod purge;
mod ranges;
mod readiness;
mod renderings;
mod request_body;
mod revalidate;
mod serve;
mod stale;
mod stored;
mod stream;
mod tenancy;
mod variants;
mod vary;
mod wakes;

use std::time::Duration;

use larder::{
    CacheLayer,
    cache::Builder,
    clock::ManualClock,
    fingerprint::RequestFingerprint,
    policy::{Rfc9111, Ttl},
    store::Memory,
};

use crate::support::memory;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A cache as HTTP has it.
fn http(clock: &ManualClock) -> Builder<Memory, RequestFingerprint, Rfc9111> {
    CacheLayer::builder(memory(clock)).clock(clock.clone())
}

/// A cache that keeps everything for a minute, whatever the origin says, and reads JSON bodies.
fn minute(clock: &ManualClock) -> Builder<Memory, RequestFingerprint, Ttl> {
    http(clock).fingerprint(RequestFingerprint::new().json_body(1 << 20)).policy(Ttl::new(MINUTE).override_origin(true))
}
