//! What a request that changes something makes of what is stored (RFC 9111 §4.4), and when its own answer is kept.

use larder::{clock::ManualClock, fingerprint::RequestFingerprint, llm};
use tower::Layer as _;

use super::{MINUTE, SECOND, http, minute};
use crate::support::{Origin, ask, empty, full, get, heard, memory, post, reply, request, said, text};

const PUBLIC: &str = "public, max-age=60";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Answers GET with what may be kept for anybody, and all else with this status and these fields.
fn changing(status: u16, fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::by_request(move |request| match request.method().as_str() {
        "GET" if request.headers().contains_key("range") => {
            reply(206, &[("cache-control", PUBLIC), ("content-range", "bytes 0-1/9")], full("01"))
        }
        "GET" => reply(200, &[("cache-control", PUBLIC), ("vary", "v")], full("kept")),
        "HEAD" => reply(200, &[("cache-control", PUBLIC)], empty()),
        _ => reply(status, fields, empty()),
    })
}

#[tokio::test]
async fn a_request_that_changes_something_and_succeeds_invalidates() {
    for (method, status, invalidates) in [
        ("PUT", 204, true),
        ("POST", 200, true),
        ("DELETE", 202, true),
        ("PATCH", 303, true),
        ("UNHEARD-OF", 200, true),
        ("PUT", 404, false),
        ("DELETE", 500, false),
        ("OPTIONS", 200, false),
        ("PROPFIND", 207, false),
    ] {
        let clock = ManualClock::default();
        let layer = http(&clock).build();
        let cache = layer.layer(changing(status, &[]));
        text(ask(&cache, get("http://a/x", &[])).await).await;
        let answer = ask(&cache, request(method, "http://a/x", &[])).await;
        assert_eq!((answer.status().as_u16(), said(&answer)), (status, "larder; fwd=method"), "{method}");
        let after = ask(&cache, get("http://a/x", &[])).await;
        assert_eq!(!said(&after).contains("hit"), invalidates, "{method} {status}: {}", said(&after));
        assert_eq!(layer.handle().stats().invalidated, u64::from(invalidates), "{method} {status}");
    }
}

/// By default each credential has entries of its own, under keys that nobody else's request leads to.
#[tokio::test]
async fn what_is_stored_for_other_credentials_is_invalid_too() {
    let clock = ManualClock::default();
    let cache = http(&clock).build().layer(changing(204, &[]));
    let who: [&[(&str, &str)]; 3] = [&[], &[("authorization", "Bearer a")], &[("authorization", "Bearer b")]];
    for fields in who {
        text(ask(&cache, get("http://a/x", fields)).await).await;
        text(ask(&cache, get("http://a/y", fields)).await).await;
        assert_eq!(said(&ask(&cache, get("http://a/x", fields)).await), "larder; hit; ttl=60", "{fields:?}");
    }
    clock.advance(SECOND);
    ask(&cache, request("PUT", "http://a/x", who[1])).await;
    for fields in who {
        let after = ask(&cache, get("http://a/x", fields)).await;
        assert!(!said(&after).contains("hit"), "{fields:?}: {}", said(&after));
        text(after).await;
        assert_eq!(said(&ask(&cache, get("http://a/x", fields)).await), "larder; hit; ttl=60", "{fields:?}");
        assert_eq!(said(&ask(&cache, get("http://a/y", fields)).await), "larder; hit; ttl=59", "{fields:?}");
    }
}

#[tokio::test]
async fn answers_to_head_parts_and_variants_are_invalid_too() {
    let wanted = || {
        [
            request("HEAD", "http://a/x", &[]),
            get("http://a/x", &[("range", "bytes=0-1")]),
            get("http://a/x", &[("v", "1")]),
            get("http://a/x", &[("v", "2")]),
        ]
    };
    for number in 0..wanted().len() {
        let clock = ManualClock::default();
        let cache = http(&clock).build().layer(changing(204, &[]));
        let ask_for = async || ask(&cache, wanted().into_iter().nth(number).expect("one of them")).await;
        // The first variant lies under another key than the second.
        let before = if number == 3 { vec![2, 3] } else { vec![number] };
        for number in before {
            text(ask(&cache, wanted().into_iter().nth(number).expect("one of them")).await).await;
        }
        assert_eq!(said(&ask_for().await), "larder; hit; ttl=60", "{number}");
        clock.advance(SECOND);
        ask(&cache, request("PUT", "http://a/x", &[])).await;
        let after = ask_for().await;
        assert!(!said(&after).contains("hit"), "{number}: {}", said(&after));
    }
}

