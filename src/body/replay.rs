//! [`ReplayBody`]: a request body of which the first part, or all, has been read already.

use std::{
    fmt,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::Ahead;
use crate::BoxError;

/// The body of a request that a layer hands on.
///
/// It yields what the layer read to make a key, then the rest of the client's body, then the error that reading it met, if
/// any: the inner service sees what it would see without the layer. A body that was read whole can be sent again.
#[pin_project]
pub struct ReplayBody<B> {
    read: Ahead<Bytes>,
    last: Option<Box<Last>>,
    #[pin]
    rest: Rest<B>,
}

/// What comes after the data that was read.
#[derive(Default)]
struct Last {
    trailers: Option<HeaderMap>,
    failure: Option<BoxError>,
}

#[pin_project(project = RestProj)]
enum Rest<B> {
    Untouched(#[pin] B),
    /// Reading it has begun, so it may not be moved any more.
    Begun(Pin<Box<B>>),
    Empty,
}

impl<B> ReplayBody<B> {
    /// A body that nothing was read of.
    pub fn new(body: B) -> Self {
        Self { read: Ahead::Empty, last: None, rest: Rest::Untouched(body) }
    }

    /// A body that begins with `data` and goes on with `rest`.
    pub(crate) fn prefixed(data: Bytes, rest: B) -> Self {
        Self { read: Ahead::One(data), ..Self::new(rest) }
    }

    /// A body that was read whole.
    #[must_use]
    pub fn buffered(data: Bytes) -> Self {
        let read = if data.is_empty() { Ahead::Empty } else { Ahead::One(data) };
        Self { read, last: None, rest: Rest::Empty }
    }

    /// The same body once more, without a copy, if all of it has been read; `None` if some of it is still to come.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        if !matches!(self.rest, Rest::Empty) || self.fails() {
            return None;
        }
        let trailers = self.last.as_ref().and_then(|last| last.trailers.clone());
        let last = trailers.map(|trailers| Box::new(Last { trailers: Some(trailers), failure: None }));
        Some(Self { read: self.read.clone(), last, rest: Rest::Empty })
    }

    fn fails(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.failure.is_some())
    }

    /// What it was made of, so that a body that nothing was read of is handed on as it came.
    #[cfg(feature = "reqwest")]
    pub(crate) fn restore(mut self) -> Restored<B> {
        let simple = self.last.is_none();
        match self.rest {
            Rest::Untouched(body) if simple && self.read.is_empty() => Restored::Untouched(body),
            Rest::Empty if simple && self.read.len() <= 1 => Restored::Whole(self.read.pop_front().unwrap_or_default()),
            rest @ (Rest::Untouched(_) | Rest::Begun(_) | Rest::Empty) => {
                self.rest = rest;
                Restored::Mixed(self)
            }
        }
    }

    fn read_bytes(&self) -> u64 {
        self.read.iter().map(|data| data.len() as u64).sum()
    }
}

impl<B: Default> Default for ReplayBody<B> {
    fn default() -> Self {
        Self::new(B::default())
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(data) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(last) = this.last {
            if let Some(failure) = last.failure.take() {
                return Poll::Ready(Some(Err(failure)));
            }
            if let Some(trailers) = last.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        let frame = match this.rest.as_mut().project() {
            RestProj::Untouched(body) => ready!(body.poll_frame(cx)),
            RestProj::Begun(body) => ready!(body.as_mut().poll_frame(cx)),
            RestProj::Empty => None,
        };
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        let over = match &self.rest {
            Rest::Untouched(body) => body.is_end_stream(),
            Rest::Begun(body) => body.is_end_stream(),
            Rest::Empty => true,
        };
        let last = self.last.as_ref().is_some_and(|last| last.failure.is_some() || last.trailers.is_some());
        over && self.read.is_empty() && !last
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.rest {
            Rest::Untouched(body) => body.size_hint(),
            Rest::Begun(body) => body.size_hint(),
            Rest::Empty if !self.fails() => SizeHint::with_exact(0),
            Rest::Empty => SizeHint::new(),
        };
        let read = self.read_bytes();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody")
            .field("read", &self.read_bytes())
            .field("whole", &matches!(self.rest, Rest::Empty))
            .finish_non_exhaustive()
    }
}

/// What a [`ReplayBody`] was made of.
#[cfg(feature = "reqwest")]
pub(crate) enum Restored<B> {
    Untouched(B),
    Whole(Bytes),
    Mixed(ReplayBody<B>),
}

/// What reading a request's body came to.
pub(crate) enum Buffered<B> {
    /// All of it, in one piece, and the body to hand on.
    Whole(Bytes, ReplayBody<B>),
    /// It is larger than the limit; the body to hand on.
    TooLarge(ReplayBody<B>),
    /// Reading it failed; the body to hand on fails at the same place.
    Failed(ReplayBody<B>),
}

/// Reads a body up to `limit` bytes. A body that says that it is longer is not touched.
pub(crate) async fn buffer<B>(body: B, limit: usize) -> Buffered<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Buffered::Whole(Bytes::new(), ReplayBody::new(body));
    }
    if body.size_hint().lower() > limit as u64 {
        return Buffered::TooLarge(ReplayBody::new(body));
    }
    let mut reading = Reading::default();
    if body.size_hint().exact().is_some() {
        // Such a body is read where it is: it has no more than it said.
        let mut body = pin!(body);
        while reading.goes_on(poll_fn(|cx| body.as_mut().poll_frame(cx)).await) {}
        return reading.done();
    }
    let mut body = Box::pin(body);
    while reading.goes_on(poll_fn(|cx| body.as_mut().poll_frame(cx)).await) {
        if reading.bytes > limit {
            return Buffered::TooLarge(ReplayBody { read: reading.read, last: None, rest: Rest::Begun(body) });
        }
    }
    reading.done()
}

