//! What structured fields (RFC 9651) are made of, written in one allocation.

use bytes::Bytes;
use http::HeaderValue;

use super::token::is_tchar;

/// The greatest integer a structured field can say (RFC 9651 §3.3.1).
pub(super) const MAX_INTEGER: i64 = 999_999_999_999_999;

/// Something that is written as a field value.
pub(super) trait Encode {
    /// Hands the text, all of it printable ASCII and the same each time, to `emit`, part by part.
    fn write(&self, emit: &mut impl FnMut(&[u8]));

    /// The text. None of the vector's capacity is spare.
    fn encode(&self) -> Vec<u8> {
        let mut length = 0;
        self.write(&mut |part| length += part.len());
        // `Bytes` takes a vector over without another allocation only if none of its capacity is spare.
        let mut value = Vec::with_capacity(length);
        self.write(&mut |part| value.extend_from_slice(part));
        value
    }

    /// The text as a field value. Allocates once.
    fn to_value(&self) -> HeaderValue {
        HeaderValue::from_maybe_shared(Bytes::from(self.encode())).expect("all of it is printable ASCII")
    }
}

/// Writes an Integer (RFC 9651 §4.1.4), held within the range that they have.
pub(super) fn write_integer(number: i64, emit: &mut impl FnMut(&[u8])) {
    if number < 0 {
        emit(b"-");
    }
    write_digits(number.clamp(-MAX_INTEGER, MAX_INTEGER).unsigned_abs(), emit);
}

/// Writes a number without sign, of any size.
pub(super) fn write_digits(number: u64, emit: &mut impl FnMut(&[u8])) {
    let mut rest = number;
    // Twenty digits at most, since `u64::MAX` has as many.
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] += (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    emit(&digits[start..]);
}

/// Writes a Token as it is, and as a String what is none.
pub(super) fn write_token_or_string(text: &str, emit: &mut impl FnMut(&[u8])) {
    if is_structured_token(text) {
        emit(text.as_bytes());
    } else {
        write_string(text, emit);
    }
}

/// Writes a String (RFC 9651 §4.1.6). What is not printable ASCII becomes `?`.
pub(super) fn write_string(text: &str, emit: &mut impl FnMut(&[u8])) {
    emit(b"\"");
    for char in text.chars() {
        match char {
            '"' => emit(b"\\\""),
            '\\' => emit(b"\\\\"),
            ' '..='~' => emit(&[char as u8]),
            _ => emit(b"?"),
        }
    }
    emit(b"\"");
}

/// Whether `text` is a Token (RFC 9651 §3.3.4), which is not quite the `token` of RFC 9110.
fn is_structured_token(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'*')
        && bytes.all(|byte| is_tchar(byte) || matches!(byte, b':' | b'/'))
}
