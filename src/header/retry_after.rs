//! `Retry-After` (RFC 9110 §10.2.3), and `retry-after-ms`: when the server says to try again.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    date, decimal,
    delta_seconds::{self, LONGEST},
};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// How long the server asks to wait, counted from when it sent the response; at most 2^31 seconds.
///
/// `retry-after-ms`, which OpenAI and Azure send, is a number of milliseconds, whole or decimal. It says the same as
/// `Retry-After`, only finer, and so goes before it, as in the providers' own clients. `Retry-After` is a number of
/// seconds, whole as RFC 9110 wants it or decimal as some servers write it, or an HTTP date in any of its three
/// formats. A date is counted from the response's own `Date`, or from `now` if that cannot be read; one that has passed
/// is zero.
///
/// A field in several lines, by a server and a gateway before it, says how long each of them will refuse: the longest
/// time of all that can be read satisfies both. Signs, exponents, lists and anything else are passed over; `None` if
/// nothing is left.
#[must_use]
pub fn parse(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    longest(headers, &RETRY_AFTER_MS, |value| decimal::parse(value.as_bytes().trim_ascii(), Duration::from_millis(1)))
        .or_else(|| longest(headers, &header::RETRY_AFTER, |value| delay(value, headers, now)))
}

/// The value of `Retry-After` for a delay, in whole seconds, rounded up: nobody is called back too early.
#[must_use]
pub fn format(delay: Duration) -> HeaderValue {
    HeaderValue::from(delta_seconds::round_up(delay))
}

fn longest(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&HeaderValue) -> Option<Duration>,
) -> Option<Duration> {
    headers.get_all(name).iter().filter_map(read).max().map(|delay| delay.min(LONGEST))
}

fn delay(value: &HeaderValue, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    decimal::parse(value.as_bytes().trim_ascii(), Duration::from_secs(1))
        .or_else(|| date::parse(value).map(|time| date::delay_until(time, headers, now)))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: u64 = 784_111_777;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a field value"));
        }
        headers
    }

    fn millis(fields: &[(&'static str, &str)]) -> Option<u128> {
        parse(&headers(fields), at(NOW)).map(|delay| delay.as_millis())
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120_000)),
            (" 7\t", Some(7_000)),
            ("1.5", Some(1_500)),
            ("0.25", Some(250)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10_000)),
            ("Sun Nov  6 08:49:47 1994", Some(10_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(1000 << 31)),
            ("99999999999999999999999", Some(1000 << 31)),
            ("99999999999999999999999.5", Some(1000 << 31)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("-0.5", None),
            ("1e3", None),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("1s", None),
            ("5, 10", None),
            ("1994-11-06T08:49:47Z", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(millis(&[("retry-after", text)]), expected, "{text:?}");
        }
        assert_eq!(millis(&[]), None);
    }

    #[test]
    fn milliseconds_go_before_seconds() {
        for (text, expected) in [
            ("0", Some(0)),
            ("20", Some(20)),
            (" 1500 ", Some(1_500)),
            ("1500.75", Some(1_500)),
            ("99999999999999999999999", Some(1000 << 31)),
        ] {
            assert_eq!(millis(&[("retry-after-ms", text)]), expected, "{text:?}");
            assert_eq!(millis(&[("retry-after", "60"), ("retry-after-ms", text)]), expected, "{text:?}");
        }
    }

    #[test]
    fn milliseconds_that_are_none_leave_the_seconds() {
        for text in ["", "-1", "NaN", "1e3", "soon", "Sun, 06 Nov 1994 08:49:47 GMT"] {
            assert_eq!(millis(&[("retry-after-ms", text)]), None, "{text:?}");
            assert_eq!(millis(&[("retry-after-ms", text), ("retry-after", "2")]), Some(2_000), "{text:?}");
        }
    }

    #[test]
    fn of_several_lines_the_longest_delay_counts() {
        for (lines, expected) in [
            (["5", "30"], Some(30_000)),
            (["30", "5"], Some(30_000)),
            (["soon", "5"], Some(5_000)),
            (["5", "Sun, 06 Nov 1994 08:49:47 GMT"], Some(10_000)),
            (["soon", "later"], None),
        ] {
            assert_eq!(millis(&lines.map(|line| ("retry-after", line))), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_date_is_counted_from_the_servers_own() {
        let fields = [("date", "Sun, 06 Nov 1994 08:49:00 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")];
        for now in [0, NOW, NOW + 1_000_000] {
            assert_eq!(parse(&headers(&fields), at(now)), Some(Duration::from_secs(60)), "{now}");
        }
    }

    #[test]
    fn a_delay_is_written_rounded_up() {
        for (delay, text) in [
            (Duration::ZERO, "0"),
            (Duration::from_nanos(1), "1"),
            (Duration::from_secs(1), "1"),
            (Duration::from_millis(1_001), "2"),
            (Duration::MAX, "18446744073709551615"),
        ] {
            assert_eq!(format(delay), text, "{delay:?}");
        }
    }

    proptest! {
        #[test]
        fn a_delay_written_is_never_read_as_shorter(seconds in 0_u64..1 << 31, nanos in 0_u32..1_000_000_000) {
            let delay = Duration::new(seconds, nanos);
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, format(delay))]);
            let read = parse(&headers, at(NOW)).expect("a number of seconds");
            prop_assert!(read >= delay && read - delay < Duration::from_secs(1), "{:?}", read);
        }

        #[test]
        fn every_fraction_comes_back(seconds in 0_u64..1 << 31, nanos in 0_u32..1_000_000_000) {
            let text = format!("{seconds}.{nanos:09}");
            let delay = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&headers(&[("retry-after", &text)]), at(NOW)), Some(delay));
            prop_assert_eq!(parse(&headers(&[("retry-after-ms", &text)]), at(NOW)), Some(delay / 1000));
        }

        #[test]
        fn every_date_comes_back(sent in 0_u64..1 << 32, delay in 0_u64..=1 << 31, now in any::<u32>()) {
            let [sent, until] = [sent, sent + delay].map(|time| date::format(at(time)));
            let headers = HeaderMap::from_iter([(header::DATE, sent), (header::RETRY_AFTER, until)]);
            let read = parse(&headers, at(now.into()));
            prop_assert_eq!(read, Some(Duration::from_secs(delay)));
        }

        #[test]
        fn any_field_value_is_read_without_panic(
            ms in field_value(),
            value in field_value(),
            date in field_value(),
            now in any::<u32>(),
        ) {
            let fields = [(RETRY_AFTER_MS, ms), (header::RETRY_AFTER, value), (header::DATE, date)];
            prop_assert!(parse(&HeaderMap::from_iter(fields), at(now.into())).is_none_or(|delay| delay <= LONGEST));
        }
    }
}
