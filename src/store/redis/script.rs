//! The scripts that Redis runs for a store. Each says in its file what goes in and comes out.

use crate::redis::Script;

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: Script = Script::new(include_str!($file));)*
    };
}

scripts! {
    CLAIM = "claim.lua";
    INDEX = "index.lua";
    PURGE = "purge.lua";
    PUT = "put.lua";
    RELEASE = "release.lua";
    REMOVE = "remove.lua";
    RENEW = "renew.lua";
    SINCE = "since.lua";
}
