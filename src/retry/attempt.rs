//! One attempt: from a request on its way to a response that may be released, or to what is wrong with it.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, header::CONTENT_ENCODING, response::Parts};
use http_body::Body;
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::Instant;

use super::{
    Asked, Cause, Classify, Credentials, FailureKind, Outcome, RetryBody, Upstream, Verdict, hint, plan::Plan,
    shared::Shared,
};
use crate::{
    BoxError,
    header::{exchange::LARDER_ATTEMPTS, media_type},
    policy::completeness::sse::Events,
};

/// How much of an event stream is held back until it is known how it begins.
const LONGEST_BEGINNING: usize = 64 * 1024;

/// How much of a response is held back until it can't be taken for good any more.
///
/// What is held back can still be retried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hold {
    /// Nothing: the head is released when it comes.
    Head,
    /// The head, until the first byte of the body has come. Its bytes leave as early as without larder.
    #[default]
    FirstByte,
    /// Of an event stream the first event, 64 KiB at most, so that an error in it is found; of all else as
    /// [`FirstByte`](Self::FirstByte), and so of one that is compressed, which can't be looked into.
    FirstEvent,
}

/// What an attempt came to.
pub(super) enum Attempted<A, E> {
    /// It is the client's.
    Final(Result<Response<RetryBody<A>>, E>),
    Bad(Bad<A, E>),
}

/// What won't do.
pub(super) struct Bad<A, E> {
    pub(super) kind: FailureKind,
    pub(super) cause: Cause,
    /// Whether another attempt may do better here.
    pub(super) may_retry: bool,
    /// Whether nothing of the request can have been acted upon.
    pub(super) is_unsent: bool,
    pub(super) hint: Option<Duration>,
    pub(super) status: Option<StatusCode>,
    /// Whether another upstream had no use for the request, which tells nothing of why it came there.
    pub(super) is_turned_away: bool,
    /// As it came, if anything came.
    pub(super) answer: Option<Result<Response<RetryBody<A>>, E>>,
}

impl<A, E> Bad<A, E> {
    /// Nothing came.
    pub(super) fn nothing(kind: FailureKind, cause: Cause, hint: Option<Duration>) -> Self {
        let is_unsent = kind.is_unasked();
        Self { kind, cause, may_retry: false, is_unsent, hint, status: None, is_turned_away: false, answer: None }
    }

    /// How many attempts a layer further in made, besides the one that it was asked for.
    pub(super) fn made_further_in(&self) -> u32 {
        let Some(Ok(response)) = &self.answer else { return 0 };
        let said = response.headers().get(LARDER_ATTEMPTS).and_then(|value| value.to_str().ok()?.parse::<u16>().ok());
        said.map_or(0, |made| u32::from(made.saturating_sub(1)))
    }

    /// Whether it is a 4xx: whoever sends one is well, even if the request is worth another attempt.
    pub(super) fn is_client_s(&self) -> bool {
        self.kind == FailureKind::Response && self.status.is_some_and(|status| status.is_client_error())
    }
}

/// Takes what comes of a request that was sent, and judges it.
pub(super) async fn attempt<C, F, A, E>(
    shared: &Shared<C>,
    asked: &Asked,
    plan: &Plan<'_>,
    sent: Pin<&mut F>,
) -> Attempted<A, E>
where
    C: Classify<E>,
    F: Future<Output = Result<Response<A>, E>>,
    A: Body<Data = Bytes> + Unpin,
    A::Error: Into<BoxError>,
{
    let response = match sent.await {
        Ok(response) => response,
        Err(error) => {
            let verdict = shared.classify.classify(asked, Outcome::Error(&error));
            let is_unsent = shared.classify.is_unsent(&error);
            let Some((cause, may_retry)) = what_to_do(verdict) else { return Attempted::Final(Err(error)) };
            let kind = FailureKind::Error;
            return Attempted::Bad(Bad {
                is_unsent,
                may_retry,
                answer: Some(Err(error)),
                ..Bad::nothing(kind, cause, None)
            });
        }
    };
    let (head, body) = response.into_parts();
    let mut body = RetryBody::passed(body);
    let (kind, verdict) = judge(shared, asked, &head, &mut body).await;
    let is_turned_away = plan.upstream.is_some() && Upstream::turns_away(head.status);
    let verdict = match verdict {
        // It is said of the credential, and there may be another.
        Verdict::Accept if plan.credentials.is_some() && Credentials::are_refused(head.status) => {
            Verdict::Fallback(Cause::Refused)
        }
        // It is said of how it is asked here, and there may be somebody else.
        Verdict::Accept if is_turned_away => {
            Verdict::Fallback(if Credentials::are_refused(head.status) { Cause::Refused } else { Cause::Failed })
        }
        verdict @ (Verdict::Accept | Verdict::Retry(_) | Verdict::Fallback(_)) => verdict,
    };
    match what_to_do(verdict) {
        None => {
            body.guard(&head.headers, shared.settings.idle_timeout);
            Attempted::Final(Ok(Response::from_parts(head, body)))
        }
        Some((cause, may_retry)) => {
            let bad = Bad {
                kind,
                cause,
                // A layer further in has tried already.
                may_retry: may_retry && !head.headers.contains_key(LARDER_ATTEMPTS),
                is_unsent: is_turned_away,
                hint: hint::of(&head.headers, shared.settings.clock.now()),
                status: Some(head.status),
                is_turned_away,
                answer: Some(Ok(Response::from_parts(head, body))),
            };
            Attempted::Bad(bad)
        }
    }
}

