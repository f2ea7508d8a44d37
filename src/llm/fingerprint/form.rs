//! In which form an answer is wanted, and how it is kept in another.

use std::{borrow::Cow, num::NonZeroU8};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE};

use crate::{
    body::decode,
    entry::{Entry, Frames, FramesBuilder},
    fingerprint::{Rendered, Rendering, json},
    header::{content_encoding, media_type, of_bytes},
    llm::{
        Endpoint,
        rendering::{self, asked, render},
    },
};

/// The members of a request that say in which form the answer is to come.
pub(super) const MEMBERS: [&str; 2] = ["stream", "stream_options"];

/// A request's URI without what says in which form the answer is to come, as Gemini's does.
pub(super) fn formless(uri: &Uri) -> Cow<'_, Uri> {
    let Some(model) = uri.path().strip_suffix(":streamGenerateContent") else { return Cow::Borrowed(uri) };
    let mut plain = format!("{model}:generateContent");
    let others = uri.query().into_iter().flat_map(|query| query.split('&')).filter(|pair| *pair != "alt=sse");
    for (index, pair) in others.enumerate() {
        plain.push(if index == 0 { '?' } else { '&' });
        plain.push_str(pair);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = plain.parse().ok();
    // It was one before, and is no longer now.
    Uri::from_parts(parts).map_or(Cow::Borrowed(uri), Cow::Owned)
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form(rendering::Rendering);

/// Each form with its number, which is kept with entries.
const NUMBERS: [(rendering::Rendering, NonZeroU8); 3] = [
    (rendering::Rendering::Plain, NonZeroU8::MIN),
    (rendering::Rendering::Stream { usage: false }, NonZeroU8::MIN.saturating_add(1)),
    (rendering::Rendering::Stream { usage: true }, NonZeroU8::MIN.saturating_add(2)),
];

impl Form {
    /// What a request asks for, if it says so in a way that is known.
    pub(super) fn asked(endpoint: Endpoint, uri: &Uri, request: &json::Value<'_>) -> Option<Self> {
        asked(endpoint, uri.path(), uri.query(), request).map(Self)
    }

    pub(super) fn of(rendering: Rendering) -> Option<Self> {
        let known = NUMBERS.into_iter().find(|(_, number)| *number == rendering.number());
        known.map(|(form, _)| Self(form))
    }

    pub(super) fn rendering(self) -> Rendering {
        let known = NUMBERS.into_iter().find(|(form, _)| *form == self.0);
        Rendering::new(known.map_or(NonZeroU8::MAX, |(_, number)| number))
    }

    /// What is kept in another form, in this one.
    pub(super) fn of_entry(self, endpoint: Endpoint, entry: &Entry) -> Rendered {
        let head = entry.head();
        // Errors have one form.
        if head.status() != StatusCode::OK {
            return Rendered::AsIs;
        }
        let is_stream = media_type::is_event_stream(head.headers());
        let text = text_of(entry).filter(|_| is_stream || media_type::is_json(head.headers()));
        let Some(text) = text else { return Rendered::Inexact };
        let kept = head.rendering().and_then(Self::of).map(|form| form.0);
        match render(endpoint, kept, self.0, is_stream, &text) {
            rendering::Rendered::AsIs => Rendered::AsIs,
            rendering::Rendered::Inexact => Rendered::Inexact,
            rendering::Rendered::Converted { data, ends } => {
                let head = head.clone().with_headers(self.fields(head.headers())).rendered(Some(self.rendering()));
                Rendered::Converted(Entry::new(head, frames(data, &ends)))
            }
        }
    }

    fn fields(self, kept: &HeaderMap) -> HeaderMap {
        let mut fields = kept.clone();
        of_bytes::remove(&mut fields);
        let media_type = match self.0 {
            rendering::Rendering::Plain => "application/json",
            rendering::Rendering::Stream { .. } => "text/event-stream; charset=utf-8",
        };
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        fields
    }
}

/// A body without its codings, if they are known.
fn text_of(entry: &Entry) -> Option<Cow<'_, [u8]>> {
    let body = entry.body().data();
    let codings = content_encoding::codings(entry.head().headers())?;
    decode(&codings, body).ok()
}

fn frames(data: Vec<u8>, ends: &[usize]) -> Frames {
    if ends.is_empty() {
        return Frames::whole(Bytes::from(data));
    }
    let mut frames = FramesBuilder::new(data.len(), true);
    let starts = std::iter::once(&0).chain(ends);
    ends.iter().zip(starts).for_each(|(end, start)| frames.push(data.get(*start..*end).unwrap_or_default()));
    frames.finish()
}
