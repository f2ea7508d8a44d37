//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use std::time::Duration;

use http::{
    StatusCode,
    header::{DATE, EXPIRES, LAST_MODIFIED},
};

use super::Said;
use crate::{
    entry::Lifetime,
    header::{age, date, validators::Validators},
    policy::Exchange,
};

/// For how long at most a response is kept after its windows: to be validated, which costs a round trip but no body, or for a
/// request that takes it stale.
const RETAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// §4.2.1: `s-maxage` (shared caches), `max-age`, `Expires` minus `Date`; `None` if the response has none of them.
pub(in crate::policy) fn explicit_lifetime(exchange: &Exchange<'_>, said: &Said) -> Option<Duration> {
    if said.shared
        && let Some(seconds) = said.directives.s_maxage
    {
        return Some(seconds);
    }
    if let Some(seconds) = said.directives.max_age {
        return Some(seconds);
    }
    let headers = &exchange.response.headers;
    if !said.expires || !headers.contains_key(EXPIRES) {
        return None;
    }
    // An Expires that can't be read is one in the past (§5.3).
    let Some(expires) = date::field(headers, &EXPIRES) else { return Some(Duration::ZERO) };
    let date = date::field(headers, &DATE).unwrap_or(exchange.received_at);
    Some(expires.duration_since(date).unwrap_or_default())
}

/// §4.2.2: a tenth of the time since the last change, within a limit, for the statuses that RFC 9110 §15.1 calls heuristically
/// cacheable, and for any other with `public`.
pub(super) fn heuristic_lifetime(exchange: &Exchange<'_>, said: &Said, limit: Duration) -> Option<Duration> {
    if !said.directives.public && !is_heuristically_cacheable(exchange.response.status) {
        return None;
    }
    let headers = &exchange.response.headers;
    let modified = date::field(headers, &LAST_MODIFIED)?;
    let date = date::field(headers, &DATE).unwrap_or(exchange.received_at);
    Some((date.duration_since(modified).ok()? / 10).min(limit))
}

/// RFC 9110 §15.1.
pub(super) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// §4.2.3: `corrected_initial_age`.
pub(in crate::policy) fn initial_age(exchange: &Exchange<'_>) -> Duration {
    let headers = &exchange.response.headers;
    let apparent =
        date::field(headers, &DATE).and_then(|date| exchange.received_at.duration_since(date).ok()).unwrap_or_default();
    // A date has whole seconds: what lies within one says nothing.
    let apparent = Duration::from_secs(apparent.as_secs());
    let corrected = age::parse(headers).unwrap_or_default().saturating_add(exchange.delay());
    apparent.max(corrected)
}

/// §5.2.2 and RFC 5861: what the response says of its stale life.
pub(in crate::policy) fn restrict(lifetime: &mut Lifetime, said: &Said) {
    let directives = &said.directives;
    if let Some(window) = directives.stale_while_revalidate {
        lifetime.stale_while_revalidate = window;
    }
    if let Some(window) = directives.stale_if_error {
        lifetime.stale_if_error = window;
    }
    // s-maxage implies proxy-revalidate (§5.2.2.10).
    let proxy = said.shared && (directives.proxy_revalidate || directives.s_maxage.is_some());
    if directives.must_revalidate || proxy || directives.no_cache.applies_to_whole() {
        lifetime.must_revalidate = true;
    }
    if directives.no_cache.applies_to_whole() {
        lifetime.fresh_for = Duration::ZERO;
    }
}