fn what_to_do(verdict: Verdict) -> Option<(Cause, bool)> {
    match verdict {
        Verdict::Accept => None,
        Verdict::Retry(cause) => Some((cause, true)),
        Verdict::Fallback(cause) => Some((cause, false)),
    }
}

/// Reads as much of a response as has to be known before it is released.
async fn judge<C, A, E>(
    shared: &Shared<C>,
    asked: &Asked,
    head: &Parts,
    body: &mut RetryBody<A>,
) -> (FailureKind, Verdict)
where
    C: Classify<E>,
    A: Body<Data = Bytes> + Unpin,
    A::Error: Into<BoxError>,
{
    let classify = |outcome: Outcome<'_, E>| shared.classify.classify(asked, outcome);
    let reads = shared.classify.reads(head);
    let shown = if reads > 0 { read(body, |_, bytes| bytes >= reads).await } else { Bytes::new() };
    let shown = shown.get(..reads).unwrap_or(&shown);
    let verdict = classify(Outcome::Response { head, body: shown });
    if verdict != Verdict::Accept {
        return (FailureKind::Response, verdict);
    }
    let by_event = shared.settings.hold == Hold::FirstEvent
        && media_type::is_event_stream(&head.headers)
        && !head.headers.contains_key(CONTENT_ENCODING);
    if by_event {
        let begun = read(body, |begun, bytes| {
            bytes > LONGEST_BEGINNING || Events::new(begun).any(|event| is_telling(&event.data))
        })
        .await;
        let first = Events::new(&begun).find(|event| event.event == "error" || is_telling(&event.data));
        if let Some(event) = first.filter(|event| event.event == "error" || is_error(&event.data)) {
            return (FailureKind::ErrorEvent, classify(Outcome::ErrorEvent { head, data: &event.data }));
        }
    } else if shared.settings.hold != Hold::Head {
        while body.read_frame().await.is_some_and(<[u8]>::is_empty) {}
    }
    match body.failure() {
        Some(failure) => (FailureKind::Broken, classify(Outcome::Broken(failure))),
        None => (FailureKind::Response, Verdict::Accept),
    }
}

/// Reads ahead until it is enough, or there is no more.
async fn read<A>(body: &mut RetryBody<A>, enough: impl Fn(&[u8], usize) -> bool) -> Bytes
where
    A: Body<Data = Bytes> + Unpin,
    A::Error: Into<BoxError>,
{
    let mut read = BytesMut::new();
    while let Some(data) = body.read_frame().await {
        read.extend_from_slice(data);
        if enough(&read, read.len()) {
            break;
        }
    }
    read.freeze()
}

/// Whether an event says anything.
fn is_telling(data: &[u8]) -> bool {
    !data.trim_ascii().is_empty()
}

/// Whether an event's data is an error, by the one thing that the providers' have in common.
fn is_error(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Data {
        error: Option<IgnoredAny>,
    }
    data.trim_ascii_start().first() == Some(&b'{')
        && serde_json::from_slice::<Data>(data).is_ok_and(|data| data.error.is_some())
}

/// Waits for what comes until then, without a timer if it is there at once. `None`: it came too late.
pub(super) async fn until<F: Future>(end: Option<Instant>, mut future: Pin<&mut F>) -> Option<F::Output> {
    let Some(end) = end else { return Some(future.await) };
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout_at(end, future).await.ok(),
    }
}

/// Reads a body that nobody wants to its end, so that its connection can be used again; up to a limit.
pub(super) async fn drain<A>(body: &mut RetryBody<A>)
where
    A: Body<Data = Bytes> + Unpin,
    A::Error: Into<BoxError>,
{
    let mut left: usize = 64 * 1024;
    while let Some(data) = body.read_frame().await {
        left = left.saturating_sub(data.len());
        if left == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_from_an_answer() {
        for data in ["{\"error\":{\"message\":\"x\"}}", " {\"a\":[{}],\"error\":\"x\"}"] {
            assert!(is_error(data.as_bytes()), "{data}");
        }
        for data in ["{\"error\":null}", "{\"choices\":[]}", "[DONE]", "", "{\"error\":", "[{\"error\":1}]"] {
            assert!(!is_error(data.as_bytes()), "{data}");
        }
    }
}
