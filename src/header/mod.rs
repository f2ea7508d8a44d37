//! One HTTP field each: what it says, read from and written to a [`HeaderMap`](http::HeaderMap).
//!
//! Every parser here takes what the network sends: several lines for one field, odd white space, any case, any
//! bytes. None fails loudly. What cannot be understood gets the reading that serves the least from cache, since a
//! needless request upstream costs time, and a wrong answer costs trust.
//!
//! Nothing here reads a clock, and nothing decides whether to store or to serve: that is for the policies.

pub mod age;
pub mod cache_control;
pub mod cache_status;
pub mod date;
pub mod forwarded;
pub mod hop_by_hop;
pub mod location;
pub mod media_type;
pub mod provider_limit;
pub mod range;
pub mod rate_limit;
pub mod retry_after;
pub mod validators;
pub mod vary;

#[cfg(test)]
mod arbitrary;
pub(crate) mod content_encoding;
pub(crate) mod credential;
mod decimal;
pub(crate) mod delta_seconds;
pub(crate) mod exchange;
mod go_duration;
pub(crate) mod host;
mod list;
pub(crate) mod of_bytes;
mod rfc3339;
mod structured;
mod token;
