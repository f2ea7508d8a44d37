//! Who may share an answer, and which requests are the same.

use larder::{
    clock::ManualClock,
    fingerprint::{RequestFingerprint, Scope},
    header::cache_status::{CacheStatus, Outcome},
};
use tower::Layer as _;

use super::minute;
use crate::support::{Origin, ask, full, get, post, reply, said, text};

const JSON: (&str, &str) = ("content-type", "application/json");

fn numbered() -> Origin {
    Origin::replies(|number| reply(200, &[], full(number.to_string())))
}

/// Teams share entries. (litellm#29955)
#[tokio::test]
async fn nobody_sees_what_another_credential_paid_for() {
    for field in ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"] {
        let clock = ManualClock::default();
        let origin = numbered();
        let cache = minute(&clock).build().layer(origin.clone());
        let mut seen = Vec::new();
        for _ in 0..2 {
            for fields in [vec![(field, "alice")], vec![(field, "bob")], vec![], vec![(field, "alice"), (field, "bob")]]
            {
                seen.push(text(ask(&cache, get("http://a/", &fields)).await).await);
            }
        }
        assert_eq!(seen, ["0", "1", "2", "3", "0", "1", "2", "3"], "{field}");
    }
}

#[tokio::test]
async fn a_tenant_named_by_a_field_or_a_closure_shares_its_answers() {
    let by_field = Scope::tenant_in(http::HeaderName::from_static("x-team"));
    let by_closure = Scope::tenant(|head| Some(head.headers.get("x-team")?.to_str().ok()?.to_ascii_lowercase()));
    for scope in [by_field, by_closure] {
        let clock = ManualClock::default();
        let cache = minute(&clock).fingerprint(RequestFingerprint::new().scope(scope)).build().layer(numbered());
        let mut seen = Vec::new();
        for (team, key) in [("red", "1"), ("red", "2"), ("blue", "1"), ("blue", "3")] {
            seen.push(text(ask(&cache, get("http://a/", &[("x-team", team), ("authorization", key)])).await).await);
        }
        assert_eq!(seen, ["0", "0", "1", "1"]);
        let nobodys = ask(&cache, get("http://a/", &[("authorization", "1")])).await;
        assert_eq!(said(&nobodys), "larder; fwd=bypass", "a request without a tenant passes by the cache");
    }
}

#[tokio::test]
async fn everybody_shares_only_if_told() {
    let clock = ManualClock::default();
    let cache = minute(&clock).fingerprint(RequestFingerprint::new().scope(Scope::shared())).build().layer(numbered());
    for key in ["1", "2"] {
        assert_eq!(text(ask(&cache, get("http://a/", &[("authorization", key)])).await).await, "0");
    }
}

/// In http-cache and axum-response-cache prompt B got prompt A's answer.
#[tokio::test]
async fn different_prompts_never_share_an_answer() {
    let clock = ManualClock::default();
    let origin = numbered();
    let cache = minute(&clock).build().layer(origin.clone());
    let prompts = [
        r#"{"prompt":"a","temperature":0}"#,
        r#"{"prompt":"b","temperature":0}"#,
        r#"{"prompt":"A","temperature":0}"#,
        r#"{"prompt":"a "}"#,
        r#"{"prompt":"a"}"#,
        r#"{"prompt":"a","temperature":1e-30}"#,
        r#"{"prompt":"a","temperature":"0"}"#,
        r#"{"prompt":"a","max_tokens":1}"#,
        r#"{"prompt":"a","tools":[]}"#,
        r#"{"prompt":"a","tools":[1,2]}"#,
        r#"{"prompt":"a","tools":[2,1]}"#,
        r#"{"prompt":"a","response_format":null}"#,
        r#"{"prompt":["a"]}"#,
        "{}",
        "[]",
    ];
    for _ in 0..2 {
        for (number, prompt) in prompts.iter().enumerate() {
            assert_eq!(
                text(ask(&cache, post("http://a/", &[JSON], *prompt)).await).await,
                number.to_string(),
                "{prompt}"
            );
        }
    }
    assert_eq!(origin.calls(), prompts.len());
}

