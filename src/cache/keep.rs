//! How a response is handed on and kept on the way.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{AGE, CONTENT_LENGTH, DATE, TRANSFER_ENCODING},
    response,
};
use http_body::Body;

use super::{
    CacheBody,
    body::Served,
    fill::Fill,
    observe::{Watch, Watched},
    serve::{announce, prepare},
    shared::Shared,
    slot::{Slot, flight_key, part_key},
    write::Write,
};
use crate::{
    BoxError,
    body::{Ended, Tee, TeeOptions},
    coalesce::{self, Lead},
    entry::{Entry, Frames, Head, Lifetime, Variant},
    fingerprint::Fingerprint,
    header::{cache_status::CacheStatus, date, exchange, media_type},
    key::Key,
    policy::{
        Policy,
        completeness::{Verdict, sse::BROKEN},
    },
    store::Store,
    tag::Tag,
};

impl<St, F, P> Fill<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// Hands a body on, and keeps it.
    pub(super) fn keep<B>(
        self,
        key: Key,
        head: Head,
        parts: response::Parts,
        body: Watched<B>,
        announced: Option<u64>,
        mut status: CacheStatus,
    ) -> Response<Served>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        status.stored = true;
        let watch = body.watch().cloned();
        let head = Arc::new(head.note(watch.as_ref().map(Watch::note)));
        let serves = self.serves(&head);
        let until = coalesce::until(self.shared.now(), self.shared.settings.uncacheable_for);
        let beside = self.slot.has_variants();
        let Self { shared, lead, began, rendering, slot: Slot { primary, key: slot_key, .. }, .. } = self;
        let flights = shared.flights.clone();
        let options = TeeOptions {
            limit: shared.settings.max_body,
            announced,
            keep_frames: media_type::is_event_stream(head.headers()),
            finish: shared.settings.finish,
        };
        // The flight is closed by whoever sees the body's end, so the lead goes where that is seen; it has to be there before
        // the body can end.
        let lead = Arc::new(Mutex::new(lead));
        let closing = lead.clone();
        let kept = head.clone();
        let tee = Tee::new(body, options, move |ended| {
            let mut lead = closing.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(frames) = shared.whole(ended, &kept, &key, &mut lead) {
                // What was known of it in part is older.
                if shared.parts.take(&primary) {
                    shared.remove(part_key(&primary));
                }
                // It may have ended by its length, before it said so.
                watch.iter().for_each(|watch| watch.end(true));
                // The flight is closed when the store has the entry, so that nobody falls in between.
                let entry = Entry::new(kept, frames);
                shared.put(Write { primary, key, entry, began, beside, confirms: None }, lead);
            }
        });
        {
            let mut lead = lead.lock().unwrap_or_else(PoisonError::into_inner);
            if serves {
                match &*lead {
                    Some(lead) => lead.publish(head, tee.joiner()),
                    None => flights.can_be_kept(&flight_key(&slot_key, rendering)),
                }
            } else if let Some(lead) = lead.take() {
                lead.release(until);
            }
        }
        let mut response = Response::from_parts(parts, Served::Live(tee));
        announce(&mut response, status);
        response
    }
}

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// The body, if it came to its end whole.
    pub(super) fn whole(&self, ended: Ended, head: &Head, key: &Key, lead: &mut Option<Lead>) -> Option<Frames> {
        match ended {
            // A layer further in ends what breaks so that its clients understand it, and its framing is sound.
            Ended::Complete(frames) if frames.data().ends_with(BROKEN) => {
                self.stats.incomplete.increment();
                tracing::debug!(label = key.label(), "not kept: the stream broke off");
            }
            Ended::Complete(frames) => {
                match self.settings.completeness.check(head.status(), head.headers(), frames.data()) {
                    Verdict::Complete => return Some(frames),
                    Verdict::Incomplete(reason) => {
                        self.stats.incomplete.increment();
                        tracing::debug!(label = key.label(), reason, "not kept: the body is not whole");
                    }
                }
            }
            Ended::TooLarge => {
                self.stats.too_large.increment();
                tracing::debug!(label = key.label(), "not kept: the body is too large");
                if let Some(lead) = lead.take() {
                    lead.release(coalesce::until(self.now(), self.settings.uncacheable_for));
                }
            }
            Ended::Broken => {
                self.stats.incomplete.increment();
                tracing::debug!(label = key.label(), "not kept: the body broke");
            }
        }
        None
    }
}

pub(super) fn passed<B>(parts: response::Parts, body: Watched<B>, status: CacheStatus) -> Response<CacheBody<B>> {
    let mut response = Response::from_parts(parts, CacheBody::passed(body));
    announce(&mut response, status);
    response
}

/// A response without a date is dated by who receives it (RFC 9110 §6.6.1).
pub(super) fn dated(headers: &mut HeaderMap, now: SystemTime) {
    if !headers.contains_key(DATE) {
        headers.insert(DATE, date::format(now));
    }
}

pub(super) fn stored_head(
    status: StatusCode,
    mut headers: HeaderMap,
    lifetime: Lifetime,
    variant: Option<Variant>,
    tags: Vec<Tag>,
) -> Head {
    headers.remove(AGE);
    exchange::remove(&mut headers);
    prepare(&mut headers);
    Head::new(status, headers, lifetime).tags(tags).variant(variant)
}

/// The length that the body is to have, by its head; responses to HEAD, 204 and 304 have none whatever the head says.
pub(super) fn announced_length(method: &Method, parts: &response::Parts) -> Option<u64> {
    if *method == Method::HEAD || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return None;
    }
    // Read by its Transfer-Encoding, a message has no announced length (RFC 9112 §6.3).
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    lengths.next()?.to_str().ok()?.parse().ok()
}
