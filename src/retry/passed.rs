//! [`Passed`]: the inner service's body, with what was read of it ahead, and an end if it breaks.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::Sleep;

use super::events::WholeEvents;
use crate::{BoxError, body::Ahead, header::media_type, policy::completeness::sse::BROKEN};

/// The inner service's.
#[pin_project]
pub(super) struct Passed<B> {
    /// What was read of it before it was released.
    read: Ahead<Piece>,
    #[pin]
    rest: Option<B>,
    guard: Option<Box<Guard>>,
}

/// A frame, as small as most are.
enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

/// What few bodies need.
#[derive(Default)]
struct Guard {
    /// How reading ahead ended, if it failed.
    failure: Option<BoxError>,
    events: Option<WholeEvents>,
    idle: Option<Idle>,
}

/// How long the next frame may take.
struct Idle {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> Passed<B> {
    pub(super) fn new(body: B) -> Self {
        Self { read: Ahead::Empty, rest: Some(body), guard: None }
    }

    /// Says how the rest of it is guarded: how long a frame may take, and, if it is an event stream, that its events are whole.
    pub(super) fn guard(&mut self, headers: &HeaderMap, idle: Option<Duration>) {
        if self.rest.is_none() {
            return;
        }
        // One with a length can't be given another end.
        let events = media_type::is_event_stream(headers)
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_LENGTH);
        if events || idle.is_some() {
            let guard = self.guard.get_or_insert_default();
            guard.idle = idle.map(|limit| Idle { limit, sleep: None });
            guard.events = events.then(WholeEvents::default);
        }
    }

    /// What reading ahead failed with.
    pub(super) fn failure(&self) -> Option<&BoxError> {
        self.guard.as_ref()?.failure.as_ref()
    }
}

impl<B> Passed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Reads one frame ahead: its data. `None` if there is none, at the end or after a [failure](Self::failure).
    pub(super) async fn read_frame(&mut self) -> Option<&[u8]> {
        let rest = self.rest.as_mut().filter(|rest| !rest.is_end_stream())?;
        match poll_fn(|cx| Pin::new(&mut *rest).poll_frame(cx)).await {
            Some(Ok(frame)) => {
                self.read.push_back(Piece::from(frame));
                return self.read.last().map(Piece::data);
            }
            Some(Err(error)) => self.guard.get_or_insert_default().failure = Some(error.into()),
            None => {}
        }
        self.rest = None;
        None
    }
}

impl<B> Passed<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let frame = match ready!(self.as_mut().poll_rest(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(self.break_off(error))),
                None => {
                    // What isn't whole is not for larder to drop, if the stream ends so.
                    let guard = self.project().guard.take();
                    let tail = guard.and_then(|guard| guard.events).map(|mut events| events.rest());
                    return Poll::Ready(tail.filter(|tail| !tail.is_empty()).map(|tail| Ok(Frame::data(tail))));
                }
            };
            let this = self.as_mut().project();
            let Some(events) = this.guard.as_mut().and_then(|guard| guard.events.as_mut()) else {
                return Poll::Ready(Some(Ok(frame)));
            };
            match frame.into_data() {
                Ok(data) => {
                    if let Some(data) = events.take(data) {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Err(trailers) => {
                    let tail = events.rest();
                    *this.guard = None;
                    if tail.is_empty() {
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                    this.read.push_front(Piece::from(trailers));
                    return Poll::Ready(Some(Ok(Frame::data(tail))));
                }
            }
        }
    }

    /// The next frame as it comes.
    fn poll_rest(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(piece) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(piece.into())));
        }
        if let Some(failure) = this.guard.as_mut().and_then(|guard| guard.failure.take()) {
            return Poll::Ready(Some(Err(failure)));
        }
        let idle = this.guard.as_mut().and_then(|guard| guard.idle.as_mut());
        let Some(rest) = this.rest.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        match rest.poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(idle) = idle {
                    idle.sleep = None;
                }
                if frame.is_none() {
                    this.rest.set(None);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let Some(idle) = idle else { return Poll::Pending };
                let sleep = idle.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle.limit)));
                ready!(sleep.as_mut().poll(cx));
                Poll::Ready(Some(Err(format!("nothing came for {:?}", idle.limit).into())))
            }
        }
    }

    /// It broke: an error, or an event that says so.
    fn break_off(self: Pin<&mut Self>, error: BoxError) -> Result<Frame<Bytes>, BoxError> {
        let mut this = self.project();
        this.rest.set(None);
        match this.guard.take().and_then(|guard| guard.events) {
            Some(events) if events.may_end() => {
                // Not why: an error of a client names the URL, and with it what may be a key.
                tracing::debug!("an event stream broke off");
                Ok(Frame::data(Bytes::from_static(BROKEN)))
            }
            Some(_) | None => Err(error),
        }
    }
}

impl<B: Body> Passed<B> {
    pub(super) fn is_end_stream(&self) -> bool {
        let over = self.rest.as_ref().is_none_or(Body::is_end_stream);
        over && self.read.is_empty() && self.guard.as_ref().is_none_or(|guard| guard.has_nothing())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if self.guard.as_ref().is_some_and(|guard| guard.failure.is_some()) {
            // It ends with an error, and no length is its own.
            return SizeHint::default();
        }
        let mut hint = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let ahead: u64 = self.read.iter().map(|piece| piece.data().len() as u64).sum();
        let by_event = self.guard.as_ref().is_some_and(|guard| guard.events.is_some());
        if by_event || ahead > 0 {
            let upper = hint.upper().filter(|_| !by_event).and_then(|upper| upper.checked_add(ahead));
            let lower = hint.lower().saturating_add(ahead);
            hint = SizeHint::new();
            // How it will end is open.
            hint.set_lower(if by_event { 0 } else { lower });
            if let Some(upper) = upper {
                hint.set_upper(upper);
            }
        }
        hint
    }
}

impl Guard {
    fn has_nothing(&self) -> bool {
        self.failure.is_none() && self.events.as_ref().is_none_or(WholeEvents::is_empty)
    }
}

impl Piece {
    fn data(&self) -> &[u8] {
        match self {
            Self::Data(data) => data,
            Self::Trailers(_) => &[],
        }
    }
}

impl From<Frame<Bytes>> for Piece {
    fn from(frame: Frame<Bytes>) -> Self {
        match frame.into_data() {
            Ok(data) => Self::Data(data),
            Err(frame) => Self::Trailers(Box::new(frame.into_trailers().unwrap_or_default())),
        }
    }
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(*trailers),
        }
    }
}
