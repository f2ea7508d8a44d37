//! The grammar that both directions share: `token [ "=" ( token / quoted-string ) ]` (RFC 9111 §5.2).

use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::header::{delta_seconds, list};

/// More than the longest directive that is known, `stale-while-revalidate`.
const MAX_NAME: usize = 24;

/// One directive, borrowed from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    name: &'a [u8],
    /// Without its quotes.
    pub(super) argument: Option<&'a [u8]>,
}

/// The name of a directive in lower case.
#[derive(Debug)]
pub(super) struct Name {
    bytes: [u8; MAX_NAME],
    len: usize,
}

/// All directives in all lines of the field `name`.
pub(super) fn directives<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Directive<'a>> {
    headers.get_all(name).into_iter().flat_map(|line| list::members(line.as_bytes())).map(Directive::new)
}

impl<'a> Directive<'a> {
    pub(super) fn new(member: &'a [u8]) -> Self {
        let Some(equals) = member.iter().position(|byte| *byte == b'=') else {
            return Self { name: member, argument: None };
        };
        Self { name: member[..equals].trim_ascii(), argument: Some(unquote(member[equals + 1..].trim_ascii())) }
    }

    /// The name to match on; empty if it is longer than any that is known.
    pub(super) fn name(&self) -> Name {
        let mut bytes = [0; MAX_NAME];
        let len = match bytes.get_mut(..self.name.len()) {
            Some(name) => {
                name.copy_from_slice(self.name);
                name.make_ascii_lowercase();
                name.len()
            }
            None => 0,
        };
        Name { bytes, len }
    }

    /// The argument as `delta-seconds` (RFC 9111 §1.2.2); `None` if there is none, or if it is something else.
    pub(super) fn seconds(&self) -> Option<Duration> {
        self.argument.and_then(delta_seconds::parse)
    }

    /// As [`seconds`](Self::seconds), but what is no number is no time at all: RFC 9111 §4.2.1 encourages to take a
    /// response with an invalid lifetime for stale.
    pub(super) fn seconds_or_zero(&self) -> Duration {
        self.seconds().unwrap_or_default()
    }
}

impl Name {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Of two lifetimes given for the same directive, the shorter one (RFC 9111 §4.2.1).
pub(super) fn shorter(known: Option<Duration>, other: Duration) -> Option<Duration> {
    Some(known.map_or(other, |known| known.min(other)))
}

/// What is between the quotes; escapes are left in, since nothing that is understood here needs any.
fn unquote(argument: &[u8]) -> &[u8] {
    argument.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(member: &str) -> (String, Option<String>) {
        let directive = Directive::new(member.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(directive.name().as_bytes()), directive.argument.map(text))
    }

    #[test]
    fn a_directive_is_read_in_any_spelling() {
        for (member, name, argument) in [
            ("no-store", "no-store", None),
            ("Max-AGE=60", "max-age", Some("60")),
            ("max-age = 60", "max-age", Some("60")),
            ("max-age\t=\t\"60\"", "max-age", Some("60")),
            ("max-age=", "max-age", Some("")),
            ("max-age=\"\"", "max-age", Some("")),
            ("max-age=\"", "max-age", Some("\"")),
            ("max-age=\"60\"x", "max-age", Some("\"60\"x")),
            ("a=b=c", "a", Some("b=c")),
            ("=60", "", Some("60")),
            ("stale-while-revalidate=1", "stale-while-revalidate", Some("1")),
            ("a-name-longer-than-any-that-is-known=1", "", Some("1")),
        ] {
            let expected = (name.to_owned(), argument.map(str::to_owned));
            assert_eq!(parts(member), expected, "{member}");
        }
    }
}
