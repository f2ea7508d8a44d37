//! Whether a response may be stored (RFC 9111 §3).

use http::{
    HeaderName, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_LOCATION, RANGE, SET_COOKIE},
    request, response,
};

use super::{Rfc9111, Said, freshness};
use crate::{
    entry::Lifetime,
    header::{cache_control::FieldNames, location, range::ContentRange, vary::Vary},
    policy::{Exchange, Skip, Storage},
};

/// §3.
pub(super) fn storable(policy: &Rfc9111, exchange: &Exchange<'_>) -> Storage {
    let (request, response) = (exchange.request, exchange.response);
    let said = Said::to(&policy.targets, &response.headers, policy.shared);
    if let Some(skip) = forbidden(exchange, &said) {
        return Storage::Skip(skip);
    }
    let explicit = freshness::explicit_lifetime(exchange, &said);
    let allowed = match request.method {
        Method::GET | Method::HEAD => says_so(response, &said, explicit.is_some()),
        _ => stands_for_get(request, response) && explicit.is_some(),
    };
    // A cookie that nobody gave a lifetime to is meant for one user (§7.3).
    if !allowed || (explicit.is_none() && response.headers.contains_key(SET_COOKIE)) {
        return Storage::Skip(Skip::Lifetime);
    }
    let fresh_for = explicit.or_else(|| freshness::heuristic_lifetime(exchange, &said, policy.heuristic_limit));
    let mut lifetime = Lifetime {
        initial_age: freshness::initial_age(exchange),
        stale_while_revalidate: policy.stale_while_revalidate,
        stale_if_error: policy.stale_if_error,
        retain: freshness::retain(exchange, fresh_for.unwrap_or_default()),
        ..Lifetime::new(exchange.received_at, fresh_for.unwrap_or_default())
    };
    freshness::restrict(&mut lifetime, &said);
    // Without a time and without a validator, an entry would be of no use; windows alone don't make one.
    let windows = [said.directives.stale_while_revalidate, said.directives.stale_if_error];
    let dated = fresh_for.is_some_and(|fresh_for| !fresh_for.is_zero()) || windows.iter().any(Option::is_some);
    if (!dated && lifetime.retain.is_zero()) || lifetime.kept_in(exchange.received_at).is_none() {
        return Storage::Skip(Skip::Lifetime);
    }
    let mut without = named_fields(&said);
    if !policy.keep_set_cookie {
        without.push(SET_COOKIE);
    }
    Storage::Keep { lifetime, without }
}

/// What §3 forbids whatever the response says of its freshness.
fn forbidden(exchange: &Exchange<'_>, said: &Said) -> Option<Skip> {
    let (request, response, directives) = (exchange.request, exchange.response, &said.directives);
    if !matches!(request.method, Method::GET | Method::HEAD | Method::POST) || response.status.is_informational() {
        return Some(Skip::Status);
    }
    if response.status == StatusCode::NOT_MODIFIED || !is_understood_part(request, response) {
        return Some(Skip::Partial);
    }
    // §5.2.2.3: who understands the status may pass over no-store; who doesn't must not keep the response.
    let understood = is_understood(response.status);
    if directives.must_understand && !understood {
        return Some(Skip::Status);
    }
    if directives.no_store && !(directives.must_understand && understood) {
        return Some(Skip::Forbidden);
    }
    if said.shared && directives.private.applies_to_whole() {
        return Some(Skip::Forbidden);
    }
    // §4.1: it would never be reused.
    if matches!(Vary::parse(&response.headers), Some(Vary::Any)) {
        return Some(Skip::Forbidden);
    }
    if said.shared && request.headers.contains_key(AUTHORIZATION) && !may_be_shared(said) {
        return Some(Skip::Authorization);
    }
    None
}

/// The last condition of §3: something has to say that the response may be kept.
fn says_so(response: &response::Parts, said: &Said, explicit: bool) -> bool {
    let private = !said.shared && !said.directives.private.is_absent();
    explicit || said.directives.public || private || freshness::is_heuristically_cacheable(response.status)
}

/// §3.3: of the parts (206), those that are one range, asked for as a range. True for all that is no part.
fn is_understood_part(request: &request::Parts, response: &response::Parts) -> bool {
    if response.status != StatusCode::PARTIAL_CONTENT {
        return true;
    }
    let range = ContentRange::of(&response.headers).and_then(|content| content.range);
    request.method == Method::GET && request.headers.contains_key(RANGE) && range.is_some()
}

