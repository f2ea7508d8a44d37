//! The directives of a request (RFC 9111 §5.2.1).

use std::time::Duration;

use http::{HeaderMap, header};

use super::directive::{Directive, directives, shorter};
use crate::header::list;

/// What a request asks of caches (RFC 9111 §5.2.1, RFC 5861 §4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestDirectives {
    /// `no-store` (§5.2.1.5): keep neither this request nor its response.
    pub no_store: bool,
    /// `no-cache` (§5.2.1.4): serve nothing that has not been validated for this request. Also `Pragma: no-cache`,
    /// where there is no `Cache-Control` (§5.4).
    pub no_cache: bool,
    /// `max-age` (§5.2.1.1): no response older than this. An invalid argument counts as zero.
    pub max_age: Option<Duration>,
    /// `max-stale` (§5.2.1.2): stale responses are welcome, within bounds.
    pub max_stale: Option<MaxStale>,
    /// `min-fresh` (§5.2.1.3): only responses that stay fresh for this long.
    pub min_fresh: Option<Duration>,
    /// `only-if-cached` (§5.2.1.7): a stored response or 504, nothing from upstream.
    pub only_if_cached: bool,
    /// `no-transform` (§5.2.1.6): hand on the content as it is.
    pub no_transform: bool,
    /// `stale-if-error` (RFC 5861 §4): should upstream fail, a response stale for up to this long will do.
    pub stale_if_error: Option<Duration>,
}

/// How stale a response may be for `max-stale` (RFC 9111 §5.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaxStale {
    /// `max-stale` without an argument: a stale response of any age.
    Any,
    /// Stale for no longer than this.
    Within(Duration),
}

impl RequestDirectives {
    /// Reads all lines of `Cache-Control`, or, if there are none, `Pragma` (RFC 9111 §5.2.1, §5.4).
    ///
    /// Of a directive given twice the stricter argument counts. `max-age` with an invalid argument asks for a response
    /// of age zero; other directives with an invalid argument are ignored. Does not allocate.
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut this = Self::default();
        if headers.contains_key(header::CACHE_CONTROL) {
            for directive in directives(headers, &header::CACHE_CONTROL) {
                this.add(&directive);
            }
        } else {
            this.no_cache = pragma_no_cache(headers);
        }
        this
    }

    fn add(&mut self, directive: &Directive<'_>) {
        match directive.name().as_bytes() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"max-age" => self.max_age = shorter(self.max_age, directive.seconds_or_zero()),
            b"max-stale" => self.add_max_stale(directive),
            b"min-fresh" => self.min_fresh = self.min_fresh.max(directive.seconds()),
            b"only-if-cached" => self.only_if_cached = true,
            b"no-transform" => self.no_transform = true,
            b"stale-if-error" => {
                if let Some(window) = directive.seconds() {
                    self.stale_if_error = shorter(self.stale_if_error, window);
                }
            }
            _ => {}
        }
    }

    fn add_max_stale(&mut self, directive: &Directive<'_>) {
        let known = match self.max_stale {
            Some(MaxStale::Within(known)) => Some(known),
            Some(MaxStale::Any) | None => None,
        };
        self.max_stale = match (directive.argument, directive.seconds()) {
            (None, _) => self.max_stale.or(Some(MaxStale::Any)),
            (Some(_), Some(limit)) => shorter(known, limit).map(MaxStale::Within),
            (Some(_), None) => self.max_stale,
        };
    }
}

fn pragma_no_cache(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::PRAGMA)
        .into_iter()
        .flat_map(|line| list::members(line.as_bytes()))
        .any(|member| member.eq_ignore_ascii_case(b"no-cache"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    fn parse(fields: &[(HeaderName, &str)]) -> RequestDirectives {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a field value");
            headers.append(name, value);
        }
        RequestDirectives::parse(&headers)
    }

    fn cache_control(value: &str) -> RequestDirectives {
        parse(&[(header::CACHE_CONTROL, value)])
    }

    const fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn every_directive_is_understood() {
        let expected = RequestDirectives {
            no_store: true,
            no_cache: true,
            max_age: seconds(1),
            max_stale: Some(MaxStale::Within(Duration::from_secs(2))),
            min_fresh: seconds(3),
            only_if_cached: true,
            no_transform: true,
            stale_if_error: seconds(4),
        };
        let value = "no-store, No-Cache, max-age=1, max-stale=2, min-fresh=\"3\", only-if-cached, \
                     no-transform, stale-if-error = 4, unknown=\"5, no\"";
        assert_eq!(cache_control(value), expected);
        let lines: Vec<_> = value.split(", ").map(|line| (header::CACHE_CONTROL, line)).collect();
        assert_eq!(parse(&lines), expected);
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        assert!(parse(&[(header::PRAGMA, "x=1, No-Cache")]).no_cache);
        assert!(!parse(&[(header::PRAGMA, "no-caches")]).no_cache);
        for value in ["max-age=60", ""] {
            let fields = [(header::PRAGMA, "no-cache"), (header::CACHE_CONTROL, value)];
            assert!(!parse(&fields).no_cache, "{value:?}");
        }
    }

    #[test]
    fn an_invalid_max_age_accepts_nothing_old() {
        for value in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age='9'"] {
            assert_eq!(cache_control(value).max_age, seconds(0), "{value}");
        }
    }

    #[test]
    fn an_invalid_argument_does_not_loosen_anything() {
        for value in [
            "max-stale=",
            "max-stale=x",
            "min-fresh",
            "min-fresh=-1",
            "stale-if-error",
            "stale-if-error=1.5",
            "stale-if-error=\"1",
        ] {
            assert_eq!(cache_control(value), RequestDirectives::default(), "{value}");
        }
    }

    #[test]
    fn of_two_arguments_the_stricter_one_counts() {
        assert_eq!(cache_control("max-age=5, max-age=9").max_age, seconds(5));
        assert_eq!(cache_control("max-age=9, max-age=5").max_age, seconds(5));
        assert_eq!(cache_control("min-fresh=5, min-fresh=9").min_fresh, seconds(9));
        assert_eq!(cache_control("min-fresh=5, min-fresh=x").min_fresh, seconds(5));
        let within = |seconds| Some(MaxStale::Within(Duration::from_secs(seconds)));
        for (value, expected) in [
            ("max-stale", Some(MaxStale::Any)),
            ("max-stale, max-stale=5", within(5)),
            ("max-stale=5, max-stale", within(5)),
            ("max-stale=5, max-stale=9", within(5)),
            ("max-stale=9, max-stale=5, max-stale=x", within(5)),
        ] {
            assert_eq!(cache_control(value).max_stale, expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_field_value_is_read_without_panic(value in field_value()) {
            let _ = RequestDirectives::parse(&HeaderMap::from_iter([(header::CACHE_CONTROL, value)]));
        }

        #[test]
        fn what_is_written_plainly_comes_back(max_age in 0_u64..=1 << 31, no_store: bool) {
            let value = format!("max-age={max_age}{}", if no_store { ", no-store" } else { "" });
            let expected = RequestDirectives { max_age: seconds(max_age), no_store, ..Default::default() };
            prop_assert_eq!(cache_control(&value), expected);
        }
    }
}
