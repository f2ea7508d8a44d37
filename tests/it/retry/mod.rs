//! `RetryFallbackLayer` over scripted services.

mod hints;
mod limits;
mod schedule;
mod words;
