//! Fields that are meant for the next hop only (RFC 9110 §7.6.1), and so are neither kept nor passed on.

use http::{HeaderMap, HeaderName, header};

use super::list;

/// Meant for the next hop also where a sender forgets to name them in `Connection` (RFC 9110 §7.6.1).
///
/// `Trailer` is not among them: it speaks of the message, and RFC 9110 lets it pass.
const ALWAYS: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Never removed, whatever `Connection` says: RFC 9110 §7.6.1 forbids naming fields meant for every recipient.
///
/// Without `Content-Length` or `Host` the next hop could see another end of the message or another target than this
/// one did: that is request smuggling. Without `Cache-Control` or `Vary` a response could be kept that must not be.
const KEPT: [HeaderName; 4] = [header::CONTENT_LENGTH, header::HOST, header::CACHE_CONTROL, header::VARY];

/// Removes `Connection`, the fields that it names, and those that are always meant for the next hop alone
/// (RFC 9110 §7.6.1).
///
/// `Content-Length`, `Host`, `Cache-Control` and `Vary` stay even if `Connection` names them. Allocates only if
/// `Connection` names a field that is there. A `Content-Length` beside a `Transfer-Encoding` goes with it.
pub fn remove(headers: &mut HeaderMap) {
    // The message was read by its Transfer-Encoding, which overrides the length (RFC 9112 §6.3); the next hop must not go by it.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in named(headers) {
        headers.remove(name);
    }
    for name in &ALWAYS {
        headers.remove(name);
    }
}

/// The fields that `Connection` names, as far as they are there and may go.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .into_iter()
        .flat_map(|line| list::members(line.as_bytes()))
        // A look-up by `&str` does not allocate; a `HeaderName` out of unknown bytes does.
        .filter(|option| str::from_utf8(option).is_ok_and(|name| headers.contains_key(name)))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !KEPT.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    #[test]
    fn a_length_that_was_not_gone_by_is_not_passed_on() {
        assert_eq!(left(&[("transfer-encoding", "chunked"), ("content-length", "5")]), Vec::<String>::new());
        assert_eq!(left(&[("content-length", "5")]), ["content-length"]);
    }

    fn left(fields: &[(&str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("a field name"),
                HeaderValue::from_str(value).expect("a field value"),
            );
        }
        remove(&mut headers);
        let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_field_for_the_next_hop_is_not_passed_on() {
        let fields = [
            ("Connection", "close"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
        ];
        assert!(left(&fields).is_empty());
        for field in fields {
            assert!(left(&[field]).is_empty(), "{field:?}");
        }
    }

    #[test]
    fn what_connection_names_is_not_passed_on() {
        let fields = [
            ("Connection", "X-One, close,x-two , nowhere"),
            ("Connection", "X-THREE, \"x-four\", b\u{e4}d"),
            ("X-One", "1"),
            ("X-One", "1"),
            ("X-Two", "2"),
            ("X-Three", "3"),
            ("X-Four", "4"),
        ];
        assert_eq!(left(&fields), ["x-four"]);
    }

    #[test]
    fn connection_cannot_take_away_framing_target_or_cache_rules() {
        let kept = ["cache-control", "content-length", "host", "vary"];
        let mut fields = vec![("Connection", "Content-Length, host, Cache-Control, vary")];
        fields.extend(kept.map(|name| (name, "1")));
        assert_eq!(left(&fields), kept);
    }

    #[test]
    fn end_to_end_fields_stay() {
        let kept = ["content-type", "proxy-authenticate", "proxy-authorization", "trailer"];
        assert_eq!(left(&kept.map(|name| (name, "x"))), kept);
    }

    proptest! {
        #[test]
        fn any_connection_value_is_read_without_panic(value in field_value()) {
            let length = (header::CONTENT_LENGTH, HeaderValue::from_static("1"));
            let mut headers = HeaderMap::from_iter([(header::CONNECTION, value), length.clone()]);
            remove(&mut headers);
            prop_assert_eq!(headers, HeaderMap::from_iter([length]));
        }
    }
}
