//! [`RetryBody`]: the body of a response, wherever it comes from.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::passed::Passed;
use crate::{BoxError, entry::Entry};

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

impl<B> RetryBody<B> {
    pub(super) fn passed(body: B) -> Self {
        Self(Kind::Passed(Passed::new(body)))
    }

    pub(super) fn whole(data: Bytes) -> Self {
        Self(Kind::Whole(Some(data).filter(|data| !data.is_empty())))
    }

    pub(super) fn kept(entry: Entry) -> Self {
        Self(Kind::Kept { entry, next: 0, trailers: false })
    }

    /// Says how the rest of it is guarded; see [`Passed::guard`].
    pub(super) fn guard(&mut self, headers: &HeaderMap, idle: Option<Duration>) {
        if let Kind::Passed(passed) = &mut self.0 {
            passed.guard(headers, idle);
        }
    }

    /// What reading ahead failed with.
    pub(super) fn failure(&self) -> Option<&BoxError> {
        match &self.0 {
            Kind::Passed(passed) => passed.failure(),
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
        match &mut self.0 {
            Kind::Passed(passed) => passed.read_frame().await,
            Kind::Whole(_) | Kind::Kept { .. } => None,
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
            Kind::Passed(passed) => passed.is_end_stream(),
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
    use crate::policy::completeness::sse::BROKEN;

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
