//! One call: its number, its fault and its parsed request, with everything refused that has to be.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderName, HeaderValue, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    failure::Failure,
    fault::{Fault, Wish},
    tally::Tally,
};

const CALL: HeaderName = HeaderName::from_static("x-demo-call");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a call with [`Fault::Slow`] waits for its first token.
const SLOW: Duration = Duration::from_secs(10);

/// What the demo remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    calls: AtomicU64,
    failed: Tally,
}

/// Which call this is, counted from 1, and what came before it.
#[derive(Clone, Debug, Default)]
struct Number(u64, Arc<Memory>);

impl Number {
    fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }
}

/// Middleware that numbers every call, answered or refused.
pub(super) async fn number(State(memory): State<Arc<Memory>>, mut request: Request, next: Next) -> Response {
    let number = memory.calls.fetch_add(1, Ordering::Relaxed) + 1;
    request.extensions_mut().insert(Number(number, memory));
    let mut response = next.run(request).await;
    let id = HeaderValue::from_str(&format!("req_demo{number:08}")).expect("ASCII letters and digits");
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().insert(CALL, number.into());
    response
}

/// A call that is going to be answered, though perhaps badly.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) model: String,
    pub(super) fault: Option<Fault>,
    /// Seconds since the epoch.
    pub(super) created: u64,
    /// The same for the same request and number.
    pub(super) seed: u64,
}

impl Call {
    /// # Errors
    ///
    /// When the call asked to be refused, or asked for a fault that does not exist.
    pub(super) fn new(parts: &Parts, model: &str, content: &[u8]) -> Result<Self, Failure> {
        let Number(number, memory) = Number::of(&parts.extensions);
        let invalid = |message| Failure::invalid(None, message);
        let wish = match Wish::of_headers(&parts.headers).map_err(invalid)? {
            Some(wish) => Some(wish),
            None => Wish::of_model(model).map_err(invalid)?,
        };
        let is_due = |wish: &Wish| match wish.times {
            Some(times) => memory.failed.fails(seed(&(parts.method.as_str(), parts.uri.path(), model, content)), times),
            None => true,
        };
        let fault = wish.filter(is_due).map(|wish| wish.fault);
        if let Some(failure) = fault.and_then(|fault| Failure::asked_for(fault, number)) {
            return Err(failure);
        }
        Ok(Self {
            number,
            model: model.to_owned(),
            fault,
            created: UNIX_EPOCH.elapsed().as_ref().map_or(0, Duration::as_secs),
            seed: seed(&(content, number)),
        })
    }

    /// An id such as `chatcmpl-…`, unlike that of any other call.
    pub(super) fn id(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}{:08x}", self.seed, self.number)
    }

    /// Waits until the answer begins: `usual`, or longer for a call that asked for it.
    pub(super) async fn wait(&self, usual: Duration) {
        match self.fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Reset) => {}
            Some(Fault::Slow) => tokio::time::sleep(SLOW).await,
            _ => tokio::time::sleep(usual).await,
        }
    }
}

/// A call with the JSON body it came with.
#[derive(Debug)]
pub(super) struct Asked<T> {
    pub(super) call: Call,
    pub(super) request: T,
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let content = Bytes::from_request(request, &())
            .await
            .map_err(|rejection| Failure::invalid(None, rejection.body_text()))?;
        let body: Value = serde_json::from_slice(&content).map_err(|error| {
            let message = format!("We could not parse the JSON body of your request: {error}");
            Failure::invalid(None, message)
        })?;
        let model = match body.get("model").and_then(Value::as_str) {
            Some(model) if !model.is_empty() => model,
            Some(_) | None => return Err(Failure::missing("model")),
        };
        let call = Call::new(&parts, model, &content)?;
        let request = serde_json::from_value(body).map_err(|error| Failure::invalid(None, error.to_string()))?;
        Ok(Self { call, request })
    }
}

/// A number that looks random and is the same for the same `value`.
pub(super) fn seed(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
