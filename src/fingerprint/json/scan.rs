//! The parser: RFC 8259 and nothing else, in one pass, into a [`Value`] that borrows from the text.

use std::borrow::Cow;

use super::{Invalid, Kind, Number, Value};

/// How deep arrays and objects may be nested; the parser recurses no further.
pub const MAX_DEPTH: usize = 128;

/// How many values a document may hold; one that holds more would take many times its size in memory.
pub const MAX_VALUES: usize = 1 << 19;

/// Parses one JSON document (RFC 8259).
///
/// Takes time linear in the length of `bytes`, but for the sorting of each object's keys, and
/// memory of at most some thirty times that length (a body of nothing but tiny arrays).
///
/// # Errors
///
/// [`Invalid`] for all that is not strictly JSON in UTF-8: a byte order mark, trailing commas,
/// comments, `NaN`, raw control characters, half a surrogate pair, data after the document. Also
/// for arrays and objects nested deeper than [`MAX_DEPTH`], and for objects that have one key twice
/// (compared with escapes resolved).
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, Invalid> {
    let text = str::from_utf8(bytes).map_err(|error| Invalid { kind: Kind::Utf8, offset: error.valid_up_to() })?;
    let mut scanner = Scanner { text, bytes, at: 0, members: Vec::new(), values: 0 };
    let value = scanner.value(0)?;
    scanner.skip_white_space();
    match scanner.peek() {
        None => Ok(value),
        Some(_) => Err(scanner.invalid(Kind::TrailingData)),
    }
}

struct Scanner<'a> {
    text: &'a str,
    /// The bytes of `text`.
    bytes: &'a [u8],
    at: usize,
    /// The members of all objects that are still open: objects are small and many, and so each is
    /// allocated once, in its final size.
    members: Vec<(Cow<'a, str>, Value<'a>)>,
    /// How many values have begun.
    values: usize,
}

impl<'a> Scanner<'a> {
    /// `depth` is the number of arrays and objects around this value.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Invalid> {
        self.skip_white_space();
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.invalid(Kind::TooMany));
        }
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(_) | None => Err(self.unexpected()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Invalid> {
        let start = self.open(depth)?;
        let outer = self.members.len();
        self.skip_white_space();
        if self.take(b'}') {
            return Ok(Value::Object(Vec::new()));
        }
        loop {
            self.skip_white_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected());
            }
            let key = self.string()?;
            self.skip_white_space();
            if !self.take(b':') {
                return Err(self.unexpected());
            }
            let value = self.value(depth + 1)?;
            self.members.push((key, value));
            if self.closes(b'}')? {
                break;
            }
        }
        let mut members = self.members.split_off(outer);
        members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Invalid { kind: Kind::DuplicateKey, offset: start });
        }
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, Invalid> {
        self.open(depth)?;
        let mut elements = Vec::new();
        self.skip_white_space();
        if self.take(b']') {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.closes(b']')? {
                return Ok(Value::Array(elements));
            }
        }
    }

    /// Steps over an opening bracket and gives its offset.
    fn open(&mut self, depth: usize) -> Result<usize, Invalid> {
        if depth >= MAX_DEPTH {
            return Err(self.invalid(Kind::TooDeep));
        }
        self.at += 1;
        Ok(self.at - 1)
    }

    /// After an element: `true` at the closing bracket, `false` at a comma.
    fn closes(&mut self, bracket: u8) -> Result<bool, Invalid> {
        self.skip_white_space();
        if self.take(bracket) {
            Ok(true)
        } else if self.take(b',') {
            Ok(false)
        } else {
            Err(self.unexpected())
        }
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Invalid> {
        for expected in word.bytes() {
            if !self.take(expected) {
                return Err(self.unexpected());
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Number<'a>, Invalid> {
        let start = self.at;
        self.take(b'-');
        // A leading zero stands alone: what follows it in `01` is for the caller to reject.
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Number::new(&self.text[start..self.at]))
    }

    /// Steps over one or more digits.
    fn digits(&mut self) -> Result<(), Invalid> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            let kind = if self.rest().is_empty() { Kind::UnexpectedEnd } else { Kind::Number };
            return Err(self.invalid(kind));
        }
        self.at += count;
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Invalid> {
        self.at += 1;
        let plain = self.plain_run();
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = String::with_capacity(plain.len() * 2);
        text.push_str(plain);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.invalid(Kind::ControlCharacter)),
                None => return Err(self.invalid(Kind::UnexpectedEnd)),
            }
            text.push_str(self.plain_run());
        }
    }

    /// Steps over the part of a string up to the next byte that needs a look.
    fn plain_run(&mut self) -> &'a str {
        let start = self.at;
        self.at += plain_prefix(self.rest());
        &self.text[start..self.at]
    }

    fn escape(&mut self) -> Result<char, Invalid> {
        let start = self.at;
        self.at += 1;
        let Some(byte) = self.peek() else {
            return Err(self.invalid(Kind::UnexpectedEnd));
        };
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' => Ok(char::from(byte)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => self.unicode_escape(start),
            _ => Err(Invalid { kind: Kind::Escape, offset: start }),
        }
    }

    /// The character of a `\uXXXX`, or of two that make a surrogate pair.
    fn unicode_escape(&mut self, start: usize) -> Result<char, Invalid> {
        let lone = Invalid { kind: Kind::LoneSurrogate, offset: start };
        let mut code = u32::from(self.four_hex_digits()?);
        if (0xD800..0xDC00).contains(&code) {
            if !(self.take(b'\\') && self.take(b'u')) {
                return Err(lone);
            }
            let low = u32::from(self.four_hex_digits()?);
            if !(0xDC00..0xE000).contains(&low) {
                return Err(lone);
            }
            code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        char::from_u32(code).ok_or(lone)
    }

    fn four_hex_digits(&mut self) -> Result<u16, Invalid> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(byte) = self.peek() else {
                return Err(self.invalid(Kind::UnexpectedEnd));
            };
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                _ => return Err(self.invalid(Kind::Escape)),
            };
            code = code << 4 | u16::from(digit);
            self.at += 1;
        }
        Ok(code)
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn unexpected(&self) -> Invalid {
        let ended = self.peek().is_none();
        self.invalid(if ended { Kind::UnexpectedEnd } else { Kind::UnexpectedByte })
    }

    fn invalid(&self, kind: Kind) -> Invalid {
        Invalid { kind, offset: self.at }
    }
}

