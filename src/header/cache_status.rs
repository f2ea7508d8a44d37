//! `Cache-Status` (RFC 9211): how the cache handled a request, for people and tools that ask why.

use http::{HeaderMap, HeaderValue, header};

use super::structured::{Encode, write_integer, write_string, write_token_or_string};

/// How the cache handled a request (RFC 9211 §2). Put into the extensions of the response, and written as the field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStatus {
    /// `hit` or `fwd` (§2.1, §2.2).
    pub outcome: Outcome,
    /// `ttl` (§2.4): for how many seconds the response is still fresh; negative if it is stale.
    pub ttl: Option<i64>,
    /// `fwd-status` (§2.3): the status that upstream answered with. Says nothing, and is not written, on a hit.
    pub fwd_status: Option<u16>,
    /// `stored` (§2.5): the response was kept. Says nothing, and is not written, on a hit.
    pub stored: bool,
    /// `collapsed` (§2.6): the request shared another one's way upstream. Says nothing, and is not written, on a hit.
    pub collapsed: bool,
    /// `key` (§2.7): the key in the cache. For debugging only, as it can tell what others asked for.
    pub key: Option<String>,
    /// `detail` (§2.8): what the other parameters cannot say, in larder's own words.
    pub detail: Option<&'static str>,
}

/// Whether the request went upstream (RFC 9211 §2.1, §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Answered from the cache.
    Hit,
    /// Sent on upstream, for this reason.
    Forward(Forward),
}

/// Why a request went upstream (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forward {
    /// The cache was set not to handle it.
    Bypass,
    /// Its method has to be forwarded.
    Method,
    /// Nothing is stored for its URI.
    UriMiss,
    /// Something is stored for its URI, but for other values of the fields in `Vary`.
    VaryMiss,
    /// Nothing stored could be used, and which of the two misses it was is not known.
    Miss,
    /// A fresh response is stored, but the request did not allow its use.
    Request,
    /// A stale response is stored.
    Stale,
    /// Only a part of the response is stored.
    Partial,
}

impl CacheStatus {
    /// Answered from the cache, fresh for `ttl` more seconds (RFC 9211 §2.1).
    #[must_use]
    pub const fn hit(ttl: i64) -> Self {
        Self::new(Outcome::Hit, Some(ttl))
    }

    /// Sent on upstream because of `reason` (RFC 9211 §2.2).
    #[must_use]
    pub const fn forward(reason: Forward) -> Self {
        Self::new(Outcome::Forward(reason), None)
    }

    /// The same, with a `detail` (RFC 9211 §2.8).
    #[must_use]
    pub fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    const fn new(outcome: Outcome, ttl: Option<i64>) -> Self {
        Self { outcome, ttl, fwd_status: None, stored: false, collapsed: false, key: None, detail: None }
    }

    /// The member that this cache adds to the field, such as `larder; hit; ttl=37`.
    ///
    /// `cache_name` is written as it is if it is a token of structured fields, else as a string. What is not printable
    /// ASCII becomes `?`. Allocates once.
    #[must_use]
    pub fn to_value(&self, cache_name: &str) -> HeaderValue {
        Member { status: self, cache_name }.to_value()
    }

    /// Adds the member of this cache after those of the caches nearer to the origin (RFC 9211 §2).
    pub fn append(&self, cache_name: &str, headers: &mut HeaderMap) {
        headers.append(header::CACHE_STATUS, self.to_value(cache_name));
    }
}

/// A status in the name of the cache whose it is.
struct Member<'a> {
    status: &'a CacheStatus,
    cache_name: &'a str,
}

impl Encode for Member<'_> {
    fn write(&self, emit: &mut impl FnMut(&[u8])) {
        let Self { status, cache_name } = self;
        write_token_or_string(cache_name, emit);
        match status.outcome {
            Outcome::Hit => emit(b"; hit"),
            Outcome::Forward(reason) => {
                emit(b"; fwd=");
                emit(reason.as_str().as_bytes());
                if let Some(code) = status.fwd_status {
                    emit(b"; fwd-status=");
                    write_integer(code.into(), emit);
                }
            }
        }
        if let Some(ttl) = status.ttl {
            emit(b"; ttl=");
            write_integer(ttl, emit);
        }
        if status.outcome != Outcome::Hit && status.stored {
            emit(b"; stored");
        }
        if status.outcome != Outcome::Hit && status.collapsed {
            emit(b"; collapsed");
        }
        if let Some(key) = &status.key {
            emit(b"; key=");
            write_string(key, emit);
        }
        if let Some(detail) = status.detail {
            emit(b"; detail=");
            write_token_or_string(detail, emit);
        }
    }
}

