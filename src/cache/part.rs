//! Parts of answers (RFC 9111 §3.3 and §3.4): one part is kept for each URI, served for ranges within it, and grows with what
//! comes beside it, until it is whole.
//!
//! Two parts are put together only by a strong validator that both have.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE},
    request::Parts,
    response,
};
use http_body::Body;
use tokio::time::Instant;

use super::{
    CacheBody,
    ask::Asked,
    body::Served,
    confirm::{received, renewed},
    fill::Fill,
    keep::{announced_length, passed, stored_head},
    observe::Watched,
    purges::Began,
    serve::{DIGESTS, announce},
    shared::Shared,
    slot::{Slot, part_key},
    write::Write,
};
use crate::{
    BoxError,
    body::{ReplayBody, Tee, TeeOptions},
    entry::{Entry, Frames, Head, Variant},
    fingerprint::Fingerprint,
    header::{
        cache_status::CacheStatus,
        range::{ByteRange, ContentRange, if_range_holds},
        validators::{self, EntityTag},
    },
    key::Key,
    policy::{Exchange, Policy, Reuse, rfc9111::validation},
    stats::Outcome,
    store::Store,
};

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// The part that is stored of what a request asks for.
    pub(super) async fn part(&self, slot: &Slot, request: &Parts, ranged: bool, deadline: Instant) -> Option<Entry> {
        // Without a range, only what this process stored is looked for: it would cost every miss a look-up.
        let known = || ranged || self.parts.has(&slot.primary);
        if slot.entry.is_some() || request.method != Method::GET || !known() {
            return None;
        }
        let part = self.get(&part_key(&slot.primary), request, deadline).await?;
        let answers = part.head().selecting().is_none_or(|variant| variant.answers(&request.headers));
        answers.then_some(part)
    }

    /// The answer to a request for a range, if the stored part has it.
    pub(super) fn answer_with_part<B>(
        &self,
        part: &Entry,
        asked: &Asked<B>,
        now: SystemTime,
    ) -> Option<Response<Served>> {
        let wanted = asked.wants.ranges.as_ref()?.single()?;
        let stored = part.head().headers();
        let content = ContentRange::of(stored)?;
        let has = content.range?;
        let range = match (content.length, wanted) {
            (Some(length), _) => wanted.within(length)?,
            (None, ByteRange::Within { first, last }) => first..last.checked_add(1)?,
            (None, _) => return None,
        };
        let headers = &asked.head.headers;
        let serves = has.start <= range.start
            && range.end <= has.end
            && !validators::is_conditional(headers)
            && if_range_holds(headers, stored)
            && self.policy.reuse(&asked.directives, part.head(), now) == Reuse::Serve;
        let within = |at: u64| usize::try_from(at - has.start).ok();
        let data = serves.then(|| Some(part.body().data().slice(within(range.start)?..within(range.end)?)))??;
        let status = CacheStatus::hit(part.head().lifetime().ttl(now));
        let content = ContentRange { range: Some(range), length: content.length };
        let response = self.respond_part(part, &asked.identity.key, data, &content, now, status);
        self.answered(Outcome::Hit, asked.begun, &response);
        Some(response)
    }

    /// What to ask for behind a part that begins at the beginning, to have the whole.
    pub(super) fn rest_of(&self, part: &Entry, now: SystemTime) -> Option<[HeaderValue; 2]> {
        let content = ContentRange::of(part.head().headers())?;
        let (range, length) = (content.range?, content.length?);
        let fits = length <= self.settings.max_body as u64 && part.head().lifetime().kept_in(now).is_some();
        if range.start > 0 || !fits {
            return None;
        }
        let headers = part.head().headers();
        EntityTag::strong_of(headers)?;
        let rest = HeaderValue::try_from(format!("bytes={}-", range.end)).ok()?;
        Some([rest, headers.get(ETAG)?.clone()])
    }

    /// Keeps a part, together with the one that is there if they belong together. `key` is where the whole would be kept.
    async fn keep_part(&self, primary: Key, key: Key, part: Entry, began: Began) {
        let at = part_key(&primary);
        let known = self.store.get(&at).await.ok().flatten();
        let limit = self.settings.max_body as u64;
        let part = known.and_then(|known| combined(&known, &part, limit)).unwrap_or(part);
        if part.head().status() == StatusCode::OK {
            self.parts.take(&primary);
            if self.put_now(Write { primary, key, entry: part, began, beside: true, confirms: None }).await {
                self.forget(&at).await;
            }
        } else if self.keep(&at, part, began).await {
            self.parts.add(&primary);
        }
    }
}

/// The fields that ask for the rest of a part.
pub(super) fn ask_for_rest(headers: &mut HeaderMap, [rest, tag]: [HeaderValue; 2]) {
    headers.insert(RANGE, rest);
    headers.insert(IF_RANGE, tag);
}

