//! What a response says to this cache (RFC 9111 §5.2.2, RFC 9213).

use http::{HeaderMap, HeaderName};

use crate::header::cache_control::ResponseDirectives;

/// The directives that count, and what else does beside them.
#[derive(Debug)]
pub(in crate::policy) struct Said {
    pub(in crate::policy) directives: ResponseDirectives,
    /// Whether the cache is a shared one.
    pub(in crate::policy) shared: bool,
    /// Whether `Expires` counts where no directive says how long.
    pub(in crate::policy) expires: bool,
}

impl Said {
    /// By `Cache-Control` and `Expires`.
    pub(in crate::policy) fn of(headers: &HeaderMap, shared: bool) -> Self {
        Self { directives: ResponseDirectives::parse(headers), shared, expires: true }
    }

    /// RFC 9213 §2.2: the first of the targeted fields that is valid overrides `Cache-Control` and `Expires`.
    pub(super) fn to(targets: &[HeaderName], headers: &HeaderMap, shared: bool) -> Self {
        match ResponseDirectives::targeted(headers, targets) {
            Some(directives) => Self { directives, shared, expires: false },
            None => Self::of(headers, shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_targeted_field_overrides_and_an_invalid_one_is_passed_over() {
        let targets = [HeaderName::from_static("near"), HeaderName::from_static("far")];
        let cases: &[(&[(&str, &str)], Option<u64>, bool)] = &[
            (&[("cache-control", "max-age=1")], Some(1), true),
            (&[("cache-control", "max-age=1"), ("far", "max-age=2")], Some(2), false),
            (&[("far", "max-age=2"), ("near", "max-age=3")], Some(3), false),
            (&[("far", "max-age=2"), ("near", "&")], Some(2), false),
            (&[("cache-control", "max-age=1"), ("near", "")], Some(1), true),
            (&[("cache-control", "max-age=1"), ("near", "public")], None, false),
        ];
        for (fields, max_age, expires) in cases {
            let fields =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let said = Said::to(&targets, &fields.collect(), true);
            let age = said.directives.max_age.map(|age: Duration| age.as_secs());
            assert_eq!((age, said.expires), (*max_age, *expires), "{max_age:?}");
        }
    }
}
