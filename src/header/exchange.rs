//! Fields that tell of one exchange: how many attempts it took, and what stood in. An answer that is kept doesn't repeat them.

use http::{HeaderMap, HeaderName};

/// How many attempts were made for a response.
pub(crate) const LARDER_ATTEMPTS: HeaderName = HeaderName::from_static("larder-attempts");

/// What stands in for the answer that was asked for.
pub(crate) const LARDER_FALLBACK: HeaderName = HeaderName::from_static("larder-fallback");

/// Takes them away.
pub(crate) fn remove(headers: &mut HeaderMap) {
    headers.remove(LARDER_ATTEMPTS);
    headers.remove(LARDER_FALLBACK);
}
