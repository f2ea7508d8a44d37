//! How the house is built, and recipes.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("cookbook.md")]
pub mod cookbook {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("lookups.md")]
pub mod lookups {}

#[doc = include_str!("observing.md")]
pub mod observing {}

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
#[doc = include_str!("redis.md")]
pub mod redis {}

#[doc = include_str!("retry.md")]
pub mod retry {}

#[doc = include_str!("rfc9111.md")]
pub mod rfc9111 {}

/// The README's snippets are tests too.
#[cfg(all(doctest, feature = "redis", feature = "reqwest"))]
#[doc = include_str!("../../README.md")]
mod readme {}