/// For how long a response is kept after its windows: to be validated (§4.3) or, if it can't be, for as long again as it was
/// fresh, for requests with `max-stale` or `stale-if-error`.
pub(super) fn retain(exchange: &Exchange<'_>, fresh_for: Duration) -> Duration {
    // Conditions aren't looked at where the answer would be no success (RFC 9110 §13.2.1).
    let response = exchange.response;
    let validates = response.status.is_success() && !Validators::of(&response.headers).is_empty();
    if validates { RETAIN } else { fresh_for.min(RETAIN) }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderValue, Request, Response};

    use super::*;

    const DATE_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:48:37 GMT";

    fn received() -> SystemTime {
        date::parse(&HeaderValue::from_static(DATE_TEXT)).expect("date")
    }

    fn with<T>(
        status: u16,
        fields: &[(&'static str, &str)],
        delay: u64,
        ask: impl FnOnce(&Exchange<'_>, &Said) -> T,
    ) -> T {
        let request = Request::get("/").body(()).expect("request").into_parts().0;
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let response = response.body(()).expect("response").into_parts().0;
        let said = Said::of(&response.headers, true);
        let requested = received() - Duration::from_secs(delay);
        ask(&Exchange::new(&request, &response, requested, received()), &said)
    }

    #[test]
    fn explicit_freshness_goes_by_the_order_of_the_rfc() {
        let cases: &[(&[(&str, &str)], Option<u64>, Option<u64>)] = &[
            (&[], None, None),
            (&[("cache-control", "max-age=5")], Some(5), Some(5)),
            (&[("cache-control", "max-age=5, s-maxage=9")], Some(9), Some(5)),
            (&[("date", DATE_TEXT), ("expires", LATER)], Some(60), Some(60)),
            (&[("date", EARLIER), ("expires", LATER)], Some(120), Some(120)),
            (&[("expires", LATER)], Some(60), Some(60)),
            (&[("expires", EARLIER)], Some(0), Some(0)),
            (&[("expires", "0")], Some(0), Some(0)),
            (&[("cache-control", "max-age=5"), ("expires", "0")], Some(5), Some(5)),
        ];
        for (fields, shared, private) in cases {
            let lifetime = |shared| {
                with(200, fields, 0, |exchange, said| {
                    let said = Said { shared, directives: said.directives.clone(), expires: true };
                    explicit_lifetime(exchange, &said)
                })
                .map(|lifetime| lifetime.as_secs())
            };
            assert_eq!((lifetime(true), lifetime(false)), (*shared, *private), "{fields:?}");
        }
    }

    #[test]
    fn age_counts_what_upstream_caches_and_the_network_took() {
        let cases: &[(&[(&str, &str)], u64, u64)] = &[
            (&[], 0, 0),
            (&[], 3, 3),
            (&[("age", "10")], 3, 13),
            (&[("date", EARLIER)], 3, 60),
            (&[("date", EARLIER), ("age", "100")], 3, 103),
            (&[("date", LATER)], 0, 0),
            (&[("age", "nonsense")], 0, 0),
        ];
        for (fields, delay, expected) in cases {
            let age = with(200, fields, *delay, |exchange, _| initial_age(exchange));
            assert_eq!(age.as_secs(), *expected, "{fields:?}");
        }
    }

    #[test]
    fn a_heuristic_needs_a_date_of_change_and_a_status_that_allows_it() {
        const LONG_AGO: &str = "Sun, 06 Nov 1983 08:49:37 GMT";
        let cases: &[(u16, &[(&str, &str)], Option<u64>)] = &[
            (200, &[("last-modified", EARLIER)], Some(6)),
            (200, &[], None),
            (200, &[("last-modified", LATER)], None),
            (200, &[("last-modified", LONG_AGO)], Some(24 * 60 * 60)),
            (201, &[("last-modified", EARLIER)], None),
            (201, &[("last-modified", EARLIER), ("cache-control", "public")], Some(6)),
        ];
        for (status, fields, expected) in cases {
            let limit = Duration::from_secs(24 * 60 * 60);
            let lifetime = with(*status, fields, 0, |exchange, said| heuristic_lifetime(exchange, said, limit));
            assert_eq!(lifetime.map(|lifetime| lifetime.as_secs()), *expected, "{status} {fields:?}");
        }
    }
}
