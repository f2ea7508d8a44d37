//! Whether an entry may be served now, by its lifetime and what the request asks for.

use std::time::SystemTime;

use super::Reuse;
use crate::{
    entry::Lifetime,
    header::{
        cache_control::{MaxStale, RequestDirectives},
        cache_status::Forward,
    },
};

/// RFC 9111 §4.2 and §5.2.1, RFC 5861 §3.
pub(super) fn reuse(request: &RequestDirectives, lifetime: &Lifetime, now: SystemTime) -> Reuse {
    if request.no_cache || request.max_age.is_some_and(|limit| lifetime.age(now) > limit) {
        return Reuse::Validate(Forward::Request);
    }
    if let Some(left) = lifetime.fresh_in(now) {
        return match request.min_fresh {
            Some(wanted) if left < wanted => Reuse::Validate(Forward::Request),
            Some(_) | None => Reuse::Serve,
        };
    }
    if lifetime.must_revalidate || request.min_fresh.is_some() {
        return Reuse::Validate(Forward::Stale);
    }
    let stale = lifetime.stale_for(now);
    let acceptable = match &request.max_stale {
        Some(MaxStale::Any) => true,
        Some(MaxStale::Within(limit)) => stale <= *limit,
        None => false,
    };
    if acceptable {
        Reuse::Serve
    } else if stale < lifetime.stale_while_revalidate {
        Reuse::ServeStale
    } else {
        Reuse::Validate(Forward::Stale)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, header::CACHE_CONTROL};

    use super::*;

    #[test]
    fn request_directives_and_windows_decide() {
        const FRESH: Reuse = Reuse::Serve;
        const ASKED: Reuse = Reuse::Validate(Forward::Request);
        const STALE: Reuse = Reuse::Validate(Forward::Stale);
        // An answer that is fresh for 10 s and has 5 s of stale-while-revalidate, at some age.
        let cases = [
            ("", 0, FRESH),
            ("", 9, FRESH),
            ("", 10, Reuse::ServeStale),
            ("", 14, Reuse::ServeStale),
            ("", 15, STALE),
            ("no-cache", 0, ASKED),
            ("max-age=5", 5, FRESH),
            ("max-age=5", 6, ASKED),
            ("max-age=0", 0, FRESH),
            ("max-age=0", 1, ASKED),
            ("max-age=99", 15, STALE),
            ("min-fresh=3", 7, FRESH),
            ("min-fresh=3", 8, ASKED),
            ("min-fresh=3", 11, STALE),
            ("max-stale", 99, FRESH),
            ("max-stale=5", 15, FRESH),
            ("max-stale=5", 16, STALE),
            ("max-stale=1", 12, Reuse::ServeStale),
        ];
        let start = SystemTime::UNIX_EPOCH;
        let lifetime = Lifetime {
            stale_while_revalidate: Duration::from_secs(5),
            ..Lifetime::new(start, Duration::from_secs(10))
        };
        let strict = Lifetime { must_revalidate: true, ..lifetime.clone() };
        for (directives, age, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(directives));
            let directives = RequestDirectives::parse(&headers);
            let now = start + Duration::from_secs(age);
            assert_eq!(reuse(&directives, &lifetime, now), expected, "{directives:?} at {age}");
            let expected = if age >= 10 { STALE } else { expected };
            assert_eq!(reuse(&directives, &strict, now), expected, "must-revalidate, {directives:?} at {age}");
        }
    }
}
