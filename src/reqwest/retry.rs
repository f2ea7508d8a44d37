//! [`RetryFallbackLayer`] as a middleware.
//!
//! Each attempt is given a copy of the client's extensions; those of the attempt that ended last are kept.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use ::reqwest::{Body, Request, Response, Url};
use http::Extensions;
use reqwest_middleware::{Error, Middleware, Next, Result};

use super::{located, restored};
use crate::{
    body::ReplayBody,
    retry::{Classify, Dispatch, RetryFallbackLayer},
};

/// Where a response came from.
#[derive(Clone)]
struct Origin(Url);

#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
#[async_trait::async_trait]
impl<C: Classify<Error>> Middleware for RetryFallbackLayer<C> {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let (url, bare) = (request.url().clone(), request.body().is_none());
        let request: http::Request<Body> = request.try_into().map_err(Error::Reqwest)?;
        let shared = Arc::new(Mutex::new(std::mem::take(extensions)));
        let dispatch = Further { next, bare, extensions: shared.clone() };
        let answer = self.send(dispatch, request).await;
        *extensions = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
        let mut response = answer?;
        let url = response.extensions_mut().remove::<Origin>().map_or(url, |Origin(url)| url);
        Ok(located(response.map(Body::wrap), url))
    }
}

/// The next middleware, and what every attempt shares.
struct Further<'a> {
    next: Next<'a>,
    bare: bool,
    extensions: Arc<Mutex<Extensions>>,
}

impl<'a> Dispatch for Further<'a> {
    type Body = Body;
    type Answer = Body;
    type Error = Error;
    type Sent = Pin<Box<dyn Future<Output = Result<http::Response<Body>>> + Send + 'a>>;

    fn send(&mut self, request: http::Request<ReplayBody<Body>>) -> Self::Sent {
        let (next, shared) = (self.next.clone(), self.extensions.clone());
        let request = restored(request, self.bare);
        Box::pin(async move {
            let mut extensions = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = next.run(request?, &mut extensions).await;
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = extensions;
            let response = answer?;
            let origin = Origin(response.url().clone());
            let mut response = http::Response::<Body>::from(response);
            response.extensions_mut().insert(origin);
            Ok(response)
        })
    }
}
