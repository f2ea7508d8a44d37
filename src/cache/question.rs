//! What the cache asks the origin besides, and in place of, what its client asks.

use std::time::SystemTime;

use bytes::Bytes;
use http::{
    Extensions, HeaderValue, Method, Request,
    header::{ETAG, IF_NONE_MATCH},
    request::Parts,
};
use http_body::Body;

use super::{part::ask_for_rest, shared::Shared, slot::Slot};
use crate::{
    BoxError,
    body::ReplayBody,
    entry::Entry,
    fingerprint::Fingerprint,
    header::{
        cache_status::Forward,
        validators::{self, Validators},
    },
    policy::Policy,
    store::Store,
};

/// What is asked.
pub(super) enum Question {
    /// Nothing.
    Plain,
    /// Whether what is stored still holds; if that can't be told, a request without a body can be sent once more without that.
    Holds(Option<Extensions>),
    /// Whether one of these variants is the answer; if not, the request can be sent once more without that.
    AnyOf(Vec<Entry>, Extensions),
    /// What is missing behind this part; if that can't be had, the request can be sent once more without that.
    Rest(Entry, Extensions),
}

impl<St, F, P> Shared<St, F, P>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    /// What is to be asked for a request; the request is changed so.
    pub(super) fn question<B>(
        &self,
        request: &mut Request<ReplayBody<B>>,
        client: &Parts,
        slot: &Slot,
        part: Option<Entry>,
        ranged: bool,
        now: SystemTime,
    ) -> Question
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Question::Plain;
        }
        if let Some(entry) = &slot.entry {
            let validators = validators_of(entry);
            if validators.is_empty() {
                return Question::Plain;
            }
            // What is asked of the origin is the cache's question; the client's own is answered from the outcome.
            validators.apply_to(request.headers_mut());
            let again = request.body().is_end_stream().then(|| request.extensions().clone());
            return Question::Holds(again);
        }
        let get = *request.method() == Method::GET && request.body().is_end_stream();
        if !get || ranged || validators::is_conditional(request.headers()) {
            return Question::Plain;
        }
        if let Some(part) = part
            && let Some(rest) = self.rest_of(&part, now)
        {
            ask_for_rest(request.headers_mut(), rest);
            return Question::Rest(part, request.extensions().clone());
        }
        if slot.reason != Forward::VaryMiss {
            return Question::Plain;
        }
        let offered = self.offered(slot, client);
        match tags_of(&offered) {
            Some(tags) => {
                request.headers_mut().insert(IF_NONE_MATCH, tags);
                Question::AnyOf(offered, request.extensions().clone())
            }
            None => Question::Plain,
        }
    }
}

/// What an entry can be validated by. A 304 never speaks of what is no success (RFC 9110 §13.2.1).
pub(super) fn validators_of(entry: &Entry) -> Validators {
    if entry.head().status().is_success() { Validators::of(entry.head().headers()) } else { Validators::default() }
}

/// The entity tags of some variants as one condition.
fn tags_of(offered: &[Entry]) -> Option<HeaderValue> {
    let tags: Vec<_> = offered.iter().filter_map(|entry| entry.head().headers().get(ETAG)).collect();
    let mut distinct: Vec<&[u8]> = Vec::new();
    for tag in &tags {
        if !distinct.contains(&tag.as_bytes()) {
            distinct.push(tag.as_bytes());
        }
    }
    (!distinct.is_empty()).then(|| HeaderValue::from_bytes(&distinct.join(&b", "[..])).ok())?
}
