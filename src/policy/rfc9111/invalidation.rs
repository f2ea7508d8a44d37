//! What a request that changes something makes of what is kept (RFC 9111 §4.4).

use http::{
    HeaderMap, Method, StatusCode, Uri,
    header::{CONTENT_LOCATION, LOCATION},
    request,
};

use crate::header::location;

/// Whether a method asks for nothing to be changed: those that RFC 9110 §9.2.1 calls safe, and those that were registered as such
/// besides. What isn't known may change anything.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "CONNECT" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY" | "PRI"
    )
}

/// §4.4: an unsafe request that succeeds invalidates; one that fails does not.
pub(crate) fn invalidates(method: &Method, status: StatusCode) -> bool {
    !is_safe(method) && (status.is_success() || status.is_redirection())
}

/// §4.4: the URIs that the response names besides the target, on the same host.
pub(crate) fn locations(request: &request::Parts, response: &HeaderMap) -> Vec<Uri> {
    [LOCATION, CONTENT_LOCATION]
        .iter()
        .flat_map(|name| response.get_all(name))
        .filter_map(|value| location::on_same_host(value, request))
        .filter(|uri| uri != &request.uri)
        .collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    #[test]
    fn what_may_have_changed_something_and_did_not_fail_invalidates() {
        for (method, status, expected) in [
            ("POST", 200, true),
            ("PUT", 204, true),
            ("DELETE", 302, true),
            ("PATCH", 304, true),
            ("M-SEARCH", 200, true),
            ("post", 200, true),
            ("POST", 400, false),
            ("POST", 500, false),
            ("POST", 199, false),
            ("POST", 600, false),
            ("GET", 200, false),
            ("OPTIONS", 200, false),
            ("PROPFIND", 207, false),
            ("QUERY", 200, false),
        ] {
            let known = Method::from_bytes(method.as_bytes()).expect("a method");
            let status_code = StatusCode::from_u16(status).expect("a status");
            assert_eq!(invalidates(&known, status_code), expected, "{method} {status}");
        }
    }

    #[test]
    fn named_locations_count_on_the_same_host_only() {
        let request = Request::post("http://a.example/list").body(()).expect("request").into_parts().0;
        let mut response = HeaderMap::new();
        for (name, value) in [
            (LOCATION, "/items/1"),
            (CONTENT_LOCATION, "http://a.example/items/2"),
            (CONTENT_LOCATION, "http://b.example/items/3"),
            (LOCATION, "/list"),
        ] {
            response.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(locations(&request, &response), ["http://a.example/items/1", "http://a.example/items/2"]);
    }
}
