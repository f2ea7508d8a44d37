//! Accepts connections and serves them, until a signal says to stop.

use std::{convert::Infallible, future::poll_fn, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, HOST},
};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use larder::{
    CacheLayer, RateLimitLayer, RetryFallbackLayer,
    body::ReplayBody,
    cache::CacheBody,
    fingerprint::Fingerprint,
    header::hop_by_hop,
    llm::EmbeddingsLayer,
    policy::Policy,
    rate_limit::{RateLimitBody, limiter::BoxLimiter},
    retry::{Classify, RetryBody},
    store::{BoxStore, Store},
};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpListener, signal::unix, sync::watch};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::{
    access_log::{Line, Logged, logged},
    forward::{Failure, Forward, introduce},
    interim::{Side, Wire},
    problem,
};

/// How long requests that run when the signal comes are given to end.
const GRACE: Duration = Duration::from_secs(30);

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Each layer above it may have read the client's body.
type Upstream = Forward<ReplayBody<ReplayBody<ReplayBody<ReplayBody<Incoming>>>>>;
type AnswerBody = Either<ReplayBody<CacheBody<RetryBody<Incoming>>>, Full<Bytes>>;
type ResponseBody = Logged<Either<RateLimitBody<AnswerBody>, AnswerBody>>;

/// The layers in front of the upstreams.
pub(crate) struct Stack<St, F, P, C> {
    pub(crate) limits: Option<RateLimitLayer<BoxLimiter>>,
    pub(crate) embeddings: EmbeddingsLayer<BoxStore>,
    pub(crate) cache: CacheLayer<St, F, P>,
    pub(crate) retry: RetryFallbackLayer<C>,
}

impl<St, F, P, C> Clone for Stack<St, F, P, C> {
    fn clone(&self) -> Self {
        Self {
            limits: self.limits.clone(),
            embeddings: self.embeddings.clone(),
            cache: self.cache.clone(),
            retry: self.retry.clone(),
        }
    }
}

/// SIGTERM and SIGINT. To be heard before anybody is told that the proxy is there: until then they end it on the spot.
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    pub(crate) fn hear() -> std::io::Result<Self> {
        let [terminate, interrupt] = [unix::SignalKind::terminate(), unix::SignalKind::interrupt()].map(unix::signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves until SIGTERM or SIGINT comes, and then until the running requests have ended; a second signal ends them.
pub(crate) async fn run<St, F, P, C>(
    listener: TcpListener,
    mut signals: Signals,
    stack: Stack<St, F, P, C>,
    forward: Upstream,
) -> anyhow::Result<()>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
    C: Classify<Failure>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30));
    let graceful = GracefulShutdown::new();
    let (stop, stopping) = watch::channel(());
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: those that are open go on, and may end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = signals.next() => break,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let own: Arc<[_]> = stream.local_addr().map(own_names).unwrap_or_default().into();
        let (stream, side) = Wire::new(stream);
        let (stack, upstream) = (stack.clone(), forward.clone());
        let service = service_fn(move |request| {
            answer(stack.clone(), upstream.clone(), peer, side.clone(), own.clone(), request)
        });
        let (builder, watcher, mut stopping) = (builder.clone(), graceful.watcher(), stopping.clone());
        tokio::spawn(async move {
            // What tells the two versions apart has no timer of its own.
            let mut first = [0];
            let spoken = tokio::select! {
                spoken = tokio::time::timeout(HEAD_TIMEOUT, stream.get_ref().peek(&mut first)) => matches!(spoken, Ok(Ok(1..))),
                _ = stopping.changed() => false,
            };
            if !spoken {
                return;
            }
            let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection broke");
            }
        });
    }
    drop((listener, stop, stopping));
    tracing::info!(target: "proxy", grace = ?GRACE, "shutting down; a second signal ends running requests");
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(GRACE) => tracing::warn!(target: "proxy", "some requests did not end in time"),
        () = signals.next() => {}
    }
    Ok(())
}