impl<St, F, P> Fill<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// Hands a part on, and keeps it. `key` is where the whole would be kept.
    pub(super) fn pass_part<B>(
        self,
        key: Key,
        head: Head,
        parts: response::Parts,
        body: Watched<B>,
    ) -> Response<CacheBody<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let range = ContentRange::of(head.headers()).and_then(|content| content.range);
        let length = range.map(|range| range.end - range.start);
        let announced = announced_length(&self.client.method, &parts).or_else(|| body.size_hint().exact());
        let whole = length.is_some_and(|length| announced.is_none_or(|announced| announced == length));
        let fits = length.is_some_and(|length| length <= self.shared.settings.max_body as u64);
        if let Some(entry) = &self.slot.entry
            && !validation::selects_also(entry.head().headers(), head.headers())
        {
            // The whole that is stored is of another content, or may be.
            self.shared.remove(self.slot.key.clone());
        }
        if self.wants.ranges.is_none() || !whole || !fits {
            let counter = if whole { &self.shared.stats.too_large } else { &self.shared.stats.not_storable };
            counter.increment();
            let status = self.status(parts.status).with_detail(if whole { "too-large" } else { "partial" });
            self.let_go(false);
            return passed(parts, body, status);
        }
        let mut status = self.status(parts.status);
        status.stored = true;
        let Self { shared, slot: Slot { primary, .. }, began, .. } = self;
        let options = TeeOptions {
            limit: shared.settings.max_body,
            announced,
            keep_frames: false,
            finish: shared.settings.finish,
        };
        let tee = Tee::new(body, options, move |ended| {
            let frames = shared.whole(ended, &head, &key, &mut None);
            if let Some(frames) = frames.filter(|frames| length == Some(frames.data().len() as u64)) {
                let part = Entry::new(head, frames);
                let keeper = shared.clone();
                shared.write(async move { keeper.keep_part(primary, key, part, began).await });
            }
        });
        let mut response = Response::from_parts(parts, CacheBody::served(Served::Live(tee)));
        announce(&mut response, status);
        response
    }

    /// The stored part and the rest of it that came, as the whole. An error if it isn't the rest.
    pub(super) fn complete<B>(
        self: Box<Self>,
        part: &Entry,
        rest: response::Parts,
        body: B,
        now: SystemTime,
    ) -> Result<Response<Served>, Box<Self>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(length) = fits_behind(part.head().headers(), &rest) else { return Err(self) };
        self.count_miss();
        let mut parts = rest;
        let newer = received(&parts.headers, now);
        parts.status = StatusCode::OK;
        parts.headers = whole_headers(part.head().headers(), &newer, length);
        let storage = self.shared.policy.storable(&Exchange::new(&self.client, &parts, self.requested_at, now));
        let body = Watched::new(body, None, self.meter());
        let body = ReplayBody::prefixed(part.body().data().clone(), body);
        let (key, head) = match self.plan(storage, &mut parts, Some(length)) {
            Ok(place) => place,
            Err(unkept) => {
                let status = self.unkept(StatusCode::PARTIAL_CONTENT, unkept);
                let options = TeeOptions { limit: 0, announced: Some(length), keep_frames: false, finish: None };
                let mut response = Response::from_parts(parts, Served::Live(Tee::new(body, options, |_| {})));
                announce(&mut response, status);
                return Ok(response);
            }
        };
        let status = self.status(StatusCode::PARTIAL_CONTENT);
        Ok(self.keep(key, head, parts, Watched::unwatched(body), Some(length), status))
    }
}

/// The whole length, if a 206 is all that a stored part lacks behind it (§3.4).
fn fits_behind(part: &HeaderMap, rest: &response::Parts) -> Option<u64> {
    let (has, comes) = (ContentRange::of(part)?, ContentRange::of(&rest.headers)?);
    let (range, behind, length) = (has.range?, comes.range?, has.length?);
    let touches = behind.start == range.end && behind.end == length && comes.length == Some(length);
    (rest.status == StatusCode::PARTIAL_CONTENT && touches && validation::selects_also(part, &rest.headers))
        .then_some(length)
}

/// §3.4: the fields of the newer part take the place of the older's.
fn whole_headers(older: &HeaderMap, newer: &HeaderMap, length: u64) -> HeaderMap {
    let mut headers = renewed(older, newer);
    headers.remove(CONTENT_RANGE);
    DIGESTS.iter().for_each(|name| {
        headers.remove(name);
    });
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers
}

/// Two parts as one, if they are of the same content and touch (§3.4); the whole, as a 200, if nothing is missing then.
fn combined(older: &Entry, newer: &Entry, limit: u64) -> Option<Entry> {
    let (old, new) = (older.head(), newer.head());
    let (had, has) = (ContentRange::of(old.headers())?, ContentRange::of(new.headers())?);
    let same_variant = old.selecting().map(Variant::fields) == new.selecting().map(Variant::fields);
    let is_alike = same_variant && old.rendering() == new.rendering() && had.length == has.length;
    if !validation::selects_also(old.headers(), new.headers()) || !is_alike {
        return None;
    }
    let (a, b) = (had.range?, has.range?);
    if a.end < b.start || b.end < a.start {
        return None;
    }
    let (start, end) = (a.start.min(b.start), a.end.max(b.end));
    let grows = (end - start).saturating_sub(a.end - a.start);
    // The older one is copied for what the newer adds, so that has to be worth it.
    if end - start > limit || (grows > 0 && grows * 64 < a.end - a.start) {
        return None;
    }
    let size = usize::try_from(end - start).ok()?;
    let whole = start == 0 && has.length == Some(end);
    let mut headers = whole_headers(old.headers(), new.headers(), end - start);
    let status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    if !whole {
        let content = ContentRange { range: Some(start..end), length: has.length };
        headers.insert(CONTENT_RANGE, content.to_value());
    }
    let joined =
        stored_head(status, headers, new.lifetime().clone(), new.selecting().cloned(), new.tag_list().to_vec())
            .rendered(new.rendering());
    if grows == 0 {
        return Some(older.with_head(joined));
    }
    let mut data = BytesMut::with_capacity(size);
    let ((first, head), (second, tail)) =
        if a.start <= b.start { ((&a, older), (&b, newer)) } else { ((&b, newer), (&a, older)) };
    data.extend_from_slice(head.body().data());
    if second.end > first.end {
        let known = usize::try_from(first.end - second.start).ok()?;
        data.extend_from_slice(tail.body().data().get(known..)?);
    }
    Some(Entry::new(joined, Frames::whole(data.freeze())))
}
