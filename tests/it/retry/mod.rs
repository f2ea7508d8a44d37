//! `RetryFallbackLayer` over scripted services.

mod breaker;
mod budget;
mod hints;
mod limits;
mod schedule;
mod words;
