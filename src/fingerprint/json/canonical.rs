//! The byte form of a [`Value`] that goes into a key.
//!
//! Each value is a type byte and a payload; text and digits are preceded by their length (LEB128),
//! arrays by their count, members by a mark, and an object ends with another. So no form is the
//! beginning of another, two values never share one, and nothing has to be escaped. The form is
//! part of the keys in far stores: a change of it empties every cache, and the golden vectors below
//! fail.

use super::{Number, Value};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const POSITIVE: u8 = 3;
const NEGATIVE: u8 = 4;
const VERBATIM_NUMBER: u8 = 5;
const STRING: u8 = 6;
const ARRAY: u8 = 7;
const OBJECT: u8 = 8;

const END_OF_MEMBERS: u8 = 0;
const MEMBER: u8 = 1;

/// Streams the canonical bytes of `value` into `out`, such as a hasher's `update`.
///
/// Values that are equal have the same bytes; the bytes of one value never begin those of another.
/// Small writes are gathered, long strings are handed on from where they lie.
pub fn write_canonical(value: &Value<'_>, out: &mut impl FnMut(&[u8])) {
    write_canonical_without(value, |_| false, out);
}

/// The same as [`write_canonical`], as if `value` were an object without the members whose key is
/// `ignored`.
///
/// Only members at the top level are left out. A value that is not an object is written as it is.
pub fn write_canonical_without(value: &Value<'_>, ignored: impl Fn(&str) -> bool, out: &mut impl FnMut(&[u8])) {
    let mut writer = Writer { out, gathered: [0; GATHERED], filled: 0 };
    if let Value::Object(members) = value {
        writer.members(members.iter().filter(|(key, _)| !ignored(key)));
    } else {
        writer.value(value);
    }
    writer.flush();
}

/// Hashers work in blocks of 64 bytes or more: calls for single bytes would cost more than the
/// bytes.
const GATHERED: usize = 512;

struct Writer<'o, F> {
    out: &'o mut F,
    gathered: [u8; GATHERED],
    filled: usize,
}

