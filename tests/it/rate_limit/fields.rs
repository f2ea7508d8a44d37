//! What responses say of the limits.

use std::time::UNIX_EPOCH;

use http::Response;
use larder::{
    clock::{Clock as _, ManualClock},
    rate_limit::{Fields, Limit, Quota, Reset, Subject, Unit},
};
use tower::{Layer as _, Service};

use super::words::{SECOND, by_cost, is_denied, limited, list, retry_after, told};
use crate::support::{Act, Body, Origin, Script, ask, channel, data, empty, field, full, get, pieces, reply, request};

fn tokens(amount: u64) -> Limit {
    Limit::new(Quota::per_minute(amount).of(Unit::Tokens)).meter(by_cost)
}

/// The three fields that have room for one limit.
fn x_fields<B>(response: &Response<B>) -> [Option<u64>; 3] {
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"].map(|name| {
        assert!(response.headers().get_all(name).iter().count() <= 1, "{name} twice");
        field(response, name).map(|value| value.parse().expect("a number"))
    })
}

/// All names that tell of limits.
fn names<B>(response: &Response<B>) -> Vec<&str> {
    let mut names: Vec<_> =
        response.headers().keys().map(|name| name.as_str()).filter(|name| name.contains("ratelimit")).collect();
    names.sort_unstable();
    names
}

const ALL: [&str; 5] =
    ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];

