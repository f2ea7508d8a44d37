//! The layer as a middleware of a reqwest client (feature `reqwest`).
//!
//! What differs from a tower stack: the next middleware is borrowed, so a fetch can't outlive the request that leads it. A stale
//! entry is refreshed before the answer rather than behind it, and if the leader of identical requests goes away before the head
//! came, a follower begins again.

use ::reqwest::{Body, Request, Response};
use http::Extensions;
use reqwest_middleware::{Error, Middleware, Next, Result};

use crate::{
    cache::{CacheLayer, Lookup},
    fingerprint::Fingerprint,
    policy::Policy,
    store::Store,
};

#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
#[async_trait::async_trait]
impl<St: Store, F: Fingerprint, P: Policy> Middleware for CacheLayer<St, F, P> {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let request: http::Request<Body> = request.try_into().map_err(Error::Reqwest)?;
        match self.lookup(request).await {
            Lookup::Answer(response) => Ok(response.map(Body::wrap).into()),
            Lookup::Stale(_, miss) | Lookup::Miss(miss) => {
                let (request, fill) = miss.split();
                let request = request.map(Body::wrap).try_into().map_err(Error::Reqwest)?;
                match next.run(request, extensions).await {
                    Ok(response) => Ok(fill.finish(http::Response::<Body>::from(response)).map(Body::wrap).into()),
                    Err(error) => fill.failed().map(|response| response.map(Body::wrap).into()).ok_or(error),
                }
            }
            Lookup::Bypass(request, status) => {
                let request = request.map(Body::wrap).try_into().map_err(Error::Reqwest)?;
                let mut response = http::Response::<Body>::from(next.run(request, extensions).await?);
                crate::cache::announce(&mut response, status);
                Ok(response.into())
            }
        }
    }
}
