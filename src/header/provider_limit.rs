//! What LLM providers say of the limits that they set on requests and tokens.
//!
//! | sent by | limits are named | a reset is |
//! |---|---|---|
//! | [OpenAI], [Groq] | `x-ratelimit-*-requests`, `-tokens`, `-project-tokens` | a Go duration: `6m0s` |
//! | Azure OpenAI | `x-ratelimit-*-requests`, `-tokens` | seconds from now, whole |
//! | [Cerebras] | `x-ratelimit-*-requests-day`, `-tokens-minute` | seconds from now, with decimals |
//! | [Anthropic] | `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-*` | RFC 3339 |
//! | OpenRouter | `x-ratelimit-*` | milliseconds since 1970 |
//! | gateways | `x-ratelimit-*` | seconds, from now or since 1970 |
//! | [IETF drafts] up to 06 | `ratelimit-*` | seconds from now |
//!
//! The asterisk stands for `limit`, `remaining` and `reset`.
//!
//! [OpenAI]: https://platform.openai.com/docs/guides/rate-limits
//! [Groq]: https://console.groq.com/docs/rate-limits
//! [Cerebras]: https://inference-docs.cerebras.ai/support/rate-limits
//! [Anthropic]: https://docs.anthropic.com/en/api/rate-limits
//! [IETF drafts]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/06/

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    date, decimal,
    delta_seconds::{self, LONGEST},
    go_duration, rfc3339,
};

/// From here on, a number of seconds is no wait, 31 years long, but a time: in 2001, before there were such fields.
const FIRST_EPOCH: Duration = Duration::from_secs(1_000_000_000);

/// From here on, a time is in milliseconds: it would be in the year 5138 in seconds, and is in 1973 like this.
const FIRST_EPOCH_MILLIS: Duration = Duration::from_secs(100_000_000_000);

/// How long until all the limits that are exhausted have reset, counted from when the response was sent; at most 2^31
/// seconds. `None` if no limit is exhausted, or if no exhausted one says when it resets.
///
/// A limit is exhausted if 0 of it remains; -1, which Azure sends, means that the provider doesn't know. Of several
/// that are exhausted the one that resets last counts, since a request needs room in all of them. Providers reset a
/// limit when it is full again, so some requests would find room before.
///
/// The pairs are known by how they are named, `[x-]ratelimit-remaining*` with `[x-]ratelimit-reset*` and
/// `anthropic-ratelimit-*-remaining` with `anthropic-ratelimit-*-reset`, so that limits on other things than requests
/// and tokens count as well. Whoever sends a reset may write it in any of the forms above:
///
/// - a number of seconds below 1,000,000,000 is a wait; below 100,000,000,000 it is seconds since 1970, above that
///   milliseconds since 1970;
/// - a Go duration is a wait, and zero if negative;
/// - an RFC 3339 timestamp is a time.
///
/// A time is counted from the response's own `Date`, or from `now` if that cannot be read; one that has passed is zero.
/// A reset in any other form is passed over. Of a field in several lines every one counts.
#[must_use]
pub fn reset_of_exhausted(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    headers
        .keys()
        .filter_map(|name| reset_name(name.as_str()).filter(|_| is_exhausted(headers, name)))
        .flat_map(|name| headers.get_all(name))
        .filter_map(|reset| delay(reset, headers, now))
        .max()
}

/// The field that says when a limit resets, given the one that says what remains of it.
fn reset_name(remaining: &str) -> Option<String> {
    if let Some(limit) = remaining.strip_prefix("anthropic-ratelimit-") {
        return Some(format!("anthropic-ratelimit-{}-reset", limit.strip_suffix("-remaining")?));
    }
    let (prefix, limit) = remaining.split_once("ratelimit-remaining")?;
    let known = matches!(prefix, "" | "x-") && (limit.is_empty() || limit.starts_with('-'));
    known.then(|| format!("{prefix}ratelimit-reset{limit}"))
}

fn is_exhausted(headers: &HeaderMap, remaining: &HeaderName) -> bool {
    let nothing = |value: &HeaderValue| delta_seconds::parse(value.as_bytes().trim_ascii()) == Some(Duration::ZERO);
    headers.get_all(remaining).iter().any(nothing)
}

