//! `delta-seconds` (RFC 9111 §1.2.2): a count of seconds that cannot overflow.

use std::time::Duration;

/// What RFC 9111 §1.2.2 makes of every greater number: 2^31 seconds, 68 years.
const MAX: u64 = 1 << 31;

/// The longest time that a field can name: what lies beyond it is held at it, so that sums of times never overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(MAX);

/// Reads `1*DIGIT`; anything else, also a sign or a fraction, is `None`.
pub(super) fn parse(text: &[u8]) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let seconds = text.iter().try_fold(0_u64, |seconds, byte| {
        // Held at `MAX` on every step, ten times it plus nine always fits.
        byte.is_ascii_digit().then(|| (seconds * 10 + u64::from(byte - b'0')).min(MAX))
    })?;
    Some(Duration::from_secs(seconds))
}

/// So many whole seconds, rounded up: nobody is called back too early.
pub(crate) const fn round_up(time: Duration) -> u64 {
    time.as_secs().saturating_add((time.subsec_nanos() > 0) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_digits_count() {
        for text in ["", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1 ", "a", "1a", "'1'", "\u{661}"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        for (text, seconds) in [("0", 0), ("60", 60), ("0060", 60), ("2147483648", MAX)] {
            assert_eq!(parse(text.as_bytes()), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn a_number_too_great_becomes_68_years() {
        for text in ["2147483649", "99999999999", "18446744073709551616", &"9".repeat(400)] {
            assert_eq!(parse(text.as_bytes()), Some(Duration::from_secs(MAX)), "{text}");
        }
    }

    #[test]
    fn a_part_of_a_second_is_a_second() {
        for (time, seconds) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::new(1, 0), 1),
            (Duration::new(1, 999_999_999), 2),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(round_up(time), seconds, "{time:?}");
        }
    }

    proptest! {
        #[test]
        fn every_number_in_range_comes_back(seconds in 0..=MAX) {
            prop_assert_eq!(parse(seconds.to_string().as_bytes()), Some(Duration::from_secs(seconds)));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = parse(&text);
        }
    }
}
