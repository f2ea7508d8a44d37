//! The bodies that come out of a cache.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::time::Sleep;

use super::observe::Watched;
use crate::{BoxError, body::Tee, entry::Entry};

/// How kept event streams are replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Replay {
    /// All events at once, each in the frame that it came in.
    Instant,
    /// So many events per second, each in the frame that it came in.
    Paced(f64),
}

/// A response's body: the inner service's, one that is being kept, or one that was.
#[pin_project]
pub struct CacheBody<B>(#[pin] Kind<B>);

#[pin_project(project = KindProj)]
enum Kind<B> {
    Passed(#[pin] Watched<B>),
    Served(Served),
}

impl<B> CacheBody<B> {
    pub(super) fn passed(body: Watched<B>) -> Self {
        Self(Kind::Passed(body))
    }

    pub(crate) fn served(body: Served) -> Self {
        Self(Kind::Served(body))
    }

    /// The body that the cache has a part in, if it does.
    pub(crate) fn into_served(self) -> Option<Served> {
        match self.0 {
            Kind::Served(served) => Some(served),
            Kind::Passed(_) => None,
        }
    }
}

impl<B> Body for CacheBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().0.project() {
            KindProj::Passed(body) => body.poll_frame(cx).map_err(Into::into),
            KindProj::Served(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Passed(body) => body.is_end_stream(),
            Kind::Served(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Passed(body) => body.size_hint(),
            Kind::Served(body) => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for CacheBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Passed(_) => f.write_str("CacheBody::Passed"),
            Kind::Served(served) => write!(f, "CacheBody::{served:?}"),
        }
    }
}

/// A body that the cache has a part in.
#[derive(Debug)]
pub(crate) enum Served {
    Empty,
    /// A piece of a body.
    Part(Option<Bytes>),
    Kept(Kept),
    Paced(Box<Paced>),
    Live(Tee),
}

impl Served {
    pub(super) fn entry(entry: Entry, replay: Replay) -> Self {
        let kept = Kept { entry, next: 0, sent: 0, trailers: false };
        match replay {
            Replay::Paced(pace) if kept.entry.body().count() > 1 => {
                let event = Duration::from_secs_f64(1.0 / pace);
                Self::Paced(Box::new(Paced { kept, event, sleep: None }))
            }
            Replay::Paced(_) | Replay::Instant => Self::Kept(kept),
        }
    }
}

impl Body for Served {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Part(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Kept(kept) => Poll::Ready(kept.next().map(Ok)),
            Self::Paced(paced) => paced.poll_next(cx).map(|frame| frame.map(Ok)),
            Self::Live(tee) => Pin::new(tee).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Part(data) => data.is_none(),
            Self::Kept(kept) => kept.is_over(),
            Self::Paced(paced) => paced.kept.is_over(),
            Self::Live(tee) => tee.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Part(data) => SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64),
            Self::Kept(kept) => kept.size_hint(),
            Self::Paced(paced) => paced.kept.size_hint(),
            Self::Live(tee) => tee.size_hint(),
        }
    }
}

/// An entry's body; nothing of it is copied.
#[derive(Debug)]
pub(crate) struct Kept {
    entry: Entry,
    next: usize,
    sent: usize,
    trailers: bool,
}

impl Kept {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        if let Some(data) = self.entry.body().get(self.next) {
            self.next += 1;
            self.sent += data.len();
            return Some(Frame::data(data));
        }
        if self.trailers {
            return None;
        }
        self.trailers = true;
        self.entry.body().trailers().cloned().map(Frame::trailers)
    }

    fn is_over(&self) -> bool {
        let body = self.entry.body();
        self.next >= body.count() && (self.trailers || body.trailers().is_none())
    }

    fn size_hint(&self) -> SizeHint {
        let left = (self.entry.body().data().len() - self.sent) as u64;
        if self.entry.body().trailers().is_none() {
            return SizeHint::with_exact(left);
        }
        // A server that is told the length announces it, and sends no trailers then.
        let mut hint = SizeHint::new();
        hint.set_lower(left);
        hint
    }
}

/// An entry's body, at a pace.
pub(crate) struct Paced {
    kept: Kept,
    /// The time that an event takes.
    event: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        let frame = self.kept.next();
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref)
            && !self.kept.is_over()
        {
            let wait = self.event.saturating_mul(events(data));
            self.sleep = Some(Box::pin(tokio::time::sleep(wait)));
        }
        Poll::Ready(frame)
    }
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("event", &self.event).finish_non_exhaustive()
    }
}

/// How many events end in a frame: blank lines, by any of the three line ends.
fn events(data: &[u8]) -> u32 {
    let blank = |ends: &[u8]| data.windows(ends.len()).filter(|window| *window == ends).count();
    u32::try_from(blank(b"\n\n") + blank(b"\r\n\r\n") + blank(b"\r\r")).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_their_blank_lines() {
        let cases: [(&[u8], u32); 6] = [
            (b"", 0),
            (b"data: 1\n", 0),
            (b"data: 1\n\n", 1),
            (b"a\r\n\r\nb\r\n\r\n", 2),
            (b"a\r\rb\r\r", 2),
            (b"a\n\nb", 1),
        ];
        for (data, expected) in cases {
            assert_eq!(events(data), expected, "{data:?}");
        }
    }
}
