//! An upstream that answers as OpenAI's and Anthropic's do, from what is in `tests/clients/recorded`.

use std::{
    fs, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::clients;

/// How much of a stream comes at a time: neither whole events nor whole characters.
const PIECE: usize = 61;

/// What stands for the number of an answer in a recording.
const NUMBER: &str = "@N@";

/// The model whose streams break off.
const CUT: &str = "error-cut";

/// A listening upstream, which ends when this is dropped. Answers are numbered from 1, and their ids have the number.
#[derive(Debug)]
pub(super) struct Upstream {
    address: SocketAddr,
    calls: Calls,
    task: JoinHandle<()>,
}

type Calls = Arc<Mutex<Vec<String>>>;

impl Upstream {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let calls = Calls::default();
        let router = Router::new().fallback(answer).with_state(calls.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, calls, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answered with so far, by the names of the recordings.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(calls): State<Calls>, uri: Uri, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(api) = api(uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    let (status, name) = recording(api, &request);
    let number = {
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(if request["model"] == CUT { format!("{name}, which is an error half-way") } else { name.clone() });
        format!("{:08}", calls.len())
    };
    let recorded = fs::read_to_string(clients::script("recorded").join(&name));
    // A test that asks for what nobody has recorded is wrong, and finds out by this.
    let Ok(recorded) = recorded else { return (StatusCode::NOT_IMPLEMENTED, name).into_response() };
    let recorded = recorded.replace(NUMBER, &number);
    let streamed = name.ends_with(".sse");
    let mut response =
        Response::new(if streamed { in_pieces(&recorded, request["model"] == CUT) } else { recorded.into() });
    *response.status_mut() = status;
    let kind = if streamed { "text/event-stream; charset=utf-8" } else { "application/json" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in fields(api, status, &number) {
        let value = HeaderValue::from_str(&value).expect("a field's value");
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    response
}

fn api(path: &str) -> Option<&'static str> {
    Some(match path {
        "/v1/chat/completions" => "chat",
        "/v1/completions" => "completions",
        "/v1/embeddings" => "embeddings",
        "/v1/messages" => "messages",
        "/v1/responses" => "responses",
        _ => return None,
    })
}

/// The recording of what a request gets, and its status. A model whose name begins with `error` fails as the rest says.
fn recording(api: &str, request: &Value) -> (StatusCode, String) {
    let family = if api == "messages" { "messages_error" } else { "error" };
    let model = request["model"].as_str().unwrap_or_default();
    if model == CUT {
        return (StatusCode::OK, format!("{api}.sse"));
    }
    if let Some(status) = model.strip_prefix("error-") {
        return (status.parse().expect("a status"), format!("{family}_{status}.json"));
    }
    let has = |member: &str| !request[member].is_null();
    let variant = if model == "error" {
        "_error"
    } else if has("tools") {
        "_tools"
    } else if has("thinking") {
        "_thinking"
    } else if has("response_format") {
        "_schema"
    } else if has("n") {
        "_choices"
    } else if request["encoding_format"] == "base64" {
        "_base64"
    } else {
        ""
    };
    let form = if request["stream"] == true { "sse" } else { "json" };
    (StatusCode::OK, format!("{api}{variant}.{form}"))
}

/// What the APIs say beside the answer, from which the clients take some.
fn fields(api: &str, status: StatusCode, number: &str) -> Vec<(&'static str, String)> {
    let mut fields: Vec<(&str, String)> = vec![
        ("cf-cache-status", "DYNAMIC".into()),
        ("set-cookie", format!("__cf_bm={number}; path=/; HttpOnly; Secure")),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload".into()),
    ];
    if api == "messages" {
        fields.extend([
            ("request-id", format!("req_{number}")),
            ("anthropic-organization-id", "4b3d8d4e-0000".into()),
            ("anthropic-ratelimit-requests-limit", "50".into()),
            ("anthropic-ratelimit-requests-remaining", "49".into()),
            ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z".into()),
            ("cache-control", "no-cache".into()),
        ]);
    } else {
        fields.extend([
            ("x-request-id", format!("req_{number}")),
            ("openai-organization", "org-abc".into()),
            ("openai-processing-ms", "305".into()),
            ("openai-version", "2020-10-01".into()),
            ("x-ratelimit-limit-requests", "500".into()),
            ("x-ratelimit-remaining-requests", "499".into()),
            ("x-ratelimit-reset-requests", "120ms".into()),
        ]);
    }
    match status.as_u16() {
        429 => fields.extend([("retry-after", "7".into()), ("x-should-retry", "true".into())]),
        500.. => fields.push(("x-should-retry", "true".into())),
        _ => {}
    }
    fields
}

/// The whole of a text, or its first half and then an error.
fn in_pieces(text: &str, cut: bool) -> Body {
    let mut pieces: Vec<_> = text.as_bytes().chunks(PIECE).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    if cut {
        pieces.truncate(pieces.len() / 2);
        pieces.push(Err(io::Error::other("cut, as asked for")));
    }
    // One at a time, so that what comes before an error is sent.
    Body::from_stream(stream::iter(pieces).then(async |piece| {
        tokio::task::yield_now().await;
        piece
    }))
}
