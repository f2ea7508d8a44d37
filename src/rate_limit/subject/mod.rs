//! Whom a limit is for.

mod address;

pub use self::address::Address;
