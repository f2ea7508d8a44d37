//! [`Observer`]: hears how each request was answered, and reads what is fetched for it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, request::Parts, response};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::{body::Served, count::Meter, fill::Fill, shared::Shared};
use crate::{BoxError, entry::Note, key::Key};

/// Hears how a cache answers requests, such as to count what they cost.
///
/// What is fetched it [reads](Reading) as it passes, and what it makes of that is kept with the entry as a [`Note`]. When the entry
/// answers other requests it gets the note back. It is called where requests are answered, on the hit path too: it must not wait.
pub trait Observer: Send + Sync + 'static {
    /// Whether it wants to hear of this request. Asked first, and for each request.
    fn observes(&self, request: &Parts) -> bool;

    /// A response comes from the inner service, and is about to be handed on. What is returned reads its body. Not called for what
    /// only confirms, or is replaced by, what is stored; nor for what is put together from parts.
    ///
    /// What is set in `response` reaches the client, and isn't kept. `note` is written when the body has ended.
    fn fetched(
        &self,
        request: &Observed<'_>,
        how: Fetch,
        response: &mut response::Parts,
        note: &Note,
    ) -> Option<Box<dyn Reading>>;

    /// A request is answered with what is stored, or with what is being fetched for another: then `note` is still to be written.
    ///
    /// What is set in `response` reaches the client.
    fn answered(&self, request: &Observed<'_>, how: Answer, note: Option<&Note>, response: &mut response::Parts);
}

/// Reads a body as it passes.
pub trait Reading: Send {
    /// Some more of the body.
    fn read(&mut self, data: &[u8]);

    /// The body has ended; `is_whole` is `false` if it broke off, or nobody read it to its end. What is to be noted of it.
    fn end(self: Box<Self>, is_whole: bool) -> Option<Bytes>;
}

/// A request, as an [`Observer`] sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Observed<'a> {
    /// Its head, with its extensions.
    pub request: &'a Parts,
    /// Its key; `None` if it passes by the cache.
    pub key: Option<&'a Key>,
}

/// Why a response was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetch {
    /// For a request that nothing stored answers.
    Miss,
    /// Behind a stale response, to refresh what is stored. No client sees it.
    Refresh,
    /// For a request that passes by the cache.
    Bypass,
    /// A layer further in says that it stands in for the answer that was asked for.
    StandIn,
}

/// How a request was answered without a response of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// With what is stored.
    Hit,
    /// With what is stored and stale, refreshed behind the response.
    Stale,
    /// With what is stored and stale, in place of an error.
    StaleIfError,
    /// With what is stored and stale, as a layer further in chose when all else had failed.
    Fallback,
    /// With what is stored, after the origin confirmed it.
    Confirmed,
    /// With what is fetched for another request.
    Coalesced,
}

impl<St, F, P> Shared<St, F, P> {
    /// Who wants to hear of a request.
    pub(super) fn observer(&self, request: &Parts) -> Option<&dyn Observer> {
        self.settings.observer.as_deref().filter(|observer| observer.observes(request))
    }

    /// Tells how a request was answered.
    pub(super) fn observed(
        &self,
        request: &Parts,
        key: &Key,
        how: Answer,
        note: Option<&Note>,
        response: Response<Served>,
    ) -> Response<Served> {
        let Some(observer) = self.observer(request) else { return response };
        let (mut parts, body) = response.into_parts();
        observer.answered(&Observed { request, key: Some(key) }, how, note, &mut parts);
        Response::from_parts(parts, body)
    }

    /// Shows a response that was fetched, and how its body is to be watched.
    pub(super) fn watch(
        &self,
        request: &Parts,
        key: Option<&Key>,
        how: Fetch,
        response: &mut response::Parts,
    ) -> Option<Watch> {
        let observer = self.observer(request)?;
        let note = Note::open();
        let reading = observer.fetched(&Observed { request, key }, how, response, &note)?;
        Some(Watch::new(reading, note))
    }
}

impl<St, F, P> Fill<St, F, P> {
    /// Tells how the request was answered, if it was not before.
    pub(super) fn observed(&self, how: Answer, note: Option<&Note>, response: Response<Served>) -> Response<Served> {
        if self.behind_response {
            return response;
        }
        self.shared.observed(&self.client, &self.slot.key, how, note, response)
    }

    /// Shows the response that was fetched.
    pub(super) fn watch(&self, response: &mut response::Parts) -> Option<Watch> {
        let how = if self.behind_response { Fetch::Refresh } else { Fetch::Miss };
        self.shared.watch(&self.client, Some(&self.slot.key), how, response)
    }
}

/// Shared by a body and by who keeps it: whichever sees the end first writes the note. If neither does before both are gone, the
/// body was not read to its end.
#[derive(Clone)]
pub(super) struct Watch {
    watching: Arc<Mutex<Watching>>,
    note: Note,
}

struct Watching {
    /// Until the end.
    reading: Option<Box<dyn Reading>>,
    note: Note,
}

impl Watch {
    fn new(reading: Box<dyn Reading>, note: Note) -> Self {
        Self { watching: Arc::new(Mutex::new(Watching { reading: Some(reading), note: note.clone() })), note }
    }

    /// The note that it writes.
    pub(super) fn note(&self) -> Note {
        self.note.clone()
    }

    pub(super) fn end(&self, is_whole: bool) {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner).end(is_whole);
    }

    fn read(&self, data: &[u8]) {
        if let Some(reading) = &mut self.watching.lock().unwrap_or_else(PoisonError::into_inner).reading {
            reading.read(data);
        }
    }
}

impl Watching {
    fn end(&mut self, is_whole: bool) {
        if let Some(reading) = self.reading.take() {
            self.note.write(reading.end(is_whole));
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// A body that is watched, if anybody wants to.
#[pin_project]
pub(super) struct Watched<B> {
    #[pin]
    body: B,
    watch: Option<Watch>,
    meter: Meter,
}

impl<B: Body> Watched<B> {
    pub(super) fn new(body: B, watch: Option<Watch>, mut meter: Meter) -> Self {
        meter.expect(body.size_hint().exact());
        if body.is_end_stream() {
            // Nobody will read it.
            watch.iter().for_each(|watch| watch.end(true));
            meter.end();
        }
        Self { body, watch, meter }
    }
}

impl<B> Watched<B> {
    pub(super) fn unwatched(body: B) -> Self {
        Self { body, watch: None, meter: Meter::none() }
    }

    pub(super) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            None => this.meter.end(),
            Some(Ok(frame)) => {
                this.meter.add(frame.data_ref().map_or(0, Bytes::len));
                if frame.is_trailers() || this.body.is_end_stream() {
                    this.meter.end();
                }
            }
            Some(Err(_)) => {}
        }
        if let Some(watch) = this.watch {
            match &frame {
                None => watch.end(true),
                Some(Err(_)) => watch.end(false),
                Some(Ok(frame)) => {
                    match frame.data_ref() {
                        Some(data) => watch.read(data),
                        // Nothing comes after trailers.
                        None => watch.end(true),
                    }
                    // Some never ask for what comes after the last.
                    if this.body.is_end_stream() {
                        watch.end(true);
                    }
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
