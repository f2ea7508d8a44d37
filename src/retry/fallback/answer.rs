//! What is said of an answer that stands in for another.

use http::{HeaderValue, Response, header::CACHE_CONTROL};

use super::FallbackKind;
use crate::{entry::StandIn, header::exchange::LARDER_FALLBACK};

/// Says, in fields and to layers outside, what stands in; `stand_in` keeps it from being stored.
pub(in crate::retry) fn mark<B>(response: &mut Response<B>, kind: FallbackKind, stand_in: Option<StandIn>) {
    response.headers_mut().insert(LARDER_FALLBACK, HeaderValue::from_static(kind.as_str()));
    if kind == FallbackKind::Default {
        // Not every cache is one of larder's, in the same process.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(stand_in) = stand_in {
        response.extensions_mut().insert(stand_in);
    }
}
