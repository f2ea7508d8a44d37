//! `RateLimitLayer` and its limiters.

mod asking;
mod choice;
mod config;
mod corrupt;
mod denial;
mod fields;
mod layer;
mod local;
mod local_crowd;
mod redis;
mod traces;
mod words;
