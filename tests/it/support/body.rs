//! Bodies of which the test decides each frame.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

/// The one body type of requests and of scripted origins.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

type Sent = Result<Frame<Bytes>, Broken>;

/// What a body breaks with.
#[derive(Debug)]
pub(crate) struct Broken(&'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// A body that says how long it is.
pub(crate) fn full(data: impl Into<Bytes>) -> Body {
    Full::new(data.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body in frames, all of them there, that doesn't say how long it is.
pub(crate) fn pieces(parts: impl IntoIterator<Item = impl Into<Bytes>>) -> Body {
    let parts: Vec<Sent> = parts.into_iter().map(|part| Ok(Frame::data(part.into()))).collect();
    StreamBody::new(stream::iter(parts)).boxed_unsync()
}

/// A body and the hand that feeds it.
pub(crate) fn channel() -> (Feed, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Feed(sender), Channel(receiver).boxed_unsync())
}

/// Feeds a body; dropping it ends the body cleanly.
pub(crate) struct Feed(mpsc::UnboundedSender<Sent>);

impl Feed {
    /// Sends a frame of data; to a body that is gone it goes nowhere.
    pub(crate) fn data(&self, data: impl Into<Bytes>) {
        let _ = self.0.send(Ok(Frame::data(data.into())));
    }

    pub(crate) fn trailers(&self, trailers: HeaderMap) {
        let _ = self.0.send(Ok(Frame::trailers(trailers)));
    }

    /// Breaks the body.
    pub(crate) fn fail(self, why: &'static str) {
        let _ = self.0.send(Err(Broken(why)));
    }

    /// Whether the body has been dropped.
    pub(crate) fn is_dropped(&self) -> bool {
        self.0.is_closed()
    }

    /// Returns when the body is dropped.
    pub(crate) async fn dropped(&self) {
        self.0.closed().await;
    }
}

struct Channel(mpsc::UnboundedReceiver<Sent>);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        self.0.poll_recv(cx)
    }
}

/// The same body; `alive` counts how many such there are.
pub(crate) fn counted(body: Body, alive: &Arc<AtomicUsize>) -> Body {
    alive.fetch_add(1, Ordering::SeqCst);
    let guard = Guard(alive.clone());
    body.map_frame(move |frame| {
        let _ = &guard;
        frame
    })
    .boxed_unsync()
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
