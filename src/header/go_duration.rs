//! Durations as Go writes them ([`time.Duration.String`](https://pkg.go.dev/time#Duration.String)): `6m0s`, `12ms`.

use std::time::Duration;

use super::{decimal, structured::write_digits};

/// The greatest duration that Go knows, in milliseconds: 292 years.
const GREATEST: u64 = i64::MAX.unsigned_abs() / 1_000_000;

/// Reads all that Go's [`time.ParseDuration`](https://pkg.go.dev/time#ParseDuration) reads: decimal numbers, each with
/// its unit, in any order, and a bare `0`.
///
/// A negative duration is zero, since what it names has passed. One too great becomes the greatest `Duration`.
pub(super) fn parse(text: &[u8]) -> Option<Duration> {
    let (passed, mut rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if rest == b"0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |byte| !is_numeric(byte));
        let (name, after) = split_where(after, is_numeric);
        sum = sum.saturating_add(decimal::parse(number, unit(name)?)?);
        rest = after;
    }
    Some(if passed { Duration::ZERO } else { sum })
}

/// Writes a duration as Go does, in whole milliseconds, rounded up. One greater than Go's becomes the greatest of Go's.
pub(super) fn write(duration: Duration, emit: &mut impl FnMut(&[u8])) {
    let millis = duration.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(GREATEST).min(GREATEST);
    if (1..1000).contains(&millis) {
        write_digits(millis, emit);
        return emit(b"ms");
    }
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        write_digits(hours, emit);
        emit(b"h");
    }
    if hours > 0 || minutes > 0 {
        write_digits(minutes, emit);
        emit(b"m");
    }
    write_digits(seconds % 60, emit);
    if millis > 0 {
        emit(b".");
        // All three digits down to the last that isn't zero.
        let (mut rest, mut place) = (millis, 100);
        while rest > 0 {
            write_digits(rest / place, emit);
            (rest, place) = (rest % place, place / 10);
        }
    }
    emit(b"s");
}

fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

fn split_where(text: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| ends(*byte)).unwrap_or(text.len()))
}

fn unit(name: &[u8]) -> Option<Duration> {
    Some(match name {
        b"ns" => Duration::from_nanos(1),
        // The micro sign and the Greek letter in UTF-8, and the former as servers send it that take fields for Latin-1.
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" | b"\xb5s" => Duration::from_micros(1),
        b"ms" => Duration::from_millis(1),
        b"s" => Duration::from_secs(1),
        b"m" => Duration::from_secs(60),
        b"h" => Duration::from_secs(3600),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Go's `Duration.String()` makes of so many nanoseconds.
    fn written(nanos: u64) -> String {
        let decimal = |nanos: u64, unit: u64| {
            let digits = unit.ilog10() as usize;
            let text = format!("{}.{:0digits$}", nanos / unit, nanos % unit);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
        match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
            1_000_000_000.. => match (minutes / 60, minutes % 60, decimal(rest, 1_000_000_000)) {
                (0, 0, seconds) => format!("{seconds}s"),
                (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
                (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
            },
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (360_000_000_000, "6m0s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (i64::MAX as u64, "2562047h47m16.854775807s"),
        ] {
            assert_eq!(written(nanos), text);
        }
    }

    #[test]
    fn every_unit_is_known() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("20ns", 20),
            ("20us", 20_000),
            ("20µs", 20_000),
            ("20μs", 20_000),
            ("12ms", 12_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+1s", 1_000_000_000),
            ("6m0s", 360_000_000_000),
            ("2m59.56s", 179_560_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("1s1h", 3_601_000_000_000),
            ("-1s", 0),
            ("-1h2m", 0),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(Duration::from_nanos(nanos)), "{text}");
        }
        assert_eq!(parse(b"20\xb5s"), Some(Duration::from_micros(20)));
    }

    #[test]
    fn a_number_without_its_unit_is_none() {
        for text in [
            "", "+", "-", "1", "-1", "1.5", "00", "s", ".s", "ms", "1m5", "1 s", "1s ", "1S", "1M", "1d", "1w", "--1s",
            "1s-1s", "1.2.3s", "1e3s", "NaN", "inf", "1\u{b5}", "x1s",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_duration_too_great_is_the_greatest() {
        for text in [format!("{}h", "9".repeat(60)), format!("{0}s{0}s", u64::MAX)] {
            assert_eq!(parse(text.as_bytes()), Some(Duration::MAX), "{text}");
        }
    }

    fn written_here(duration: Duration) -> String {
        let mut text = Vec::new();
        write(duration, &mut |part| text.extend_from_slice(part));
        String::from_utf8(text).expect("ASCII")
    }

    #[test]
    fn a_duration_is_written_up_to_its_last_millisecond() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ms"),
            (119_000_001, "120ms"),
            (999_000_001, "1s"),
            (1_010_000_000, "1.01s"),
            (86_400_000_000, "1m26.4s"),
            (360_000_000_000, "6m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (18_367_001_000_000, "5h6m7.001s"),
        ] {
            assert_eq!(written_here(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(written_here(Duration::MAX), "2562047h47m16.854s");
    }

    proptest! {
        #[test]
        fn a_duration_is_written_as_go_does(millis in 0..=GREATEST, scale in 0_u32..44) {
            let millis = millis >> scale;
            let text = written_here(Duration::from_millis(millis));
            prop_assert_eq!(&text, &written(millis * 1_000_000));
            prop_assert_eq!(parse(text.as_bytes()), Some(Duration::from_millis(millis)));
        }

        #[test]
        fn what_go_writes_comes_back(nanos in 0..=i64::MAX as u64, scale in 0_u32..63) {
            let nanos = nanos >> scale;
            prop_assert_eq!(parse(written(nanos).as_bytes()), Some(Duration::from_nanos(nanos)), "{}", written(nanos));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = parse(&text);
        }

        #[test]
        fn anything_like_a_duration_is_read_without_panic(text in "[+-]?([0-9.]{0,24}(ns|us|µs|ms|s|m|h|)){0,6}") {
            let _ = parse(text.as_bytes());
        }
    }
}
