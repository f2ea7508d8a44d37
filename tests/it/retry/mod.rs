//! `RetryFallbackLayer` over scripted origins and real sockets.

mod bodies;
mod breaker;
mod budget;
mod cancel;
mod chain;
mod chain_end;
mod connections;
mod credentials;
mod crowd;
mod figures;
mod handed_on;
mod hedge;
mod hints;
mod idempotency;
mod limits;
mod lookup;
mod other_upstreams;
mod rendered;
mod request_body;
mod schedule;
mod socket_faults;
mod stack;
mod stacked;
mod streams;
mod under_cache;
mod words;

pub(crate) use self::stack::{quick, within};