/// JSON key order changes the key. (litellm#40128)
#[tokio::test]
async fn spellings_of_one_prompt_share_an_answer() {
    let clock = ManualClock::default();
    let origin = numbered();
    let cache = minute(&clock).build().layer(origin.clone());
    for prompt in [
        r#"{"a":{"x":1,"y":[1,2]},"b":"h\u0069"}"#,
        r#"{"b":"hi","a":{"y":[1,2],"x":1}}"#,
        "{ \"b\" : \"hi\",\r\n\t\"a\":{\"y\":[1, 2],\"x\":1} }",
        r#"{"b":"hi","a":{"y":[1.0,2e0],"x":1.00}}"#,
        r#"{"b":"\u0068i","a":{"y":[10e-1,0.2E1],"x":1}}"#,
    ] {
        assert_eq!(text(ask(&cache, post("http://a/", &[JSON], prompt)).await).await, "0", "{prompt}");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn what_is_no_json_counts_byte_for_byte() {
    let clock = ManualClock::default();
    let cache = minute(&clock).build().layer(numbered());
    let bodies: [&'static [u8]; 8] = [
        br#"{"a":1,"a":2}"#,
        br#"{"a":2,"a":1}"#,
        br#"{"a":1, "a":2}"#,
        b"{",
        b"{ ",
        b"\xff",
        b"\xfe",
        b"{\"a\":\"\xff\"}",
    ];
    for _ in 0..2 {
        for (number, body) in bodies.iter().enumerate() {
            assert_eq!(
                text(ask(&cache, post("http://a/", &[JSON], *body)).await).await,
                number.to_string(),
                "{body:?}"
            );
        }
    }
}

#[tokio::test]
async fn json_that_says_it_is_something_else_counts_byte_for_byte() {
    let clock = ManualClock::default();
    let cache = minute(&clock).build().layer(numbered());
    for (number, fields) in
        [vec![("content-type", "text/plain")], vec![JSON, ("content-encoding", "gzip")], vec![]].iter().enumerate()
    {
        assert_eq!(text(ask(&cache, post("http://a/", fields, "[1]")).await).await, (2 * number).to_string());
        assert_eq!(text(ask(&cache, post("http://a/", fields, "[1.0]")).await).await, (2 * number + 1).to_string());
    }
}

#[tokio::test]
async fn a_body_that_no_fingerprint_reads_passes_by_the_cache() {
    let clock = ManualClock::default();
    let layer = minute(&clock).fingerprint(RequestFingerprint::new()).build();
    let origin = numbered();
    let cache = layer.layer(origin.clone());
    for number in 0..2 {
        for request in [post("http://a/", &[JSON], "{}"), {
            let mut get = post("http://a/", &[], "x");
            *get.method_mut() = http::Method::GET;
            get
        }] {
            let answer = ask(&cache, request).await;
            assert_eq!(said(&answer), "larder; fwd=bypass; detail=request-body");
            let status = answer.extensions().get::<CacheStatus>().expect("a status");
            assert!(matches!(status.outcome, Outcome::Forward(_)));
        }
        assert_eq!(origin.calls(), 2 * (number + 1));
    }
    assert_eq!(layer.handle().stats().bypassed, 4);
}

#[tokio::test]
async fn ignored_members_and_parameters_do_not_count_and_all_others_do() {
    let clock = ManualClock::default();
    let fingerprint = RequestFingerprint::new().json_body(100).ignore_json("user").ignore_query("utm_source");
    let cache = minute(&clock).fingerprint(fingerprint).build().layer(numbered());
    let cases = [
        ("http://a/", r#"{"a":1}"#, "0"),
        ("http://a/?utm_source=x", r#"{"a":1,"user":"me"}"#, "0"),
        ("http://a/?utm_source", r#"{"user":[],"a":1}"#, "0"),
        ("http://a/?utm_source2=x", r#"{"a":1}"#, "1"),
        ("http://a/", r#"{"a":{"user":1}}"#, "2"),
    ];
    for (uri, body, expected) in cases {
        assert_eq!(text(ask(&cache, post(uri, &[JSON], body)).await).await, expected, "{uri} {body}");
    }
}
