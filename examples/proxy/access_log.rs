//! One line for each request, when its response's last byte has been handed on.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use larder::{
    header::{
        cache_status::{CacheStatus, Outcome},
        media_type,
    },
    llm::{Cost, NanoDollars},
    policy::completeness::sse::BROKEN,
    rate_limit::{RateLimitStatus, Standing},
    retry::{Attempts, FallbackKind},
};

/// What is known of a request when it comes; `None` if nobody wants to know.
pub(crate) struct Line {
    method: Method,
    path: String,
    started: Instant,
}

impl Line {
    pub(crate) fn begin<B>(request: &Request<B>) -> Option<Self> {
        tracing::enabled!(target: "proxy", tracing::Level::INFO).then(|| Self {
            method: request.method().clone(),
            // Without the query, which may hold a key.
            path: request.uri().path().to_owned(),
            started: Instant::now(),
        })
    }
}

/// A body that is counted, for its line in the log.
#[pin_project::pin_project(PinnedDrop)]
pub(crate) struct Logged<B> {
    #[pin]
    body: B,
    entry: Option<Box<LogEntry>>,
}

struct LogEntry {
    line: Line,
    status: StatusCode,
    cache: Option<CacheStatus>,
    attempts: Option<Attempts>,
    limit: Option<RateLimitStatus>,
    cost: Option<Cost>,
    is_event_stream: bool,
    bytes: u64,
    broken: bool,
}

/// Counts the response's body, and logs it at its end.
pub(crate) fn logged<B>(response: Response<B>, line: Option<Line>) -> Response<Logged<B>> {
    let entry = line.map(|line| {
        let cache = response.extensions().get().cloned();
        let attempts = response.extensions().get().copied();
        let limit = response.extensions().get().cloned();
        let cost = Cost::of(&response).cloned();
        let is_event_stream = media_type::is_event_stream(response.headers());
        Box::new(LogEntry {
            line,
            status: response.status(),
            cache,
            attempts,
            limit,
            cost,
            is_event_stream,
            bytes: 0,
            broken: false,
        })
    });
    response.map(|body| Logged { body, entry })
}

impl<B: Body<Data = Bytes>> Body for Logged<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx);
        if let (Some(entry), Poll::Ready(Some(frame))) = (this.entry, &polled) {
            match frame {
                Ok(frame) => {
                    let data = frame.data_ref().map_or(&[][..], |data| data);
                    entry.bytes += data.len() as u64;
                    // The client is told so by an event, in the place of an error.
                    entry.broken |= entry.is_event_stream && data.ends_with(BROKEN);
                }
                Err(_) => entry.broken = true,
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[pin_project::pinned_drop]
impl<B> PinnedDrop for Logged<B> {
    fn drop(self: Pin<&mut Self>) {
        let Some(entry) = self.project().entry.take() else { return };
        let LogEntry { line, status, cache, attempts, limit, cost, bytes, broken, .. } = *entry;
        let state = match &cache {
            Some(CacheStatus { outcome: Outcome::Hit, .. }) => "hit",
            Some(CacheStatus { collapsed: true, .. }) => "collapsed",
            Some(CacheStatus { detail: Some("stale-if-error"), .. }) => "stale-if-error",
            Some(CacheStatus { outcome: Outcome::Forward(reason), .. }) => reason.as_str(),
            Some(_) | None => "none",
        };
        let dollars =
            |amount: Option<NanoDollars>| amount.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string());
        let limits = |which| limit.as_ref().and_then(|limit| names(limit, which));
        tracing::info!(
            target: "proxy",
            method = %line.method,
            path = line.path,
            status = status.as_u16(),
            cache = state,
            attempts = attempts.map(|attempts| attempts.made),
            fallback = attempts.and_then(|attempts| attempts.fallback).map(FallbackKind::as_str),
            limit = limit.as_ref().map(|limit| limit.outcome.as_str()),
            denied_by = limits(Standing::denies),
            would_deny = limits(Standing::would_deny),
            model = cost.as_ref().and_then(Cost::model),
            cost = cost.as_ref().map(|cost| dollars(cost.spent())),
            saved = cost.as_ref().map(|cost| dollars(cost.saved())),
            bytes,
            time = format_args!("{:.3}ms", line.started.elapsed().as_secs_f64() * 1000.0),
            broken,
        );
    }
}

/// The limits that stand so, by name.
fn names(limit: &RateLimitStatus, which: fn(&Standing) -> bool) -> Option<String> {
    let names: Vec<_> =
        limit.limits.iter().filter(|(_, standing)| which(standing)).map(|(policy, _)| policy.name()).collect();
    (!names.is_empty()).then(|| names.join(","))
}
