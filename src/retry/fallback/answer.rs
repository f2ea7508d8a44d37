//! What is said of an answer that stands in for another.

use http::{HeaderValue, Response, StatusCode, header::CACHE_CONTROL};

use super::FallbackKind;
use crate::{entry::StandIn, header::exchange::LARDER_FALLBACK};

/// Says, in a field and to layers outside, what stands in.
pub(in crate::retry) fn mark<B>(
    response: &mut Response<B>,
    kind: FallbackKind,
    storable: bool,
    last_status: Option<StatusCode>,
) {
    response.headers_mut().insert(LARDER_FALLBACK, HeaderValue::from_static(kind.as_str()));
    if kind == FallbackKind::Default {
        // Not every cache is one of larder's, in the same process.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !storable {
        let stand_in = if kind == FallbackKind::Stale { StandIn::Stale { last_status } } else { StandIn::Other };
        response.extensions_mut().insert(stand_in);
    }
}
