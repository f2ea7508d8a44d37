//! `RetryFallbackLayer` over scripted services.

mod breaker;
mod budget;
mod credentials;
mod hedge;
mod hints;
mod idempotency;
mod limits;
mod request_body;
mod schedule;
mod stacked;
mod words;
