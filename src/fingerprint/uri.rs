//! URIs in the one form that all ways to write them share (RFC 3986 §6.2.2 and §6.2.3).

use std::borrow::Cow;

use http::{Uri, header::HOST, request::Parts};

/// The host and port that a request is for, in lower case and without the scheme's own port; empty if it names none.
///
/// A client's URI carries them; on a server's side they are in the `Host` field.
pub(crate) fn authority(head: &Parts) -> Cow<'_, str> {
    let named = head.uri.authority().map(|authority| {
        // Credentials in a URI are no part of the host.
        authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host)
    });
    let field = || {
        let value = head.headers.get(HOST)?;
        // What isn't text must not be the same host as another.
        Some(value.to_str().map_or_else(|_| Cow::Owned(value.as_bytes().escape_ascii().to_string()), Cow::Borrowed))
    };
    let host = match named.map(Cow::Borrowed).or_else(field) {
        Some(Cow::Borrowed(host)) => without_default_port(&head.uri, host),
        Some(Cow::Owned(host)) => return Cow::Owned(host),
        None => return Cow::Borrowed(""),
    };
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

fn without_default_port<'a>(uri: &Uri, host: &'a str) -> &'a str {
    match (uri.scheme_str(), host.rsplit_once(':')) {
        (Some("https"), Some((name, "443"))) => name,
        (Some("http") | None, Some((name, "80"))) => name,
        (_, Some((name, ""))) => name,
        _ => host,
    }
}

/// A path or query with percent-encodings of unreserved characters decoded and the others in upper case.
pub(super) fn normalized(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.as_bytes().get(at + 1..at + 3).and_then(|hex| {
            let digit = |c: u8| char::from(c).to_digit(16);
            Some((digit(hex[0])? * 16 + digit(hex[1])?) as u8)
        });
        let taken = match code {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(byte);
                3
            }
            Some(_) => {
                out.extend(rest.as_bytes()[at..at + 3].to_ascii_uppercase());
                3
            }
            None => {
                out.push(b'%');
                1
            }
        };
        rest = &rest[at + taken..];
    }
    out.extend_from_slice(rest.as_bytes());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn written(text: &str) -> String {
        String::from_utf8(normalized(text).into_owned()).expect("ASCII stays ASCII")
    }

    #[test]
    fn encodings_that_mean_the_same_are_written_the_same() {
        let cases = [
            ("/a%7eb", "/a~b"),
            ("/%61", "/a"),
            ("/a%2fb", "/a%2Fb"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz", "/%zz"),
            ("/%25%34", "/%254"),
            ("/a%2", "/a%2"),
        ];
        for (given, expected) in cases {
            assert_eq!(written(given), expected, "{given}");
        }
    }

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