impl Forward {
    /// The reason as it is written in the field (RFC 9211 §2.2).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::structured::MAX_INTEGER;

    fn forward(reason: Forward) -> CacheStatus {
        CacheStatus::forward(reason)
    }

    #[test]
    fn the_member_reads_as_rfc_9211_writes_it() {
        for (status, expected) in [
            (CacheStatus::hit(37), "larder; hit; ttl=37"),
            (CacheStatus::hit(0), "larder; hit; ttl=0"),
            (CacheStatus::hit(-412), "larder; hit; ttl=-412"),
            (CacheStatus { ttl: None, ..CacheStatus::hit(1) }, "larder; hit"),
            (forward(Forward::Bypass), "larder; fwd=bypass"),
            (forward(Forward::Method), "larder; fwd=method"),
            (forward(Forward::UriMiss), "larder; fwd=uri-miss"),
            (forward(Forward::VaryMiss), "larder; fwd=vary-miss"),
            (forward(Forward::Miss), "larder; fwd=miss"),
            (forward(Forward::Request), "larder; fwd=request"),
            (forward(Forward::Stale), "larder; fwd=stale"),
            (forward(Forward::Partial), "larder; fwd=partial"),
            (
                CacheStatus {
                    ttl: Some(60),
                    fwd_status: Some(200),
                    stored: true,
                    collapsed: true,
                    key: Some("GET /a".to_owned()),
                    detail: Some("no-room"),
                    ..forward(Forward::UriMiss)
                },
                "larder; fwd=uri-miss; fwd-status=200; ttl=60; stored; collapsed; key=\"GET /a\"; detail=no-room",
            ),
        ] {
            assert_eq!(status.to_value("larder"), expected);
        }
    }

    #[test]
    fn a_hit_does_not_claim_to_have_gone_upstream() {
        let status = CacheStatus { fwd_status: Some(200), stored: true, collapsed: true, ..CacheStatus::hit(1) };
        assert_eq!(status.to_value("larder"), "larder; hit; ttl=1");
    }

    #[test]
    fn an_integer_stays_within_structured_fields() {
        let value = |ttl| CacheStatus::hit(ttl).to_value("c");
        assert_eq!(value(i64::MAX), "c; hit; ttl=999999999999999");
        assert_eq!(value(i64::MIN), "c; hit; ttl=-999999999999999");
        assert_eq!(value(MAX_INTEGER), "c; hit; ttl=999999999999999");
    }

    #[test]
    fn text_that_is_no_token_is_quoted() {
        for (name, expected) in [
            ("larder", "larder; hit"),
            ("*a:b/c.1", "*a:b/c.1; hit"),
            ("", "\"\"; hit"),
            ("1st", "\"1st\"; hit"),
            ("my cache", "\"my cache\"; hit"),
            ("a\"b\\c", "\"a\\\"b\\\\c\"; hit"),
            ("caf\u{e9}\r\n\u{7f}", "\"caf????\"; hit"),
        ] {
            let status = CacheStatus { ttl: None, ..CacheStatus::hit(1) };
            assert_eq!(status.to_value(name), expected);
        }
        let status = CacheStatus { detail: Some("too large"), ..forward(Forward::Miss) };
        assert_eq!(status.to_value("larder"), "larder; fwd=miss; detail=\"too large\"");
    }

    #[test]
    fn caches_nearer_to_the_origin_come_first() {
        let mut headers = HeaderMap::new();
        headers.append(header::CACHE_STATUS, HeaderValue::from_static("far; hit"));
        CacheStatus::forward(Forward::Miss).append("larder", &mut headers);
        let lines: Vec<_> = headers.get_all(header::CACHE_STATUS).into_iter().collect();
        assert_eq!(lines, ["far; hit", "larder; fwd=miss"]);
    }

    proptest! {
        #[test]
        fn any_text_makes_a_value_in_one_allocation(name: String, key: Option<String>, ttl: Option<i64>) {
            let status = CacheStatus { ttl, key, ..CacheStatus::forward(Forward::Stale) };
            let encoded = Member { status: &status, cache_name: &name }.encode();
            prop_assert_eq!(encoded.len(), encoded.capacity());
            let value = status.to_value(&name);
            prop_assert_eq!(value.as_bytes(), encoded);
        }

        #[test]
        fn every_ttl_comes_back(ttl in -MAX_INTEGER..=MAX_INTEGER) {
            let value = CacheStatus::hit(ttl).to_value("c");
            let text = value.to_str().expect("printable ASCII");
            prop_assert_eq!(text.trim_start_matches("c; hit; ttl=").parse(), Ok(ttl));
        }
    }
}
