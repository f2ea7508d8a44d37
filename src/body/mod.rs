//! The two bodies that the layers are built on: one for requests that may have to be sent again, one for responses that are
//! kept while they pass.

mod ahead;
mod replay;
mod tee;

pub use self::replay::ReplayBody;
#[cfg(feature = "reqwest")]
pub(crate) use self::replay::Restored;
pub(crate) use self::{
    ahead::Ahead,
    replay::{Buffered, buffer},
    tee::{Ended, Joiner, Tee, TeeOptions},
};
