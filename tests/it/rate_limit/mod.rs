//! `RateLimitLayer` and its limiters.

mod asking;
mod corrupt;
mod local;
mod local_crowd;
mod redis;
mod traces;
