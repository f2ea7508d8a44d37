//! `Vary` (RFC 9110 §12.5.5): which fields of the request chose the response, and when two requests agree in one.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{content_encoding, list, token::is_token};

/// What a response depends on besides its URI (RFC 9110 §12.5.5, RFC 9111 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vary {
    /// `*`: on something that no other request can be known to match.
    Any,
    /// On these fields of the request. Sorted, each once, at least one.
    Fields(Vec<HeaderName>),
}

impl Vary {
    /// Reads all lines of `Vary`; `None` if it is absent, or empty.
    ///
    /// `*` among other members makes all of it [`Any`](Self::Any), and so does a member that is no field name: what
    /// the response depends on is then unknown.
    #[must_use]
    pub fn parse(headers: &HeaderMap) -> Option<Self> {
        let mut names = Vec::new();
        for line in headers.get_all(header::VARY) {
            for member in list::members(line.as_bytes()) {
                // `*` is a valid token, so it has to be asked for before it is taken for a name.
                let name = HeaderName::from_bytes(member).ok();
                let Some(name) = name.filter(|_| member != b"*") else {
                    return Some(Self::Any);
                };
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        (!names.is_empty()).then_some(Self::Fields(names))
    }

    /// What a response depends on if it is to be kept: what it says, and `Accept-Encoding` where its body is encoded. Servers
    /// that forget to say so are many, and who didn't ask for a coding may not be able to read it.
    pub(crate) fn to_keep(headers: &HeaderMap) -> Option<Self> {
        let said = Self::parse(headers);
        if content_encoding::is_identity(headers) {
            return said;
        }
        let mut names = match said {
            Some(Self::Any) => return said,
            Some(Self::Fields(names)) => names,
            None => Vec::new(),
        };
        if let Err(place) = names.binary_search_by(|name| name.as_str().cmp(header::ACCEPT_ENCODING.as_str())) {
            names.insert(place, header::ACCEPT_ENCODING);
        }
        Some(Self::Fields(names))
    }
}

/// What the request says in the field `name`, written so that requests that say the same have the same bytes
/// (RFC 9111 §4.1). `None` if the field is absent, which is not the same as empty.
///
/// Lines are joined, and white space around the commas of a list is removed. In `Accept`, `Accept-Charset`,
/// `Accept-Encoding` and `Accept-Language` (RFC 9110 §12.5) also the order of members, the case of what has no case,
/// and the spelling of a weight are made the same. The lines of `Cookie` are joined by `; ` (RFC 9113 §8.2.3).
#[must_use]
pub fn normalized(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    if !headers.contains_key(name) {
        return None;
    }
    let lines = || headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let length = lines().map(|line| line.len() + 2).sum();
    let mut value = Vec::with_capacity(length);
    match Syntax::of(name) {
        // Commas separate nothing in a cookie.
        Syntax::Cookie => join(&mut value, lines(), b"; "),
        // Empty members stay: for a field that is no list they could mean something.
        Syntax::Unknown => join(&mut value, lines().flat_map(|line| list::split(line, b',')), b","),
        Syntax::Preferences => join_preferences(&mut value, lines().flat_map(list::members)),
    }
    Some(value)
}

/// What is known about the values of a field.
#[derive(Clone, Copy, Debug)]
enum Syntax {
    /// Weighted members in any order (RFC 9110 §12.4.2).
    Preferences,
    Cookie,
    Unknown,
}

impl Syntax {
    fn of(name: &HeaderName) -> Self {
        const PREFERENCES: [HeaderName; 4] =
            [header::ACCEPT, header::ACCEPT_CHARSET, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];
        if PREFERENCES.contains(name) {
            Self::Preferences
        } else if name == header::COOKIE {
            Self::Cookie
        } else {
            Self::Unknown
        }
    }
}

fn join<'a>(value: &mut Vec<u8>, parts: impl Iterator<Item = &'a [u8]>, separator: &[u8]) {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            value.extend_from_slice(separator);
        }
        value.extend_from_slice(part);
    }
}

fn join_preferences<'a>(value: &mut Vec<u8>, members: impl Iterator<Item = &'a [u8]>) {
    let mut written = Vec::with_capacity(value.capacity());
    let mut spans = Vec::new();
    for member in members {
        let start = written.len();
        push_preference(&mut written, member);
        // A member of nothing but `;` and a weight of 1 says nothing, and nothing is left of it.
        if written.len() > start {
            spans.push(start..written.len());
        }
    }
    spans.sort_unstable_by(|a, b| written[a.clone()].cmp(&written[b.clone()]));
    spans.dedup_by(|a, b| written[a.clone()] == written[b.clone()]);
    join(value, spans.into_iter().map(|span| &written[span]), b",");
}

