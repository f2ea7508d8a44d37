//! `Cache-Control` (RFC 9111 §5.2): what a request asks of caches, and what a response allows them.
//!
//! Besides RFC 9111 this knows `stale-while-revalidate` and `stale-if-error` (RFC 5861) and `immutable` (RFC 8246).
//! Other directives are ignored, as §5.2.3 asks. All lines of the field count, names in any case, arguments as token
//! or as quoted string.
//!
//! A response may tell some caches other things than all, in a targeted field such as `CDN-Cache-Control` (RFC 9213).
//! It knows the same directives in a stricter syntax, and stands in for `Cache-Control` where it is valid.

mod directive;
mod request;
mod response;
mod targeted;

pub use self::{
    request::{MaxStale, RequestDirectives},
    response::{FieldNames, ResponseDirectives},
};
