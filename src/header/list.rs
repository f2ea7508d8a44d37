//! Lists in field values (RFC 9110 §5.6.1), split where no quoted string is cut.

/// The members of a comma-separated list, white space trimmed, empty members left out.
pub(super) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(value, b',').filter(|member| !member.is_empty())
}

/// What lies between `delimiter`s, white space trimmed, empty parts included.
///
/// A delimiter inside a quoted string (RFC 9110 §5.6.4) does not count.
pub(super) const fn split(value: &[u8], delimiter: u8) -> Split<'_> {
    Split { rest: Some(value), delimiter, quotes: true }
}

/// The iterator of [`split`].
#[derive(Debug)]
pub(super) struct Split<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
    quotes: bool,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            if byte == self.delimiter {
                self.rest = Some(&rest[at + 1..]);
                return Some(rest[..at].trim_ascii());
            }
            if byte == b'"' && self.quotes {
                match quoted_len(&rest[at + 1..]) {
                    Some(len) => at += len,
                    // A quote that nobody closes must not swallow a `no-store` behind it. Looking for the end only
                    // once also keeps this linear in the length of the value.
                    None => self.quotes = false,
                }
            }
            at += 1;
        }
        self.rest = None;
        Some(rest.trim_ascii())
    }
}

/// The number of bytes up to and including the closing quote.
fn quoted_len(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(value: &str) -> Vec<&str> {
        members(value.as_bytes()).map(|member| str::from_utf8(member).expect("cut at ASCII bytes only")).collect()
    }

    #[test]
    fn a_comma_in_a_quoted_string_does_not_split() {
        for (value, expected) in [
            ("", vec![]),
            (" , ,,", vec![]),
            ("a,b", vec!["a", "b"]),
            (" a\t,  b c ,", vec!["a", "b c"]),
            (r#"a="1, 2", b"#, vec![r#"a="1, 2""#, "b"]),
            (r#"a="1\", 2", b"#, vec![r#"a="1\", 2""#, "b"]),
        ] {
            assert_eq!(texts(value), expected, "{value}");
        }
    }

    #[test]
    fn an_open_quote_does_not_swallow_the_rest() {
        assert_eq!(texts(r#"a="1, no-store"#), [r#"a="1"#, "no-store"]);
        assert_eq!(texts(r#"a="1\", b"#), [r#"a="1\""#, "b"]);
        assert_eq!(texts(r#"a="1\"#), [r#"a="1\"#]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_without_loss(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let total: usize = split(&value, b',').map(|part| part.len() + 1).sum();
            prop_assert!(total <= value.len() + 1);
        }

        #[test]
        fn members_come_back_as_joined(expected in proptest::collection::vec("[a-z]+(=\"[a-z, ]*\")?", 0..6)) {
            let value = expected.join(" , ");
            prop_assert_eq!(texts(&value), expected);
        }
    }
}
