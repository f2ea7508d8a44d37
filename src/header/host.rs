//! The host that a request is for (RFC 9110 §7.1, §7.2): in its target, or in `Host`.

use std::borrow::Cow;

use http::{header::HOST, request::Parts};

/// The host and port that a request is for, in lower case and without the scheme's own port; empty if it names none.
///
/// A client's URI carries them; on a server's side they are in the `Host` field.
pub(crate) fn authority(head: &Parts) -> Cow<'_, str> {
    let scheme = head.uri.scheme_str().unwrap_or("http");
    if let Some(named) = head.uri.authority() {
        return normal_host(scheme, named.as_str());
    }
    match head.headers.get(HOST).map(|value| (value, value.to_str())) {
        Some((_, Ok(host))) => normal_host(scheme, host),
        // What isn't text must not be the same host as another.
        Some((value, Err(_))) => Cow::Owned(value.as_bytes().escape_ascii().to_string()),
        None => Cow::Borrowed(""),
    }
}

/// A host and port in lower case, without credentials and without the scheme's own port.
pub(crate) fn normal_host<'a>(scheme: &str, host: &'a str) -> Cow<'a, str> {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = without_default_port(scheme, host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

fn without_default_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    match host.rsplit_once(':') {
        Some((name, "443")) if scheme.eq_ignore_ascii_case("https") => name,
        Some((name, "80")) if scheme.eq_ignore_ascii_case("http") => name,
        Some((name, "")) => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn host_case_and_default_ports_do_not_count() {
        let head = |uri: &str, host: Option<&str>| {
            let mut request = Request::get(uri);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            request.body(()).expect("request").into_parts().0
        };
        let cases = [
            ("http://Example.com:80/", None, "example.com"),
            ("https://example.com:443/", None, "example.com"),
            ("https://example.com:80/", None, "example.com:80"),
            ("http://user:pw@example.com/", Some("other"), "example.com"),
            ("/a", Some("Example.com:8080"), "example.com:8080"),
            ("/a", Some("example.com:80"), "example.com"),
            ("/a", Some("[::1]:80"), "[::1]"),
            ("/a", None, ""),
        ];
        for (uri, host, expected) in cases {
            assert_eq!(authority(&head(uri, host)), expected, "{uri} {host:?}");
        }
    }
}
