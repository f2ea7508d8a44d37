//! HTTP dates (RFC 9110 §5.6.7), as in `Date`, `Expires` and `Last-Modified`.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::delta_seconds::LONGEST;

/// The last second that four digits of a year can say: 9999-12-31T23:59:59Z.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The longest date there is: `Wednesday, 09-Nov-94 08:49:37 GMT`.
const MAX_LEN: usize = 33;

/// Reads a date in any of the three formats of RFC 9110 §5.6.7.
///
/// Case does not matter (RFC 9111 §4.2), nor which day of the week it says it is; any zone but `GMT` makes the date invalid. A
/// date before 1970 is `None` as well: all that it could say is that something is old.
#[must_use]
pub fn parse(value: &HeaderValue) -> Option<SystemTime> {
    let text = value.as_bytes().trim_ascii();
    let mut buffer = [0; MAX_LEN];
    let date = buffer.get_mut(..text.len())?;
    date.copy_from_slice(text);
    normalize_case(date);
    let read = |date: &str| httpdate::parse_http_date(date).ok();
    let date = str::from_utf8(date).ok()?;
    read(date).or_else(|| on_another_day(date, read))
}

/// Reads a date whose day of the week may be wrong, which the parser doesn't let pass.
fn on_another_day(date: &str, read: impl Fn(&str) -> Option<SystemTime>) -> Option<SystemTime> {
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let end = date.find(|sign: char| !sign.is_ascii_alphabetic())?;
    let (day, rest) = date.split_at(end);
    let full = DAYS.contains(&day);
    if !full && !DAYS.iter().any(|name| name[..3] == *day) {
        return None;
    }
    DAYS.iter().find_map(|name| read(&format!("{}{rest}", if full { name } else { &name[..3] })))
}

/// The date in the field `name`; in its first line, if there are several.
#[must_use]
pub fn field(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    headers.get(name).and_then(parse)
}

/// How long after the response with these `headers` was sent `time` comes; zero if it was past by then, and at most
/// 2^31 seconds.
///
/// When it was sent its own `Date` says: the server's clock wrote both times, so that it doesn't matter what the clock
/// here shows, nor whether it jumps. `now` stands in if there is no `Date` that can be read.
pub(super) fn delay_until(time: SystemTime, headers: &HeaderMap, now: SystemTime) -> Duration {
    let sent = field(headers, &header::DATE).unwrap_or(now);
    time.duration_since(sent).unwrap_or_default().min(LONGEST)
}

/// Writes `time` as an IMF-fixdate (RFC 9110 §5.6.7), in whole seconds.
///
/// A time before 1970 is written as the first second of 1970, one after the year 9999 as the last second of it.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a date is ASCII, so it is always a field value")]
pub fn format(time: SystemTime) -> HeaderValue {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    let mut text = String::with_capacity("Sun, 06 Nov 1994 08:49:37 GMT".len());
    write!(text, "{}", httpdate::HttpDate::from(UNIX_EPOCH + since)).expect("a String takes it");
    HeaderValue::try_from(text).expect("a date is ASCII")
}

/// Gives every word its one spelling: `Sun`, `Nov`, but `GMT`.
fn normalize_case(date: &mut [u8]) {
    let mut start_of_word = true;
    for byte in date.iter_mut() {
        if start_of_word {
            byte.make_ascii_uppercase();
        } else {
            byte.make_ascii_lowercase();
        }
        start_of_word = !byte.is_ascii_alphabetic();
    }
    if let Some(zone) = date.last_chunk_mut::<3>()
        && zone.iter().all(u8::is_ascii_alphabetic)
    {
        zone.make_ascii_uppercase();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    fn seconds(text: &[u8]) -> Option<u64> {
        let value = HeaderValue::from_bytes(text).expect("a field value");
        let since = parse(&value)?.duration_since(UNIX_EPOCH).expect("no date before 1970");
        Some(since.as_secs())
    }

    #[test]
    fn all_three_formats_name_the_same_second() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            " sun, 06 nov 1994 08:49:37 gmt ",
            "SUN, 06 NOV 1994 08:49:37 GMT",
            "SUNDAY, 06-NOV-94 08:49:37 gmt",
            "SUN NOV  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Saturday, 06-Nov-94 08:49:37 GMT",
            "Tue Nov  6 08:49:37 1994",
        ] {
            assert_eq!(seconds(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sonntag, 06 Nov 1994 08:49:37 GMT",
            "Su, 06 Nov 1994 08:49:37 GMT",
            "Monday, 06 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn of_several_lines_the_first_is_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(field(&headers, &header::EXPIRES), None);
        for text in ["Thu, 01 Jan 1970 00:00:07 GMT", "Thu, 01 Jan 1970 00:00:09 GMT"] {
            headers.append(header::EXPIRES, HeaderValue::from_static(text));
        }
        assert_eq!(field(&headers, &header::EXPIRES), Some(UNIX_EPOCH + Duration::from_secs(7)));
    }

    #[test]
    fn a_wrong_clock_here_does_not_change_a_delay() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut headers = HeaderMap::new();
        assert_eq!(delay_until(at(100), &headers, at(90)), Duration::from_secs(10));
        assert_eq!(delay_until(at(100), &headers, at(101)), Duration::ZERO);
        assert_eq!(delay_until(at(1 << 33), &headers, at(0)), LONGEST);
        headers.insert(header::DATE, format(at(95)));
        for now in [0, 90, 1 << 33] {
            assert_eq!(delay_until(at(100), &headers, at(now)), Duration::from_secs(5), "{now}");
        }
        headers.insert(header::DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(delay_until(at(100), &headers, at(90)), Duration::from_secs(10));
    }

    #[test]
    fn a_time_out_of_range_is_written_at_the_edge() {
        let past = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(format(past), "Thu, 01 Jan 1970 00:00:00 GMT");
        let future = UNIX_EPOCH + LAST + Duration::from_secs(1);
        assert_eq!(format(future), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn every_second_comes_back(seconds in 0..=LAST.as_secs(), nanos in 0_u32..1_000_000_000) {
            let value = format(UNIX_EPOCH + Duration::new(seconds, nanos));
            prop_assert_eq!(parse(&value), Some(UNIX_EPOCH + Duration::from_secs(seconds)));
        }

        #[test]
        fn any_field_value_is_read_without_panic(value in field_value()) {
            let _ = parse(&value);
        }

        #[test]
        fn anything_like_a_date_is_read_without_panic(
            text in "(Sun|Sunday|Mon)[ ,-]{1,2}[0-9a-zA-Z]{2}[ -](Nov|Feb|Jan)[ -][0-9]{2,4} [0-9:]{8}( GMT|)",
        ) {
            let _ = seconds(text.as_bytes());
        }
    }
}
