//! The admin router, on real sockets.

mod access;
mod costs;
mod dashboard;
mod embeddings;
mod entries;
mod explain;
mod export;
mod figures;
mod health;
mod lookups;
mod monitoring;
mod nearest;
mod purge;
mod schema;

use std::{net::SocketAddr, time::Duration};

use ::reqwest::{Client, Method, Response, StatusCode};
use axum::{Router, routing::get};
use larder::{CacheLayer, cache, store::Store};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// A router that listens; it ends when this is dropped.
struct Served {
    address: SocketAddr,
    client: Client,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    async fn new(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let client = Client::builder().redirect(::reqwest::redirect::Policy::none()).build().expect("a client");
        Self { address, client, task }
    }

    async fn send(&self, method: Method, path: &str, token: Option<&str>) -> Response {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.send().await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.send(Method::GET, path, None).await).await
    }

    async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.send(Method::DELETE, path, None).await).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        let request = self.client.post(format!("http://{}{path}", self.address)).body(body.to_owned());
        Answer::of(request.send().await.expect("an answer")).await
    }
}

/// An answer with its whole body.
#[derive(Debug)]
struct Answer {
    status: u16,
    kind: String,
    text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().expect("printable").to_owned());
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let status = response.status().as_u16();
        Self { status, kind: kind.unwrap_or_default(), text: response.text().await.expect("a whole body") }
    }

    /// What a success says.
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!((self.status, &*self.kind), (200, "application/json"), "{self:?}");
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// What an error says is to be done.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!((self.status, &*self.kind), (status, "application/problem+json"), "{self:?}");
        let body: Value = serde_json::from_str(&self.text).expect("JSON");
        assert_eq!((body["status"].as_u64(), body["type"].as_str()), (Some(status.into()), Some("about:blank")));
        body["detail"].as_str().expect("a text").to_owned()
    }
}

/// An application whose answers are kept for ten minutes, on a socket, and a handle of its cache.
async fn site<S: Store>(store: S) -> (Served, cache::Handle) {
    let layer = CacheLayer::builder(store).lookup_timeout(Duration::from_secs(5)).show_key(true).build();
    let page = get(async |uri: http::Uri| {
        let fields = [("cache-control", "max-age=600"), ("cache-tag", "page"), ("x-content-type-options", "nosniff")];
        (fields, format!("the body of {uri}"))
    });
    let handle = layer.handle();
    (Served::new(Router::new().route("/{*path}", page).layer(layer)).await, handle)
}

/// Whether a site answers from its cache.
async fn hits(site: &Served, path: &str) -> bool {
    let response = site.send(Method::GET, path, None).await;
    assert_eq!(response.status(), StatusCode::OK);
    let said = response.headers()["cache-status"].to_str().expect("printable").to_owned();
    response.text().await.expect("a whole body");
    said.starts_with("larder; hit")
}
