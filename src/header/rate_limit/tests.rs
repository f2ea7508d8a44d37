//! The fields as the draft and the providers write them, read by a parser of structured fields.

use http::HeaderMap;
use proptest::prelude::*;
use sfv::{List, ListEntry, ListSerializer, Parser};

use super::*;
use crate::header::provider_limit;

const MAX: u64 = MAX_INTEGER.unsigned_abs();

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn requests() -> Standing<'static> {
    Standing { window: Some(seconds(60)), ..Standing::new("rpm", Unit::Requests, 100) }
}

fn tokens() -> Standing<'static> {
    Standing { name: "tpm", unit: Unit::Tokens, limit: 90_000, remaining: 90_000, ..requests() }
}

/// Reads a value as a structured field, checks that it is written as one is to be, and gives each member's name and
/// parameters.
fn parsed(value: &HeaderValue) -> Vec<(String, Vec<(String, String)>)> {
    let list: List = Parser::new(value.as_bytes()).parse().expect("a List");
    let mut serializer = ListSerializer::new();
    serializer.members(&list);
    assert_eq!(serializer.finish().as_deref(), value.to_str().ok(), "the canonical form");
    let members = list.into_iter().map(|entry| {
        let ListEntry::Item(item) = entry else { panic!("an inner list") };
        let name = item.bare_item.as_string().expect("a String").as_str().to_owned();
        let parameter = |value: &sfv::BareItem| match (value.as_integer(), value.as_string()) {
            (Some(number), None) => i64::from(number).to_string(),
            (None, Some(text)) => text.as_str().to_owned(),
            _ => panic!("neither Integer nor String: {value:?}"),
        };
        let parameters = item.params.iter().map(|(key, value)| (key.to_string(), parameter(value)));
        (name, parameters.collect())
    });
    members.collect()
}

fn text(field: &(HeaderName, HeaderValue)) -> (&str, &str) {
    (field.0.as_str(), field.1.to_str().expect("ASCII"))
}

