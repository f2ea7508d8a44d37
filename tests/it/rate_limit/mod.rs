//! `RateLimitLayer` and its limiters.

mod asking;
mod choice;
mod config;
mod corrupt;
mod layer;
mod local;
mod local_crowd;
mod redis;
mod traces;
mod words;
