//! Whether a response may be stored (RFC 9111 §3).

use http::{
    HeaderName, Method, StatusCode,
    header::{AUTHORIZATION, SET_COOKIE},
};

use super::{Rfc9111, freshness};
use crate::{
    entry::Lifetime,
    header::{
        cache_control::{FieldNames, ResponseDirectives},
        vary::Vary,
    },
    policy::{Exchange, Skip, Storage},
};

/// §3, with §3.5 for requests that carry `Authorization`.
pub(super) fn storable(policy: &Rfc9111, exchange: &Exchange<'_>) -> Storage {
    let response = exchange.response;
    if !matches!(exchange.request.method, Method::GET | Method::HEAD) || response.status.is_informational() {
        return Storage::Skip(Skip::Status);
    }
    if matches!(response.status, StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
        return Storage::Skip(Skip::Partial);
    }
    let directives = ResponseDirectives::parse(&response.headers);
    if directives.no_store || (policy.shared && directives.private.applies_to_whole()) {
        return Storage::Skip(Skip::Forbidden);
    }
    if matches!(Vary::parse(&response.headers), Some(Vary::Any)) {
        return Storage::Skip(Skip::Forbidden);
    }
    if policy.shared && exchange.request.headers.contains_key(AUTHORIZATION) && !may_be_shared(&directives) {
        return Storage::Skip(Skip::Authorization);
    }
    let explicit = freshness::explicit_lifetime(exchange, &directives, policy.shared);
    // A cookie that nobody gave a lifetime to is meant for one user.
    if explicit.is_none() && response.headers.contains_key(SET_COOKIE) {
        return Storage::Skip(Skip::Lifetime);
    }
    let fresh_for = explicit.or_else(|| freshness::heuristic_lifetime(exchange, &directives));
    let mut lifetime = Lifetime {
        initial_age: freshness::initial_age(exchange),
        stale_while_revalidate: policy.stale_while_revalidate,
        stale_if_error: policy.stale_if_error,
        retain: freshness::retain(exchange),
        ..Lifetime::new(exchange.received_at, fresh_for.unwrap_or_default())
    };
    freshness::restrict(&mut lifetime, &directives, policy.shared);
    // Without a time and without a validator, an entry would be of no use; windows alone don't make one.
    let dated = fresh_for.is_some_and(|fresh_for| !fresh_for.is_zero()) || directives.stale_while_revalidate.is_some();
    if (!dated && lifetime.retain.is_zero()) || lifetime.kept_in(exchange.received_at).is_none() {
        return Storage::Skip(Skip::Lifetime);
    }
    Storage::Keep { lifetime, without: named_fields(&directives, policy.shared) }
}

/// §3.5.
fn may_be_shared(directives: &ResponseDirectives) -> bool {
    directives.public || directives.must_revalidate || directives.s_maxage.is_some()
}

/// §5.2.2.4 and §5.2.2.7: fields that `no-cache` and `private` name are not kept, and so are never served unvalidated or to
/// others.
pub(in crate::policy) fn named_fields(directives: &ResponseDirectives, shared: bool) -> Vec<HeaderName> {
    let names = |fields: &FieldNames| match fields {
        FieldNames::Fields(names) => names.clone(),
        FieldNames::Absent | FieldNames::Whole => Vec::new(),
    };
    let mut without = names(&directives.no_cache);
    if shared {
        without.extend(names(&directives.private));
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
            ("POST", 200, &[("cache-control", "max-age=5")], false, Some(Status)),
            ("GET", 404, &[("cache-control", "max-age=5")], false, None),
            ("GET", 599, &[("cache-control", "max-age=5")], false, None),
            ("GET", 206, &[("cache-control", "max-age=5")], false, Some(Partial)),
            ("GET", 304, &[("cache-control", "max-age=5")], false, Some(Partial)),
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
