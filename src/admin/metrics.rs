//! `GET /metrics`: the snapshots of all layers, as Prometheus reads them.

use std::sync::Arc;

use axum::{
    extract::State as Shared,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header::CONTENT_TYPE};

use super::state::State;
use crate::{
    figures::{Figures, OfCache, OfLookups, Text},
    llm::Ledger,
};

/// The format, by its own name.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let (caches, lookups) = tokio::join!(OfCache::ask_all(&state.caches), OfLookups::ask_all(&state.lookups));
    let figures = Figures {
        uptime: state.started.elapsed(),
        caches,
        retries: state.retries.iter().map(|(layer, retry)| (layer.as_str(), retry.stats())).collect(),
        embeddings: state.embeddings.iter().map(|(layer, kept)| (layer.as_str(), kept.stats())).collect(),
        lookups,
        costs: state.ledger.as_ref().map(Ledger::balance),
        limits: state.limits.iter().map(|(layer, limit)| (layer.as_str(), limit.stats())).collect(),
    };
    let mut text = Text::new();
    figures.tell(&mut text);
    ([(CONTENT_TYPE, HeaderValue::from_static(FORMAT))], text.finish()).into_response()
}
