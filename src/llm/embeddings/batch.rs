//! [`Batch`]: a request for embeddings, taken apart into the texts that it asks for.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::members::{Members, write_array, write_object};

/// The most texts of a request that is taken apart: more than any provider takes.
const MOST: usize = 8192;

/// The most bytes that the keys of a request's texts are made of besides the texts: each is made of all else that is in the request.
const WORK: usize = 64 << 20;

/// A request for embeddings.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    members: Members<'a>,
    /// Which of the members is the input.
    input: usize,
    pub(super) parts: Vec<Part<'a>>,
}

/// A text, in letters or in a tokenizer's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// As it was written.
    raw: &'a str,
    /// Its length, in bytes or in tokens.
    pub(super) length: u64,
}

impl<'a> Batch<'a> {
    /// `None` for what is none, or can't be told to be one.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let members: Members<'a> = serde_json::from_slice(body).ok()?;
        let input = members.position("input")?;
        let parts = Part::all_in(members.0[input].1)?;
        let besides = body.len() - members.0[input].1.get().len();
        if besides.saturating_mul(parts.len()) > WORK {
            return None;
        }
        Some(Self { members, input, parts })
    }

    /// The request for one text alone.
    pub(super) fn alone(&self, part: Part<'_>) -> Bytes {
        self.with(|out| out.extend_from_slice(part.raw.as_bytes()))
    }

    /// The same request for these texts.
    pub(super) fn of(&self, parts: impl Iterator<Item = usize>) -> Bytes {
        let mut list = Vec::new();
        write_array(parts, &mut list, |_, at, out| out.extend_from_slice(self.parts[at].raw.as_bytes()));
        self.with(|out| out.extend_from_slice(&list))
    }

    fn with(&self, input: impl Fn(&mut Vec<u8>)) -> Bytes {
        let mut out = Vec::new();
        let members = self.members.0.iter().enumerate();
        let members = members.map(|(at, (name, value))| (&**name, (at != self.input).then_some(*value)));
        write_object(members, &mut out, |value, out| match value {
            Some(value) => out.extend_from_slice(value.get().as_bytes()),
            None => input(out),
        });
        out.into()
    }
}

impl<'a> Part<'a> {
    /// A text, several, one as tokens, or several as tokens.
    fn all_in(input: &'a RawValue) -> Option<Vec<Self>> {
        if input.get().starts_with('"') {
            return Self::of(input).map(|part| vec![part]);
        }
        if let Some(tokens) = Self::of(input) {
            return Some(vec![tokens]);
        }
        let parts: Vec<&'a RawValue> = serde_json::from_str(input.get()).ok()?;
        let kind = parts.first()?.get().as_bytes()[0];
        let parts = parts.into_iter().map(|part| (part.get().as_bytes()[0] == kind).then(|| Self::of(part))?);
        let parts: Vec<_> = parts.collect::<Option<_>>()?;
        (parts.len() <= MOST).then_some(parts)
    }

    fn of(raw: &'a RawValue) -> Option<Self> {
        let raw = raw.get();
        let length = match raw.as_bytes().first()? {
            // Without escapes, which are the client's own.
            b'"' => serde_json::from_str::<String>(raw).ok()?.len(),
            b'[' => serde_json::from_str::<Vec<u64>>(raw).ok().filter(|tokens| !tokens.is_empty())?.len(),
            _ => return None,
        };
        Some(Self { raw, length: length as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(input: &str) -> Option<Vec<(String, u64)>> {
        let body = format!(r#"{{"model":"m","input":{input},"user":"u"}}"#);
        let batch = Batch::parse(body.as_bytes())?;
        Some(batch.parts.iter().map(|part| (part.raw.to_owned(), part.length)).collect())
    }

    #[test]
    fn texts_and_tokens_are_told_apart() {
        let owned = |parts: &[(&str, u64)]| parts.iter().map(|(raw, length)| ((*raw).to_owned(), *length)).collect();
        for (input, expected) in [
            (r#""a b""#, &[(r#""a b""#, 3)][..]),
            (r#"["a", "bc"]"#, &[(r#""a""#, 1), (r#""bc""#, 2)]),
            ("[1, 2,3]", &[("[1, 2,3]", 3)]),
            ("[[1],[2,3]]", &[("[1]", 1), ("[2,3]", 2)]),
            (r#"["]"]"#, &[(r#""]""#, 1)]),
            (r#"[""]"#, &[(r#""""#, 0)]),
            (r#"["\u0061\n"]"#, &[(r#""\u0061\n""#, 2)]),
        ] {
            assert_eq!(parts(input), Some(owned(expected)), "{input}");
        }
        for input in [
            "[]",
            "[[]]",
            "null",
            "7",
            "{}",
            r#"["a",[1]]"#,
            r#"["a",1]"#,
            "[1.5]",
            "[-1]",
            "[[1],[]]",
            "[{}]",
            r#"["\ud800"]"#,
        ] {
            assert_eq!(parts(input), None, "{input}");
        }
        for body in [r#"{"model":"m"}"#, r#"{"input":"a","input":"b"}"#, r#"["input"]"#, "{", ""] {
            assert!(Batch::parse(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn many_texts_with_much_besides_are_no_work_for_minutes() {
        let of = |texts: usize, besides: usize| {
            let body = format!(r#"{{"x":"{}","input":{:?}}}"#, "x".repeat(besides), vec!["a"; texts]);
            Batch::parse(body.as_bytes()).is_some()
        };
        assert!(of(1, 15 << 20) && of(MOST, 8000));
        assert!(!of(5, 15 << 20) && !of(MOST, 8200));
    }

    #[test]
    fn all_but_the_input_stays_as_it_came() {
        let body = br#"{ "model" : "m\u00e9", "input" : ["a", "b","c"], "dimensions": 1.50, "x\n": [ 1 ] }"#;
        let batch = Batch::parse(body).expect("a batch");
        let of = |parts: &[usize]| String::from_utf8(batch.of(parts.iter().copied()).to_vec()).expect("text");
        assert_eq!(of(&[2, 0]), r#"{"model":"m\u00e9","input":["c","a"],"dimensions":1.50,"x\n":[ 1 ]}"#);
        assert_eq!(batch.alone(batch.parts[1]), r#"{"model":"m\u00e9","input":"b","dimensions":1.50,"x\n":[ 1 ]}"#);
    }
}