/// What was read of a body so far.
#[derive(Default)]
struct Reading {
    read: Ahead<Bytes>,
    bytes: usize,
    last: Last,
}

impl Reading {
    /// Takes a frame: whether there may be more.
    fn goes_on<E: Into<BoxError>>(&mut self, frame: Option<Result<Frame<Bytes>, E>>) -> bool {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                self.bytes += data.len();
                if !data.is_empty() {
                    self.read.push_back(data);
                }
                true
            }
            Some(Ok(Err(frame))) => {
                self.last.trailers = frame.into_trailers().ok();
                true
            }
            Some(Err(failure)) => {
                self.last.failure = Some(failure.into());
                false
            }
            None => false,
        }
    }

    fn done<B>(mut self) -> Buffered<B> {
        let whole = join(&mut self.read, self.bytes);
        let failed = self.last.failure.is_some();
        let last = (failed || self.last.trailers.is_some()).then(|| Box::new(self.last));
        let replay = ReplayBody { read: self.read, last, rest: Rest::Empty };
        if failed { Buffered::Failed(replay) } else { Buffered::Whole(whole, replay) }
    }
}

/// Makes one piece of many; a body that came in one is not copied.
fn join(pieces: &mut Ahead<Bytes>, bytes: usize) -> Bytes {
    if pieces.len() > 1 {
        let mut whole = BytesMut::with_capacity(bytes);
        for piece in mem::take(pieces).iter() {
            whole.extend_from_slice(piece);
        }
        pieces.push_back(whole.freeze());
    }
    pieces.iter().next().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn streamed(parts: Vec<Result<Frame<Bytes>, BoxError>>) -> impl Body<Data = Bytes, Error = BoxError> {
        StreamBody::new(stream::iter(parts))
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn a_body_in_one_frame_is_not_copied_and_can_be_sent_again() {
        let bytes = Bytes::from(vec![b'x'; 100]);
        let Buffered::Whole(whole, body) = buffer(Full::new(bytes.clone()), 100).await else { panic!("fits") };
        assert_eq!(whole.as_ptr(), bytes.as_ptr());
        let again = body.try_clone().expect("read whole");
        assert_eq!(body.size_hint().exact(), Some(100));
        for body in [body, again] {
            assert_eq!(body.collect().await.expect("buffered").to_bytes(), bytes);
        }
    }

    #[tokio::test]
    async fn trailers_and_pieces_arrive() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().expect("value"));
        let body = streamed(vec![data("ab"), data(""), data("c"), Ok(Frame::trailers(trailers.clone()))]);
        let Buffered::Whole(whole, body) = buffer(body, 3).await else { panic!("fits") };
        assert_eq!(whole, "abc");
        let collected = body.collect().await.expect("buffered");
        assert_eq!(collected.trailers(), Some(&trailers));
    }

    #[tokio::test]
    async fn what_exceeds_the_limit_is_handed_on_whole() {
        let body = streamed(vec![data("ab"), data("cd"), data("ef")]);
        let Buffered::TooLarge(body) = buffer(body, 3).await else { panic!("too large") };
        assert!(body.try_clone().is_none());
        assert_eq!(body.collect().await.expect("handed on").to_bytes(), "abcdef");

        let Buffered::TooLarge(body) = buffer(Full::new(Bytes::from_static(b"abcd")), 3).await else {
            panic!("declared")
        };
        assert_eq!(body.size_hint().exact(), Some(4));
        assert_eq!(body.collect().await.expect("untouched").to_bytes(), "abcd");
    }

    #[tokio::test]
    async fn an_error_half_way_stays_at_its_place() {
        let body = streamed(vec![data("ab"), Err("broken".into()), data("cd")]);
        let Buffered::Failed(mut body) = buffer(body, 100).await else { panic!("fails") };
        assert!(body.try_clone().is_none());
        let first = body.frame().await.expect("frame").expect("data").into_data().expect("data");
        assert_eq!(first, "ab");
        assert_eq!(body.frame().await.expect("frame").expect_err("error").to_string(), "broken");
        assert!(body.frame().await.is_none());
    }
}
