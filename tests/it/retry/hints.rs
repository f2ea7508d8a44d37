//! What the server says of when to come back.

use std::time::{Duration, SystemTime};

use larder::{
    clock::{Clock as _, ManualClock},
    retry::Attempts,
};
use tower::Layer as _;

use super::words::{SECOND, default_answer, half};
use crate::support::{Act, Script, ask, field, get, text};

/// A date so many seconds from what the clock shows.
fn date(clock: &ManualClock, seconds: u64) -> String {
    httpdate::fmt_http_date(clock.now() + Duration::from_secs(seconds))
}

/// A script that refuses once, with these fields, and then answers.
fn refusing(status: u16, fields: &[(&str, &str)]) -> Script {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Script::new(move |number, _| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if number == 0 { Act::with(status, &fields) } else { Act::status(200) }
    })
}

/// When the second attempt was made after a 429 with these fields.
async fn retried_at(clock: &ManualClock, fields: &[(&str, &str)]) -> Option<u128> {
    let script = refusing(429, fields);
    let service = half().clock(clock.clone()).build().layer(script.clone());
    ask(&service, get("http://a/", &[])).await;
    script.times().get(1).copied()
}

/// All waits are a twentieth longer than the hint: half of the tenth that they may be.
#[tokio::test(start_paused = true)]
async fn every_form_of_hint_is_waited_for() {
    let clock = ManualClock::default();
    let (soon, sent, then) = (date(&clock, 10), date(&clock, 5000), date(&clock, 5020));
    // The clock's default is 2026-05-28T20:26:40Z.
    let (now, reset) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000), "2026-05-28T20:26:44Z");
    assert_eq!(clock.now(), now);
    let cases: [(&[(&str, &str)], u128); 12] = [
        (&[("retry-after-ms", "400")], 420),
        (&[("retry-after-ms", "400"), ("retry-after", "9")], 420),
        (&[("retry-after", "2")], 2100),
        (&[("retry-after", "0")], 0),
        (&[("retry-after", "1.5")], 1575),
        (&[("retry-after", &soon)], 10_500),
        (&[("retry-after", &then), ("date", &sent)], 21_000),
        (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6s")], 6300),
        (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "240ms")], 252),
        (&[("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", reset)], 4200),
        // What isn't exhausted says nothing, nor does what can't be read: half of the second that throttling takes.
        (&[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "6s")], 500),
        (&[("retry-after", "soon")], 500),
    ];
    for (fields, expected) in cases {
        assert_eq!(retried_at(&clock, fields).await, Some(expected), "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_s_hint_is_waited_for_as_well() {
    let script = refusing(503, &[("retry-after", "3")]);
    ask(&half().build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!(script.times(), [0, 3150]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_spoils_only_dates_that_have_nothing_else_to_go_by() {
    let hour = Duration::from_secs(3600);
    for (forwards, dated, expected) in [
        // The date has passed: at once.
        (true, false, Some(0)),
        // It is an hour away: not waited for.
        (false, false, None),
        (true, true, Some(10_500)),
        (false, true, Some(10_500)),
    ] {
        let clock = ManualClock::default();
        let (sent, then) = (date(&clock, 0), date(&clock, 10));
        let before = clock.now();
        let jumping = clock.clone();
        let script = Script::new(move |number, _| {
            if number > 0 {
                return Act::status(200);
            }
            jumping.set(if forwards { before + hour } else { before - hour });
            if dated {
                Act::with(503, &[("retry-after", &then), ("date", &sent)])
            } else {
                Act::with(503, &[("retry-after", &then)])
            }
        });
        let service = half().clock(clock).build().layer(script.clone());
        ask(&service, get("http://a/", &[])).await;
        assert_eq!(script.times().get(1).copied(), expected, "forwards: {forwards}, dated: {dated}");
        assert_eq!(script.now(), expected.unwrap_or(0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_is_too_long_is_not_slept_for() {
    for (builder, hint, waits) in [
        (half(), "60", true),
        (half(), "61", false),
        (half(), "99999999999999999999", false),
        (half().max_retry_after(2 * SECOND), "2", true),
        (half().max_retry_after(2 * SECOND), "2.1", false),
        (half().max_retry_after(600 * SECOND), "599", true),
        (half().deadline(5 * SECOND), "4", true),
        (half().deadline(5 * SECOND), "6", false),
        // The hint would do, but not with the spread that is added to it.
        (half().deadline(5 * SECOND), "4.9", false),
    ] {
        let script = refusing(429, &[("retry-after", hint)]);
        let layer = builder.fallback(default_answer()).build();
        let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
        assert_eq!(script.calls(), if waits { 2 } else { 1 }, "{hint}");
        assert_eq!(script.now() > 0, waits, "{hint}");
        assert_eq!(layer.handle().stats().too_long_to_wait, u64::from(!waits), "{hint}");
        assert_eq!(text(response).await, if waits { "200" } else { "default" }, "{hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_waited_for_is_handed_on_with_its_hint() {
    let script = refusing(429, &[("retry-after", "3600")]);
    let response = ask(&half().build().layer(script.clone()), get("http://a/", &[])).await;
    assert_eq!((response.status().as_u16(), field(&response, "retry-after")), (429, Some("3600")));
    assert_eq!((Attempts::of(&response).made, script.now()), (1, 0));
    assert_eq!(text(response).await, "429");
}

#[tokio::test(start_paused = true)]
async fn a_backoff_past_the_deadline_is_not_slept() {
    let script = Script::statuses([503]);
    let layer = half().deadline(250 * super::words::MS).fallback(default_answer()).build();
    let response = ask(&layer.layer(script.clone()), get("http://a/", &[])).await;
    // The second wait, 200 ms, would end at 300 ms.
    assert_eq!((script.times(), script.now()), (vec![0, 100], 100));
    assert_eq!(layer.handle().stats().too_long_to_wait, 1);
    assert_eq!(text(response).await, "default");
}
