//! `Content-Encoding` (RFC 9110 §8.4): what was done to a body, and has to be undone before it can be read.

use http::{HeaderMap, header};

use super::list;

/// The most codings that are undone: two make sense nowhere, and each takes memory.
const MOST: usize = 4;

/// A content coding that larder can undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952; also as `x-gzip`.
    Gzip,
    /// RFC 1950, or RFC 1951 from servers that take the name by its word.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with the window of RFC 9659.
    #[cfg(feature = "zstd")]
    Zstd,
}

/// Whether nothing has to be undone.
pub(crate) fn is_identity(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    values.flat_map(|value| list::members(value.as_bytes())).all(|name| name.eq_ignore_ascii_case(b"identity"))
}

/// The codings of a body in the order in which they were applied, without `identity`; `None` if one isn't known here, or there
/// are more than four.
pub(crate) fn codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let names = values.flat_map(|value| list::members(value.as_bytes()));
    let codings = names.filter(|name| !name.eq_ignore_ascii_case(b"identity")).map(Coding::of);
    codings.collect::<Option<Vec<_>>>().filter(|codings| codings.len() <= MOST)
}

impl Coding {
    fn of(name: &[u8]) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () if is("br") => Some(Self::Brotli),
            #[cfg(feature = "zstd")]
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&'static str]) -> Option<Vec<Coding>> {
        let line = |line: &&'static str| (header::CONTENT_ENCODING, HeaderValue::from_static(line));
        codings(&lines.iter().map(line).collect())
    }

    #[test]
    fn codings_are_read_in_their_order_and_unknown_ones_are_not_guessed() {
        assert_eq!(read(&[]), Some(vec![]));
        assert_eq!(read(&["", "Identity, "]), Some(vec![]));
        assert_eq!(read(&["X-GZIP"]), Some(vec![Coding::Gzip]));
        assert_eq!(read(&["gzip, identity", "Br"]), Some(vec![Coding::Gzip, Coding::Brotli]));
        assert_eq!(read(&["deflate,gzip,,"]), Some(vec![Coding::Deflate, Coding::Gzip]));
        for unknown in ["compress", "gzip, x", "aws-chunked", "gzip;q=1", "br br", "\"gzip\""] {
            assert_eq!(read(&[unknown]), None, "{unknown}");
        }
        assert_eq!(read(&["gzip, gzip, gzip, gzip"]).map(|codings| codings.len()), Some(4));
        assert_eq!(read(&["gzip, gzip, gzip, gzip, gzip"]), None);
    }

    #[test]
    #[cfg(feature = "zstd")]
    fn zstd_is_known_with_its_feature() {
        assert_eq!(read(&["zstd"]), Some(vec![Coding::Zstd]));
    }
}
