//! URIs in the one form that all ways to write them share (RFC 3986 §6.2.2 and §6.2.3).

use std::borrow::Cow;

/// A path or query with percent-encodings of unreserved characters decoded and the others in upper case.
pub(crate) fn normalized(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.as_bytes().get(at + 1..at + 3).and_then(|hex| {
            let digit = |c: u8| char::from(c).to_digit(16);
            Some((digit(hex[0])? * 16 + digit(hex[1])?) as u8)
        });
        let taken = match code {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(byte);
                3
            }
            Some(_) => {
                out.extend(rest.as_bytes()[at..at + 3].to_ascii_uppercase());
                3
            }
            None => {
                out.push(b'%');
                1
            }
        };
        rest = &rest[at + taken..];
    }
    out.extend_from_slice(rest.as_bytes());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        String::from_utf8(normalized(text).into_owned()).expect("ASCII stays ASCII")
    }

    #[test]
    fn encodings_that_mean_the_same_are_written_the_same() {
        let cases = [
            ("/a%7eb", "/a~b"),
            ("/%61", "/a"),
            ("/a%2fb", "/a%2Fb"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz", "/%zz"),
            ("/%25%34", "/%254"),
            ("/a%2", "/a%2"),
        ];
        for (given, expected) in cases {
            assert_eq!(written(given), expected, "{given}");
        }
    }
}
