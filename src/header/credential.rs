//! The client's credential: a bearer token in `Authorization` (RFC 6750 §2.1), or a field that is all credential.

use http::{HeaderMap, HeaderName, header::AUTHORIZATION};

/// Where LLM APIs and others look for it, in this order.
pub(crate) static USUAL: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// The first credential that isn't empty. In `Authorization` it is a bearer token, in any other field all of the value.
pub(crate) fn credential<'a>(headers: &'a HeaderMap, fields: &[HeaderName]) -> Option<&'a [u8]> {
    fields.iter().find_map(|name| {
        headers.get_all(name).into_iter().find_map(|value| {
            let value = value.as_bytes().trim_ascii();
            let credential = if name == AUTHORIZATION { bearer(value)? } else { value };
            (!credential.is_empty()).then_some(credential)
        })
    })
}

/// The token in `Bearer token`; schemes are of any case (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer".len())?;
    let bearer = scheme.eq_ignore_ascii_case(b"bearer") && token.first().is_some_and(u8::is_ascii_whitespace);
    bearer.then(|| token.trim_ascii_start())
}
