//! The way to the upstreams: a pooled client, and what a gateway does to the messages that pass it (RFC 9110 §7.6).

use std::{
    error::Error,
    fmt,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{ACCEPT_ENCODING, COOKIE, FORWARDED, HOST, VARY, VIA},
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use larder::{
    BoxError,
    header::{hop_by_hop, vary::Vary},
    llm,
};
use tower::Service;

use crate::{interim::Interim, options::Profile};

/// How many fields an upstream's answer may have; hyper's own limit is a hundred.
const MAX_FIELDS: usize = 512;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

type HttpClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Sends requests to whatever upstream their URI names.
pub(crate) struct Forward<B> {
    shared: Arc<Shared<B>>,
    interim: Option<Interim>,
}

struct Shared<B> {
    client: HttpClient<B>,
    target: Target,
    profile: Profile,
}

/// The upstream's scheme, host, and what stands before each path.
#[derive(Clone)]
pub(crate) struct Target {
    scheme: Scheme,
    authority: Authority,
    prefix: String,
    /// Whether there is something before the path, here or at another upstream, that a request must not leave.
    is_confined: bool,
}

impl<B> Forward<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// For requests to the upstream, and to others if it fails.
    pub(crate) fn new(upstream: &Uri, others: &[&Uri], profile: Profile) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let tls = HttpsConnectorBuilder::new();
        let mut all = others.iter().chain([&upstream]);
        let tls = if all.any(|url| url.scheme() == Some(&Scheme::HTTPS)) {
            tls.with_native_roots()
                .context("no certificate authorities are installed; on Debian: apt-get install ca-certificates")?
        } else {
            tls.with_tls_config(
                rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            )
        };
        let connector = tls.https_or_http().enable_all_versions().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_FIELDS)
            .build(connector);
        let target =
            Target::new(upstream, others).context("--upstream takes an http:// or https:// URL with a host")?;
        Ok(Self { shared: Arc::new(Shared { client, target, profile }), interim: None })
    }

    /// The same, for a request whose client hears of interim responses.
    pub(crate) fn telling(self, interim: Interim) -> Self {
        Self { interim: Some(interim), ..self }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.shared.target
    }
}

impl Target {
    fn new(upstream: &Uri, others: &[&Uri]) -> Option<Self> {
        let prefix = upstream.path().trim_end_matches('/').to_owned();
        let is_confined = others.iter().chain([&upstream]).any(|url| !matches!(url.path(), "" | "/"));
        let (scheme, authority) = (upstream.scheme()?.clone(), upstream.authority()?.clone());
        Some(Self { scheme, authority, prefix, is_confined })
    }

    /// What stands before each path.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The upstream's URI for a request's path and query; `None` if the request has none that could be forwarded, or leaves what
    /// stands before each path.
    pub(crate) fn uri(&self, request: Uri) -> Option<Uri> {
        let path = request.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if self.is_confined && path.path().split('/').any(climbs) {
            return None;
        }
        let path =
            if self.prefix.is_empty() || path == "*" { path } else { format!("{}{path}", self.prefix).parse().ok()? };
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path).build().ok()
    }
}

/// Whether a segment of a path means the one above it, however it is written.
fn climbs(segment: &str) -> bool {
    segment.len() <= 6 && segment.to_ascii_lowercase().replace("%2e", ".") == ".."
}

impl<B> Clone for Forward<B> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), interim: self.interim.clone() }
    }
}

impl<B> Service<Request<B>> for Forward<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Incoming>;
    type Error = Failure;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.send(request).await })
    }
}

impl<B> Forward<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    async fn send(self, request: Request<B>) -> Result<Response<Incoming>, Failure> {
        let (mut head, body) = request.into_parts();
        // Whether an answer is whole can be seen only in one that isn't compressed.
        let identity = self.shared.profile == Profile::Llm && llm::is_generation(&head);
        let received = head.version;
        hop_by_hop::remove(&mut head.headers);
        join_cookies(&mut head.headers);
        head.headers.append(VIA, via(received));
        if identity {
            head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        head.version = Version::HTTP_11;
        let mut request = Request::from_parts(head, body);
        if let Some(interim) = self.interim.clone() {
            hyper::ext::on_informational(&mut request, move |response| {
                interim.send(response.status(), response.headers());
            });
        }
        let host = request.uri().host().unwrap_or_default().to_owned();
        let mut response = self.shared.client.request(request).await.map_err(|error| {
            let failure = Failure::new(error);
            tracing::warn!(target: "proxy", host, error = &failure as &dyn Error, "the upstream failed");
            failure
        })?;
        let received = response.version();
        hop_by_hop::remove(response.headers_mut());
        if varies_by_client(response.headers()) {
            response.headers_mut().append(VARY, HeaderValue::from_static("*"));
        }
        response.headers_mut().append(VIA, via(received));
        *response.version_mut() = Version::HTTP_11;
        Ok(response)
    }
}

/// Says who asked for what, to whatever upstream. The client's `Host` becomes `X-Forwarded-Host`; an upstream gets its own, from
/// the URI. What the client says of itself in these fields is not passed, but for `X-Forwarded-For`, which is added to: no proxy
/// in front is trusted, and the answer may depend on what is not in its key.
pub(crate) fn introduce<B>(mut request: Request<B>, peer: SocketAddr) -> Request<B> {
    let headers = request.headers_mut();
    headers.remove(FORWARDED);
    headers.remove(X_FORWARDED_HOST);
    if let Some(host) = headers.remove(HOST) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    let mut hops: Vec<u8> = Vec::new();
    for value in headers.get_all(&X_FORWARDED_FOR) {
        hops.extend_from_slice(value.as_bytes());
        hops.extend_from_slice(b", ");
    }
    hops.extend_from_slice(peer.ip().to_canonical().to_string().as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&hops) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    request
}

/// Whether a response depends on what the proxy says of the client rather than on what the client sent: to everyone behind the
/// proxy, it varies by more than the request's fields (RFC 9110 §12.5.5), and it isn't kept.
fn varies_by_client(headers: &HeaderMap) -> bool {
    match Vary::parse(headers) {
        Some(Vary::Fields(names)) => {
            [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO].iter().any(|name| names.contains(name))
        }
        Some(_) | None => false,
    }
}

/// HTTP/2 splits `Cookie` into several fields; HTTP/1.1 has one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().count() > 1 {
        let lines: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 larder",
        Version::HTTP_2 => "2 larder",
        _ => "1.1 larder",
    })
}

/// The upstream could not be asked, or didn't answer.
#[derive(Debug)]
pub(crate) struct Failure {
    source: hyper_util::client::legacy::Error,
    timeout: bool,
}

impl Failure {
    fn new(source: hyper_util::client::legacy::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&source);
        let mut timeout = false;
        while let Some(error) = cause {
            timeout |= error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut);
            cause = error.source();
        }
        Self { source, timeout }
    }

    /// Whether there was no connection on which anything could have been sent.
    pub(crate) fn is_unsent(&self) -> bool {
        self.source.is_connect()
    }

    /// 504 if the upstream took too long, 502 for all else.
    pub(crate) fn status(&self) -> StatusCode {
        if self.timeout { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY }
    }

    /// What the client may know.
    pub(crate) fn detail(&self) -> &'static str {
        if self.timeout {
            "the upstream did not answer in time"
        } else if self.source.is_connect() {
            "the upstream could not be reached"
        } else {
            "the upstream broke off, or sent what is not HTTP"
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
