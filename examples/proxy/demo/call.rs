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

use super::{failure::Failure, fault::Fault};

const CALL: HeaderName = HeaderName::from_static("x-demo-call");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a call with [`Fault::Slow`] waits for its first token.
const SLOW: Duration = Duration::from_secs(10);

/// Which call this is, counted from 1.
#[derive(Clone, Copy, Debug)]
struct Number(u64);

impl Number {
    fn of(extensions: &Extensions) -> u64 {
        extensions.get().map_or(0, |Self(number)| *number)
    }
}

/// Middleware that numbers every call, answered or refused.
pub(super) async fn number(State(calls): State<Arc<AtomicU64>>, mut request: Request, next: Next) -> Response {
    let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
    request.extensions_mut().insert(Number(number));
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
        let number = Number::of(&parts.extensions);
        let fault = Fault::of_headers(&parts.headers)
            .map_err(|message| Failure::invalid(None, message))?
            .or_else(|| Fault::of_model(model));
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
        let wait = if self.fault == Some(Fault::Slow) { SLOW } else { usual };
        tokio::time::sleep(wait).await;
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
