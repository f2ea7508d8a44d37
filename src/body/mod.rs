//! The two bodies that the layers are built on: one for requests that may have to be sent again, one for responses that are
//! kept while they pass; and what takes the codings off those that are compressed, where they have to be read.

mod ahead;
mod decode;
mod replay;
mod tee;

pub use self::replay::ReplayBody;
#[cfg(feature = "reqwest")]
pub(crate) use self::replay::Restored;
pub(crate) use self::{
    ahead::Ahead,
    decode::{Decoder, Undecodable, decode},
    replay::{Buffered, buffer},
    tee::{Ended, Joiner, Tee, TeeOptions},
};
