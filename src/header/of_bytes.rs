//! Fields that hold for a message's bytes, and say nothing true of the same content in other bytes.

use http::{HeaderMap, HeaderName, header};

const FIELDS: [HeaderName; 13] = [
    header::ACCEPT_RANGES,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("signature"),
    HeaderName::from_static("signature-input"),
];

/// Removes lengths and ranges, codings, validators, digests and signatures: for content that is written anew.
pub(crate) fn remove(headers: &mut HeaderMap) {
    for name in &FIELDS {
        headers.remove(name);
    }
}
