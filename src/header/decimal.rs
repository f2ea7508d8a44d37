//! Decimal numbers of some unit of time, as `Retry-After: 1.5` has them; without sign or exponent, unlike a float.

use std::time::Duration;

/// More decimals than this say nothing: the 18th of an hour is four millionths of a nanosecond.
const DECIMALS: usize = 18;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Reads `12`, `1.5`, `.5` or `1.` as so many times `unit`, rounded down to nanoseconds.
///
/// A number too great becomes the greatest `Duration`. `unit` is at most an hour.
pub(super) fn parse(text: &[u8], unit: Duration) -> Option<Duration> {
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (kept, dropped) = fraction.split_at(fraction.len().min(DECIMALS));
    digits(dropped)?;
    // 2^64 hours or 10^18 parts of one are less than 2^103 nanoseconds.
    let unit = unit.as_nanos();
    let fraction = u128::from(digits(kept)?) * unit / 10_u128.pow(kept.len() as u32);
    let nanos = u128::from(digits(whole)?) * unit + fraction;
    let Ok(seconds) = u64::try_from(nanos / NANOS_PER_SECOND) else {
        return Some(Duration::MAX);
    };
    Some(Duration::new(seconds, (nanos % NANOS_PER_SECOND) as u32))
}

/// Reads `*DIGIT`; one too great becomes the greatest `u64`.
fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn seconds(text: &str) -> Option<Duration> {
        parse(text.as_bytes(), Duration::from_secs(1))
    }

    #[test]
    fn a_number_may_leave_out_either_side_of_the_point() {
        for (text, nanos) in [
            ("0", 0),
            ("0012", 12_000_000_000),
            ("1.5", 1_500_000_000),
            (".5", 500_000_000),
            ("1.", 1_000_000_000),
            ("11.382867097854614", 11_382_867_097),
            ("0.0000000001", 0),
            ("0.9999999999999999999999999999999999999999", 999_999_999),
        ] {
            assert_eq!(seconds(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_only_a_float_could_be_is_none() {
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "-0",
            "1e3",
            "1E3",
            "inf",
            "NaN",
            "infinity",
            "1.5.2",
            "1,5",
            "0x1",
            "1_0",
            " 1",
            "1s",
            "1.-5",
            "1.0000000000000000000x",
            "\u{661}",
        ] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_too_great_is_the_greatest_duration() {
        for text in ["18446744073709551616", &"9".repeat(400), &format!("{}.9", "9".repeat(400))] {
            assert!(seconds(text) >= Some(Duration::from_secs(u64::MAX)), "{text}");
            assert_eq!(parse(text.as_bytes(), HOUR), Some(Duration::MAX), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_comes_back(seconds_ in any::<u64>(), nanos in 0_u32..1_000_000_000) {
            let expected = Some(Duration::new(seconds_, nanos));
            // The last whole second stands for all that is greater, so it is left out.
            prop_assume!(seconds_ < u64::MAX);
            prop_assert_eq!(seconds(&format!("{seconds_}.{nanos:09}")), expected);
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&text, HOUR);
        }

        #[test]
        fn any_number_is_read(text in "[0-9]{1,64}\\.?[0-9]{0,64}") {
            prop_assert!(parse(text.as_bytes(), HOUR).is_some());
        }
    }
}
