//! What an operator looks at, and steers by: an axum router over the handles of the layers (feature `admin`).
//!
//! ```
//! use larder::{CacheLayer, RetryFallbackLayer, admin, store::Memory};
//!
//! let (cache, retry) = (CacheLayer::new(Memory::new(64 << 20)), RetryFallbackLayer::new());
//! let admin = admin::router(cache.handle())
//!     .retry("upstream", retry.handle())
//!     .token(&std::env::var("LARDER_ADMIN_TOKEN").unwrap_or_else(|_| "a-long-random-secret".into()))
//!     .build();
//! let app: axum::Router = axum::Router::new().nest("/admin", admin);
//! # let _ = app;
//! ```
//!
//! It is to be served where clients don't come: on a port of its own, on loopback. Every request needs the bearer token, but for
//! the page at `/`, in which there is nothing to be seen without it; who wants to do without has to say so, with
//! [`insecure`](Builder::insecure).
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | [a dashboard](#the-dashboard) |
//! | `GET /health` | 200 as long as the process answers |
//! | `GET /health/cache` | each tier of each store: state, latency, usage, version; 503 if all tiers of a store are down |
//! | `GET /api/cache/stats` | the snapshots of all layers |
//! | `GET /api/cache/costs` | what answers cost, and what was saved, as a [ledger](Builder::ledger) counted it: by reason, model, space and tenant; `?limit=` rows of each |
//! | `GET /api/cache/entries` | what is kept, without bodies, a page at a time: `?pattern=`, `?tag=` or `?key=`, and `space`, `limit`, `cursor` |
//! | `GET /api/cache/entries/{key}` | one of them |
//! | `DELETE /api/cache/entries/{key}` | removes it |
//! | `DELETE /api/cache` | removes what `?pattern=`, `?tag=`, `?key=` or `?space=` means; all of it with `?all=true`; also of [look-ups](Builder::lookups), and without `space` of [embeddings](Builder::embeddings) |
//! | `POST /api/cache/explain` | why two requests share an entry, or don't; with an [`Explain`] |
//! | `GET /api/limits` | the limits, the subjects that have used most of them, and how those stand that are for a request of `?method=`, `?path=`, `?address=` |
//! | `GET /metrics` | [for Prometheus](#metrics) |
//! | `GET /openapi.json` | all this as an OpenAPI 3.1 document |
//!
//! A *space* is one of the caches, by the name that it was [given](Builder::cache), or one of [look-ups](Builder::lookups), of which
//! entries aren't listed. Keys are those of
//! [`Key`](crate::key::Key)'s text, `label:digest`. Errors are `application/problem+json` ([RFC 9457]), and say what to do. Times
//! are Unix times in seconds, durations are in seconds, and sizes in bytes.
//!
//! # The dashboard
//!
//! One document, without anything from elsewhere. It asks the router that it came from every two seconds while it can be seen, and
//! wants the token if there is one, which it keeps in its tab's `sessionStorage` and nowhere else. What happened over time it knows
//! from when it was opened. Its Content-Security-Policy lets nothing else run, and no text become markup. Behind a check of your own,
//! with [`insecure`](Builder::insecure), the browser's cookies go with what it asks.
//!
//! A purge asks about as many entries as match, up to a few thousand, before it is confirmed; labels are looked at in as many, every
//! ten to thirty seconds. A store that can't list its entries shows no labels.
//!
//! # Metrics
//!
#![doc = include_str!("../figures/names.md")]
//!
//! [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457

mod auth;
mod builder;
mod costs;
mod entries;
mod explain;
mod health;
mod limits;
mod metrics;
mod page;
mod params;
mod problem;
mod purge;
mod routes;
mod state;
mod stats;

pub use self::{builder::Builder, explain::Explain};
use crate::cache;

/// A router over a cache, in the space `default`, to be set further.
pub fn router(cache: cache::Handle) -> Builder {
    Builder::new().cache("default", cache)
}
