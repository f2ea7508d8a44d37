//! Limits on how much each client may ask for.

pub mod subject;
