//! Short words for layers, and for what their responses say.

use std::{
    collections::BTreeMap,
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt as _;
use larder::{
    RateLimitLayer,
    body::ReplayBody,
    rate_limit::{Builder, Limit, Outcome, RateLimitStatus, Subject, limiter::Local},
};
use serde_json::Value;
use sfv::{List, ListEntry, ListSerializer, Parser};
use tower::Service;

use crate::support::{Body, Origin, Refused, field, text};

pub(super) const MICRO: Duration = Duration::from_micros(1);
pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A layer that counts in this process.
pub(super) fn limited(limit: impl Into<Limit>) -> Builder<Local> {
    RateLimitLayer::builder(Local::new()).limit(limit)
}

/// Whoever a request says that it is from, in `x-user`; nobody if it doesn't say.
pub(super) fn by_user(head: &Parts) -> Option<Subject> {
    Some(Subject::named("user", head.headers.get("x-user")?.to_str().ok()?))
}

/// What a request says that it costs, in `x-cost`.
pub(super) fn by_cost(head: &Parts) -> u64 {
    head.headers.get("x-cost").map_or(1, |cost| cost.to_str().expect("ASCII").parse().expect("a number"))
}

/// The head of a request that is never sent.
pub(super) fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

/// What the layer says that it decided.
pub(super) fn status<B>(response: &Response<B>) -> &RateLimitStatus {
    response.extensions().get().expect("a RateLimitStatus")
}

pub(super) fn is_denied<B>(response: &Response<B>) -> bool {
    let outcome = status(response).outcome;
    assert_eq!(response.status() == StatusCode::TOO_MANY_REQUESTS, outcome != Outcome::Allowed);
    outcome != Outcome::Allowed
}

/// When the same request finds room, to the microsecond.
pub(super) fn room_in<B>(response: &Response<B>) -> Duration {
    status(response).retry_after.expect("a time")
}

/// How much is used of a limit, as the response was told.
pub(super) fn used<B>(response: &Response<B>, name: &str) -> u64 {
    let (_, standing) = status(response).limits.iter().find(|(policy, _)| policy.name() == name).expect("the limit");
    standing.used
}

/// A field that is a List of limits, as a parser of structured fields reads it: each with its parameters. It has to be in the canonical form.
pub(super) fn list<B>(response: &Response<B>, name: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut values = response.headers().get_all(name).iter();
    let value = values.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(values.next().is_none(), "more than one {name}");
    let list: List = Parser::new(value.as_bytes()).parse().expect("a List");
    let mut serializer = ListSerializer::new();
    serializer.members(&list);
    assert_eq!(serializer.finish().as_deref(), value.to_str().ok(), "the canonical form");
    let members = list.into_iter().map(|entry| {
        let ListEntry::Item(item) = entry else { panic!("an inner list") };
        let name = item.bare_item.as_string().expect("a String").as_str().to_owned();
        let parameter = |value: &sfv::BareItem| match (value.as_integer(), value.as_string()) {
            (Some(number), None) => i64::from(number).to_string(),
            (None, Some(text)) => text.as_str().to_owned(),
            _ => panic!("neither Integer nor String: {value:?}"),
        };
        (name, item.params.iter().map(|(key, value)| (key.to_string(), parameter(value))).collect())
    });
    members.collect()
}

/// A parameter of a limit in `RateLimit`.
pub(super) fn told<B>(response: &Response<B>, limit: &str, parameter: &str) -> Option<u64> {
    Some(list(response, "ratelimit").get(limit)?.get(parameter)?.parse().expect("a number"))
}

/// `Retry-After`, in seconds.
pub(super) fn retry_after<B>(response: &Response<B>) -> Option<u64> {
    field(response, "retry-after").map(|value| value.parse().expect("seconds"))
}

/// The members of a problem description.
pub(super) async fn problem<B>(response: Response<B>) -> Value
where
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: fmt::Debug,
{
    assert_eq!(field(&response, "content-type"), Some("application/problem+json"));
    assert_eq!(field(&response, "cache-control"), Some("no-store"));
    serde_json::from_str(&text(response).await).expect("JSON")
}

/// An origin inside two layers, each of which wraps the body.
#[derive(Clone)]
pub(super) struct Flat(pub(super) Origin);

impl Service<Request<ReplayBody<ReplayBody<Body>>>> for Flat {
    type Response = Response<Body>;
    type Error = Refused;
    type Future = <Origin as Service<Request<ReplayBody<Body>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReplayBody<ReplayBody<Body>>>) -> Self::Future {
        let request = request.map(|body| {
            let body = body.map_err(|_| unreachable!("it doesn't break")).boxed_unsync();
            ReplayBody::new(body)
        });
        self.0.call(request)
    }
}
