//! Layers that hardly wait, and a cache over them.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use larder::{
    BoxError, CacheLayer, RetryFallbackLayer,
    body::ReplayBody,
    cache::Builder as CacheBuilder,
    clock::ManualClock,
    fingerprint::RequestFingerprint,
    policy::Rfc9111,
    retry::{Attempts, Backoff, Builder, FallbackKind},
    store::Memory,
};
use tower::{Service, ServiceExt as _, service_fn, util::BoxCloneSyncService};

use crate::support::{Body, Origin, Refused, full, memory};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Three attempts without a bound, a millisecond apart.
pub(crate) fn quick() -> Builder {
    RetryFallbackLayer::builder().backoff(Backoff::constant(Duration::from_millis(1))).no_budget().no_breaker()
}

/// A cache as HTTP has it.
pub(super) fn http(clock: &ManualClock) -> CacheBuilder<Memory, RequestFingerprint, Rfc9111> {
    CacheLayer::builder(memory(clock)).clock(clock.clone())
}

/// What a service inside two layers is sent.
pub(crate) type Inner = Request<ReplayBody<ReplayBody<Body>>>;

/// An origin inside two layers, each of which wraps the body.
pub(crate) fn within(origin: &Origin) -> BoxCloneSyncService<Inner, Response<Body>, Refused> {
    let origin = origin.clone();
    BoxCloneSyncService::new(service_fn(move |request: Inner| {
        let origin = origin.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            origin.oneshot(Request::from_parts(head, ReplayBody::new(full(body)))).await
        }
    }))
}

/// Sends a request, and takes nothing but an answer.
pub(super) async fn sent<S, B, A>(service: &S, request: Request<B>) -> Response<A>
where
    S: Service<Request<B>, Response = Response<A>> + Clone,
    S::Error: std::fmt::Debug,
{
    service.clone().oneshot(request).await.expect("a response")
}

/// How many attempts were made, and what stood in.
pub(super) fn took<B>(response: &Response<B>) -> (u32, Option<FallbackKind>) {
    let attempts = Attempts::of(response);
    (attempts.made, attempts.fallback)
}

/// How a body ended that has to break: what came of it, and with which error.
pub(super) async fn broken<B>(response: Response<B>) -> (String, BoxError)
where
    B: http_body::Body<Data = bytes::Bytes, Error = BoxError> + Unpin,
{
    let (mut body, mut text) = (response.into_body(), String::new());
    loop {
        match body.frame().await.expect("a clean end in the place of an error") {
            Ok(frame) => text.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data"))),
            Err(error) => return (text, error),
        }
    }
}
