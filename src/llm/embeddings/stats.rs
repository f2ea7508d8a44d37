//! What the layer did.

use crate::stats::counters_alone;

counters_alone! {
    /// The counters of an [`EmbeddingsLayer`](super::EmbeddingsLayer) since it was made.
    Snapshot;
    /// Requests that were taken apart.
    requests,
    /// Those of them that nobody else was asked for.
    hits,
    /// Those of which less was asked for: a part, or nothing, for another request was asking for the rest.
    partial,
    /// Those that were asked for as they came.
    misses,
    /// Those that were asked for as they came after a part of them had been asked for in vain.
    asked_whole,
    /// Requests that passed by: not for embeddings, or in a form that isn't understood.
    passed,
    /// Texts that were kept. Texts are counted once for each request.
    items_hit,
    /// Texts that were asked for.
    items_missed,
    /// Texts that another request was asking for.
    items_shared,
    /// Texts that a request has more than once.
    items_repeated,
    /// Embeddings that were stored.
    items_stored,
    /// Look-ups that the store failed, and those that it didn't answer in time.
    store_read_errors,
    /// Writes that the store failed.
    store_write_errors,
    /// Answers whose writes were dropped because too many were under way.
    store_writes_dropped,
}
