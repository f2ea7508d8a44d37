//! The spans of a cache. A fresh hit in memory has none.

use http::{Method, Response, Uri};
use tracing::{Span, debug_span, field::Empty};

use super::ask::Begun;
use crate::{
    key::Key,
    stats::Outcome,
    trace::{self, current},
};

/// What they are called.
pub(crate) const SPAN: &str = "larder.cache";

/// The span of a request that wasn't answered at once, until its response's head is there.
pub(super) fn span<B>(begun: &Begun<B>) -> Span {
    let head = begun.head();
    debug_span!(
        SPAN,
        "http.request.method" = head.map_or("_OTHER", |(method, _, _)| trace::method(method)),
        "server.address" = head.and_then(|(_, uri, headers)| trace::server(uri, headers)),
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        "larder.cache.outcome" = Empty,
        "larder.cache.label" = Empty,
        "gen_ai.operation.name" = Empty,
        "gen_ai.provider.name" = Empty,
        "gen_ai.request.model" = Empty,
        "gen_ai.usage.input_tokens" = Empty,
        "gen_ai.usage.output_tokens" = Empty,
    )
}

/// That of a fetch behind a stale response, which no request waits for.
pub(super) fn refresh(method: &Method, uri: &Uri, headers: &http::HeaderMap) -> Span {
    let span = debug_span!(
        parent: None,
        SPAN,
        "http.request.method" = trace::method(method),
        "server.address" = trace::server(uri, headers),
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        "larder.cache.outcome" = "refresh",
    );
    span.follows_from(Span::current());
    span
}

/// Says how the request of the current span was answered.
pub(super) fn told(outcome: Outcome) {
    current(SPAN).record("larder.cache.outcome", outcome.as_str());
}

/// Says what the current span's request is, in a key's readable part.
pub(super) fn named(key: &Key) {
    current(SPAN).record("larder.cache.label", key.label());
}

/// Says with what the current span's request was answered.
pub(super) fn answered<B, E>(answer: &Result<Response<B>, E>) {
    match answer {
        Ok(response) => trace::answered(&current(SPAN), response.status()),
        Err(_) => {
            current(SPAN).record("error.type", "connection");
        }
    }
}
