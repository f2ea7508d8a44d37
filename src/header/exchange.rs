//! Fields that tell of one exchange: how many attempts it took, and what stood in. An answer that is kept doesn't repeat them.

use http::{HeaderMap, HeaderName};

/// How many attempts were made for a response.
pub(crate) const LARDER_ATTEMPTS: HeaderName = HeaderName::from_static("larder-attempts");

/// What stands in for the answer that was asked for.
pub(crate) const LARDER_FALLBACK: HeaderName = HeaderName::from_static("larder-fallback");

/// Whether a response says that it isn't an answer of any upstream's. In the same process an extension says so, too.
pub(crate) fn stands_in(headers: &HeaderMap) -> bool {
    headers.get(LARDER_FALLBACK).is_some_and(|kind| kind != "upstream")
}

/// Takes them away.
pub(crate) fn remove(headers: &mut HeaderMap) {
    headers.remove(LARDER_ATTEMPTS);
    headers.remove(LARDER_FALLBACK);
}
