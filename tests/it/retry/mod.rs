//! `RetryFallbackLayer` over scripted services.

mod breaker;
mod hints;
mod limits;
mod schedule;
mod words;