#[test]
fn policies_read_as_draft_11_writes_them() {
    let values = [
        (requests(), r#""rpm";q=100;w=60"#),
        (tokens(), r#""tpm";q=90000;w=60;qu="tokens""#),
        (Standing::new("slots", Unit::ConcurrentRequests, 8), r#""slots";q=8;qu="concurrent-requests""#),
        (
            Standing { window: Some(seconds(10)), ..Standing::new("peruser", Unit::ContentBytes, 65_535) },
            r#""peruser";q=65535;w=10;qu="content-bytes""#,
        ),
        (
            Standing { window: Some(seconds(86_400)), ..Standing::new("usd", Unit::Cost, 0) },
            r#""usd";q=0;w=86400;qu="cost""#,
        ),
    ];
    for (standing, expected) in values {
        let value = Style::Draft11.policy_value(&[standing]).expect("a limit");
        assert_eq!(value, expected);
        parsed(&value);
    }
    let all = Style::default().policy_value(&[requests(), tokens()]).expect("limits");
    assert_eq!(all, r#""rpm";q=100;w=60, "tpm";q=90000;w=60;qu="tokens""#);
}

#[test]
fn limits_read_as_draft_11_writes_them() {
    let used = Standing { remaining: 0, refill: Some(Duration::from_millis(11_001)), ..requests() };
    let value = Style::Draft11.value(&[used]).expect("a limit");
    assert_eq!(value, r#""rpm";r=0;t=12"#);
    let both = Style::default().value(&[used, tokens()]).expect("limits");
    assert_eq!(both, r#""rpm";r=0;t=12, "tpm";r=90000"#);
    parsed(&both);
}

#[test]
fn no_limits_are_no_field() {
    assert_eq!(Style::Draft11.policy_value(&[]), None);
    assert_eq!(Style::Draft11.value(&[]), None);
}

#[test]
fn nobody_is_called_back_too_early() {
    for (time, rounded) in [
        (Duration::ZERO, "0"),
        (Duration::from_nanos(1), "1"),
        (seconds(1), "1"),
        (Duration::new(1, 1), "2"),
        (Duration::MAX, "999999999999999"),
    ] {
        let standing = Standing { refill: Some(time), reset: time, window: Some(time), ..requests() };
        assert_eq!(parsed(&Style::Draft11.value(&[standing]).expect("a limit"))[0].1[1].1, rounded);
        assert_eq!(text(&standing.x_fields(Reset::DeltaSeconds, UNIX_EPOCH)[2]).1, rounded);
        let window = parsed(&Style::Draft11.policy_value(&[standing]).expect("a limit"))[0].1[1].1.clone();
        assert_eq!(window, if rounded == "0" { "1" } else { rounded }, "a window is never zero");
    }
}

#[test]
fn a_reset_is_in_the_unit_asked_for() {
    let standing = Standing { remaining: 41, reset: Duration::from_micros(59_000_001), ..requests() };
    let now = UNIX_EPOCH + Duration::from_millis(1_761_393_600_500);
    for (reset, expected) in
        [(Reset::DeltaSeconds, "60"), (Reset::EpochSeconds, "1761393660"), (Reset::EpochMillis, "1761393659501")]
    {
        let fields = standing.x_fields(reset, now);
        assert_eq!(
            fields.each_ref().map(text),
            [("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "41"), ("x-ratelimit-reset", expected)]
        );
    }
    let before_1970 = UNIX_EPOCH - seconds(1);
    assert_eq!(text(&standing.x_fields(Reset::EpochSeconds, before_1970)[2]).1, "60");
}

#[test]
fn openais_fields_read_as_it_writes_them() {
    let standing = Standing { remaining: 99, reset: Duration::from_micros(119_001), ..requests() };
    assert_eq!(
        standing.openai_fields().expect("requests").each_ref().map(text),
        [
            ("x-ratelimit-limit-requests", "100"),
            ("x-ratelimit-remaining-requests", "99"),
            ("x-ratelimit-reset-requests", "120ms")
        ]
    );
    let standing = Standing { remaining: 89_984, reset: seconds(360), ..tokens() };
    assert_eq!(
        standing.openai_fields().expect("tokens").each_ref().map(text),
        [
            ("x-ratelimit-limit-tokens", "90000"),
            ("x-ratelimit-remaining-tokens", "89984"),
            ("x-ratelimit-reset-tokens", "6m0s")
        ]
    );
    for unit in [Unit::ContentBytes, Unit::Cost, Unit::ConcurrentRequests] {
        assert_eq!(Standing { unit, ..standing }.openai_fields(), None, "{unit:?}");
    }
}

#[test]
fn larder_reads_what_it_writes() {
    let now = UNIX_EPOCH + seconds(1_761_393_600);
    let standing = Standing { remaining: 0, reset: seconds(59), ..requests() };
    for reset in [Reset::DeltaSeconds, Reset::EpochSeconds, Reset::EpochMillis] {
        let fields = HeaderMap::from_iter(standing.x_fields(reset, now));
        assert_eq!(provider_limit::reset_of_exhausted(&fields, now), Some(seconds(59)), "{reset:?}");
    }
    let fields = HeaderMap::from_iter(standing.openai_fields().expect("requests"));
    assert_eq!(provider_limit::reset_of_exhausted(&fields, now), Some(seconds(59)));
}

fn any_unit() -> impl Strategy<Value = Unit> {
    let all = [Unit::Requests, Unit::Tokens, Unit::ContentBytes, Unit::Cost, Unit::ConcurrentRequests];
    proptest::sample::select(all.to_vec())
}

proptest! {
    #[test]
    fn any_names_and_numbers_make_structured_fields(
        limits in proptest::collection::vec(
            (any::<String>(), any_unit(), any::<(u64, u64)>(), any::<(Option<Duration>, Option<Duration>)>()), 1..5,
        ),
        scale in 0_u32..64,
    ) {
        let standings: Vec<_> = limits.iter().map(|(name, unit, (limit, remaining), (window, refill))| Standing {
            window: *window,
            remaining: *remaining >> scale,
            refill: *refill,
            ..Standing::new(name, *unit, *limit >> scale)
        }).collect();
        let policies = parsed(&Style::Draft11.policy_value(&standings).expect("limits"));
        let left = parsed(&Style::Draft11.value(&standings).expect("limits"));
        prop_assert_eq!((policies.len(), left.len()), (standings.len(), standings.len()));
        for (standing, (policy, left)) in standings.iter().zip(policies.into_iter().zip(left)) {
            let name = |char| if matches!(char, ' '..='~') { char } else { '?' };
            let name: String = standing.name.chars().map(name).collect();
            prop_assert_eq!(&policy.0, &name);
            prop_assert_eq!(&left.0, &name);
            let number = |number: u64| number.min(MAX).to_string();
            let ceil = |time: Duration| number(time.as_nanos().div_ceil(1_000_000_000).try_into().unwrap_or(MAX));
            let mut expected = vec![("q".to_owned(), number(standing.limit))];
            expected.extend(standing.window.map(|window| ("w".to_owned(), ceil(window.max(seconds(1))))));
            let unit = (standing.unit != Unit::Requests).then(|| standing.unit.as_str().to_owned());
            expected.extend(unit.map(|unit| ("qu".to_owned(), unit)));
            prop_assert_eq!(policy.1, expected);
            let mut expected = vec![("r".to_owned(), number(standing.remaining))];
            expected.extend(standing.refill.map(|refill| ("t".to_owned(), ceil(refill))));
            prop_assert_eq!(left.1, expected);
        }
    }

    #[test]
    fn any_standing_is_written_in_one_allocation_a_value(name: String, limit: u64, reset: Duration) {
        let standing = [Standing { reset, refill: Some(reset), ..Standing::new(&name, Unit::Tokens, limit) }];
        for value in [
            Policies(&standing).encode(),
            Limits(&standing).encode(),
            Integer(limit).encode(),
            GoDuration(reset).encode(),
        ] {
            prop_assert_eq!(value.len(), value.capacity());
        }
    }

    #[test]
    fn any_reset_is_written_without_panic(reset: Duration, now: Duration, limit: u64) {
        let standing = Standing { reset, ..Standing::new("any", Unit::Requests, limit) };
        let now = UNIX_EPOCH.checked_add(now).unwrap_or(UNIX_EPOCH);
        for form in [Reset::DeltaSeconds, Reset::EpochSeconds, Reset::EpochMillis] {
            for (_, value) in standing.x_fields(form, now) {
                let number: u64 = value.to_str().expect("ASCII").parse().expect("a number");
                prop_assert!(number <= MAX);
            }
        }
        prop_assert!(standing.openai_fields().is_some());
    }
}
