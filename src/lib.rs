#![cfg_attr(docsrs, feature(doc_cfg))]
//! larder keeps what has already been paid for.
//!
//! It is a set of composable [tower] middleware that sits in front of any HTTP client or server, made
//! first of all for LLM APIs, where an answer takes seconds and costs money.
//!
//! [`CacheLayer`] keeps response bodies by request fingerprint: streamed answers are forwarded while they
//! are kept, identical requests in flight share one upstream call, and nothing that larder does ever breaks
//! a request that would have worked without it.
//!
//! ```
//! use axum::{Router, routing::get};
//! use larder::{CacheLayer, store::Memory};
//!
//! let app: Router = Router::new()
//!     .route("/", get(|| async { ([("cache-control", "max-age=60")], "hello") }))
//!     .layer(CacheLayer::new(Memory::new(64 << 20)));
//! # let _ = app;
//! ```
//!
//! [`RetryFallbackLayer`] sends a request again if that may help. If it doesn't, it answers with something
//! stale, with what another upstream says, with a default, or at last with an error that says what to do.
//!
//! ```
//! use axum::{Router, http::StatusCode, routing::get};
//! use larder::{
//!     CacheLayer, RetryFallbackLayer,
//!     retry::{Attempts, Backoff},
//!     store::Memory,
//! };
//! use std::{
//!     sync::atomic::{AtomicU32, Ordering},
//!     time::Duration,
//! };
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! /// Fails every other time.
//! async fn moody() -> (StatusCode, &'static str) {
//!     static CALLS: AtomicU32 = AtomicU32::new(0);
//!     match CALLS.fetch_add(1, Ordering::Relaxed) % 2 {
//!         0 => (StatusCode::SERVICE_UNAVAILABLE, "not now"),
//!         _ => (StatusCode::OK, "hello"),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! // Any client will do in the place of the router. The cache is the outer one.
//! let client = ServiceBuilder::new()
//!     .layer(CacheLayer::new(Memory::new(64 << 20)))
//!     .layer(RetryFallbackLayer::builder().backoff(Backoff::constant(Duration::from_millis(1))).build())
//!     .service(Router::new().route("/", get(moody)));
//!
//! let request = http::Request::get("/").body(axum::body::Body::empty()).unwrap();
//! let response = client.oneshot(request).await.unwrap();
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(Attempts::of(&response).made, 2);
//! # });
//! ```
//!
//! [`RateLimitLayer`] limits how much clients use: requests, tokens, bytes, money, for each address, key, or whatever else tells
//! them apart. It counts in sliding windows, in the process or in Redis, and says in every answer how the limits stand.
//!
//! ```
//! use axum::{Router, http::StatusCode, routing::get};
//! use larder::{RateLimitLayer, rate_limit::Quota};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let app = Router::new().route("/", get(|| async { "hello" })).layer(RateLimitLayer::new(Quota::per_minute(2)));
//! let ask = || app.clone().oneshot(http::Request::get("/").body(axum::body::Body::empty()).unwrap());
//!
//! assert_eq!(ask().await.unwrap().headers()["x-ratelimit-remaining"], "1");
//! assert_eq!(ask().await.unwrap().headers()["x-ratelimit-remaining"], "0");
//! let denied = ask().await.unwrap();
//! assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert!(denied.headers().contains_key("retry-after"));
//! # });
//! ```
//!
//! # Where to start
//!
//! - [`cache`]: the layer, and what it promises.
//! - [`retry`]: the second layer, and what it promises; [retrying and falling back](guide::retry) says more.
//! - [`rate_limit`]: the third, and what it promises; [limits](guide::limits) says more.
//! - [`cached`]: look-ups of values by keys, over the same stores; [look-ups](guide::lookups) has recipes.
//! - [`fingerprint`]: what makes two requests the same.
//! - [`policy`]: what may be kept, for how long, and when it may be served.
//! - [`store`]: where it is kept.
//! - [`breaker`]: a circuit breaker, to use by itself.
//! - [`llm`]: all of them set up for LLM APIs.
//! - [`guide`]: how the house is built, and recipes.
//!
//! # Features
//!
//! The default is small: the layers and the memory store.
//!
//! | feature | adds |
//! |---|---|
//! | `redis` | [`store::Redis`], entries that many processes share; [`rate_limit::limiter::Redis`], limits that they keep together; the way to Redis |
//! | `zstd` | `Content-Encoding: zstd` in what [`policy::completeness`] and [`llm`] look into; gzip, deflate and br are always read |
//! | `encryption` | entries that are encrypted where they are kept |
//! | `codec` | [`entry::codec`], entries as bytes, for far stores of your own |
//! | `admin` | [`admin`], a router with health, statistics, listings, purges and metrics |
//! | `metrics` | [`metrics`], the figures of all layers for exporters of the [`metrics`](::metrics) facade |
//! | `auth` | `cached::auth`, verdicts on credentials for tower-http's `AsyncRequireAuthorizationLayer` |
//! | `reqwest` | the layers as a `reqwest_middleware::Middleware` |
//! | `conformance` | `store::conformance`, the suite that every store passes |
//!
//! [tower]: https://docs.rs/tower

#[cfg(feature = "admin")]
#[cfg_attr(docsrs, doc(cfg(feature = "admin")))]
pub mod admin;
pub mod body;
pub mod breaker;
pub mod cache;
pub mod cached;
pub mod clock;
mod coalesce;
pub mod entry;
mod error;
#[cfg(any(feature = "admin", feature = "metrics"))]
mod figures;
pub mod fingerprint;
pub mod guide;
pub mod header;
pub mod key;
pub mod llm;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
pub mod policy;
mod problem;
pub mod rate_limit;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;
#[cfg(feature = "reqwest")]
mod reqwest;
pub mod retry;
pub mod stats;
pub mod store;
pub mod tag;
mod trace;

pub use cache::CacheLayer;
pub use error::{BoxError, ConfigError};
pub use rate_limit::RateLimitLayer;
pub use retry::RetryFallbackLayer;
