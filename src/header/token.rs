//! The `token` of RFC 9110 §5.6.2, which most fields are made of.

/// Whether `text` is a `token`: one or more `tchar`.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_tchar)
}

/// Whether `byte` may be part of a `token`.
pub(super) const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_separators() {
        for text in ["gzip", "x-y_z.1", "*", "!#$%&'*+-.^_`|~"] {
            assert!(is_token(text.as_bytes()), "{text}");
        }
        for text in ["", "a b", "a/b", "a;b", "\"a\"", "a,b", "é"] {
            assert!(!is_token(text.as_bytes()), "{text}");
        }
    }
}