#[tokio::test]
async fn uris_that_the_answer_names_are_invalid_too_on_the_same_host() {
    let cases: [(&'static [(&'static str, &'static str)], &str, bool); 9] = [
        (&[("location", "/named")], "http://a/named", true),
        (&[("content-location", "/named")], "http://a/named", true),
        (&[("location", "http://a/named")], "http://a/named", true),
        (&[("location", "http://A:80/%6eamed")], "http://a/named", true),
        (&[("location", "named")], "http://a/named", true),
        (&[("location", "/named")], "http://a/other", false),
        (&[("location", "http://b/named")], "http://b/named", false),
        (&[("location", "http://b/named")], "http://a/named", false),
        (&[("content-location", "http://a:81/named")], "http://a/named", false),
    ];
    for (fields, uri, invalid) in cases {
        for credential in [&[][..], &[("authorization", "Bearer a")]] {
            let clock = ManualClock::default();
            let cache = http(&clock).build().layer(changing(201, fields));
            text(ask(&cache, get(uri, credential)).await).await;
            clock.advance(SECOND);
            ask(&cache, request("POST", "http://a/list", &[])).await;
            let after = ask(&cache, get(uri, credential)).await;
            assert_eq!(!said(&after).contains("hit"), invalid, "{fields:?} {uri} {credential:?}: {}", said(&after));
        }
    }
}

/// RFC 9110 §9.3.3.
#[tokio::test]
async fn an_answer_to_post_that_says_it_is_what_a_get_would_get_is_kept_for_get() {
    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    const SELF: (&str, &str) = ("content-location", "/x");
    type Case = (u16, &'static [(&'static str, &'static str)], bool);
    let cases: [Case; 11] = [
        (200, &[FRESH, SELF], true),
        (200, &[FRESH, ("content-location", "http://a/x")], true),
        (200, &[FRESH, ("content-location", "x")], true),
        (200, &[FRESH], false),
        (200, &[FRESH, ("content-location", "/other")], false),
        (200, &[FRESH, ("content-location", "http://b/x")], false),
        (200, &[FRESH, SELF, ("content-location", "/other")], false),
        (200, &[SELF, ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], false),
        (200, &[("cache-control", "max-age=60, no-store"), SELF], false),
        (201, &[FRESH, SELF], false),
        (404, &[FRESH, SELF], false),
    ];
    for (status, fields, kept) in cases {
        let clock = ManualClock::default();
        let origin = Origin::by_request(move |request| match request.method().as_str() {
            "POST" => reply(status, fields, full("from POST")),
            _ => reply(200, &[FRESH], full("from GET")),
        });
        let cache = http(&clock).build().layer(origin.clone());
        for calls in 1..=2 {
            let stored = if kept {
                format!("larder; fwd=method; fwd-status={status}; stored")
            } else {
                "larder; fwd=method".into()
            };
            let answer = ask(&cache, post("http://a/x", &[], "{}")).await;
            assert_eq!(heard(answer).await, (stored.as_str(), "from POST"), "{fields:?}");
            assert_eq!(origin.calls(), calls, "a POST is never answered with it");
        }
        let expected = match kept {
            true => ("larder; hit; ttl=60", "from POST"),
            false => ("larder; fwd=uri-miss; fwd-status=200; stored", "from GET"),
        };
        assert_eq!(heard(ask(&cache, get("http://a/x", &[])).await).await, expected, "{status} {fields:?}");
    }
}

#[tokio::test]
async fn an_answer_to_a_post_with_no_store_is_not_kept_and_invalidates_all_the_same() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| {
        reply(200, &[("cache-control", "max-age=60"), ("content-location", "/")], full(number.to_string()))
    });
    let cache = http(&clock).build().layer(origin);
    text(ask(&cache, get("http://a/", &[])).await).await;
    let secret = ask(&cache, post("http://a/", &[("cache-control", "no-store")], "")).await;
    assert_eq!(heard(secret).await, ("larder; fwd=method", "1"));
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "2");
}

/// Its URI is that of all other generations.
#[tokio::test]
async fn a_generation_that_has_no_key_invalidates_no_other() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[JSON], full(r#"{"object":"response","status":"completed"}"#)));
    let cache = llm::layer(memory(&clock), MINUTE).clock(clock.clone()).build().layer(origin);
    let generate = async |credential, body: &'static str| {
        let answer = ask(&cache, post("http://a/v1/responses", &[JSON, ("authorization", credential)], body)).await;
        let said = said(&answer).to_owned();
        text(answer).await;
        said
    };
    let kept = r#"{"model":"m","input":"hi"}"#;
    assert_eq!(generate("Bearer a", kept).await, "larder; fwd=uri-miss; fwd-status=200; stored");
    clock.advance(SECOND);
    let without_a_key = generate("Bearer b", r#"{"model":"m","input":"hi","store":true}"#).await;
    assert_eq!(without_a_key, "larder; fwd=bypass");
    assert_eq!(generate("Bearer a", kept).await, "larder; hit; ttl=59");
}

#[tokio::test]
async fn a_question_that_is_too_long_to_be_read_invalidates_no_other() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|_| reply(200, &[], full("an answer")));
    let cache = minute(&clock).fingerprint(RequestFingerprint::new().json_body(20)).build().layer(origin);
    for (body, expected) in [
        ("[1]", "larder; fwd=uri-miss; fwd-status=200; stored"),
        ("[1,2,3,4,5,6,7,8,9,10]", "larder; fwd=bypass; detail=request-too-large"),
        ("[1]", "larder; hit; ttl=58"),
    ] {
        let answer = ask(&cache, post("http://a/", &[JSON], body)).await;
        assert_eq!(heard(answer).await, (expected, "an answer"), "{body}");
        clock.advance(SECOND);
    }
}
