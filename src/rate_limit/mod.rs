//! [`RateLimitLayer`]: limits how much clients use, in sliding windows, in this process or in Redis.
//!
//! # What it promises
//!
//! - No window ever holds more than its quota, wherever it begins, however many processes count in one Redis, and whatever comes at the
//!   same time ([by default](Algorithm): the strict algorithm, and the log).
//! - A request is charged to all limits that are for it, or to none: what is denied costs nothing.
//! - `Retry-After` is the first second at which the same request finds room, if nobody else takes it.
//! - In Redis a decision is one round trip, however many limits there are, and none while a denial is still good; in a Cluster one for
//!   each subject, unless they are [grouped](Builder::group). Time is Redis's.
//! - While Redis is known to be down nothing waits for it: what is done with requests is [what you say](OnFailure).
//! - What a request may cost is reserved before it is sent, and corrected to what it did cost when its response has ended, once. Where
//!   nobody knows, the reservation stays.
//! - Memory is bounded, in the process and, by times to live, in Redis. Keys of clients are [nowhere in clear](ApiKey).
//! - The inner service's error type is untouched, and a response is handed on as it comes.
//!
//! # What makes a limit
//!
//! | | |
//! |---|---|
//! | [`Quota`] | how much in how long: requests, tokens, bytes, cost, or requests at the same time |
//! | [`Algorithm`] | how the window slides: strict, approximate, log |
//! | [`Limit`] | a quota, [whose](Limit::per) use it limits, [on which requests](Limit::on), [how much in particular cases](Limit::amounts) |
//! | [`SubjectOf`] | whose use a request is: [`Address`], [`ApiKey`], [`Everyone`], or a closure |
//! | [`Meter`] | what a request costs, if it isn't counted as one; [`llm::Tokens`](crate::llm::Tokens) is one |
//! | [`limiter`] | where it is counted: [`Local`](limiter::Local), `Redis`, or yours |
//!
//! Outside of a [`CacheLayer`](crate::CacheLayer) hits count, inside of it they don't; [`free_hits`](Builder::free_hits) lets them count
//! as requests alone. For clients that would rather wait than fail there are [`wait`](Builder::wait) and [`learn`](Builder::learn).
//!
//! [Limits](crate::guide::limits) has all of it with its reasons.
//!
//! # What is said
//!
//! | where | what |
//! |---|---|
//! | response fields | as [`Fields`] has it: `RateLimit-Policy` and `RateLimit`, `X-RateLimit-*`; they are on all answers |
//! | 429, or 503 if no limiter answers | a [`Problem`], with `Retry-After` |
//! | response extension [`RateLimitStatus`] | the [`Outcome`], and how each limit stands |
//! | [`Handle::stats`] | counters, also of each limit, and of what a shadow would have denied |
//! | [`Handle::standings`] | how the limits stand for a request, without charging it |
//! | [`Handle::nearest`] | the subjects that have used most of their quotas |
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Empty, Full};
//! use larder::{
//!     RateLimitLayer,
//!     rate_limit::{ApiKey, Limit, Quota, limiter::Local},
//! };
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let key = ApiKey::new("16 bytes or more, from a vault");
//! let layer = RateLimitLayer::builder(Local::new())
//!     .limit(Limit::new(Quota::per_minute(2)).named("generation").per(key.clone()).on_path("/v1/chat"))
//!     .limit(Limit::new(Quota::per_minute(100)).named("all").per(key))
//!     .build();
//! let inner = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello")))) });
//! let service = layer.layer(inner);
//!
//! let ask = |path: &str| {
//!     let request = Request::get(path).header("authorization", "Bearer sk-1").body(Empty::<Bytes>::new()).unwrap();
//!     service.clone().oneshot(request)
//! };
//! for status in [200, 200, 429] {
//!     assert_eq!(ask("/v1/chat/completions").await.unwrap().status(), status);
//! }
//! let response = ask("/v1/models").await.unwrap();
//! // The denied request was charged to neither limit.
//! assert_eq!(response.headers()["x-ratelimit-remaining"], "97");
//! assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
//! # });
//! ```

mod body;
mod builder;
mod decision;
mod failure;
mod fields;
mod future;
mod handle;
#[cfg(test)]
mod laws;
mod layer;
mod limit;
pub mod limiter;
mod line;
mod meter;
mod nearest;
mod path;
mod policy;
mod problem;
mod quota;
mod run;
mod service;
mod settle;
mod shared;
mod stats;
mod status;
mod subject;
mod window;

pub(crate) use self::path::plain;
pub use self::{
    body::RateLimitBody,
    builder::Builder,
    decision::{Charge, Correction, Room, Slots, Standing, Taken},
    failure::OnFailure,
    fields::Fields,
    future::ResponseFuture,
    handle::Handle,
    layer::RateLimitLayer,
    limit::{AmountFor, Limit},
    limiter::Limiter,
    meter::{ByteMeter, Gauge, Meter},
    nearest::Near,
    policy::Policy,
    problem::Problem,
    quota::{Algorithm, Quota, Unit},
    service::RateLimit,
    stats::{PolicySnapshot, Snapshot},
    status::{Outcome, RateLimitStatus},
    subject::{Address, ApiKey, Everyone, Subject, SubjectOf},
};
pub use crate::header::{
    forwarded::ForwardedField,
    rate_limit::{Reset, Style},
};
