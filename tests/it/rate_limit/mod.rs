//! `RateLimitLayer` and its limiters.

mod redis;
