//! What the benchmarks here share.

pub mod allocations;
pub mod machine;
pub mod origin;
pub mod rounds;
pub mod server;
