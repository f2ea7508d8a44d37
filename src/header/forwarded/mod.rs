//! `Forwarded` (RFC 7239) and `X-Forwarded-For`: whom a request came through, told by the proxies on its way.
//!
//! Each proxy adds the address that it saw to the end of the list, and whatever is further to the left was there
//! before. So everything left of the first proxy that is trusted can be forged, and is read last, if at all: the
//! iterators go from the right to the left, and do nothing for what is not asked for. What somebody forged changes
//! nothing of what is right of it, not even by a quote that is never closed.

#[cfg(test)]
mod tests;

use std::{
    iter::Rev,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, ValueIter},
};

use super::list;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Longer than any address with its port.
const MAX_NODE: usize = 64;

/// Which of the two fields it is that proxies write.
///
/// They differ in nothing but their syntax, and yet a reader has to know which one counts: a proxy that writes the one
/// hands the other on as its client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedField {
    /// `X-Forwarded-For`, a list of addresses, as nearly all proxies write it.
    #[default]
    XForwardedFor,
    /// `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)), of which `for` is read.
    Forwarded,
}

/// What a proxy says of where it had the request from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hop {
    /// From this address; of a port nothing is kept.
    Address(IpAddr),
    /// It doesn't say: `unknown` or an obfuscated identifier (RFC 7239 §6.2, §6.3), an empty member, one without `for`
    /// or with two of it, or what can't be read.
    Unknown,
}

/// The hops of a request, from the one next to the server to the one that claims to be the client's: an iterator, made
/// by [`ForwardedField::hops`].
#[derive(Debug)]
#[must_use]
pub struct Hops<'a> {
    field: ForwardedField,
    lines: Rev<ValueIter<'a, HeaderValue>>,
    /// What is left of the line that is being read, without the comma after it.
    rest: Option<&'a [u8]>,
}

impl ForwardedField {
    /// The field's name.
    #[must_use]
    pub const fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => X_FORWARDED_FOR,
            Self::Forwarded => FORWARDED,
        }
    }

    /// The hops that the field names, from the right to the left; several lines are one list.
    ///
    /// Addresses may have a port, and those of IPv6 brackets. IPv6 without brackets has no port, and is read also where
    /// RFC 7239 wants it quoted.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use larder::header::forwarded::{ForwardedField, Hop};
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.append("forwarded", HeaderValue::from_static(r#"for=192.0.2.43, for="[2001:db8::17]:4711""#));
    /// headers.append("forwarded", HeaderValue::from_static("for=_gateway"));
    /// let hops: Vec<_> = ForwardedField::Forwarded.hops(&headers).collect();
    /// assert_eq!(hops[0], Hop::Unknown);
    /// assert_eq!(hops[1], Hop::Address("2001:db8::17".parse().unwrap()));
    /// assert_eq!(hops[2], Hop::Address("192.0.2.43".parse().unwrap()));
    /// ```
    pub fn hops(self, headers: &HeaderMap) -> Hops<'_> {
        Hops { field: self, lines: headers.get_all(self.name()).into_iter().rev(), rest: None }
    }
}

impl Iterator for Hops<'_> {
    type Item = Hop;

    fn next(&mut self) -> Option<Hop> {
        let rest = match self.rest.take() {
            Some(rest) => rest,
            None => self.lines.next()?.as_bytes(),
        };
        let node = match self.field {
            ForwardedField::XForwardedFor => {
                let (before, member) = split_at(rest, rest.iter().rposition(|byte| *byte == b','));
                self.rest = before;
                node(member.trim_ascii())
            }
            ForwardedField::Forwarded => {
                let (before, member) = split_last_element(rest);
                self.rest = before;
                element(member)
            }
        };
        Some(node.map_or(Hop::Unknown, Hop::Address))
    }
}

/// What lies before a comma, if there is one, and what lies behind it.
fn split_at(list: &[u8], comma: Option<usize>) -> (Option<&[u8]>, &[u8]) {
    comma.map_or((None, list), |comma| (Some(&list[..comma]), &list[comma + 1..]))
}

/// The last element of a list, and what lies before it.
///
/// Quoted strings (RFC 9110 §5.6.4) are found from the right: a quote that a client left open would else swallow the
/// commas of proxies. What can't be an element, since a quote in it is closed but not opened, is an empty one, and the
/// first of its line.
fn split_last_element(list: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut end = list.len();
    while let Some(at) = list[..end].iter().rposition(|byte| matches!(byte, b',' | b'"')) {
        if list[at] == b',' {
            return split_at(list, Some(at));
        }
        let Some(opening) = opening_quote(&list[..at]) else { return (None, b"") };
        end = opening;
    }
    (None, list)
}

/// The last quote that is not escaped: one with an even number of backslashes before it, as in a quoted string each of
/// them is one of a pair, and in front of it stands an equals sign.
fn opening_quote(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        let at = text[..end].iter().rposition(|byte| *byte == b'"')?;
        let backslashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(at);
        }
        end = at - backslashes;
    }
}

/// The address that `for` names in a `forwarded-element` (RFC 7239 §4).
fn element(member: &[u8]) -> Option<IpAddr> {
    let mut values = list::split(member, b';').filter_map(|pair| {
        let (name, value) = pair.split_at_checked(3)?;
        let value = value.strip_prefix(b"=")?;
        name.eq_ignore_ascii_case(b"for").then_some(value)
    });
    let value = values.next()?;
    // No parameter may be there twice (§4), and nobody knows which of them somebody else would take.
    if values.next().is_some() {
        return None;
    }
    match value {
        [b'"', quoted @ .., b'"'] => unescaped(quoted, &mut [0; MAX_NODE]).and_then(node),
        _ => node(value),
    }
}

/// The content of a quoted string (RFC 9110 §5.6.4); `None` if a quote in it isn't escaped, or if it is too long for an
/// address.
fn unescaped<'a>(quoted: &[u8], buffer: &'a mut [u8; MAX_NODE]) -> Option<&'a [u8]> {
    let (mut len, mut bytes) = (0, quoted.iter());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'"' => return None,
            b'\\' => bytes.next()?,
            byte => byte,
        };
        *buffer.get_mut(len)? = *byte;
        len += 1;
    }
    Some(&buffer[..len])
}

/// The address in a `node` (RFC 7239 §6): IPv4, or IPv6 in brackets, with or without a port; or IPv6 alone.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        let port = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| port).map(IpAddr::V6);
    }
    match text.split_once(':') {
        Some((address, port)) if is_port(port) => address.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some(_) | None => text.parse().ok(),
    }
}

/// A port, or an obfuscated one (RFC 7239 §6.2).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_obfuscated),
        None => matches!(text.len(), 1..=5) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

const fn is_obfuscated(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}
