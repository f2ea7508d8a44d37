//! [`CacheLayer`]: answers requests with responses that are kept, and keeps those that pass.
//!
//! # What it promises
//!
//! - A response is forwarded while it is kept: its first byte leaves when it arrives.
//! - Only whole responses are kept: a length that was announced is matched, and an event stream has come to its protocol's own
//!   end. Over the [size limit](Builder::max_body) the client notices nothing.
//! - Identical requests in flight share one fetch. Each follower reads at its own pace, and a leader that goes away harms
//!   nobody. If the answer can't be kept, the followers fetch for themselves, in parallel.
//! - Nobody gets what another credential fetched, unless the [fingerprint](crate::fingerprint) says so.
//! - The inner service's error type is untouched, and no failure of a store fails or delays a request beyond the
//!   [look-up deadline](Builder::lookup_timeout).
//! - A hit never waits for the inner service to be ready: `poll_ready` is always ready, and a miss drives the inner service to
//!   readiness.
//!
//! What the cache did is said in the response's `Cache-Status` field ([RFC 9211]), and as a
//! [`CacheStatus`](crate::header::cache_status::CacheStatus) in its extensions.
//!
//! # Example
//!
//! ```
//! use axum::{Router, body::Body, routing::get};
//! use http::Request;
//! use larder::{CacheLayer, store::Memory};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let app = Router::new()
//!     .route("/", get(|| async { ([("cache-control", "max-age=60")], "hello") }))
//!     .layer(CacheLayer::new(Memory::new(64 << 20)));
//!
//! for expected in ["larder; fwd=uri-miss; fwd-status=200; stored", "larder; hit; ttl=60"] {
//!     let request = Request::get("/").body(Body::empty()).unwrap();
//!     let response = app.clone().oneshot(request).await.unwrap();
//!     assert_eq!(response.headers()["cache-status"], expected);
//!     axum::body::to_bytes(response.into_body(), 100).await.unwrap();
//! }
//! # });
//! ```
//!
//! [RFC 9211]: https://www.rfc-editor.org/rfc/rfc9211

mod across;
mod ask;
mod body;
mod builder;
mod confirm;
mod count;
mod fill;
mod future;
mod handle;
mod keep;
mod layer;
mod lookup;
mod observe;
mod part;
mod pass;
mod purges;
mod question;
mod serve;
mod service;
mod shared;
mod slot;
mod stand_in;
mod trace;
mod variants;
mod wants;
mod write;

pub(crate) use self::trace::SPAN;
#[cfg(feature = "reqwest")]
pub(crate) use self::{ask::Begun, fill::Finished, lookup::Lookup, pass::Pass, shared::exhaust};
pub use self::{
    body::{CacheBody, Replay},
    builder::Builder,
    future::ResponseFuture,
    handle::Handle,
    layer::CacheLayer,
    observe::{Answer, Fetch, Observed, Observer, Reading},
    service::Cache,
};
