//! How the house is built, and recipes.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("cookbook.md")]
pub mod cookbook {}

#[doc = include_str!("rfc9111.md")]
pub mod rfc9111 {}

/// The README's snippets are tests too.
#[cfg(all(doctest, feature = "reqwest"))]
#[doc = include_str!("../../README.md")]
mod readme {}
