//! What spans say of requests and answers, by OpenTelemetry's [conventions for HTTP] where they have a name for it.
//!
//! Neither a path nor a query: either may hold a key. Fields with a name of larder's own are recorded where they are known.
//!
//! [conventions for HTTP]: https://opentelemetry.io/docs/specs/semconv/http/http-spans/

use http::{HeaderMap, Method, StatusCode, Uri, header::HOST, uri::Authority};
use tracing::Span;

/// `http.request.method`: those that are known, for another's name is whatever a client makes of it.
pub(crate) fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        "QUERY" => "QUERY",
        _ => "_OTHER",
    }
}

/// `server.address`: the host, without a user's name and password, and without the port.
pub(crate) fn server(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(host) = uri.host() {
        return Some(host.to_ascii_lowercase());
    }
    let named: Authority = headers.get(HOST)?.to_str().ok()?.parse().ok()?;
    Some(named.host().to_ascii_lowercase())
}

/// `http.response.status_code`, and for an error `error.type`, which is the status then.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_client_error() || status.is_server_error() {
        span.record("error.type", status.as_str());
    }
}

/// The current span if it is larder's of this name, and none if not: where a filter leaves that out, the current one is the
/// application's, whose fields may have the same names.
pub(crate) fn current(name: &str) -> Span {
    let span = Span::current();
    if span.metadata().is_some_and(|metadata| metadata.name() == name) { span } else { Span::none() }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn nothing_of_a_client_s_making_is_shown_but_the_host() {
        for (uri, host, expected) in [
            ("https://user:secret@API.example.com:8443/path?key=secret", None, Some("api.example.com")),
            ("http://[::1]:8080/", None, Some("[::1]")),
            ("/path", Some("Example.com:80"), Some("example.com")),
            ("/path", Some("user:secret@example.com"), Some("example.com")),
            ("/path", Some("a secret"), None),
            ("/path", None, None),
        ] {
            let request = host.into_iter().fold(Request::get(uri), |request, host| request.header("host", host));
            let (head, ()) = request.body(()).expect("a request").into_parts();
            assert_eq!(server(&head.uri, &head.headers).as_deref(), expected, "{uri} {host:?}");
        }
        assert_eq!(method(&Method::PATCH), "PATCH");
        assert_eq!(method(&Method::from_bytes(b"SK-SECRET").expect("a method")), "_OTHER");
    }
}
