//! `Age` (RFC 9111 §5.1): how long ago the response was made or validated at the origin.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::{delta_seconds, list};

/// The age that the upstream cache says the response has.
///
/// Of a list only the first member counts, and a value that is no number of seconds is ignored, both as RFC 9111 §5.1
/// asks. More than 2^31 seconds are 2^31 seconds (§1.2.2).
#[must_use]
pub fn parse(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(header::AGE)
        .into_iter()
        .flat_map(|line| list::members(line.as_bytes()))
        .next()
        .and_then(delta_seconds::parse)
}

/// The field's value for an age, in whole seconds. One allocation.
#[must_use]
pub fn format(age: Duration) -> HeaderValue {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = age.as_secs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // Digits are a value; zero stands in for what can't happen.
    HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&digits[start..]))
        .unwrap_or(const { HeaderValue::from_static("0") })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    fn age(lines: &[&[u8]]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AGE, HeaderValue::from_bytes(line).expect("a field value"));
        }
        parse(&headers).map(|age| age.as_secs())
    }

    #[test]
    fn an_age_is_written_in_whole_seconds() {
        for (age, text) in [(0, "0"), (9, "9"), (10, "10"), (86_400, "86400"), (u64::MAX, "18446744073709551615")] {
            assert_eq!(format(Duration::from_secs(age) + Duration::from_millis(999)), text);
        }
    }

    #[test]
    fn only_the_first_member_is_the_age() {
        for (lines, expected) in [
            (vec![], None),
            (vec![""], None),
            (vec!["0"], Some(0)),
            (vec![" 37 "], Some(37)),
            (vec!["37, 99"], Some(37)),
            (vec!["37", "99"], Some(37)),
            (vec!["", "99"], Some(99)),
            (vec!["x, 99"], None),
            (vec!["-1"], None),
            (vec!["1.5"], None),
            (vec!["99999999999999999999999"], Some(1 << 31)),
        ] {
            let bytes: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(age(&bytes), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_field_value_is_read_without_panic(line in field_value()) {
            let _ = age(&[line.as_bytes()]);
        }

        #[test]
        fn every_age_comes_back(seconds in 0_u64..=1 << 31) {
            prop_assert_eq!(age(&[seconds.to_string().as_bytes()]), Some(seconds));
        }
    }
}
