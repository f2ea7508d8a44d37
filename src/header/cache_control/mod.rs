//! `Cache-Control` (RFC 9111 §5.2): what a request asks of caches, and what a response allows them.
//!
//! Besides RFC 9111 this knows `stale-while-revalidate` and `stale-if-error` (RFC 5861) and `immutable` (RFC 8246).
//! Other directives are ignored, as §5.2.3 asks. All lines of the field count, names in any case, arguments as token
//! or as quoted string.

mod directive;
mod request;
mod response;

pub use self::{
    request::{MaxStale, RequestDirectives},
    response::{FieldNames, ResponseDirectives},
};
