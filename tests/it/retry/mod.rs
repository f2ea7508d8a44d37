//! `RetryFallbackLayer` over scripted services.

mod breaker;
mod budget;
mod cancel;
mod credentials;
mod handed_on;
mod hedge;
mod hints;
mod idempotency;
mod limits;
mod request_body;
mod schedule;
mod stacked;
mod words;