/// Writes one member: its range in lower case, its parameters without white space, its weight in its shortest form.
fn push_preference(value: &mut Vec<u8>, member: &[u8]) {
    let mut parts = list::split(member, b';');
    value.extend(parts.next().unwrap_or_default().iter().map(u8::to_ascii_lowercase));
    for part in parts.filter(|part| !part.is_empty()) {
        let equals = part.iter().position(|byte| *byte == b'=');
        let (name, argument) = part.split_at(equals.unwrap_or(part.len()));
        let name = name.trim_ascii();
        let argument = argument.strip_prefix(b"=").map(<[u8]>::trim_ascii);
        match argument.filter(|_| name.eq_ignore_ascii_case(b"q")).and_then(shortest_weight) {
            Some(b"1") => {}
            Some(weight) => {
                value.extend_from_slice(b";q=");
                value.extend_from_slice(weight);
            }
            None if is_token(name) => {
                value.push(b';');
                value.extend(name.iter().map(u8::to_ascii_lowercase));
                if let Some(argument) = argument {
                    // Whether the case of an argument matters depends on its name (RFC 9110 §8.3.1), so it stays.
                    value.push(b'=');
                    value.extend_from_slice(argument);
                }
            }
            None => {
                value.push(b';');
                value.extend_from_slice(part);
            }
        }
    }
}

