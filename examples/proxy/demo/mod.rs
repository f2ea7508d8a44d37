//! A built-in upstream that speaks OpenAI's API (and Anthropic's `/v1/messages`), so that the proxy can be
//! tried with no account.
//!
//! It is slow on purpose, like the real thing: 1.5 s to the first token, then one token every 20–30 ms. Every
//! call it sees has a number, written into the answer's text and into the `x-demo-call` header: an answer
//! whose number has not gone up never reached this server.
//!
//! It fails on demand: ask for the model `demo-429`, or send `x-demo-fault: 429`, and so on for every
//! [`Fault`](fault::Fault). `demo-429*2` and `x-demo-fault: 429*2` fail twice for the same request, and then answer it.

mod answer;
mod call;
mod chat;
mod completions;
mod embeddings;
mod failure;
mod fault;
mod messages;
mod models;
mod playback;
mod prompt;
mod responses;
mod tally;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
    serve::ListenerExt,
};
use tokio::net::TcpListener;

use failure::Failure;

/// Images and long conversations are sent inline, so axum's default of 2 MB is too little.
const LARGEST_REQUEST: usize = 64 << 20;

/// A demo upstream that listens on a port of its own until the process ends.
#[derive(Debug)]
pub(crate) struct DemoUpstream {
    address: SocketAddr,
}

impl DemoUpstream {
    /// The origin to proxy to, such as `http://127.0.0.1:40123`: no path, no slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Starts a demo upstream on a free port of 127.0.0.1.
///
/// # Errors
///
/// When no port can be bound.
pub(crate) async fn start() -> io::Result<DemoUpstream> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    // With Nagle's algorithm on, tokens would arrive in clumps.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            eprintln!("demo upstream: tokens may arrive in clumps: {error}");
        }
    });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router()).await {
            eprintln!("demo upstream: {error}");
        }
    });
    Ok(DemoUpstream { address })
}

/// The demo's routes, with a memory of their own.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/completions", post(completions::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{id}", get(models::retrieve))
        .fallback(Failure::unknown_path)
        .method_not_allowed_fallback(Failure::wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .layer(middleware::from_fn_with_state(Arc::<call::Memory>::default(), call::number))
}

/// The limit that the demo runs into, as `--limit` takes it.
pub(crate) const LIMIT: &str = "5/min:key:/v1/models";

/// Commands to copy, for a proxy that listens at `proxy` and forwards to the demo.
pub(crate) fn curl_lines(proxy: SocketAddr, has_default: bool, has_limit: bool) -> String {
    let origin = format!("http://{}", reachable(proxy));
    let mut lines = answers(&format!("{origin}/v1/chat/completions"), has_default);
    if has_limit {
        lines.push_str(&limits(&format!("{origin}/v1/models")));
    }
    lines
}

fn answers(url: &str, has_default: bool) -> String {
    let show = r"-w '\n%{http_code} in %{time_total}s  cache-status: %header{cache-status}\n'";
    let tell = r"-w '\n%{http_code} in %{time_total}s  attempts: %header{larder-attempts}  fallback: %header{larder-fallback}  cache-status: %header{cache-status}\n'";
    let json = "-H 'content-type: application/json'";
    let fail = "-H 'cache-control: max-age=0' -H 'x-demo-fault: 503'";
    let ask = r#""messages":[{"role":"user","content":"What is a larder?"}]"#;
    let other = ask.replace("What is", "What belongs in");
    let last = if has_default { "the default answer" } else { "a problem that says what to do" };
    format!(
        "# run it twice: the second answer comes from the larder\n\
         curl -s {show} {url} {json} -d '{{\"model\":\"demo\",{ask}}}'\n\
         \n\
         # streamed; run it twice: the second answer comes from the larder\n\
         curl -sN {show} {url} {json} -d '{{\"model\":\"demo\",\"stream\":true,{other}}}'\n\
         \n\
         # the upstream fails twice: the third try is answered\n\
         curl -s {tell} {url} {json} -d '{{\"model\":\"demo-503*2\",{ask}}}'\n\
         \n\
         # asked anew, and every try fails: the answer to the first command stands in\n\
         curl -s {tell} {url} {json} {fail} -d '{{\"model\":\"demo\",{ask}}}'\n\
         \n\
         # every try fails, and nothing is kept: {last}\n\
         curl -s {tell} {url} {json} -d '{{\"model\":\"demo-503\",{ask}}}'\n\
         \n\
         # a quota that is used up: not tried again\n\
         curl -s {tell} {url} {json} -d '{{\"model\":\"demo-quota\",{ask}}}'\n"
    )
}

fn limits(url: &str) -> String {
    let show = r"-w '%{http_code}  ratelimit: %header{ratelimit}  retry-after: %header{retry-after}\n'";
    let key = |name| format!("-H 'authorization: Bearer {name}'");
    let (one, two) = (key("one"), key("two"));
    format!(
        "\n\
         # a limit of five a minute for each key: the sixth request is denied, and says when to come back\n\
         for i in 1 2 3 4 5 6; do curl -s -o /dev/null {show} {one} {url}; done\n\
         curl -si -w '\\n' {one} {url}\n\
         \n\
         # another key has a limit of its own\n\
         curl -s -o /dev/null {show} {two} {url}\n"
    )
}

/// Where a client on this machine reaches a server that listens at `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
