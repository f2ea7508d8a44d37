//! `RateLimitLayer` and its limiters.

mod asking;
mod choice;
mod config;
mod corrupt;
mod denial;
mod down;
mod fields;
mod hits;
mod layer;
mod learn;
mod local;
mod local_crowd;
mod meters;
mod redis;
mod slots;
mod sockets;
mod stacked;
mod traces;
mod wait;
mod words;
