//! Limits on how much clients use, in sliding windows: [`RateLimitLayer`].
//!
//! ```
//! use larder::{RateLimitLayer, rate_limit::Quota};
//!
//! let layer = RateLimitLayer::new(Quota::per_minute(600));
//! # let _ = layer;
//! ```

mod body;
mod builder;
mod decision;
mod failure;
mod fields;
mod future;
mod handle;
#[cfg(test)]
mod laws;
mod layer;
mod limit;
pub mod limiter;
mod line;
mod meter;
mod path;
mod policy;
mod problem;
mod quota;
mod run;
mod service;
mod settle;
mod shared;
mod stats;
mod status;
mod subject;
mod window;

pub use self::{
    body::RateLimitBody,
    builder::Builder,
    decision::{Charge, Correction, Room, Slots, Standing, Taken},
    failure::OnFailure,
    fields::Fields,
    future::ResponseFuture,
    handle::Handle,
    layer::RateLimitLayer,
    limit::{AmountFor, Limit},
    limiter::Limiter,
    meter::{ByteMeter, Gauge, Meter},
    policy::Policy,
    problem::Problem,
    quota::{Algorithm, Quota, Unit},
    service::RateLimit,
    stats::{PolicySnapshot, Snapshot},
    status::{Outcome, RateLimitStatus},
    subject::{Address, ApiKey, Everyone, Subject, SubjectOf},
};
pub use crate::header::{
    forwarded::ForwardedField,
    rate_limit::{Reset, Style},
};
