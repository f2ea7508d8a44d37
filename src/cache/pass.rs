//! Requests that pass by the cache, and what their answers mean for what is in it.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, request::Parts};
use http_body::Body;

use super::{
    CacheBody,
    fill::Fill,
    serve::announce,
    shared::Shared,
    slot::{Slot, head_key, part_key},
};
use crate::{
    BoxError,
    fingerprint::Fingerprint,
    header::cache_status::{CacheStatus, Forward},
    key::Key,
    policy::{Exchange, Policy, Skip, Storage, rfc9111::invalidation},
    store::Store,
    tag::Selector,
};

/// A request that passes by the cache.
pub(crate) struct Pass {
    status: CacheStatus,
    /// The request, if it may change something.
    unsafe_request: Option<Parts>,
    requested_at: SystemTime,
}

impl Pass {
    pub(super) fn new(head: &Parts, status: CacheStatus, now: SystemTime) -> Self {
        let unsafe_request =
            (!invalidation::is_safe(&head.method)).then(|| head_of(&head.method, &head.uri, &head.headers));
        Self { status, unsafe_request, requested_at: now }
    }
}

/// A head with what decides: extensions don't.
pub(super) fn head_of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers.clone();
    request.into_parts().0
}

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// Takes the answer to a request that passed by the cache: what it changed is invalid now.
    pub(crate) fn passed<B>(self: &Arc<Self>, pass: Pass, response: Response<B>) -> Response<CacheBody<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Pass { status, unsafe_request, requested_at } = pass;
        let (parts, body) = response.into_parts();
        if let Some(mut request) = unsafe_request.filter(|request| self.policy.invalidates(request, parts.status)) {
            let now = self.now();
            let others = invalidation::locations(&request, &parts.headers);
            let stored = if request.method == Method::POST {
                self.policy.storable_as_get(&Exchange::new(&request, &parts, requested_at, now))
            } else {
                Storage::Skip(Skip::Status)
            };
            request.method = Method::GET;
            let key = self.invalidate(&mut request, now);
            let target = request.uri.clone();
            for uri in others {
                request.uri = uri;
                self.invalidate(&mut request, now);
            }
            request.uri = target;
            if let (Storage::Keep { .. }, Some(key)) = (&stored, key) {
                let fill =
                    Fill::beside(self.clone(), Slot::primary(&key, None), request, Forward::Method, requested_at);
                return fill.settle(stored, parts, body);
            }
        }
        let mut response = Response::from_parts(parts, CacheBody::passed(body));
        announce(&mut response, status);
        response
    }

    /// What is stored for this GET's URI is not served any more, and what is being fetched is not stored. The request's own key.
    fn invalidate(self: &Arc<Self>, request: &mut Parts, now: SystemTime) -> Option<Key> {
        self.stats.invalidated.increment();
        self.purges.invalidate(request, now);
        let key = self.key(request, &Bytes::new())?;
        self.flights.close(&Selector::Key(key.clone()));
        for key in [key.clone(), head_key(&key), part_key(&key)] {
            self.remove(key);
        }
        Some(key)
    }
}
