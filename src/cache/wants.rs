//! What a request wants of an answer.

use http::{Method, request::Parts};

use crate::header::{
    cache_control::RequestDirectives,
    range::{self, Ranges},
};

/// What of an answer a client wants, if not all.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    /// The bytes that it wants.
    pub(super) ranges: Option<Ranges>,
    /// Whether there is a condition that a stored response can be held against.
    pub(super) conditional: bool,
}

/// What the fields of a request ask of a cache.
pub(super) struct Asks {
    pub(super) directives: RequestDirectives,
    pub(super) wants: Wants,
    /// Whether only the origin can judge: conditions on what is there, ranges that can't be read, other protocols.
    pub(super) origin: bool,
}

impl Asks {
    /// One pass over the fields, for most requests have few, and none of those that are looked for.
    pub(super) fn of(head: &Parts) -> Self {
        let (mut controls, mut ranged, mut conditional, mut origin) =
            (false, false, false, head.method == Method::CONNECT);
        for name in head.headers.keys() {
            match name.as_str() {
                "cache-control" | "pragma" => controls = true,
                "range" => ranged = true,
                "if-none-match" | "if-modified-since" => conditional = true,
                "if-match" | "if-unmodified-since" | "upgrade" => origin = true,
                _ => {}
            }
        }
        let directives = if controls { RequestDirectives::parse(&head.headers) } else { RequestDirectives::default() };
        // HEAD has no ranges (RFC 9110 §14.2); what another method makes of them is the origin's to say.
        let ranges = if ranged && head.method == Method::GET { range::parse(&head.headers) } else { None };
        origin |= ranged && ranges.is_none() && head.method != Method::HEAD;
        Self { directives, wants: Wants { ranges, conditional }, origin }
    }
}
