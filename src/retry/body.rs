//! [`RetryBody`]: the body of a response, wherever it comes from.

use std::{
    fmt,
    future::Future as _,
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
use crate::{BoxError, body::Ahead, entry::Entry, header::media_type, policy::completeness::sse::BROKEN};

/// A response's body: the inner service's, of which the beginning may have been read already, or one that stands in for it.
///
/// Once it has begun it isn't retried. A stream that breaks then ends with an error; an event stream, with an event that says so:
/// the events before it are whole.
#[pin_project]
pub struct RetryBody<B>(#[pin] Kind<B>);

#[pin_project(project = KindProj)]
enum Kind<B> {
    Passed(#[pin] Passed<B>),
    Whole(Option<Bytes>),
    Kept { entry: Entry, next: usize, trailers: bool },
}

/// The inner service's.
#[pin_project]
struct Passed<B> {
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

impl<B> RetryBody<B> {
    pub(super) fn passed(body: B) -> Self {
        Self(Kind::Passed(Passed { read: Ahead::Empty, rest: Some(body), guard: None }))
    }

    pub(super) fn whole(data: Bytes) -> Self {
        Self(Kind::Whole(Some(data).filter(|data| !data.is_empty())))
    }

    pub(super) fn kept(entry: Entry) -> Self {
        Self(Kind::Kept { entry, next: 0, trailers: false })
    }

    /// Says how the rest of it is guarded: how long a frame may take, and, if it is an event stream, that its events are whole.
    pub(super) fn guard(&mut self, headers: &HeaderMap, idle: Option<Duration>) {
        if let Kind::Passed(passed) = &mut self.0
            && passed.rest.is_some()
        {
            // One with a length can't be given another end.
            let events = media_type::is_event_stream(headers)
                && !headers.contains_key(CONTENT_ENCODING)
                && !headers.contains_key(CONTENT_LENGTH);
            if events || idle.is_some() {
                let guard = passed.guard.get_or_insert_default();
                guard.idle = idle.map(|limit| Idle { limit, sleep: None });
                guard.events = events.then(WholeEvents::default);
            }
        }
    }

    /// What reading ahead failed with.
    pub(super) fn failure(&self) -> Option<&BoxError> {
        match &self.0 {
            Kind::Passed(passed) => passed.guard.as_ref()?.failure.as_ref(),
            Kind::Whole(_) | Kind::Kept { .. } => None,
        }
    }
}

impl<B> RetryBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Reads one frame ahead: its data. `None` if there is none, at the end or after a [failure](Self::failure).
    pub(super) async fn read_frame(&mut self) -> Option<&[u8]> {
        let Kind::Passed(passed) = &mut self.0 else { return None };
        let rest = passed.rest.as_mut().filter(|rest| !rest.is_end_stream())?;
        match std::future::poll_fn(|cx| Pin::new(&mut *rest).poll_frame(cx)).await {
            Some(Ok(frame)) => {
                passed.read.push_back(Piece::from(frame));
                return passed.read.last().map(Piece::data);
            }
            Some(Err(error)) => passed.guard.get_or_insert_default().failure = Some(error.into()),
            None => {}
        }
        passed.rest = None;
        None
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

impl<B> Body for RetryBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().0.project() {
            KindProj::Passed(passed) => passed.poll_frame(cx),
            KindProj::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            KindProj::Kept { entry, next, trailers } => {
                if let Some(data) = entry.body().get(*next) {
                    *next += 1;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                let last = entry.body().trailers().filter(|_| !*trailers).cloned();
                *trailers = true;
                Poll::Ready(last.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Passed(passed) => {
                let over = passed.rest.as_ref().is_none_or(Body::is_end_stream);
                over && passed.read.is_empty() && passed.guard.as_ref().is_none_or(|guard| guard.has_nothing())
            }
            Kind::Whole(data) => data.is_none(),
            Kind::Kept { entry, next, trailers } => {
                *next >= entry.body().count() && (*trailers || entry.body().trailers().is_none())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Passed(passed) => passed.size_hint(),
            Kind::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Kept { entry, next: 0, .. } if entry.body().trailers().is_none() => {
                SizeHint::with_exact(entry.body().data().len() as u64)
            }
            Kind::Kept { .. } => SizeHint::default(),
        }
    }
}

impl<B> Passed<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
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
                tracing::debug!(error, "an event stream broke off");
                Ok(Frame::data(Bytes::from_static(BROKEN)))
            }
            Some(_) | None => Err(error),
        }
    }
}

impl<B: Body> Passed<B> {
    fn size_hint(&self) -> SizeHint {
        if self.failure.is_some() {
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

impl<B> fmt::Debug for RetryBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Passed(_) => "RetryBody::Passed",
            Kind::Whole(_) => "RetryBody::Whole",
            Kind::Kept { .. } => "RetryBody::Kept",
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::{super::events::LONGEST_EVENT, *};

    type Part = Result<&'static str, &'static str>;

    fn body(parts: Vec<Part>) -> RetryBody<impl Body<Data = Bytes, Error = BoxError>> {
        let frames = parts.into_iter().map(|part| match part {
            Ok(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            Err(error) => Err(BoxError::from(error)),
        });
        RetryBody::passed(StreamBody::new(stream::iter(frames)))
    }

    fn events() -> HeaderMap {
        HeaderMap::from_iter([(http::header::CONTENT_TYPE, "text/event-stream".parse().expect("a value"))])
    }

    async fn frames(
        mut body: RetryBody<impl Body<Data = Bytes, Error = BoxError> + Unpin>,
    ) -> Vec<Result<String, String>> {
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.push(match frame {
                Ok(frame) => Ok(String::from_utf8_lossy(&frame.into_data().expect("data")).into_owned()),
                Err(error) => Err(error.to_string()),
            });
        }
        assert!(body.is_end_stream());
        frames
    }

    #[tokio::test]
    async fn a_broken_event_stream_ends_with_whole_events_and_an_error_event() {
        let mut body = body(vec![Ok("data: 1\n\nda"), Ok("ta: 2\n"), Ok("\ndata: 3"), Err("cut"), Ok("never")]);
        body.guard(&events(), None);
        let frames = frames(body).await;
        let broken = std::str::from_utf8(BROKEN).expect("text");
        assert_eq!(frames, [Ok("data: 1\n\n".into()), Ok("data: 2\n\n".into()), Ok(broken.into())]);
        let data = broken.split("data: ").nth(1).expect("data").trim();
        assert_eq!(serde_json::from_str::<serde_json::Value>(data).expect("JSON")["error"]["type"], "api_error");
    }

    #[tokio::test]
    async fn any_other_broken_body_ends_with_its_error() {
        let frames = frames(body(vec![Ok("ab"), Err("cut"), Ok("never")])).await;
        assert_eq!(frames, [Ok("ab".into()), Err("cut".into())]);
    }

    #[tokio::test]
    async fn an_event_stream_that_ends_is_handed_on_whole() {
        let mut body = body(vec![Ok("data: 1\n\n"), Ok(": alive\n"), Ok("data: [DONE]")]);
        body.guard(&events(), None);
        let frames = frames(body).await;
        assert_eq!(frames, [Ok("data: 1\n\n".into()), Ok(": alive\n".into()), Ok("data: [DONE]".into())]);
    }

    #[tokio::test]
    async fn what_never_ends_an_event_is_not_held_back_for_ever() {
        let long: &'static str = "x".repeat(LONGEST_EVENT / 2 + 1).leak();
        let mut body = body(vec![Ok(long), Ok(long), Ok(long), Ok("\n\ndata: 1"), Ok("\n\n"), Err("cut")]);
        body.guard(&events(), None);
        let frames = frames(body).await;
        let lengths: Vec<_> = frames.iter().map(|frame| frame.as_ref().map(String::len)).collect();
        assert_eq!(lengths, [Ok(2 * long.len()), Ok(long.len()), Ok(2), Ok(9), Ok(BROKEN.len())]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stalls_breaks_off() {
        let mut body: RetryBody<_> =
            RetryBody::passed(StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>()));
        body.guard(&HeaderMap::new(), Some(Duration::from_secs(5)));
        let begun = tokio::time::Instant::now();
        assert_eq!(body.frame().await.expect("an end").expect_err("broken").to_string(), "nothing came for 5s");
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first() {
        let mut body = body(vec![Ok("ab"), Ok("cd")]);
        assert!(body.read_frame().await.is_some());
        assert_eq!(body.size_hint().lower(), 2);
        assert_eq!(frames(body).await, [Ok("ab".into()), Ok("cd".into())]);
    }
}
