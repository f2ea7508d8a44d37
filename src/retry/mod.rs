//! [`RetryFallbackLayer`]: retries what is worth it, then degrades gracefully.
//!
//! # What it promises
//!
//! - What may have been acted upon is not sent again, unless its method is idempotent, it carries an `Idempotency-Key`, or you
//!   [say so](Builder::repeatable).
//! - A server that says when to come back is heeded; a wait that would be too long is not begun.
//! - However much fails, retries add no more to the load of an upstream than its [budget](Builder::budget), and an upstream that
//!   fails too often is left alone by its [breaker](crate::breaker) for a while.
//! - Retries end when the first byte of an answer is released. What breaks after that ends as an error, never as a clean end.
//! - The inner service's error type is untouched. Dropping the response's future ends all that it began.
//! - A first attempt that succeeds costs two allocations, and no copy of a body.
//!
//! # The chain
//!
//! When nothing more can be had of the upstream, the steps of the [fallback chain](Fallback) are taken in your order: a stale
//! answer, other upstreams, a default answer. At the end stands a [`Problem`], which says what happened and what to do.
//! A response with a 4xx that was not retried passes untouched.
//!
//! Under a [`CacheLayer`](crate::CacheLayer) the stale answer is the one that it has at hand, without another look-up. It keeps
//! none of what only stands in for an answer.
//!
//! [Retrying and falling back](crate::guide::retry) has all of it with its reasons, and the
//! [cookbook](crate::guide::cookbook#two-providers-of-llms) has recipes.
//!
//! # What is said
//!
//! | where | what |
//! |---|---|
//! | response field `larder-attempts`, extension [`Attempts`] | how many attempts were made, if it was more than one, or if something stood in |
//! | response field `larder-fallback` | `stale`, `upstream`, `default` or `problem` |
//! | request field `larder-attempt` | which attempt it is, from the second on |
//! | request field `idempotency-key` | if [asked for](Builder::idempotency_key) |
//!
//! A layer that finds `larder-attempt` in a request makes one attempt at each upstream, and no hedge; one that finds
//! `larder-attempts` in a response that won't do doesn't retry. So layers that are stacked, in one process or in several, don't
//! multiply.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Empty, Full};
//! use larder::{
//!     RetryFallbackLayer,
//!     retry::{Attempts, Backoff},
//! };
//! use std::{
//!     convert::Infallible,
//!     sync::{Arc, atomic::{AtomicU32, Ordering}},
//!     time::Duration,
//! };
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let calls = Arc::new(AtomicU32::new(0));
//! let moody = service_fn(move |_| {
//!     let call = calls.fetch_add(1, Ordering::Relaxed);
//!     async move {
//!         let status = if call < 2 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
//!         Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::from("hello"))).unwrap())
//!     }
//! });
//! let layer = RetryFallbackLayer::builder().backoff(Backoff::constant(Duration::from_millis(1))).build();
//! let request = Request::get("http://example.com/").body(Empty::<Bytes>::new()).unwrap();
//! let response = layer.layer(moody).oneshot(request).await.unwrap();
//! assert_eq!(response.status(), 200);
//! assert_eq!(Attempts::of(&response).made, 3);
//! assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
//! # });
//! ```
//!
//! # Bodies
//!
//! The body of a response has to be `Unpin`, as those of hyper, axum and reqwest are; box it if yours isn't
//! (`BodyExt::boxed_unsync`). That of a request doesn't.

mod asked;
mod attempt;
mod attempts;
mod backoff;
mod body;
mod builder;
mod chain;
mod classify;
mod credentials;
mod dispatch;
mod events;
mod failure;
mod fallback;
mod future;
mod handle;
mod hedge;
mod hint;
mod latency;
mod layer;
mod passed;
mod plan;
mod run;
mod service;
mod shared;
mod stale;
mod stats;
mod trace;
mod upstreams;
mod watch;

use http::HeaderName;

pub use self::{
    asked::Asked,
    attempt::Hold,
    attempts::Attempts,
    backoff::Backoff,
    body::RetryBody,
    builder::{Builder, default_breaker},
    classify::{Cause, Classify, Outcome, Transient, Verdict, is_unsent, of_status},
    credentials::Credentials,
    failure::{Failure, FailureKind},
    fallback::{Fallback, FallbackKind, Problem, Upstream},
    future::ResponseFuture,
    handle::Handle,
    hedge::Hedge,
    layer::RetryFallbackLayer,
    service::RetryFallback,
    stats::Snapshot,
    upstreams::UpstreamSnapshot,
};

#[cfg(feature = "reqwest")]
pub(crate) use self::dispatch::Dispatch;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