/// The weight (RFC 9110 §12.4.2) without zeros at its end; `None` if it is not valid.
fn shortest_weight(weight: &[u8]) -> Option<&[u8]> {
    let (whole, fraction) = weight.split_first()?;
    let digits = match fraction {
        [] => fraction,
        [b'.', digits @ ..] => digits,
        _ => return None,
    };
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let significant = &digits[..digits.len() - zeros];
    let valid = digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit);
    match whole {
        b'0' | b'1' if valid && significant.is_empty() => Some(&weight[..1]),
        b'0' if valid => Some(&weight[..2 + significant.len()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).expect("a field value");
            headers.append(name, value);
        }
        headers
    }

    fn normal(name: &HeaderName, lines: &[&str]) -> String {
        let value = normalized(&headers(name, lines), name).expect("the field is there");
        String::from_utf8(value).expect("UTF-8 in, UTF-8 out")
    }

    fn fields(names: &[&'static str]) -> Option<Vary> {
        let names = names.iter().copied().map(HeaderName::from_static);
        Some(Vary::Fields(names.collect()))
    }

    #[test]
    fn an_encoded_body_depends_on_what_encodings_were_asked_for() {
        let kept = |fields: &[(HeaderName, &'static str)]| {
            let field = |(name, value): &(HeaderName, &'static str)| (name.clone(), HeaderValue::from_static(value));
            Vary::to_keep(&fields.iter().map(field).collect())
        };
        let encoding = |value| (header::CONTENT_ENCODING, value);
        let vary = |value| (header::VARY, value);
        let fields = |names: &[HeaderName]| Some(Vary::Fields(names.to_vec()));
        assert_eq!(kept(&[encoding("gzip")]), fields(&[header::ACCEPT_ENCODING]));
        assert_eq!(kept(&[encoding("br"), vary("accept-encoding")]), fields(&[header::ACCEPT_ENCODING]));
        let both = fields(&[header::ACCEPT_ENCODING, header::ORIGIN]);
        assert_eq!(kept(&[encoding("br"), vary("origin")]), both);
        assert_eq!(kept(&[encoding("br"), vary("*")]), Some(Vary::Any));
        assert_eq!((kept(&[encoding("identity")]), kept(&[])), (None, None));
        assert_eq!(kept(&[vary("origin")]), fields(&[header::ORIGIN]));
    }

    #[test]
    fn a_field_that_counts_is_not_overlooked() {
        for (lines, expected) in [
            (vec![], None),
            (vec![""], None),
            (vec![" , ", ","], None),
            (vec!["Accept"], fields(&["accept"])),
            (vec!["b, A", "c,a"], fields(&["a", "b", "c"])),
            (vec!["*"], Some(Vary::Any)),
            (vec!["a", "b, *"], Some(Vary::Any)),
            (vec!["a, b c"], Some(Vary::Any)),
            (vec!["\"a\""], Some(Vary::Any)),
            (vec!["\u{e4}"], Some(Vary::Any)),
        ] {
            assert_eq!(Vary::parse(&headers(&header::VARY, &lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn absent_is_not_empty() {
        assert_eq!(normalized(&HeaderMap::new(), &header::ACCEPT), None);
        assert_eq!(normal(&header::ACCEPT, &[""]), "");
        assert_eq!(normal(&header::USER_AGENT, &[""]), "");
    }

    #[test]
    fn one_preference_spelled_two_ways_is_one_variant() {
        for (lines, expected) in [
            (vec!["gzip, br"], "br,gzip"),
            (vec!["BR ,", "gzip,br"], "br,gzip"),
            (vec!["a;q=1.0,b;Q=1,c ; q = 1.000,d;q=1."], "a,b,c,d"),
            (vec!["a;q=0.50, b;q=0.5, c;q=0.500"], "a;q=0.5,b;q=0.5,c;q=0.5"),
            (vec!["a;q=0, b;q=0.0, c;q=0.000, d;q=0."], "a;q=0,b;q=0,c;q=0,d;q=0"),
            (vec!["a;q=0.050"], "a;q=0.05"),
            (vec!["Text/HTML ;Level=1;;q=0.4"], "text/html;level=1;q=0.4"),
        ] {
            assert_eq!(normal(&header::ACCEPT, &lines), expected, "{lines:?}");
        }
        for name in [header::ACCEPT_CHARSET, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE] {
            assert_eq!(normal(&name, &["X;q=0.80, A"]), "a,x;q=0.8", "{name}");
        }
    }

    #[test]
    fn preferences_that_differ_stay_apart() {
        for (one, other) in [
            ("a", "b"),
            ("a", "a;q=0.9"),
            ("a;q=0.5", "a;q=0.05"),
            ("a;q=0", "a"),
            ("a;q=2", "a"),
            ("a;q=0.1234", "a;q=0.123"),
            ("a;q=1.1", "a"),
            ("a;q=x", "a"),
            ("a;q", "a"),
            ("a;q=", "a"),
            ("a;x=B", "a;x=b"),
            ("a;x=\"b, c\"", "a;x=\"b,c\""),
            ("a;x=\"; q=1\"", "a;x=\"\""),
            ("a b", "ab"),
        ] {
            let [one, other] = [one, other].map(|line| normal(&header::ACCEPT, &[line]));
            assert_ne!(one, other);
        }
    }

    #[test]
    fn other_fields_keep_case_and_order() {
        let name = HeaderName::from_static("x-list");
        assert_eq!(normal(&name, &["b ,  A", "\tc"]), "b,A,c");
        assert_eq!(normal(&name, &["a,,b"]), "a,,b");
        assert_eq!(normal(&name, &["\"a , b\" , c"]), "\"a , b\",c");
        assert_eq!(normal(&header::USER_AGENT, &["A/1 (x;  y)"]), "A/1 (x;  y)");
    }

    #[test]
    fn two_cookies_are_not_one_cookie_with_a_comma() {
        assert_eq!(normal(&header::COOKIE, &["a=1", "b=2"]), "a=1; b=2");
        assert_eq!(normal(&header::COOKIE, &["a=1; b=2"]), "a=1; b=2");
        assert_eq!(normal(&header::COOKIE, &["a=1 , b=2"]), "a=1 , b=2");
    }

    proptest! {
        #[test]
        fn any_field_value_is_read_without_panic(value in field_value()) {
            let _ = Vary::parse(&HeaderMap::from_iter([(header::VARY, value.clone())]));
            for name in [header::ACCEPT, header::COOKIE, header::USER_AGENT] {
                let headers = HeaderMap::from_iter([(name.clone(), value.clone())]);
                prop_assert!(normalized(&headers, &name).is_some());
            }
        }

        #[test]
        fn what_is_normal_stays_as_it_is(value in prop_oneof!["[ -!#-~]{0,48}", "[aq;,=.01 *]{0,48}"]) {
            for name in [header::ACCEPT, header::COOKIE, header::USER_AGENT] {
                let once = normal(&name, &[&value]);
                prop_assert_eq!(normal(&name, &[&once]), once);
            }
        }

        #[test]
        fn names_come_back(names in proptest::collection::btree_set("x-[a-z]{1,8}", 1..5)) {
            let line = names.iter().rev().map(String::as_str).collect::<Vec<_>>().join(", ");
            let Some(Vary::Fields(found)) = Vary::parse(&headers(&header::VARY, &[&line])) else {
                panic!("fields are named");
            };
            prop_assert_eq!(found, names.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
