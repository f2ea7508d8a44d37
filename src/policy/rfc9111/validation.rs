//! What a validation makes of stored responses (RFC 9111 §4.3), and how they are brought up to date (§3.2).

use http::{
    HeaderMap, HeaderName,
    header::{
        AGE, CACHE_STATUS, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING,
    },
};

use crate::header::{date, validators::EntityTag};

/// §4.3.4: whether a 304 speaks of this stored response, which it was asked about: by the entity tags, or else by
/// `Last-Modified`. Without either in the 304, there is nothing else that it could speak of.
pub(crate) fn selects(update: &HeaderMap, stored: &HeaderMap) -> bool {
    match (update.get(ETAG), stored.get(ETAG)) {
        (Some(new), Some(old)) => match (EntityTag::parse(new), EntityTag::parse(old)) {
            (Some(new), Some(old)) => new.weak_eq(&old),
            (_, _) => new == old,
        },
        // The tag was asked about, whether or not the date is repeated.
        (None, Some(_)) => true,
        (new, None) => match (date::field(update, &LAST_MODIFIED), date::field(stored, &LAST_MODIFIED)) {
            (Some(update), Some(stored)) => update == stored,
            (_, _) => new.is_none(),
        },
    }
}

/// §4.3.4: whether a 304 speaks of *another* stored response than the one that was asked about: only a strong validator that both
/// have says so.
pub(crate) fn selects_also(update: &HeaderMap, stored: &HeaderMap) -> bool {
    match (EntityTag::strong_of(update), EntityTag::strong_of(stored)) {
        (Some(update), Some(stored)) => update == stored,
        (_, _) => false,
    }
}

/// What a 200 to HEAD says of a stored answer to GET (§4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// It is the same content: a validator says so, and nothing speaks against it.
    Same,
    /// It is another.
    Other,
    /// Nothing that both have tells. The RFC would have the stored answer updated, and a body stay fresh that nobody looked at.
    Unknown,
}

/// §4.3.5: by the validators and the length, as far as they are given.
pub(crate) fn head_agrees(update: &HeaderMap, stored: &HeaderMap, stored_length: usize) -> Agreement {
    let given = |name: &HeaderName| update.contains_key(name);
    let same = |name: &HeaderName| !given(name) || update.get(name) == stored.get(name);
    let length = update.get(CONTENT_LENGTH);
    if length.is_some_and(|length| length.as_bytes() != stored_length.to_string().as_bytes()) {
        return Agreement::Other;
    }
    match (same(&ETAG) && same(&LAST_MODIFIED), given(&ETAG) || given(&LAST_MODIFIED)) {
        (true, true) => Agreement::Same,
        (true, false) => Agreement::Unknown,
        (false, _) => Agreement::Other,
    }
}

/// §3.2: the stored fields, with those of a newer response in their place: all but the ones that say how the stored body lies on
/// the wire, or which body it is.
pub(crate) fn freshened(stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    const KEPT: [HeaderName; 9] = [
        AGE,
        CACHE_STATUS,
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        CONTENT_RANGE,
        TRANSFER_ENCODING,
        ETAG,
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("content-digest"),
    ];
    let mut headers = stored.clone();
    // A validator that was not there before is none of those that the stored body is known by, and is worth having.
    for name in update.keys().filter(|name| !KEPT.contains(name) || (*name == ETAG && !stored.contains_key(ETAG))) {
        headers.remove(name);
        for value in update.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const EARLY: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const LATE: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT");
    const STRONG: (&str, &str) = ("etag", "\"a\"");
    const WEAK: (&str, &str) = ("etag", "W/\"a\"");
    const OTHER: (&str, &str) = ("etag", "\"b\"");

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_304_selects_by_its_validators() {
        let cases: &[(&[_], &[_], bool, bool)] = &[
            (&[], &[STRONG], true, false),
            (&[], &[EARLY], true, false),
            (&[], &[], true, false),
            (&[STRONG], &[STRONG], true, true),
            (&[WEAK], &[STRONG], true, false),
            (&[STRONG], &[WEAK], true, false),
            (&[OTHER], &[STRONG], false, false),
            (&[OTHER], &[EARLY], false, false),
            (&[OTHER, EARLY], &[EARLY], true, false),
            (&[("etag", "plain")], &[("etag", "plain")], true, false),
            (&[("etag", "plain")], &[STRONG], false, false),
            (&[EARLY], &[EARLY], true, false),
            (&[LATE], &[EARLY], false, false),
            (&[LATE], &[STRONG, EARLY], true, false),
            (&[LATE], &[], true, false),
        ];
        for (update, stored, selected, others) in cases {
            let (new, old) = (headers(update), headers(stored));
            assert_eq!((selects(&new, &old), selects_also(&new, &old)), (*selected, *others), "{update:?} {stored:?}");
        }
    }

    #[test]
    fn a_head_speaks_of_what_has_its_validators_and_length() {
        use Agreement::{Other, Same, Unknown};
        let cases: &[(&[_], Agreement)] = &[
            (&[], Unknown),
            (&[STRONG], Same),
            (&[OTHER], Other),
            (&[WEAK], Other),
            (&[EARLY], Same),
            (&[LATE], Other),
            (&[STRONG, LATE], Other),
            (&[("content-length", "5")], Unknown),
            (&[("content-length", "6")], Other),
            (&[("content-length", "6"), STRONG], Other),
        ];
        for (update, expected) in cases {
            assert_eq!(head_agrees(&headers(update), &headers(&[STRONG, EARLY]), 5), *expected, "{update:?}");
        }
    }

    #[test]
    fn all_fields_are_brought_up_to_date_but_those_of_the_stored_body() {
        let stored = headers(&[("x", "1"), ("y", "1"), ("content-length", "1"), ("content-type", "a/b"), STRONG]);
        let update = headers(&[
            ("x", "2"),
            ("z", "2"),
            ("content-length", "2"),
            ("content-type", "c/d"),
            ("content-encoding", "gzip"),
            ("age", "2"),
            WEAK,
        ]);
        let expected =
            headers(&[("x", "2"), ("y", "1"), ("z", "2"), ("content-length", "1"), ("content-type", "c/d"), STRONG]);
        assert_eq!(freshened(&stored, &update), expected);
        assert_eq!(freshened(&headers(&[EARLY]), &headers(&[OTHER, EARLY]))["etag"], "\"b\"");
    }
}