#[tokio::test(start_paused = true)]
async fn every_answer_tells_of_the_limits() {
    let script = Script::new(|number, _| {
        Act::answer(match number {
            0 => reply(200, &[], full("x")),
            1 => reply(500, &[], full("x")),
            2 => reply(404, &[], empty()),
            3 => reply(304, &[], empty()),
            4 => reply(302, &[("location", "/b")], empty()),
            5 => reply(204, &[], empty()),
            _ => reply(200, &[("content-type", "text/event-stream")], pieces(["data: 1\n\n", "data: 2\n\n"])),
        })
    });
    let service = limited(Quota::per_minute(8)).build().layer(script);
    for number in 0..9 {
        let method = if number == 7 { "HEAD" } else { "GET" };
        let response = ask(&service, request(method, "http://a/", &[])).await;
        assert_eq!(is_denied(&response), number == 8);
        assert_eq!(names(&response), ALL, "{number}");
        let left = 7_u64.saturating_sub(number);
        assert_eq!(list(&response, "ratelimit-policy")["rpm"], [("q", "8"), ("w", "60")].map(owned).into());
        assert_eq!((told(&response, "rpm", "r"), told(&response, "rpm", "t")), (Some(left), Some(62)));
        assert_eq!(x_fields(&response), [Some(8), Some(left), Some(62)]);
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_of_the_limits_before_its_first_byte() {
    let (feed, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let origin = Origin::replies(move |_| reply(200, &[], body.lock().expect("no panic").take().expect("one call")));
    let service = limited(Quota::per_minute(8)).build().layer(origin);
    let mut response = ask(&service, get("http://a/", &[])).await;
    assert_eq!(names(&response), ALL);
    feed.data("now");
    assert_eq!(data(&mut response).await, "now");
}

#[tokio::test(start_paused = true)]
async fn all_limits_are_listed_and_what_each_counts() {
    let layer = limited(Quota::per_minute(100))
        .limit(tokens(90_000))
        .limit(Limit::new(Quota::per_hour(1 << 30).of(Unit::Bytes)))
        .limit(Limit::new(Quota::per_day(500).of(Unit::Cost)).meter(|_: &http::request::Parts| 7).named("usd"))
        .limit(Quota::concurrent(4))
        .limit(Limit::new(Quota::per_second(1)).shadow(true))
        .build();
    let response = ask(&layer.layer(Script::statuses([200])), get("http://a/", &[("x-cost", "60000")])).await;
    let policies = r#""rpm";q=100;w=60, "tpm";q=90000;w=60;qu="tokens", "bph";q=1073741824;w=3600;qu="content-bytes", "usd";q=500;w=86400;qu="cost", "concurrent";q=4;qu="concurrent-requests""#;
    assert_eq!(field(&response, "ratelimit-policy"), Some(policies), "a shadow is not told of");
    assert_eq!(list(&response, "ratelimit-policy").len(), 5);
    let left = ["rpm", "tpm", "usd", "concurrent"].map(|name| told(&response, name, "r"));
    assert_eq!(left, [Some(99), Some(30_000), Some(493), Some(3)]);
    assert_eq!(told(&response, "concurrent", "t"), None);
    assert_eq!(x_fields(&response), [Some(90_000), Some(30_000), Some(62)], "the one nearest to its end");
}

#[tokio::test(start_paused = true)]
async fn the_one_limit_that_there_is_room_for_is_the_one_that_denies() {
    let layer = limited(Quota::per_second(1)).limit(Limit::new(Quota::per_minute(1000))).limit(tokens(10)).build();
    let service = layer.layer(Script::statuses([200]));
    ask(&service, get("http://a/", &[("x-cost", "9")])).await;
    tokio::time::advance(2 * SECOND).await;
    let denied = ask(&service, get("http://a/", &[("x-cost", "2")])).await;
    assert!(is_denied(&denied));
    assert_eq!(x_fields(&denied), [Some(10), Some(1), Some(60)]);
    assert_eq!((told(&denied, "tpm", "t"), retry_after(&denied)), (Some(60), Some(60)));
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_told_as_it_was_asked_for() {
    let clock = ManualClock::default();
    let since_1970 = clock.now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for (reset, expected) in [
        (Reset::DeltaSeconds, 62),
        (Reset::EpochSeconds, since_1970 + 62),
        (Reset::EpochMillis, (since_1970 + 62) * 1000),
    ] {
        let builder = limited(Quota::per_minute(5)).clock(clock.clone());
        let service = builder.fields(Fields::new().x_rate_limit(Some(reset))).build().layer(Script::statuses([200]));
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!(x_fields(&response), [Some(5), Some(4), Some(expected)], "{reset:?}");
        assert_eq!(told(&response, "rpm", "t"), Some(62), "the draft has but one way");
    }
}

#[tokio::test(start_paused = true)]
async fn openais_fields_tell_of_requests_and_of_tokens() {
    let fields = Fields::none().openai(true);
    let layer = limited(Quota::per_minute(100)).limit(Quota::per_day(10)).limit(tokens(500)).fields(fields).build();
    let service = layer.layer(Script::statuses([200]));
    let response = ask(&service, get("http://a/", &[("x-cost", "20")])).await;
    for (name, value) in [
        ("x-ratelimit-limit-requests", "10"),
        ("x-ratelimit-remaining-requests", "9"),
        // A thirtieth of a day is 48 minutes.
        ("x-ratelimit-reset-requests", "24h48m0s"),
        ("x-ratelimit-limit-tokens", "500"),
        ("x-ratelimit-remaining-tokens", "480"),
        ("x-ratelimit-reset-tokens", "1m2s"),
    ] {
        assert_eq!(field(&response, name), Some(value), "{name}");
    }
    assert_eq!(names(&response).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_if_that_is_asked_for_but_when_to_come_back() {
    let service = limited(Quota::per_minute(1)).fields(Fields::none()).build().layer(Script::statuses([200]));
    let (allowed, denied) = (ask(&service, get("http://a/", &[])).await, ask(&service, get("http://a/", &[])).await);
    assert!(names(&allowed).is_empty() && names(&denied).is_empty());
    assert_eq!((retry_after(&allowed), retry_after(&denied)), (None, Some(62)));
}

#[tokio::test(start_paused = true)]
async fn what_the_inner_service_says_of_its_own_limits_is_replaced_by_ours() {
    let theirs = &[
        ("ratelimit", "\"theirs\";r=1"),
        ("ratelimit", "\"more\";r=2"),
        ("RateLimit-Policy", "\"theirs\";q=1;w=1"),
        ("x-ratelimit-limit", "1"),
        ("X-RateLimit-Limit", "2"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "9999"),
        ("x-ratelimit-limit-requests", "1"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6m0s"),
        ("x-ratelimit-used", "3"),
    ];
    for openai in [false, true] {
        let script = Script::new(move |_, _| Act::answer(reply(200, theirs, full("x"))));
        let service = limited(Quota::per_minute(5)).fields(Fields::new().openai(openai)).build().layer(script);
        let response = ask(&service, get("http://a/", &[])).await;
        assert_eq!(list(&response, "ratelimit").keys().collect::<Vec<_>>(), ["rpm"]);
        assert_eq!(list(&response, "ratelimit-policy").keys().collect::<Vec<_>>(), ["rpm"]);
        assert_eq!(x_fields(&response), [Some(5), Some(4), Some(62)]);
        let (mine, theirs) = (Some("4"), Some("0"));
        assert_eq!(field(&response, "x-ratelimit-remaining-requests"), if openai { mine } else { theirs });
        assert_eq!(field(&response, "x-ratelimit-used"), Some("3"), "a field that larder doesn't write");
    }
}

/// The draft, §4.1.3: the two may not contradict each other.
#[tokio::test(start_paused = true)]
async fn an_inner_services_retry_after_is_not_contradicted() {
    let script = Script::new(|_, _| Act::with(503, &[("retry-after", "3")]));
    let response = ask(&limited(Quota::per_hour(5)).build().layer(script), get("http://a/", &[])).await;
    assert_eq!((retry_after(&response), told(&response, "rph", "r")), (Some(3), Some(4)));
    assert!(told(&response, "rph", "t").is_none_or(|t| t <= 3));
}

#[tokio::test(start_paused = true)]
async fn a_subjects_own_amount_is_told() {
    let own = |_: &Subject, _: &http::request::Parts| Some(u64::MAX);
    let service = limited(Limit::new(Quota::per_minute(5)).amounts(own)).build().layer(Script::statuses([200]));
    let response = ask(&service, get("http://a/", &[])).await;
    assert!(!is_denied(&response));
    // The greatest Integer that there is.
    assert_eq!(list(&response, "ratelimit-policy")["rpm"]["q"], "999999999999999");
    assert_eq!(told(&response, "rpm", "r"), Some(999_999_999_999_999));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_sets_extensions_and_fields_keeps_them() {
    let script = Script::new(|_, _| {
        let mut response = reply(200, &[("x-theirs", "1"), ("set-cookie", "a"), ("set-cookie", "b")], full("x"));
        response.extensions_mut().insert(42_u8);
        Act::answer(response)
    });
    let response: Response<_> = ask(&limited(Quota::per_minute(5)).build().layer(script), get("http://a/", &[])).await;
    assert_eq!(response.extensions().get::<u8>(), Some(&42));
    assert_eq!((field(&response, "x-theirs"), response.headers().get_all("set-cookie").iter().count()), (Some("1"), 2));
}

/// Any layer has to be usable as an argument.
#[test]
fn the_service_is_one_of_tower() {
    fn is_service<S: Service<http::Request<Body>> + Clone + Send>(_: &S) {}
    is_service(&limited(Quota::per_minute(5)).build().layer(Script::statuses([200])));
}
