//! An answer is the same to the official clients, asked for plainly or as a stream, whichever of both is kept.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    answers::{self, Answer},
    lines,
};
use crate::proxy::Proxy;

const APIS: [&str; 3] = ["chat", "messages", "responses"];

/// How many answers there are of each API.
const COUNT: usize = 12;

#[tokio::test]
async fn the_python_clients_make_the_same_message_of_an_answer_and_of_its_other_rendering() {
    assert_same("renderings.py").await;
}

#[tokio::test]
async fn the_node_clients_make_the_same_message_of_an_answer_and_of_its_other_rendering() {
    assert_same("renderings.mjs").await;
}

async fn assert_same(script: &str) {
    let upstream = Upstream::start().await;
    let count = COUNT.to_string();
    let direct = lines(script, &[upstream.url().as_str(), &count]).await;
    assert_eq!(direct.len(), APIS.len() * COUNT * 2);
    // That the upstream's own renderings are the same shows that they are written as they should be.
    for line in &direct {
        let (first, second) = (bare(&line["answers"][0][0]), bare(&line["answers"][1][0]));
        assert_eq!(first, second, "{}, by the upstream", line["question"]);
    }
    let asked = upstream.calls();
    assert_eq!(asked, direct.len() * 2);

    let proxy = Proxy::before(&upstream.url(), &[]).await;
    let kept = lines(script, &[format!("http://{}", proxy.address()).as_str(), &count]).await;
    for (kept, direct) in kept.iter().zip(&direct) {
        let (question, expected) = (&kept["question"], bare(&direct["answers"][0][0]));
        assert_eq!(question, &direct["question"]);
        for (nth, is_hit) in [(0, false), (1, true)] {
            let [answer, said] = [&kept["answers"][nth][0], &kept["answers"][nth][1]];
            let said = said.as_str().unwrap_or_default();
            assert_eq!(said.starts_with("larder; hit"), is_hit, "{question}, request {nth}: {said}");
            assert_eq!(bare(answer), expected, "{question}, request {nth}");
        }
    }
    assert_eq!(upstream.calls() - asked, kept.len(), "each answer is paid for once");
}

/// What is left of a client's object without what it adds of its own to one that it has put together: what isn't there
/// said as `null`, and parsed forms of what is there as text.
fn bare(object: &Value) -> Value {
    const ADDED: [&str; 4] = ["parsed", "parsed_arguments", "parsed_output", "output_text"];
    match object {
        Value::Object(members) => {
            let call = members.contains_key("function");
            let kept = members.iter().filter(|(name, value)| {
                let nothing =
                    value.is_null() || (*name == "annotations" && value.as_array().is_some_and(Vec::is_empty));
                let added = ADDED.contains(&name.as_str()) || (call && *name == "index");
                !(nothing || added)
            });
            kept.map(|(name, value)| (name.clone(), bare(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(values) => values.iter().map(bare).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => object.clone(),
    }
}

/// Answers the question `chat 7 …` with the API's answer 7, as it is asked for.
struct Upstream {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

type Known = Arc<(BTreeMap<&'static str, Vec<Answer>>, Arc<AtomicUsize>)>;

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let calls = Arc::<AtomicUsize>::default();
        let known: Known = Arc::new((APIS.map(|api| (api, answers::some(api, COUNT))).into(), calls.clone()));
        let router = Router::new().fallback(answer).with_state(known);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, calls, task }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(known): State<Known>, body: Bytes) -> Response {
    let (answers, calls) = &*known;
    calls.fetch_add(1, Ordering::Relaxed);
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let question = request["input"].as_str().or_else(|| request["messages"][0]["content"].as_str()).unwrap_or_default();
    let mut words = question.split(' ');
    let api = words.next().and_then(|api| answers.get(api));
    let number = words.next().and_then(|number| number.parse::<usize>().ok());
    let Some(answer) = api.zip(number).and_then(|(api, number)| api.get(number)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if request["stream"] == true {
        // By pieces that are neither whole events nor whole characters.
        let pieces: Vec<_> = answer.stream.as_bytes().chunks(61).map(Bytes::copy_from_slice).collect();
        let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
        return ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response();
    }
    ([(CONTENT_TYPE, "application/json")], answer.plain.clone()).into_response()
}
