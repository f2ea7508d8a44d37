//! [`Cache`]: the service that [`CacheLayer`](super::CacheLayer) makes.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt as _;
use tower_service::Service;
use tracing::Instrument as _;

use super::{
    CacheBody, ResponseFuture,
    ask::Begun,
    fill::{Finished, Miss},
    lookup::Lookup,
    shared::{Shared, exhaust},
    trace,
};
use crate::{
    BoxError,
    body::ReplayBody,
    coalesce::Detachable,
    fingerprint::{Fingerprint, RequestFingerprint},
    policy::{Policy, Rfc9111},
    store::Store,
};

/// How long a refresh behind a stale response may take, unless the layer is told to finish its fetches within another time.
const REFRESH: Duration = Duration::from_secs(600);

/// Answers requests with responses that are kept; see the [module](super).
#[must_use]
pub struct Cache<S, St, F = RequestFingerprint, P = Rfc9111> {
    inner: S,
    shared: Arc<Shared<St, F, P>>,
}

impl<S, St, F, P> Cache<S, St, F, P> {
    pub(super) fn new(inner: S, shared: Arc<Shared<St, F, P>>) -> Self {
        Self { inner, shared }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Clone, St, F, P> Clone for Cache<S, St, F, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<S: fmt::Debug, St, F, P> fmt::Debug for Cache<S, St, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, St, F, P, Req, Res> Service<Request<Req>> for Cache<S, St, F, P>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    St: Store,
    F: Fingerprint,
    P: Policy,
    Req: Body<Data = Bytes> + Send + 'static,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes> + Send + 'static,
    Res::Error: Into<BoxError>,
{
    type Response = Response<CacheBody<Res>>;
    type Error = S::Error;
    type Future = ResponseFuture<Res, S::Error>;

    /// Always ready: a hit doesn't queue behind the inner service, and a miss waits for it in its future.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let begun = self.shared.begin(request);
        if let Begun::Answer(response) = begun {
            return ResponseFuture::ready(response.map(CacheBody::served));
        }
        let (inner, span) = (self.inner.clone(), trace::span(&begun));
        ResponseFuture::waiting(answer(self.shared.clone(), inner, begun).instrument(span))
    }
}

async fn answer<S, St, F, P, Req, Res>(
    shared: Arc<Shared<St, F, P>>,
    inner: S,
    begun: Begun<Req>,
) -> Result<Response<CacheBody<Res>>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    St: Store,
    F: Fingerprint,
    P: Policy,
    Req: Body<Data = Bytes> + Send + 'static,
    Req::Error: Into<BoxError>,
    Res: Body<Data = Bytes> + Send + 'static,
    Res::Error: Into<BoxError>,
{
    let answer = match shared.clone().lookup(begun).await {
        Lookup::Answer(response) => Ok(response.map(CacheBody::served)),
        Lookup::Stale(response, miss) => {
            // Without a runtime there is nobody to refresh it; the next request may have one.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                let (method, uri, headers) = miss.head();
                let span = trace::refresh(method, uri, headers);
                runtime.spawn(refresh(inner, miss).instrument(span));
            }
            Ok(response.map(CacheBody::served))
        }
        Lookup::Miss(miss) => {
            let (interest, finish) = (miss.fill.interest(), miss.fill.finishes());
            Detachable::new(fetch(inner, miss), interest, finish).await
        }
        Lookup::Bypass(request, pass) => match inner.oneshot(request).await {
            Ok(response) => Ok(shared.passed(pass, response)),
            Err(error) => {
                shared.passed_in_vain(&pass);
                Err(error)
            }
        },
    };
    trace::answered(&answer);
    answer
}

async fn fetch<S, St, F, P, Req, Res>(inner: S, miss: Miss<St, F, P, Req>) -> Result<Response<CacheBody<Res>>, S::Error>
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone,
    St: Store,
    F: Fingerprint,
    P: Policy,
    Res: Body<Data = Bytes> + Send + 'static,
    Res::Error: Into<BoxError>,
{
    let (mut request, mut fill) = miss.split();
    let mut spare = fill.may_ask_again().then(|| inner.clone());
    let mut next = inner;
    loop {
        let response = match next.oneshot(request).await {
            Ok(response) => response,
            Err(error) => return fill.failed().map(|response| response.map(CacheBody::served)).ok_or(error),
        };
        match fill.finish(response) {
            Finished::Response(response) => return Ok(response),
            Finished::Again(plain, same) => {
                let Some(inner) = spare.take() else { return Ok(same.unanswered().map(CacheBody::served)) };
                (next, fill) = (inner, same);
                request = plain.map(|()| ReplayBody::buffered(Bytes::new()));
            }
        }
    }
}

/// Fetches what was served stale, and keeps it.
async fn refresh<S, St, F, P, Req, Res>(inner: S, mut miss: Miss<St, F, P, Req>)
where
    S: Service<Request<ReplayBody<Req>>, Response = Response<Res>> + Clone,
    St: Store,
    F: Fingerprint,
    P: Policy,
    Res: Body<Data = Bytes> + Send + 'static,
    Res::Error: Into<BoxError>,
{
    if !miss.fill.may_refresh().await {
        return;
    }
    let within = miss.fill.finishes().unwrap_or(REFRESH);
    let refreshed = async {
        let answer = fetch(inner, miss).await;
        trace::answered(&answer);
        if let Ok(response) = answer
            && let Some(body) = response.into_body().into_served()
        {
            exhaust(body).await;
        }
    };
    if tokio::time::timeout(within, refreshed).await.is_err() {
        tracing::debug!("a refresh took too long and was dropped");
    }
}
