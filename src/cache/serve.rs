//! Makes responses out of what is kept.

use std::time::SystemTime;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        AGE, CACHE_CONTROL, CACHE_STATUS, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, VARY,
    },
    request::Parts,
};
use tokio::time::Instant;

use super::{
    body::Served,
    shared::{NAME, Shared},
    wants::Wants,
};
use crate::{
    body::Tee,
    entry::{Entry, Head},
    header::{
        age,
        cache_status::{CacheStatus, Outcome},
        range::{ByteRange, ContentRange, Ranges, if_range_holds},
        validators,
    },
    key::Key,
    stats,
};

/// Stands in a kept head for what is said anew each time: a map that is cloned doesn't grow then.
const PLACEHOLDER: HeaderValue = HeaderValue::from_static("0");

/// What digests the content of one message (RFC 9530 §2), which a part of it has not.
pub(super) const DIGESTS: [HeaderName; 2] =
    [HeaderName::from_static("content-digest"), HeaderName::from_static("content-md5")];

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

    /// What a kept response is for a request: 304 if its body is what the client has already, the range that it asks for, no body
    /// for HEAD, or the whole (RFC 9110 §13.2.2).
    pub(super) fn answer_with(
        &self,
        entry: &Entry,
        key: &Key,
        request: &Parts,
        wants: &Wants,
        now: SystemTime,
        status: CacheStatus,
    ) -> Response<Served> {
        let heads = request.method == Method::HEAD;
        let stored = entry.head();
        if stored.status() == StatusCode::OK && (heads || request.method == Method::GET) {
            if wants.conditional && validators::not_modified(&request.headers, stored.headers()) {
                return self.not_modified(entry, key, now, status);
            }
            if let Some(range) = wants.ranges.as_ref().and_then(Ranges::single)
                && if_range_holds(&request.headers, stored.headers())
                && !entry.body().data().is_empty()
            {
                return self.range_of(entry, key, range, now, status);
            }
        }
        if !heads {
            return self.serve(entry, key, now, status);
        }
        let mut response = self.respond_kept(entry, key, Served::Empty, now, status);
        let length = entry.body().data().len();
        // The stored body of an answer to HEAD says nothing of the length; that of an answer to GET does.
        if length > 0 && !response.headers().contains_key(CONTENT_LENGTH) {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }

    fn not_modified(&self, entry: &Entry, key: &Key, now: SystemTime, status: CacheStatus) -> Response<Served> {
        let mut response = self.respond_kept(entry, key, Served::Empty, now, status);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING, CONTENT_RANGE] {
            response.headers_mut().remove(name);
        }
        response
    }

    /// A range of a whole response: 206, or 416 if it has none of it (RFC 9110 §15.3.7, §15.5.17).
    fn range_of(
        &self,
        entry: &Entry,
        key: &Key,
        range: ByteRange,
        now: SystemTime,
        status: CacheStatus,
    ) -> Response<Served> {
        let data = entry.body().data();
        let length = data.len() as u64;
        let range = range.within(length);
        // Within a body that is in memory, so both ends are lengths in memory.
        let piece = range.clone().map(|range| data.slice(range.start as usize..range.end as usize));
        let content = ContentRange { range, length: Some(length) };
        let Some(piece) = piece else { return self.nothing_of(entry, &content, status) };
        self.respond_part(entry, key, piece, &content, now, status)
    }

    /// 206: a piece of what is kept, and where it lies.
    pub(super) fn respond_part(
        &self,
        entry: &Entry,
        key: &Key,
        piece: Bytes,
        content: &ContentRange,
        now: SystemTime,
        status: CacheStatus,
    ) -> Response<Served> {
        let size = piece.len();
        let mut response = self.respond_kept(entry, key, Served::Part(Some(piece)), now, status);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response.headers_mut().insert(CONTENT_RANGE, content.to_value());
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
        DIGESTS.iter().for_each(|name| {
            response.headers_mut().remove(name);
        });
        response
    }

    /// 416: what the stored response says of its content isn't said of this one, which is for nobody to keep.
    fn nothing_of(&self, entry: &Entry, content: &ContentRange, status: CacheStatus) -> Response<Served> {
        let mut response = Response::new(Served::Empty);
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        response.headers_mut().insert(CONTENT_RANGE, content.to_value());
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for name in [DATE, VARY] {
            for value in entry.head().headers().get_all(&name) {
                response.headers_mut().append(name.clone(), value.clone());
            }
        }
        announce(&mut response, status);
        response
    }

    /// 504, as RFC 9111 §5.2.1.7 has it for a request that wants nothing but what is kept.
    pub(super) fn only_if_cached(&self, status: CacheStatus, begun: Instant) -> Response<Served> {
        let response = self.gateway_timeout(status);
        self.answered(stats::Outcome::OnlyIfCached, begun, &response);
        response
    }

    /// 504: what is stored must not be served, and the origin was not, or could not be, asked.
    pub(super) fn gateway_timeout(&self, status: CacheStatus) -> Response<Served> {
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
