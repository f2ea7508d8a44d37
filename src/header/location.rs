//! `Location` and `Content-Location` (RFC 9110 §8.7, §10.2.2): URIs that a response names, seen from its request's target.

use fluent_uri::{Uri as Absolute, UriRef};
use http::{HeaderValue, Uri, header::HOST, request::Parts};

use super::host::{authority, normal_host};

/// The URI that a field of the response to `request` names, resolved against the request's target (RFC 3986 §5.2), in the form
/// that the target has and without a fragment.
///
/// `None` if it is no URI, or of another host than the target's. The host is the one in the target or the one in `Host`: behind
/// a gateway they differ, and the origin may know either.
#[must_use]
pub fn on_same_host(value: &HeaderValue, request: &Parts) -> Option<Uri> {
    let reference = UriRef::parse(value.to_str().ok()?).ok()?;
    if let Some(named) = reference.authority() {
        let scheme = reference.scheme().map_or("http", |scheme| scheme.as_str());
        let named = normal_host(scheme, named.as_str());
        let of_field = || Some(normal_host(scheme, request.headers.get(HOST)?.to_str().ok()?));
        if named != authority(request) && Some(named) != of_field() {
            return None;
        }
    } else if reference.scheme().is_some() {
        return None;
    }
    // The host has been looked at: from here on any will do.
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    let base = Absolute::parse(format!("http://host{target}")).ok()?;
    let resolved = reference.resolve_against(&base).ok()?;
    let path = if resolved.path().as_str().is_empty() { "/" } else { resolved.path().as_str() };
    let path = match resolved.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = request.uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    fn resolved(target: &str, host: Option<&str>, value: &HeaderValue) -> Option<String> {
        let mut request = Request::get(target);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let request = request.body(()).expect("request").into_parts().0;
        on_same_host(value, &request).map(|uri| uri.to_string())
    }

    #[test]
    fn a_reference_is_resolved_against_the_target_and_takes_its_form() {
        let full = "http://example.com/b/c/d?q";
        let cases = [
            (full, "/x", Some("http://example.com/x")),
            (full, "x", Some("http://example.com/b/c/x")),
            (full, "../x?y#z", Some("http://example.com/b/x?y")),
            (full, "", Some("http://example.com/b/c/d?q")),
            (full, "?z", Some("http://example.com/b/c/d?z")),
            (full, "http://Example.com:80", Some("http://example.com/")),
            (full, "//example.com/x", Some("http://example.com/x")),
            (full, "http://user@example.com/x", Some("http://example.com/x")),
            (full, "http://example.com:8080/x", None),
            (full, "http://other.example/x", None),
            (full, "//other.example/x", None),
            (full, "mailto:x", None),
            (full, "a b", None),
            ("/b/c", "x", Some("/b/x")),
            ("/b/c", "http://front.example/x", Some("/x")),
            ("/b/c", "http://other.example/x", None),
            ("http://inner:81/b", "https://front.example/x", Some("http://inner:81/x")),
            ("http://inner:81/b", "http://inner:81/x", Some("http://inner:81/x")),
        ];
        for (target, value, expected) in cases {
            let value = HeaderValue::from_static(value);
            assert_eq!(resolved(target, Some("front.example"), &value).as_deref(), expected, "{target} {value:?}");
        }
        let absolute = HeaderValue::from_static("http://front.example/x");
        assert_eq!(resolved("/b", None, &absolute), None, "nothing says that it is the same host");
    }

    proptest! {
        #[test]
        fn any_field_value_is_read_without_panic(value in field_value()) {
            let _ = resolved("http://example.com/a/b", None, &value);
            let _ = resolved("*", Some("example.com"), &value);
        }
    }
}
