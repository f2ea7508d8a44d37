//! [`CacheLayer`] as a middleware.
//!
//! What differs from a tower stack: the next middleware is borrowed, so a fetch can't outlive the request that leads it. A stale
//! entry is refreshed before the answer rather than behind it, whole; a request for less than that (HEAD, a range, a condition)
//! is then answered with what was stored. If the leader of identical requests goes away before the head came, a follower begins
//! again.

use ::reqwest::{Body, Request, Response, Url};
use bytes::Bytes;
use http::{
    Extensions, Method,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE},
};
use reqwest_middleware::{Error, Middleware, Next, Result};
use tracing::Instrument as _;

use super::{located, restored};
use crate::{
    body::ReplayBody,
    cache::{Begun, CacheLayer, Finished, Lookup, SPAN, exhaust},
    fingerprint::Fingerprint,
    policy::Policy,
    store::Store,
    trace,
};

#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
#[async_trait::async_trait]
impl<St: Store, F: Fingerprint, P: Policy> Middleware for CacheLayer<St, F, P> {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let url = request.url().clone();
        let bare = request.body().is_none();
        // Asked for less than the whole, the client is answered with what is stored; what refreshes that is the whole.
        let less = [RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE].iter().any(|name| request.headers().contains_key(name));
        let less = less || request.method() == Method::HEAD;
        let request: http::Request<Body> = request.try_into().map_err(Error::Reqwest)?;
        let (begun, span) = self.begin(request);
        async {
            let answer = self.answer(begun, extensions, next, Asked { url, bare, less }).await;
            if let Ok(response) = &answer {
                trace::answered(&trace::current(SPAN), response.status());
            }
            answer
        }
        .instrument(span)
        .await
    }
}

/// What is known of the client's request besides what is sent on.
struct Asked {
    url: Url,
    /// Whether it has no body.
    bare: bool,
    /// Whether it asks for less than the whole.
    less: bool,
}

impl<St: Store, F: Fingerprint, P: Policy> CacheLayer<St, F, P> {
    async fn answer(
        &self,
        begun: Begun<Body>,
        extensions: &mut Extensions,
        next: Next<'_>,
        Asked { url, bare, less }: Asked,
    ) -> Result<Response> {
        let (stale, miss) = match self.lookup(begun).await {
            Lookup::Answer(response) => return Ok(located(response.map(Body::wrap), url)),
            Lookup::Stale(response, mut miss) => match miss.may_refresh().await {
                true => (Some(response), miss),
                false => return Ok(located(response.map(Body::wrap), url)),
            },
            Lookup::Miss(miss) => (None, miss),
            Lookup::Bypass(request, pass) => {
                let response = match next.run(restored(request, bare)?, extensions).await {
                    Ok(response) => response,
                    Err(error) => {
                        self.passed_in_vain(&pass);
                        return Err(error);
                    }
                };
                let url = response.url().clone();
                let response = self.passed(pass, http::Response::<Body>::from(response));
                return Ok(located(response.map(Body::wrap), url));
            }
        };
        let (request, fill) = miss.split();
        let spare = fill.may_ask_again().then(|| next.clone());
        match next.run(restored(request, bare)?, extensions).await {
            // What could be served before it was refreshed can be served if that failed.
            Ok(response) if fill.is_error(response.status()) && stale.is_some() => {
                fill.refused(response.status());
                Ok(stale.map_or(response, |stale| located(stale.map(Body::wrap), url)))
            }
            Ok(response) => {
                let mut url = response.url().clone();
                let mut finished = fill.finish(http::Response::<Body>::from(response));
                if let Finished::Again(request, fill) = finished {
                    let request = restored(request.map(|()| ReplayBody::buffered(Bytes::new())), true)?;
                    let Some(next) = spare else { return Ok(located(fill.unanswered().map(Body::wrap), url)) };
                    let response = match next.run(request, extensions).await {
                        Ok(response) => response,
                        Err(error) => {
                            let answer = fill.failed().map(|response| located(response.map(Body::wrap), url));
                            return answer.ok_or(error);
                        }
                    };
                    url = response.url().clone();
                    finished = fill.finish(http::Response::<Body>::from(response));
                }
                match finished {
                    Finished::Response(response) => match stale.filter(|_| less) {
                        Some(stale) => {
                            exhaust(response.into_body()).await;
                            Ok(located(stale.map(Body::wrap), url))
                        }
                        None => Ok(located(response.map(Body::wrap), url)),
                    },
                    Finished::Again(_, fill) => Ok(located(fill.unanswered().map(Body::wrap), url)),
                }
            }
            Err(error) => {
                let stale = fill.failed().or(stale);
                stale.map(|response| located(response.map(Body::wrap), url)).ok_or(error)
            }
        }
    }
}
