//! How the house is built, and recipes.

#[doc = include_str!("architecture.md")]
pub mod architecture {}
