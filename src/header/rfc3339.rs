//! Timestamps of the Internet (RFC 3339): `2025-10-25T12:00:00Z`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::decimal;

/// A date and time without fraction and offset: `d` for a digit, `t` for what separates the two.
const SHAPE: &[u8; 19] = b"dddd-dd-ddtdd:dd:dd";

const SECONDS_PER_DAY: i64 = 86_400;

/// Reads a `date-time` (RFC 3339 §5.6): with `Z` or an offset, `T` and `Z` in either case or a space for `T`, and any
/// number of decimals, of which nine count.
///
/// Second 60 is the first second of the next minute, as a clock that knows no leap seconds has it. A time before 1970
/// is `None`: all that it could say is that something is long past.
pub(super) fn parse(text: &[u8]) -> Option<SystemTime> {
    let (date_time, rest) = text.split_at_checked(SHAPE.len())?;
    if !date_time.iter().zip(SHAPE).all(|(byte, shape)| fits(*byte, *shape)) {
        return None;
    }
    let [year, month, day, hour, minute, second] =
        [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].map(|range| number(&date_time[range]));
    let exists = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !exists {
        return None;
    }
    let (fraction, rest) = fraction(rest)?;
    let of_day = (hour * 60 + minute) * 60 + second;
    let seconds = days_since_1970(year, month, day) * SECONDS_PER_DAY + of_day - offset(rest)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?) + fraction)
}

fn fits(byte: u8, shape: u8) -> bool {
    match shape {
        b'd' => byte.is_ascii_digit(),
        b't' => matches!(byte, b'T' | b't' | b' '),
        sign => byte == sign,
    }
}

/// The value of a few digits.
fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

/// The fraction of the second, if there is one, and what follows it.
fn fraction(text: &[u8]) -> Option<(Duration, &[u8])> {
    let [b'.', digits @ ..] = text else {
        return Some((Duration::ZERO, text));
    };
    let end = 1 + digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = text.split_at(end);
    Some((decimal::parse(fraction, Duration::from_secs(1))?, rest))
}

/// By how many seconds the local time is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (ahead, hour, minute) = match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', hour @ .., b':', m1, m2] => (1, hour, [*m1, *m2]),
        [b'-', hour @ .., b':', m1, m2] => (-1, hour, [*m1, *m2]),
        _ => return None,
    };
    if hour.len() != 2 || !hour.iter().chain(&minute).all(u8::is_ascii_digit) {
        return None;
    }
    let (hour, minute) = (number(hour), number(&minute));
    (hour <= 23 && minute <= 59).then_some(ahead * (hour * 60 + minute) * 60)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from 1970-01-01 to a date of the Gregorian calendar; negative before.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // In years that begin with March the leap day is the last one, and so shifts no other.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March on, months have 31, 30, 31, 30 and 31 days, again and again: 153 in five.
    let before_month = (153 * month + 2) / 5;
    // 1970-01-01 is that many days after 0000-03-01, where this count begins.
    365 * year + leap_days + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 9999-12-31T23:59:59Z, the last that four digits of a year can say.
    const LAST: u64 = 253_402_300_799;

    fn nanos(text: &str) -> Option<u128> {
        parse(text.as_bytes()).map(|time| time.duration_since(UNIX_EPOCH).expect("no time before 1970").as_nanos())
    }

    #[test]
    fn every_form_names_the_same_second() {
        for text in [
            "1994-11-06T08:49:37Z",
            "1994-11-06t08:49:37z",
            "1994-11-06 08:49:37Z",
            "1994-11-06T08:49:37.000Z",
            "1994-11-06T08:49:37+00:00",
            "1994-11-06T08:49:37-00:00",
            "1994-11-06T09:49:37+01:00",
            "1994-11-06T00:49:37-08:00",
            "1994-11-07T08:48:37+23:59",
            "1994-11-06T14:19:37+05:30",
            "1994-11-06T08:49:37.0000000009Z",
        ] {
            assert_eq!(nanos(text), Some(784_111_777_000_000_000), "{text}");
        }
    }

    #[test]
    fn the_calendar_is_kept() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00-01:00", 3_600),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2100-02-28T23:59:59Z", 4_107_542_399),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("1990-12-31T15:59:60-08:00", 662_688_000),
            ("9999-12-31T23:59:59Z", LAST),
            ("9999-12-31T23:59:59-23:59", LAST + 86_340),
        ] {
            assert_eq!(nanos(text), Some(u128::from(seconds) * 1_000_000_000), "{text}");
        }
        assert_eq!(nanos("1970-01-01T00:00:01.25Z"), Some(1_250_000_000));
        assert_eq!(nanos("1970-01-01T00:00:01.123456789123Z"), Some(1_123_456_789));
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for text in [
            "",
            "0",
            "1994",
            "1994-11-06",
            "1994-11-06T08:49Z",
            "1994-11-06T08:49:37",
            "1994-11-06T08:49:37.Z",
            "1994-11-06T08:49:37,5Z",
            "1994-11-06T08:49:37.5",
            "1994-11-06T08:49:37ZZ",
            "1994-11-06T08:49:37 Z",
            "1994-11-06T08:49:37+0100",
            "1994-11-06T08:49:37+01",
            "1994-11-06T08:49:37+1:00",
            "1994-11-06T08:49:37+001:00",
            "1994-11-06T08:49:37+24:00",
            "1994-11-06T08:49:37+01:60",
            "1994-11-06T08:49:37+-1:00",
            "1994-11-06_08:49:37Z",
            "1994-11-06T24:00:00Z",
            "1994-11-06T08:60:37Z",
            "1994-11-06T08:49:61Z",
            "1994-00-06T08:49:37Z",
            "1994-13-06T08:49:37Z",
            "1994-11-00T08:49:37Z",
            "1994-11-31T08:49:37Z",
            "1994-02-29T08:49:37Z",
            "2100-02-29T08:49:37Z",
            "94-11-06T08:49:37Z",
            "19941106T084937Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back_from_every_offset(
            local in 0..=LAST,
            nanos in 0_u32..1_000_000_000,
            minutes in -1439_i64..=1439,
        ) {
            let text = humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::new(local, nanos)).to_string();
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
            let text = text.replace('Z', &format!("{sign}{hours:02}:{rest:02}"));
            let seconds = u64::try_from(local as i64 - minutes * 60).ok();
            let expected = seconds.map(|seconds| UNIX_EPOCH + Duration::new(seconds, nanos));
            prop_assert_eq!(parse(text.as_bytes()), expected, "{}", text);
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text);
        }

        #[test]
        fn anything_like_a_timestamp_is_read_without_panic(
            text in "[0-9]{4}(-[0-9]{2}){2}[Tt ][0-9]{2}(:[0-6][0-9]){2}(\\.[0-9]{0,30})?([Zz]|[+-][0-9:]{0,6})?",
        ) {
            let _ = parse(text.as_bytes());
        }
    }
}