/// Reads a reset in any form: none of them can be taken for another, but for `0`, which means the same in all.
fn delay(reset: &HeaderValue, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = reset.as_bytes().trim_ascii();
    let until = |time| date::delay_until(time, headers, now);
    if let Some(time) = rfc3339::parse(text) {
        return Some(until(time));
    }
    if let Some(delay) = go_duration::parse(text) {
        return Some(delay.min(LONGEST));
    }
    let number = decimal::parse(text, Duration::from_secs(1))?;
    if number < FIRST_EPOCH {
        return Some(number);
    }
    let since_1970 = if number < FIRST_EPOCH_MILLIS { number } else { number / 1000 };
    Some(UNIX_EPOCH.checked_add(since_1970).map_or(LONGEST, until))
}

#[cfg(test)]
mod tests {
    use http::header::DATE;
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    /// 2025-10-25T12:00:00Z, Sat, 25 Oct 2025 12:00:00 GMT.
    const NOW: u64 = 1_761_393_600;

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
        reset_of_exhausted(&headers(fields), at(NOW)).map(|delay| delay.as_millis())
    }

    #[test]
    fn every_providers_reset_is_read() {
        for (remaining, reset, value, expected) in [
            ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "12ms", 12),
            ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "6m0s", 360_000),
            ("x-ratelimit-remaining-project-tokens", "x-ratelimit-reset-project-tokens", "3s", 3_000),
            ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "7.66s", 7_660),
            ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "2m59.56s", 179_560),
            ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "31", 31_000),
            ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "0", 0),
            ("x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day", "33011.382867097855", 33_011_382),
            ("x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute", "11.382867097854614", 11_382),
            (
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset",
                "2025-10-25T12:01:00Z",
                60_000,
            ),
            ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset", "2025-10-25T12:00:01Z", 1_000),
            (
                "anthropic-ratelimit-input-tokens-remaining",
                "anthropic-ratelimit-input-tokens-reset",
                "2025-10-25t14:00:02.5+02:00",
                2_500,
            ),
            (
                "anthropic-ratelimit-output-tokens-remaining",
                "anthropic-ratelimit-output-tokens-reset",
                "2025-10-25T11:59:00Z",
                0,
            ),
            ("x-ratelimit-remaining", "x-ratelimit-reset", "1761393660000", 60_000),
            ("x-ratelimit-remaining", "x-ratelimit-reset", "1761393660", 60_000),
            ("x-ratelimit-remaining", "x-ratelimit-reset", "60", 60_000),
            ("ratelimit-remaining", "ratelimit-reset", "50", 50_000),
        ] {
            assert_eq!(millis(&[(remaining, "0"), (reset, value)]), Some(expected), "{reset}: {value}");
            assert_eq!(
                millis(&[(remaining, " 0 "), (reset, &format!("\t{value} "))]),
                Some(expected),
                "{reset}: {value}"
            );
            assert_eq!(millis(&[(remaining, "1"), (reset, value)]), None, "{reset}: {value}");
            assert_eq!(millis(&[(reset, value)]), None, "{reset}: {value}");
        }
    }

    #[test]
    fn a_number_is_a_wait_or_a_time_by_how_great_it_is() {
        for (text, expected) in [
            ("999999999", Some(999_999_999_000)),
            ("1000000000", Some(0)),
            ("1761393599", Some(0)),
            ("1761393600.5", Some(500)),
            ("99999999999", Some(1000 << 31)),
            ("100000000000", Some(0)),
            ("1761393600500", Some(500)),
            ("99999999999999999999999999", Some(1000 << 31)),
            ("9999999999h", Some(1000 << 31)),
            ("9999-12-31T23:59:59Z", Some(1000 << 31)),
            ("-1s", Some(0)),
            ("-1", None),
            ("", None),
            ("NaN", None),
            ("1e3", None),
            ("soon", None),
            ("1m5", None),
            ("Sat, 25 Oct 2025 12:01:00 GMT", None),
        ] {
            let fields = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", text)];
            assert_eq!(millis(&fields), expected, "{text}");
        }
    }

    #[test]
    fn only_a_limit_with_nothing_left_counts() {
        for (remaining, exhausted) in [
            ("0", true),
            ("000", true),
            ("1", false),
            ("59", false),
            ("-1", false),
            ("-0", false),
            ("0.5", false),
            ("", false),
            ("none", false),
        ] {
            let fields = [("x-ratelimit-remaining-tokens", remaining), ("x-ratelimit-reset-tokens", "1s")];
            assert_eq!(millis(&fields).is_some(), exhausted, "{remaining:?}");
        }
        assert_eq!(millis(&[]), None);
    }

    #[test]
    fn of_exhausted_limits_the_last_to_reset_counts() {
        let fields = |requests, tokens| {
            millis(&[
                ("x-ratelimit-remaining-requests", requests),
                ("x-ratelimit-reset-requests", "1m26.4s"),
                ("x-ratelimit-remaining-tokens", tokens),
                ("x-ratelimit-reset-tokens", "6m0s"),
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "2025-10-25T12:00:01Z"),
            ])
        };
        assert_eq!(fields("0", "0"), Some(360_000));
        assert_eq!(fields("0", "149984"), Some(86_400));
        assert_eq!(fields("59", "0"), Some(360_000));
        assert_eq!(fields("59", "149984"), Some(1_000));
    }

    #[test]
    fn a_limit_without_a_reset_hides_no_other() {
        let mut fields = vec![("x-ratelimit-remaining-requests", "0")];
        assert_eq!(millis(&fields), None);
        fields.push(("x-ratelimit-reset-tokens", "1s"));
        assert_eq!(millis(&fields), None, "the reset of another limit");
        fields.push(("x-ratelimit-reset-requests", "soon"));
        fields.push(("x-ratelimit-remaining-tokens", "0"));
        assert_eq!(millis(&fields), Some(1_000));
        fields.push(("x-ratelimit-reset-requests", "2s"));
        assert_eq!(millis(&fields), Some(2_000), "a second line");
    }

    #[test]
    fn other_names_are_no_limits() {
        for (remaining, reset) in [
            ("x-ratelimit-remainingtokens", "x-ratelimit-resettokens"),
            ("y-ratelimit-remaining", "y-ratelimit-reset"),
            ("my-x-ratelimit-remaining", "my-x-ratelimit-reset"),
            ("anthropic-ratelimit-remaining", "anthropic-ratelimit-reset"),
            ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-reset"),
            ("x-ratelimit-limit", "x-ratelimit-reset"),
        ] {
            assert_eq!(millis(&[(remaining, "0"), (reset, "1s")]), None, "{remaining}");
        }
    }

    #[test]
    fn a_time_is_counted_from_the_servers_own() {
        for reset in ["2025-10-25T12:01:00Z", "1761393660", "1761393660000", "60", "1m0s"] {
            let fields = headers(&[
                ("date", "Sat, 25 Oct 2025 12:00:00 GMT"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", reset),
            ]);
            for now in [0, NOW - 1_000_000, NOW + 1_000_000] {
                assert_eq!(reset_of_exhausted(&fields, at(now)), Some(Duration::from_secs(60)), "{reset}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_time_comes_back_in_every_form(sent in 1_000_000_000_u64..=1 << 32, delay in 0_u64..1_000_000_000) {
            let time = sent + delay;
            let timestamp = humantime::format_rfc3339(at(time)).to_string();
            for reset in [time.to_string(), format!("{time}000"), timestamp, delay.to_string(), format!("{delay}s")] {
                let fields = headers(&[("ratelimit-remaining", "0"), ("ratelimit-reset", &reset)]);
                prop_assert_eq!(reset_of_exhausted(&fields, at(sent)), Some(Duration::from_secs(delay)), "{}", reset);
            }
        }

        #[test]
        fn any_field_value_is_read_without_panic(
            remaining in field_value(),
            reset in field_value(),
            date in field_value(),
            now in any::<u32>(),
        ) {
            let mut headers = headers(&[("x-ratelimit-remaining", "0"), ("anthropic-ratelimit-tokens-remaining", "0")]);
            headers.append("ratelimit-remaining", remaining);
            for name in ["ratelimit-reset", "x-ratelimit-reset", "anthropic-ratelimit-tokens-reset"] {
                headers.append(name, reset.clone());
            }
            headers.append(DATE, date);
            prop_assert!(reset_of_exhausted(&headers, at(now.into())).is_none_or(|delay| delay <= LONGEST));
        }
    }
}
