//! Bodies that take their time: JSON in one piece, or server-sent events one by one, whole or with a fault.

use std::{io, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::{
    call::{Call, seed},
    fault::Fault,
};

/// Long enough that what was sent before a cut is on the wire.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// A part of a body, with the pause before it.
#[derive(Debug)]
struct Frame {
    pause: Duration,
    bytes: Bytes,
}

/// A JSON answer that takes `writing` from its headers to its body.
pub(super) fn json(call: &Call, writing: Duration, value: &Value) -> Response {
    // Pretty, as OpenAI's are: a newcomer reads it in a terminal.
    let mut bytes = Bytes::from(format!("{value:#}\n"));
    if call.fault == Some(Fault::Cut) {
        bytes.truncate(bytes.len() / 2);
    }
    body(call, "application/json", vec![Frame { pause: writing, bytes }])
}

/// A stream of server-sent events, written down before it is played.
#[derive(Debug, Default)]
pub(super) struct Events {
    frames: Vec<Frame>,
    pause: Duration,
}

impl Events {
    /// The events that follow come a token's time later.
    pub(super) fn pause(&mut self, call: &Call) {
        let jitter = seed(&(call.seed, self.frames.len())) % 11;
        self.pause = Duration::from_millis(20 + jitter);
    }

    /// OpenAI's older APIs do not name their events.
    pub(super) fn push(&mut self, data: &Value) {
        self.push_frame(format!("data: {data}\n\n"));
    }

    /// An event whose name is also its `type`.
    pub(super) fn push_named(&mut self, data: &Value) {
        let name = data["type"].as_str().unwrap_or("message");
        self.push_frame(format!("event: {name}\ndata: {data}\n\n"));
    }

    /// The event that ends a stream of unnamed events.
    pub(super) fn push_done(&mut self) {
        self.push_frame("data: [DONE]\n\n".to_owned());
    }

    fn push_frame(&mut self, text: String) {
        let pause = std::mem::take(&mut self.pause);
        self.frames.push(Frame { pause, bytes: text.into() });
    }

    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// The answer that plays the events; `fail` writes the error event, if the call asked for one.
    pub(super) fn play(mut self, call: &Call, fail: impl FnOnce(&mut Self)) -> Response {
        let is_cut = call.fault == Some(Fault::Cut);
        let carries_error = matches!(call.fault, Some(Fault::ErrorEvent | Fault::ErrorFirst));
        if call.fault == Some(Fault::ErrorFirst) {
            self.frames.clear();
        } else if is_cut || carries_error {
            self.frames.truncate(self.frames.len() / 2);
        }
        if carries_error {
            self.pause(call);
            fail(&mut self);
        }
        body(call, "text/event-stream; charset=utf-8", self.frames)
    }
}

fn body(call: &Call, content_type: &'static str, frames: Vec<Frame>) -> Response {
    if call.fault == Some(Fault::Reset) {
        // A body that fails at once takes the head with it, which waits to be sent along.
        let broken = stream::iter([Err::<Bytes, _>(io::Error::other("reset, as asked for"))]);
        return Body::from_stream(broken).into_response();
    }
    let is_cut = call.fault == Some(Fault::Cut);
    let whole = stream::iter(frames).then(async |frame| {
        sleep(frame.pause).await;
        Ok(frame.bytes)
    });
    let end = stream::iter(is_cut.then_some(())).then(async |()| {
        sleep(BEFORE_CUT).await;
        Err(io::Error::other("cut, as asked for"))
    });
    ([(CONTENT_TYPE, content_type)], Body::from_stream(whole.chain(end))).into_response()
}

/// Tokio's shortest sleep is a millisecond, too long for a pause of nothing.
async fn sleep(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}
