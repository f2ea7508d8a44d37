//! Requests that pass by the cache, and what their answers mean for what is in it.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, request::Parts, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    CacheBody,
    fill::Fill,
    keep::dated,
    observe::{Fetch, Watched},
    purges::Began,
    serve::announce,
    shared::Shared,
    slot::{Slot, around},
    trace::told,
};
use crate::{
    BoxError,
    fingerprint::Fingerprint,
    header::{cache_control::RequestDirectives, cache_status::CacheStatus},
    key::Key,
    policy::{Admission, Exchange, Policy, Storage, rfc9111::invalidation},
    stats::Outcome,
    store::{self, Store},
};

/// A request that passes by the cache.
pub(crate) struct Pass {
    status: CacheStatus,
    begun: Instant,
    change: Option<Box<Change>>,
    /// The request, if its answer is observed.
    observed: Option<Box<Parts>>,
}

/// A request that may change something.
struct Change {
    request: Parts,
    requested_at: SystemTime,
    began: Began,
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
    /// Notes what is needed of a request that passes by.
    pub(super) fn pass(&self, head: &Parts, status: CacheStatus, begun: Instant) -> Pass {
        // What the policy takes for a question changes nothing, whatever its method.
        let acts = !invalidation::is_safe(&head.method) && self.policy.admit(head) != Admission::Admit;
        let change = acts.then(|| {
            let mut request = head_of(&head.method, &head.uri, &head.headers);
            let key = self.key_of_get(&mut request);
            Box::new(Change { requested_at: self.now(), began: self.note(&request, key.as_ref()), request })
        });
        let observed = self.observer(head).map(|_| {
            let mut request = head_of(&head.method, &head.uri, &head.headers);
            request.extensions = head.extensions.clone();
            Box::new(request)
        });
        Pass { status, begun, change, observed }
    }

    /// Takes the answer to a request that passed by the cache: what it changed is invalid now.
    pub(crate) fn passed<B>(self: &Arc<Self>, pass: Pass, response: Response<B>) -> Response<CacheBody<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Pass { status, begun, change, observed } = pass;
        let (mut parts, body) = response.into_parts();
        told(Outcome::Bypass);
        self.stats.took(Outcome::Bypass, begun.elapsed());
        self.heard(parts.status);
        if let Some(change) = change.filter(|change| self.policy.invalidates(&change.request, parts.status)) {
            let now = self.now();
            let others = invalidation::locations(&change.request, &parts.headers);
            let kept = self.stands_for_get(&change, &parts, now);
            let Change { mut request, requested_at, began } = *change;
            request.method = Method::GET;
            let target = request.uri.clone();
            for uri in others {
                request.uri = uri;
                self.invalidate(&mut request, now);
            }
            request.uri = target;
            let key = self.invalidate(&mut request, now);
            if let (Some(storage), Some(key)) = (kept, key) {
                let slot = Slot::primary(&key, None);
                let began = self.purges.past_changes(began);
                return Fill::beside(self.clone(), slot, request, requested_at, began).settle(storage, parts, body);
            }
        }
        dated(&mut parts.headers, self.now());
        let watch = observed.and_then(|request| self.watch(&request, None, Fetch::Bypass, &mut parts));
        let mut response = Response::from_parts(parts, CacheBody::passed(Watched::new(body, watch, self.meter(None))));
        announce(&mut response, status);
        response
    }

    /// Hears that a request that passed by got no answer.
    pub(crate) fn passed_in_vain(&self, pass: &Pass) {
        told(Outcome::Bypass);
        self.stats.took(Outcome::Bypass, pass.begun.elapsed());
        self.stats.errors_connection.increment();
    }

    /// Whether the answer to a POST may be kept for GET. One that was overtaken by another change may not, and neither may one to
    /// a request that forbids it.
    fn stands_for_get(&self, change: &Change, parts: &response::Parts, now: SystemTime) -> Option<Storage> {
        let Change { request, requested_at, began } = change;
        let asked = request.method == Method::POST
            && !RequestDirectives::parse(&request.headers).no_store
            && !self.purges.has_changed(began);
        let storage = asked.then(|| self.policy.storable_as_get(&Exchange::new(request, parts, *requested_at, now)))?;
        matches!(storage, Storage::Keep { .. }).then_some(storage)
    }

    /// What is stored for this GET's URI is not served any more, and what is being fetched is not stored. The request's own key.
    fn invalidate(self: &Arc<Self>, request: &mut Parts, now: SystemTime) -> Option<Key> {
        self.stats.invalidated.increment();
        let key = self.key_of_get(request);
        let marks = self.purges.invalidate(request, key.as_ref(), now);
        self.flights.close_marked(marks);
        self.store.announce(&store::Change::Invalidated(marks, now));
        if let Some(key) = &key {
            self.remove(key.clone());
            around(key).into_iter().for_each(|beside| self.remove(beside));
        }
        key
    }
}
