//! The directives of a response (RFC 9111 §5.2.2).

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::directive::{Directive, directives, shorter};
use crate::header::list;

/// What a response allows caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseDirectives {
    /// `no-store` (§5.2.2.5): keep nothing of it.
    pub no_store: bool,
    /// `no-cache` (§5.2.2.4): do not serve it, or the fields named, before it has been validated.
    pub no_cache: FieldNames,
    /// `private` (§5.2.2.7): a shared cache must not keep it, or the fields named.
    pub private: FieldNames,
    /// `public` (§5.2.2.9): may be kept also where that would need to be said.
    pub public: bool,
    /// `max-age` (§5.2.2.1): the freshness lifetime. An invalid argument counts as zero.
    pub max_age: Option<Duration>,
    /// `s-maxage` (§5.2.2.10): the freshness lifetime in shared caches. An invalid argument counts as zero.
    pub s_maxage: Option<Duration>,
    /// `must-revalidate` (§5.2.2.2): never serve it stale.
    pub must_revalidate: bool,
    /// `proxy-revalidate` (§5.2.2.8): a shared cache must never serve it stale.
    pub proxy_revalidate: bool,
    /// `must-understand` (§5.2.2.3): keep it only if the rules for its status code are known.
    pub must_understand: bool,
    /// `immutable` (RFC 8246): not worth validating while it is fresh.
    pub immutable: bool,
    /// `no-transform` (§5.2.2.6): hand on the content as it is.
    pub no_transform: bool,
    /// `stale-while-revalidate` (RFC 5861 §3): serve it stale for up to this long, and validate it meanwhile.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4): serve it stale for up to this long if upstream fails.
    pub stale_if_error: Option<Duration>,
}

/// What a directive with an optional list of field names applies to (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldNames {
    /// The directive is not there.
    #[default]
    Absent,
    /// It stands without an argument, or with one that names no valid field: it applies to the whole response.
    Whole,
    /// It applies to these fields only. Sorted, each once.
    Fields(Vec<HeaderName>),
}

impl ResponseDirectives {
    /// Reads all lines of `Cache-Control` (RFC 9111 §5.2.2).
    ///
    /// Of a directive given twice the stricter argument counts (§4.2.1). `max-age` and `s-maxage` with an invalid
    /// argument make the response stale at once; `stale-while-revalidate` and `stale-if-error` with an invalid argument
    /// are ignored. Arguments to directives that take none are ignored (RFC 8246 §2 says so of `immutable`).
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Self {
        Self::parse_field(headers, &header::CACHE_CONTROL)
    }

    /// Reads another field that carries the same directives, by the rules of [`parse`](Self::parse).
    ///
    /// For a field that is no structured field, so that what is malformed loses a directive, not the field; the fields
    /// of RFC 9213, such as `CDN-Cache-Control`, are read by [`targeted`](Self::targeted). Whether the field is there
    /// at all is for the caller to ask.
    #[must_use]
    pub fn parse_field(headers: &HeaderMap, name: &HeaderName) -> Self {
        let mut this = Self::default();
        for directive in directives(headers, name) {
            this.add(&directive);
        }
        this
    }

    fn add(&mut self, directive: &Directive<'_>) {
        match directive.name().as_bytes() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.add(directive.argument),
            b"private" => self.private.add(directive.argument),
            b"public" => self.public = true,
            b"max-age" => self.max_age = shorter(self.max_age, directive.seconds_or_zero()),
            b"s-maxage" => self.s_maxage = shorter(self.s_maxage, directive.seconds_or_zero()),
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            b"no-transform" => self.no_transform = true,
            b"stale-while-revalidate" => {
                if let Some(window) = directive.seconds() {
                    self.stale_while_revalidate = shorter(self.stale_while_revalidate, window);
                }
            }
            b"stale-if-error" => {
                if let Some(window) = directive.seconds() {
                    self.stale_if_error = shorter(self.stale_if_error, window);
                }
            }
            _ => {}
        }
    }
}