/// The number of bytes before the first quote, backslash or control character.
fn plain_prefix(bytes: &[u8]) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // Eight bytes at a time. Subtracting borrows into the high bit of a byte that is less than the
    // subtrahend; a byte above it may only be marked wrongly if one below it is marked rightly, so
    // the lowest mark is always true.
    let marks = |word: u64| {
        let below = |word: u64, limit: u64| word.wrapping_sub(LOW * limit) & !word;
        let quote = below(word ^ (LOW * u64::from(b'"')), 1);
        let backslash = below(word ^ (LOW * u64::from(b'\\')), 1);
        (below(word, 0x20) | quote | backslash) & HIGH
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
    words.len() * 8 + rest.iter().position(is_special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, Value, parse};

    #[test]
    fn what_rfc_8259_forbids_is_invalid() {
        #[rustfmt::skip]
        let cases: &[&[u8]] = &[
            b"", b" ", b"\xEF\xBB\xBF1", b"nul", b"nulll", b"True", b"NaN", b"Infinity", b"+1",
            b"01", b"-01", b"-", b"1.", b".5", b"1e", b"1e+", b"1.e5", b"0x1F", b"1_000",
            b"[1,]", b"[,1]", b"[1 2]", b"[1", b"]", b"{\"a\":1,}", b"{a:1}", b"{'a':1}",
            b"{\"a\" 1}", b"{\"a\":}", b"{1:1}", b"{\"a\"}", b"// x\n1", b"\"", b"\"\\\"",
            b"\"\t\"", b"\"\x00\"", b"\"\\u12\"", b"\"\\u12G4\"", b"\"\\u+123\"", b"\"\\a\"",
            b"\"\\ud800\"", b"\"\\udc00\"", b"\"\\ud800\\u0041\"", b"\"\\ud800\\ud800\"",
            b"\"\xc3\"", b"\"\xed\xa0\x80\"", b"\x0c1", b"{\"a\":1,\"a\":1}",
            b"{\"\":1,\"\":2}",
        ];
        for body in cases {
            assert!(parse(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn every_escape_is_resolved() {
        let value = parse(br#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\u0000""#).expect("valid JSON");
        assert_eq!(value.as_str(), Some("\"\\/\u{8}\u{c}\n\r\té😀\0"));
    }

    #[test]
    fn a_string_is_borrowed_unless_it_has_escapes() {
        let long = format!("\"{}\"", "é".repeat(100));
        let value = parse(long.as_bytes()).expect("valid JSON");
        assert!(matches!(value, Value::String(std::borrow::Cow::Borrowed(_))));
    }

    #[test]
    fn nesting_is_allowed_up_to_the_limit_only() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        let error = parse(nested(MAX_DEPTH + 1).as_bytes()).expect_err("too deep");
        assert!(error.is_too_deep());
        assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn the_scan_stops_at_a_special_byte_in_any_place() {
        for length in 0..100 {
            let text = "x".repeat(length);
            let body = format!("\"{text}\\n\"");
            let value = parse(body.as_bytes()).expect("valid JSON");
            assert_eq!(value.as_str(), Some(format!("{text}\n").as_str()));
            for byte in 0..=0x7F {
                let body = format!("\"{text}{}{text}\"", char::from(byte));
                let is_plain = byte >= b' ' && byte != b'"' && byte != b'\\';
                assert_eq!(parse(body.as_bytes()).is_ok(), is_plain, "{body:?}");
            }
        }
    }
}