async fn answer<St, F, P, C>(
    stack: Stack<St, F, P, C>,
    upstream: Upstream,
    peer: SocketAddr,
    side: Arc<Side>,
    own: Arc<[HeaderValue]>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
    C: Classify<Failure>,
{
    let line = Line::begin(&request);
    let response = match admit(&upstream, &own, &mut request) {
        Err(refusal) => (*refusal).map(Either::Right).map(Either::Right),
        Ok(()) => {
            // A client that speaks HTTP/1.1 hears of interim responses.
            let tells = request.version() == Version::HTTP_11;
            let upstream = if tells { upstream.telling(side.begin()) } else { upstream };
            let upstreams = stack.retry.layer(upstream).map_request(move |request| introduce(request, peer));
            request.extensions_mut().insert(peer);
            let cache = stack.embeddings.layer(stack.cache.layer(upstreams));
            let answer = async {
                let Some(limits) = stack.limits else {
                    return Ok(asked(cache, request.map(ReplayBody::new)).await.map(Either::Right));
                };
                let inner = tower::service_fn(move |request| {
                    let cache = cache.clone();
                    async move { Ok::<_, Infallible>(asked(cache, request).await) }
                });
                limits.layer(inner).call(request).await.map(|response| response.map(Either::Left))
            };
            let (mut asked, mut held) = (pin!(answer), None);
            poll_fn(|cx| side.poll_answer(asked.as_mut(), &mut held, cx)).await?
        }
    };
    Ok(logged(response, line))
}

/// Asks cache and upstreams. A failure is an answer, too, so that it says how the limits stand.
async fn asked<S>(mut cache: S, request: Request<ReplayBody<Incoming>>) -> Response<AnswerBody>
where
    S: Service<
            Request<ReplayBody<Incoming>>,
            Response = Response<ReplayBody<CacheBody<RetryBody<Incoming>>>>,
            Error = Failure,
        >,
{
    match cache.call(request).await {
        Ok(response) => response.map(Either::Left),
        Err(failure) => failed(&failure).map(Either::Right),
    }
}

/// The hosts that are no names, but where a client found the proxy.
fn own_names(address: SocketAddr) -> Vec<HeaderValue> {
    let mut names = vec![address.to_string()];
    if address.ip().is_loopback() {
        names.push(format!("localhost:{}", address.port()));
    }
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Turns a request's target into the upstream's, and its host into the `Host` field. The proxy's own address is left out: it says
/// nothing to the upstream, and proxies that share a store share what clients of them all ask for.
fn admit(
    upstream: &Upstream,
    own: &[HeaderValue],
    request: &mut Request<Incoming>,
) -> Result<(), Box<Response<Full<Bytes>>>> {
    if *request.method() == Method::CONNECT {
        let mut refusal =
            problem::response(StatusCode::METHOD_NOT_ALLOWED, "this proxy has one upstream and makes no tunnels");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        return Err(Box::new(refusal));
    }
    // A target that names a host overrides the field (RFC 9112 §3.2.2); HTTP/2 has no field at all.
    if let Some(authority) = request.uri().authority() {
        // Credentials in a target are no part of the host.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host);
        let host = host.map_err(|_| bad_request("the request's host can't be read"))?;
        request.headers_mut().insert(HOST, host);
    } else if request.headers().get_all(HOST).iter().count() > 1 {
        return Err(bad_request("a request has one Host field"));
    }
    if request.headers().get(HOST).is_some_and(|host| own.contains(host)) {
        request.headers_mut().remove(HOST);
    }
    // A field that is for this hop alone isn't seen by the upstream, so it must not count for what `Vary` compares.
    if request.headers().contains_key(CONNECTION) {
        hop_by_hop::remove(request.headers_mut());
    }
    let uri = upstream.target().uri(std::mem::take(request.uri_mut()));
    *request.uri_mut() = uri.ok_or_else(|| bad_request("the request's target can't be forwarded"))?;
    Ok(())
}

fn bad_request(detail: &str) -> Box<Response<Full<Bytes>>> {
    Box::new(problem::response(StatusCode::BAD_REQUEST, detail))
}

fn failed(failure: &Failure) -> Response<Full<Bytes>> {
    problem::response(failure.status(), failure.detail())
}