impl<F: FnMut(&[u8])> Writer<'_, F> {
    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.byte(NULL),
            Value::Bool(false) => self.byte(FALSE),
            Value::Bool(true) => self.byte(TRUE),
            Value::Number(number) => self.number(number),
            Value::String(text) => {
                self.byte(STRING);
                self.text(text);
            }
            Value::Array(elements) => {
                self.byte(ARRAY);
                self.length(elements.len());
                for element in elements {
                    self.value(element);
                }
            }
            Value::Object(members) => self.members(members.iter()),
        }
    }

    fn members<'m, 'v: 'm, K: AsRef<str> + 'm>(&mut self, members: impl Iterator<Item = &'m (K, Value<'v>)>) {
        self.byte(OBJECT);
        for (key, value) in members {
            self.byte(MEMBER);
            self.text(key.as_ref());
            self.value(value);
        }
        self.byte(END_OF_MEMBERS);
    }

    fn number(&mut self, number: &Number<'_>) {
        let Some(decimal) = number.decimal() else {
            self.byte(VERBATIM_NUMBER);
            self.text(number.text());
            return;
        };
        self.byte(if decimal.negative { NEGATIVE } else { POSITIVE });
        self.bytes(&decimal.exponent.to_le_bytes());
        self.length(decimal.high.len() + decimal.low.len());
        self.bytes(decimal.high.as_bytes());
        self.bytes(decimal.low.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes(text.as_bytes());
    }

    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.byte(length as u8 | 0x80);
            length >>= 7;
        }
        self.byte(length as u8);
    }

    fn byte(&mut self, byte: u8) {
        self.bytes(&[byte]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() > GATHERED - self.filled {
            self.flush();
        }
        if bytes.len() > GATHERED {
            (self.out)(bytes);
            return;
        }
        let end = self.filled + bytes.len();
        self.gathered[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
    }

    fn flush(&mut self) {
        if self.filled > 0 {
            (self.out)(&self.gathered[..self.filled]);
            self.filled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parse, write_canonical, write_canonical_without};

    fn canonical(body: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let value = parse(body.as_bytes()).expect("valid JSON");
        write_canonical(&value, &mut |part: &[u8]| bytes.extend_from_slice(part));
        bytes
    }

    fn canonical_without(body: &str, ignored: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let value = parse(body.as_bytes()).expect("valid JSON");
        let is_ignored = |key: &str| ignored.contains(&key);
        write_canonical_without(&value, is_ignored, &mut |part: &[u8]| {
            bytes.extend_from_slice(part);
        });
        bytes
    }

    #[test]
    fn the_form_is_the_one_that_keys_in_far_stores_were_made_of() {
        let golden: [(&str, &[u8]); 9] = [
            ("null", &[0]),
            ("false", &[1]),
            ("true", &[2]),
            ("-0.0", &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("1200", &[3, 2, 0, 0, 0, 0, 0, 0, 0, 2, b'1', b'2']),
            ("-1.5", &[4, 255, 255, 255, 255, 255, 255, 255, 255, 2, b'1', b'5']),
            ("1e9223372036854775808", b"\x05\x151e9223372036854775808"),
            ("[\"hi\", []]", &[7, 2, 6, 2, b'h', b'i', 7, 0]),
            ("{\"b\": null, \"a\": {}}", &[8, 1, 1, b'a', 8, 0, 1, 1, b'b', 0, 0]),
        ];
        for (body, bytes) in golden {
            assert_eq!(canonical(body), bytes, "{body}");
        }
    }

    #[test]
    fn spellings_of_one_document_have_one_form() {
        let cases = [
            ("{\"a\":1,\"b\":2}", "{ \"b\" : 2.0 ,\r\n\t\"a\" : 1e0 }"),
            ("\"A/\\n\"", "\"\\u0041\\/\\u000A\""),
            ("\"😀\"", "\"\\ud83d\\uDE00\""),
            ("{\"é\":[]}", "{\"\\u00e9\":[ ]}"),
        ];
        for (left, right) in cases {
            assert_eq!(canonical(left), canonical(right));
        }
    }

    #[test]
    fn what_means_something_else_has_another_form() {
        let cases = [
            ("[1,2]", "[2,1]"),
            ("\"a\"", "\"A\""),
            ("\"é\"", "\"e\u{301}\""),
            ("\"1\"", "1"),
            ("\"null\"", "null"),
            ("[]", "{}"),
            ("[[],[]]", "[[[]]]"),
            ("{\"a\":null}", "{}"),
            ("{\"ab\":\"c\"}", "{\"a\":\"bc\"}"),
            ("[\"a\",\"b\"]", "[\"ab\"]"),
            ("{\"a\":{\"b\":1}}", "{\"a\":{},\"b\":1}"),
            ("18446744073709551616", "18446744073709551617"),
        ];
        for (left, right) in cases {
            assert_ne!(canonical(left), canonical(right), "{left} {right}");
        }
    }

    #[test]
    fn ignored_members_do_not_count_at_the_top_level_only() {
        let body = "{\"user\":\"u\",\"model\":\"m\",\"metadata\":{\"model\":1}}";
        assert_eq!(canonical_without(body, &["user", "metadata"]), canonical("{\"model\":\"m\"}"));
        assert_eq!(canonical_without(body, &[]), canonical(body));
        let nested = "{\"a\":{\"user\":1}}";
        assert_eq!(canonical_without(nested, &["user"]), canonical(nested));
        assert_eq!(canonical_without("[\"user\"]", &["user"]), canonical("[\"user\"]"));
    }

    #[test]
    fn long_and_short_texts_leave_the_buffer_in_their_order() {
        for length in [0, 1, 127, 128, 500, 510, 511, 512, 513, 20_000] {
            let text = "x".repeat(length);
            let bytes = canonical(&format!("[\"{text}\",true,\"{text}\"]"));
            assert_eq!(bytes.len(), canonical(&format!("[\"{text}\",\"{text}\"]")).len() + 1);
            assert!(bytes.ends_with(text.as_bytes()));
        }
    }
}
