//! Fields that tell of one exchange: how many attempts it took, what stood in, and what it cost. An answer that is kept doesn't repeat them.

use http::{HeaderMap, HeaderName};

/// How many attempts were made for a response.
pub(crate) const LARDER_ATTEMPTS: HeaderName = HeaderName::from_static("larder-attempts");

/// What stands in for the answer that was asked for.
pub(crate) const LARDER_FALLBACK: HeaderName = HeaderName::from_static("larder-fallback");

/// What was paid for a response, in US dollars.
pub(crate) const LARDER_COST: HeaderName = HeaderName::from_static("larder-cost");

/// What would have been paid for a response, in US dollars.
pub(crate) const LARDER_SAVED: HeaderName = HeaderName::from_static("larder-saved");

/// Whether a response says that it isn't an answer of any upstream's. In the same process an extension says so, too.
pub(crate) fn stands_in(headers: &HeaderMap) -> bool {
    headers.get(LARDER_FALLBACK).is_some_and(|kind| kind != "upstream")
}

/// Takes them away.
pub(crate) fn remove(headers: &mut HeaderMap) {
    for name in [LARDER_ATTEMPTS, LARDER_FALLBACK, LARDER_COST, LARDER_SAVED] {
        headers.remove(name);
    }
}
