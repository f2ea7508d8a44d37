//! Makes responses out of what is kept.

use std::time::SystemTime;

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        AGE, CACHE_CONTROL, CACHE_STATUS, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        TRANSFER_ENCODING,
    },
};

use super::{
    body::Served,
    shared::{NAME, Shared},
};
use crate::{
    body::Tee,
    entry::{Entry, Head},
    header::{
        age,
        cache_status::{CacheStatus, Outcome},
        validators,
    },
    key::Key,
};

/// Stands in a kept head for what is said anew each time: a map that is cloned doesn't grow then.
const PLACEHOLDER: HeaderValue = HeaderValue::from_static("0");

/// Makes room for what is said with each response.
pub(super) fn prepare(headers: &mut HeaderMap) {
    headers.insert(AGE, PLACEHOLDER);
    if !headers.contains_key(CACHE_STATUS) {
        headers.insert(CACHE_STATUS, PLACEHOLDER);
    }
}

/// Says what the cache did, in a field and in the extensions.
pub(crate) fn announce<B>(response: &mut Response<B>, status: CacheStatus) {
    let value = status.to_value(NAME);
    announce_as(response, status, value);
}

fn announce_as<B>(response: &mut Response<B>, status: CacheStatus, value: HeaderValue) {
    match response.headers_mut().get_mut(CACHE_STATUS) {
        Some(first) if *first == PLACEHOLDER => *first = value,
        Some(_) => {
            // Each cache adds to the end (RFC 9211 §2).
            response.headers_mut().append(CACHE_STATUS, value);
        }
        None => {
            response.headers_mut().insert(CACHE_STATUS, value);
        }
    }
    response.extensions_mut().insert(status);
}

impl<St, F, P> Shared<St, F, P> {
    /// A kept response.
    pub(super) fn serve(&self, entry: &Entry, key: &Key, now: SystemTime, status: CacheStatus) -> Response<Served> {
        let body = Served::entry(entry.clone(), self.settings.replay);
        self.respond_kept(entry, key, body, now, status)
    }

    fn respond_kept(
        &self,
        entry: &Entry,
        key: &Key,
        body: Served,
        now: SystemTime,
        mut status: CacheStatus,
    ) -> Response<Served> {
        let head = entry.head();
        let age = head.lifetime().age(now);
        self.show_key(&mut status, key);
        let say = || [age::format(age), status.to_value(NAME)];
        let [age, said] = match &status {
            CacheStatus { outcome: Outcome::Hit, ttl: Some(ttl), key: None, detail: None, .. } => {
                entry.said(age.as_secs(), *ttl, say)
            }
            _ => say(),
        };
        let mut response = bare(head, body);
        response.headers_mut().insert(AGE, age);
        announce_as(&mut response, status, said);
        response
    }

    /// A response that another request fetches.
    pub(super) fn serve_live(
        &self,
        head: &Head,
        key: &Key,
        body: Tee,
        now: SystemTime,
        mut status: CacheStatus,
    ) -> Response<Served> {
        let mut response = bare(head, Served::Live(body));
        response.headers_mut().insert(AGE, age::format(head.lifetime().age(now)));
        self.show_key(&mut status, key);
        announce(&mut response, status);
        response
    }

    /// A kept response, or 304 if its body is what the client has already (RFC 9110 §13.2.2).
    pub(super) fn serve_if_modified(
        &self,
        entry: &Entry,
        key: &Key,
        (method, request): (&Method, &HeaderMap),
        now: SystemTime,
        status: CacheStatus,
    ) -> Response<Served> {
        let head = entry.head();
        let conditional = matches!(*method, Method::GET | Method::HEAD) && head.status() == StatusCode::OK;
        if !(conditional && validators::not_modified(request, head.headers())) {
            return self.serve(entry, key, now, status);
        }
        let mut response = self.respond_kept(entry, key, Served::Empty, now, status);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING, CONTENT_RANGE] {
            response.headers_mut().remove(name);
        }
        response
    }

    /// 504, as RFC 9111 §5.2.1.7 has it for a request that wants nothing but what is kept.
    pub(super) fn only_if_cached(&self, status: CacheStatus) -> Response<Served> {
        self.stats.only_if_cached.increment();
        let mut response = Response::new(Served::Empty);
        *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        announce(&mut response, status);
        response
    }

    pub(super) fn show_key(&self, status: &mut CacheStatus, key: &Key) {
        if self.settings.show_key {
            status.key = Some(key.to_string());
        }
    }
}

fn bare(head: &Head, body: Served) -> Response<Served> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status();
    *response.headers_mut() = head.headers().clone();
    response
}

/// The stored fields, brought up to date by a 304 (RFC 9111 §3.2): all but those that say how the stored body lies on the wire.
pub(super) fn freshened(stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    let mut headers = stored.clone();
    let kept = [AGE, CACHE_STATUS, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_TYPE, CONTENT_RANGE, TRANSFER_ENCODING];
    for name in update.keys().filter(|name| !kept.contains(name)) {
        headers.remove(name);
        for value in update.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    headers
}