/// RFC 9110 §9.3.3: an answer to POST that is what a GET of the same URI would get. Errors answer the request alone.
fn stands_for_get(request: &request::Parts, response: &response::Parts) -> bool {
    let mut named = response.headers.get_all(CONTENT_LOCATION).into_iter();
    let location = named.next().and_then(|value| location::on_same_host(value, request));
    response.status == StatusCode::OK
        && named.next().is_none()
        && location.is_some_and(|location| location.path_and_query() == request.uri.path_and_query())
}

/// The final status codes of RFC 9110 §15, and those that were registered besides: none of them asks more of a cache than is
/// done here.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 500..=508 | 510 | 511
    )
}

/// §3.5.
fn may_be_shared(said: &Said) -> bool {
    let directives = &said.directives;
    directives.public || directives.must_revalidate || directives.s_maxage.is_some()
}

/// §5.2.2.4 and §5.2.2.7: fields that `no-cache` and `private` name are not kept, and so are never served unvalidated or to
/// others.
pub(in crate::policy) fn named_fields(said: &Said) -> Vec<HeaderName> {
    let names = |fields: &FieldNames| match fields {
        FieldNames::Fields(names) => names.clone(),
        FieldNames::Absent | FieldNames::Whole => Vec::new(),
    };
    let mut without = names(&said.directives.no_cache);
    if said.shared {
        without.extend(names(&said.directives.private));
    }
    without
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{Request, Response};

    use super::*;
    use crate::policy::Policy;

    fn storable(policy: &Rfc9111, method: &str, status: u16, fields: &[(&str, &str)], authorized: bool) -> Storage {
        let mut request = Request::builder().method(method);
        if authorized {
            request = request.header(AUTHORIZATION, "Bearer x");
        }
        let request = request.body(()).expect("request").into_parts().0;
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let response = response.body(()).expect("response").into_parts().0;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        policy.storable(&Exchange::new(&request, &response, now, now))
    }

    #[test]
    fn what_the_rfc_forbids_is_not_stored() {
        use Skip::{Authorization, Forbidden, Lifetime, Partial, Status};
        let cases: &[(&str, u16, &[(&str, &str)], bool, Option<Skip>)] = &[
            ("GET", 200, &[("cache-control", "max-age=5")], false, None),
            ("HEAD", 200, &[("cache-control", "max-age=5")], false, None),
            ("PUT", 200, &[("cache-control", "max-age=5")], false, Some(Status)),
            ("POST", 200, &[("cache-control", "max-age=5")], false, Some(Lifetime)),
            ("POST", 200, &[("cache-control", "max-age=5"), ("content-location", "/")], false, None),
            ("POST", 200, &[("cache-control", "max-age=5"), ("content-location", "/x")], false, Some(Lifetime)),
            ("POST", 200, &[("content-location", "/"), ("etag", "\"a\"")], false, Some(Lifetime)),
            ("POST", 400, &[("cache-control", "max-age=5"), ("content-location", "/")], false, Some(Lifetime)),
            ("GET", 404, &[("cache-control", "max-age=5")], false, None),
            ("GET", 599, &[("cache-control", "max-age=5")], false, None),
            ("GET", 206, &[("cache-control", "max-age=5")], false, Some(Partial)),
            ("GET", 304, &[("cache-control", "max-age=5")], false, Some(Partial)),
            ("GET", 206, &[("cache-control", "max-age=5"), ("content-range", "bytes 0-1/9")], false, Some(Partial)),
            ("GET", 500, &[("etag", "\"a\"")], false, Some(Lifetime)),
            ("GET", 302, &[("etag", "\"a\"")], false, Some(Lifetime)),
            ("GET", 302, &[("etag", "\"a\""), ("cache-control", "public")], false, Some(Lifetime)),
            ("GET", 201, &[("etag", "\"a\""), ("cache-control", "public")], false, None),
            ("GET", 200, &[("cache-control", "no-store, max-age=5, must-understand")], false, None),
            ("GET", 599, &[("cache-control", "max-age=5, must-understand")], false, Some(Status)),
            ("GET", 200, &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=5")], false, None),
            ("GET", 200, &[("cache-control", "max-age=5"), ("cdn-cache-control", "no-store")], false, Some(Forbidden)),
            (
                "GET",
                200,
                &[("cache-control", "max-age=5"), ("larder-cache-control", "private")],
                false,
                Some(Forbidden),
            ),
            ("GET", 200, &[("cache-control", "max-age=5, no-store")], false, Some(Forbidden)),
            ("GET", 200, &[("cache-control", "max-age=5, private")], false, Some(Forbidden)),
            ("GET", 200, &[("cache-control", "max-age=5, private=\"x-user\"")], false, None),
            ("GET", 200, &[("cache-control", "max-age=5"), ("vary", "accept, *")], false, Some(Forbidden)),
            ("GET", 200, &[("cache-control", "max-age=5")], true, Some(Authorization)),
            ("GET", 200, &[("cache-control", "max-age=5, public")], true, None),
            ("GET", 200, &[("cache-control", "max-age=5, must-revalidate")], true, None),
            ("GET", 200, &[("cache-control", "s-maxage=5")], true, None),
            ("GET", 200, &[], false, Some(Lifetime)),
            ("GET", 200, &[("cache-control", "max-age=0")], false, Some(Lifetime)),
            ("GET", 200, &[("cache-control", "max-age=0, stale-if-error=9")], false, None),
            ("GET", 200, &[("cache-control", "max-age=0, stale-if-error=0")], false, Some(Lifetime)),
            ("GET", 200, &[("cache-control", "no-cache")], false, Some(Lifetime)),
            ("GET", 200, &[("cache-control", "no-cache"), ("etag", "\"a\"")], false, None),
            ("GET", 200, &[("etag", "\"a\"")], false, None),
            ("GET", 200, &[("etag", "\"a\""), ("set-cookie", "a=b")], false, Some(Lifetime)),
            ("GET", 200, &[("cache-control", "max-age=5"), ("set-cookie", "a=b")], false, None),
        ];
        for (method, status, fields, authorized, skip) in cases {
            let storage = storable(&Rfc9111::shared(), method, *status, fields, *authorized);
            let got = match storage {
                Storage::Keep { .. } => None,
                Storage::Skip(skip) => Some(skip),
            };
            assert_eq!(got, *skip, "{method} {status} {fields:?} {authorized}");
        }
    }

    #[test]
    fn a_private_cache_keeps_what_is_private() {
        let fields = [("cache-control", "max-age=5, private")];
        assert!(matches!(storable(&Rfc9111::private(), "GET", 200, &fields, true), Storage::Keep { .. }));
    }

    #[test]
    fn a_part_is_kept_if_it_was_asked_for_and_says_where_it_lies() {
        let fields = |content| [("cache-control", "max-age=5"), ("content-range", content)];
        for (range, content, kept) in [
            (true, "bytes 0-1/9", true),
            (true, "bytes 0-1/*", true),
            (true, "bytes */9", false),
            (true, "lines 0-1/9", false),
            (false, "bytes 0-1/9", false),
        ] {
            let mut request = Request::get("/");
            if range {
                request = request.header(RANGE, "bytes=0-1");
            }
            let request = request.body(()).expect("request").into_parts().0;
            let mut response = Response::builder().status(206);
            for (name, value) in fields(content) {
                response = response.header(name, value);
            }
            let response = response.body(()).expect("response").into_parts().0;
            let now = SystemTime::UNIX_EPOCH;
            let storage = Rfc9111::shared().storable(&Exchange::new(&request, &response, now, now));
            assert_eq!(matches!(storage, Storage::Keep { .. }), kept, "{range} {content}");
        }
    }

    #[test]
    fn a_cookie_can_be_left_out() {
        let fields = [("cache-control", "max-age=5"), ("set-cookie", "a=b")];
        for (keep, expected) in [(true, vec![]), (false, vec![SET_COOKIE])] {
            let storage = storable(&Rfc9111::shared().keep_set_cookie(keep), "GET", 200, &fields, false);
            let Storage::Keep { without, .. } = storage else { panic!("kept") };
            assert_eq!(without, expected);
        }
    }

    #[test]
    fn a_private_cache_does_not_look_at_fields_for_shared_ones() {
        let fields = [("cache-control", "max-age=5"), ("cdn-cache-control", "no-store")];
        assert!(matches!(storable(&Rfc9111::private(), "GET", 200, &fields, false), Storage::Keep { .. }));
    }

    #[test]
    fn named_fields_are_left_out() {
        let fields = [("cache-control", "max-age=5, private=\"x-user\", no-cache=\"x-fresh\"")];
        let Storage::Keep { without, .. } = storable(&Rfc9111::shared(), "GET", 200, &fields, false) else {
            panic!("kept")
        };
        assert_eq!(without, ["x-fresh", "x-user"]);
    }

    #[test]
    fn windows_that_the_user_gives_do_not_make_an_undated_answer_storable() {
        let policy = Rfc9111::shared().stale_if_error(Duration::from_secs(99));
        assert_eq!(storable(&policy, "GET", 200, &[], false), Storage::Skip(Skip::Lifetime));
    }
}