impl FieldNames {
    /// Whether the directive is missing.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether the directive applies to the whole response, not only to some of its fields.
    #[must_use]
    pub const fn applies_to_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }

    /// Adds what one more of these directives applies to: the fields in its argument, or the whole response.
    pub(super) fn add(&mut self, argument: Option<&[u8]>) {
        let mut fields = match std::mem::replace(self, Self::Whole) {
            Self::Whole => return,
            Self::Absent => Vec::new(),
            Self::Fields(fields) => fields,
        };
        let before = fields.len();
        for member in argument.into_iter().flat_map(list::members) {
            // A name that cannot be understood could be any field's, so the directive stays with the whole response.
            let Ok(name) = HeaderName::from_bytes(member) else {
                return;
            };
            fields.push(name);
        }
        if fields.len() > before {
            fields.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
            fields.dedup();
            *self = Self::Fields(fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    fn parse(lines: &[&str]) -> ResponseDirectives {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).expect("a field value");
            headers.append(header::CACHE_CONTROL, value);
        }
        ResponseDirectives::parse(&headers)
    }

    fn fields(names: &[&'static str]) -> FieldNames {
        FieldNames::Fields(names.iter().copied().map(HeaderName::from_static).collect())
    }

    const fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn every_directive_is_understood() {
        let expected = ResponseDirectives {
            no_store: true,
            no_cache: fields(&["set-cookie", "x-a"]),
            private: FieldNames::Whole,
            public: true,
            max_age: seconds(1),
            s_maxage: seconds(2),
            must_revalidate: true,
            proxy_revalidate: true,
            must_understand: true,
            immutable: true,
            no_transform: true,
            stale_while_revalidate: seconds(3),
            stale_if_error: seconds(4),
        };
        let lines = [
            "No-Store,no-cache=\"X-A , Set-Cookie\", private, PUBLIC , max-age=1,s-maxage = \"2\"",
            "must-revalidate, proxy-revalidate, must-understand, immutable=1,, no-transform",
            "",
            "stale-while-revalidate=3, stale-if-error=4, unknown, extension=\"max-age=9, x\"",
        ];
        assert_eq!(parse(&lines), expected);
        assert_eq!(parse(&[&lines.join(",")]), expected);
    }

    #[test]
    fn another_field_is_read_alike_and_apart() {
        let name = HeaderName::from_static("cdn-cache-control");
        let headers = HeaderMap::from_iter([
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (name.clone(), HeaderValue::from_static("max-age=60")),
        ]);
        let directives = ResponseDirectives::parse_field(&headers, &name);
        assert_eq!(directives.max_age, seconds(60));
        assert!(!directives.no_store);
    }

    #[test]
    fn an_invalid_lifetime_is_none_at_all() {
        for argument in ["", "=", "=-1", "=+1", "=1.0", "=a9", "=9a", "='9'", "=\"9", "=9 9", "=\"\\9\""] {
            let directives = parse(&[&format!("max-age{argument}"), &format!("s-maxage{argument}")]);
            assert_eq!(directives.max_age, seconds(0), "{argument}");
            assert_eq!(directives.s_maxage, seconds(0), "{argument}");
        }
    }

    #[test]
    fn an_invalid_stale_window_does_not_open() {
        for argument in ["", "=", "=-1", "=1.0", "=x"] {
            let value = format!("stale-while-revalidate{argument}, stale-if-error{argument}");
            assert_eq!(parse(&[&value]), ResponseDirectives::default(), "{argument}");
        }
    }

    #[test]
    fn of_two_lifetimes_the_shorter_one_counts() {
        for value in ["max-age=9, max-age=5", "max-age=5, max-age=9", "max-age=5, max-age=5"] {
            assert_eq!(parse(&[value]).max_age, seconds(5), "{value}");
        }
        assert_eq!(parse(&["max-age=9", "max-age=x"]).max_age, seconds(0));
        let value = "stale-if-error=9, stale-if-error=5, stale-if-error=x";
        assert_eq!(parse(&[value]).stale_if_error, seconds(5));
    }

    #[test]
    fn a_lifetime_inside_another_argument_does_not_count() {
        for value in [r#"x="max-age=9""#, r#"x="a\", max-age=9""#, "xmax-age=9", "max-age-x=9"] {
            assert_eq!(parse(&[value]).max_age, None, "{value}");
        }
    }

    #[test]
    fn an_open_quote_does_not_hide_no_store() {
        assert!(parse(&["x=\"1, no-store"]).no_store);
    }

    #[test]
    fn private_in_doubt_means_the_whole_response() {
        for (value, expected) in [
            ("max-age=1", FieldNames::Absent),
            ("private", FieldNames::Whole),
            ("private=", FieldNames::Whole),
            ("private=\"\"", FieldNames::Whole),
            ("private=\" , \"", FieldNames::Whole),
            ("private=\"x-a, b c\"", FieldNames::Whole),
            ("private=\"x-a", FieldNames::Whole),
            ("private=x-a", fields(&["x-a"])),
            ("private=\"X-B,x-a,,x-b\"", fields(&["x-a", "x-b"])),
            ("private=x-b, private=x-a", fields(&["x-a", "x-b"])),
            ("private=x-b, private", FieldNames::Whole),
            ("private, private=x-b", FieldNames::Whole),
            ("private=x-b, private=\"\"", FieldNames::Whole),
        ] {
            let private = parse(&[value]).private;
            assert_eq!(private.is_absent(), expected == FieldNames::Absent, "{value}");
            assert_eq!(private.applies_to_whole(), expected == FieldNames::Whole, "{value}");
            assert_eq!(private, expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_field_value_is_read_without_panic(value in field_value()) {
            let _ = ResponseDirectives::parse(&HeaderMap::from_iter([(header::CACHE_CONTROL, value)]));
        }

        #[test]
        fn no_store_is_seen_behind_any_list(
            members in proptest::collection::vec("[a-z=0-9]{1,8}|[a-z]=\"[a-z, ]{0,8}\"?", 0..6),
        ) {
            // No quote comes after `no-store`, so that whatever is open before it never closes.
            let value = format!("{}, no-store", members.join(", "));
            prop_assert!(parse(&[&value]).no_store);
        }

        #[test]
        fn what_is_written_plainly_comes_back(
            max_age in 0_u64..=1 << 31,
            names in proptest::collection::btree_set("x-[a-z]{1,8}", 1..4),
        ) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let directives = parse(&[&format!("max-age={max_age}, no-cache=\"{}\"", names.join(", "))]);
            prop_assert_eq!(directives.max_age, seconds(max_age));
            let FieldNames::Fields(found) = directives.no_cache else { panic!("fields are named") };
            prop_assert_eq!(found, names);
        }
    }
}
