use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header::CONTENT_TYPE};

use super::*;
use crate::{
    entry::{Frames, Head, Lifetime},
    fingerprint::{Fingerprint as _, explain},
};

fn key(body: &'static str, fields: &[(&str, &str)]) -> Option<Key> {
    let mut request =
        Request::post("http://api.example/v1/chat/completions").header("content-type", "application/json");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let head = request.body(()).expect("request").into_parts().0;
    Fingerprint::new().key(&head, &Bytes::from_static(body.as_bytes()))
}

const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1}"#;

#[test]
fn what_is_asked_counts_and_who_asks_does_not() {
    let same = [
        r#"{ "temperature": 1.0, "messages": [ { "content": "h\u0069", "role": "user" } ], "model": "gpt-4o" }"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"user":"u","metadata":{"a":1}}"#,
    ];
    let different = [
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}],"temperature":1}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":0.99999999999999999999}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"tools":[]}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"unheard_of":null}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi","user":"x"}],"temperature":1}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"stream":"yes"}"#,
    ];
    let plain = key(BODY, &[]).expect("a key");
    assert_eq!(plain.label(), "chat:gpt-4o");
    for body in same {
        assert_eq!(key(body, &[]).as_ref(), Some(&plain), "{body}");
    }
    for body in different {
        assert_ne!(key(body, &[]).as_ref(), Some(&plain), "{body}");
    }
}

#[test]
fn how_an_answer_is_to_come_does_not_count_unless_that_is_said_or_not_understood() {
    let identity = |fingerprint: &Fingerprint, members: &str| {
        let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
        let head = request.body(()).expect("request").into_parts().0;
        let body = Bytes::from(format!(r#"{{"model":"m","messages":[]{members}}}"#));
        fingerprint.identify(&head, &body).expect("an identity")
    };
    let (shared, apart) = (Fingerprint::new(), Fingerprint::new().share_streams(false));
    let plain = identity(&shared, "");
    let usage = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let mut forms = vec![plain.rendering];
    for members in [r#","stream":true"#, usage] {
        let streamed = identity(&shared, members);
        assert_eq!(streamed.key, plain.key);
        assert!(!forms.contains(&streamed.rendering), "{members}");
        forms.push(streamed.rendering);
        let separate = identity(&apart, members);
        assert_ne!(separate.key, plain.key);
        assert_eq!(separate.rendering, None);
    }
    assert_eq!(identity(&shared, r#","stream":false"#), plain);
    assert_eq!(identity(&apart, "").key, plain.key);
    for unknown in [r#","stream":1"#, r#","stream":true,"stream_options":{"mode":"fast"}"#] {
        let identity = identity(&shared, unknown);
        assert_ne!(identity.key, plain.key, "{unknown}");
        assert_eq!(identity.rendering, None, "{unknown}");
    }
}

#[test]
fn credentials_and_api_versions_count_and_tracing_does_not() {
    let plain = key(BODY, &[]);
    for field in [
        ("authorization", "Bearer a"),
        ("x-api-key", "a"),
        ("anthropic-version", "2023-06-01"),
        ("openai-project", "p"),
    ] {
        assert_ne!(key(BODY, &[field]), plain, "{field:?}");
    }
    assert_ne!(key(BODY, &[("authorization", "Bearer a")]), key(BODY, &[("authorization", "Bearer b")]));
    for field in
        [("traceparent", "00-1-2-00"), ("user-agent", "x"), ("x-stainless-os", "Linux"), ("idempotency-key", "1")]
    {
        assert_eq!(key(BODY, &[field]), plain, "{field:?}");
    }
}

#[test]
fn what_is_not_generated_is_no_other_credentials_either() {
    let key = |name: &str, value: &str| {
        let request = Request::get("http://api.example/v1/files/f1/content").header(name, value);
        let head = request.body(()).expect("request").into_parts().0;
        Fingerprint::new().key(&head, &Bytes::new())
    };
    for name in ["x-api-key", "api-key", "x-goog-api-key", "authorization"] {
        assert_ne!(key(name, "alice"), key(name, "bob"), "{name}");
    }
}

#[test]
fn what_a_provider_shall_cache_does_not_count_but_what_is_said_of_it_does() {
    let mark = r#""cache_control":{"type":"ephemeral"}"#;
    let request = |request: &str, tool: &str, system: &str, message: &str, part: &str, inner: &str, schema: &str| {
        let body = format!(
            r#"{{"model":"m",{request}"tools":[{{{tool}"name":"t","input_schema":{{{schema}"type":"object"}}}}],
                "system":[{{{system}"type":"text","text":"s"}}],"messages":[{{{message}"role":"user","content":[
                {{{part}"type":"tool_result","content":[{{{inner}"type":"text","text":"r"}}]}}]}}]}}"#
        );
        key(Box::leak(body.into_boxed_str()), &[]).expect("a key")
    };
    let mark = format!("{mark},");
    let plain = request("", "", "", "", "", "", "");
    assert_eq!(request(&mark, &mark, &mark, &mark, &mark, &mark, ""), plain);
    assert_ne!(request("", "", "", "", "", "", &mark), plain, "a schema may have a property of that name");
}

#[test]
fn models_of_two_names_share_answers_if_that_is_said() {
    let of = |fingerprint: &Fingerprint, model: &str| {
        let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
        let head = request.body(()).expect("request").into_parts().0;
        fingerprint.key(&head, &Bytes::from(format!(r#"{{"model":"{model}","messages":[]}}"#))).expect("a key")
    };
    let (plain, aliased) = (Fingerprint::new(), Fingerprint::new().alias("gpt-4o-2024-08-06", "gpt-4o"));
    assert_ne!(of(&plain, "gpt-4o-2024-08-06"), of(&plain, "gpt-4o"));
    assert_eq!(of(&aliased, "gpt-4o-2024-08-06"), of(&plain, "gpt-4o"));
    assert_eq!(of(&aliased, "gpt-4o-2024-08-06").label(), "chat:gpt-4o");
    assert_ne!(of(&aliased, "gpt-4o-mini"), of(&plain, "gpt-4o"));
}

#[test]
fn what_is_left_to_chance_is_cached_unless_that_is_forbidden() {
    let has_key = |temperature: Temperature, path: &str, body: &'static str| {
        let request = Request::post(path).header("content-type", "application/json");
        let head = request.body(()).expect("request").into_parts().0;
        Fingerprint::new().temperature(temperature).key(&head, &Bytes::from_static(body.as_bytes())).is_some()
    };
    let gemini = "/v1beta/models/gemini-2.0-flash:generateContent";
    for (path, body, is_sure) in [
        ("/v1/chat/completions", r#"{"temperature":0}"#, true),
        ("/v1/chat/completions", r#"{"temperature":0.0e3}"#, true),
        ("/v1/chat/completions", r#"{"temperature":1e-9}"#, false),
        ("/v1/chat/completions", r#"{"temperature":"0"}"#, false),
        ("/v1/chat/completions", "{}", false),
        ("/v1/embeddings", "{}", true),
        (gemini, r#"{"generationConfig":{"temperature":0}}"#, true),
        (gemini, r#"{"generationConfig":{}}"#, false),
    ] {
        assert!(has_key(Temperature::All, path, body), "{path} {body}");
        assert_eq!(has_key(Temperature::DeterministicOnly, path, body), is_sure, "{path} {body}");
    }
}

#[test]
fn gemini_s_models_are_named_by_the_path() {
    let of = |path: &str| {
        let request = Request::post(path).header("content-type", "application/json");
        let head = request.body(()).expect("request").into_parts().0;
        Fingerprint::new().key(&head, &Bytes::from_static(br#"{ "contents": [] }"#)).expect("a key")
    };
    let flash = of("/v1beta/models/gemini-2.0-flash:generateContent");
    assert_eq!(flash.label(), "generate:gemini-2.0-flash");
    assert_ne!(flash, of("/v1beta/models/gemini-2.0-pro:generateContent"));
    assert_eq!(flash, of("/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse"));
    assert_ne!(
        flash,
        of("/v1beta/models/gemini-2.0-flash:streamGenerateContent"),
        "an array of what a stream's events are"
    );
    assert_ne!(flash, of("/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse&key=k"));
}

#[test]
fn what_depends_on_more_than_the_request_has_no_key() {
    for body in [
        r#"{"model":"m","store":true}"#,
        r#"{"model":"m","background":true}"#,
        r#"{"model":"m","previous_response_id":"r"}"#,
        r#"{"model":"m","conversation":{"id":"c"}}"#,
    ] {
        assert!(key(body, &[]).is_none(), "{body}");
    }
    for body in [r#"{"model":"m","store":false}"#, r#"{"model":"m","previous_response_id":null}"#] {
        assert!(key(body, &[]).is_some(), "{body}");
    }
}

#[test]
fn what_cannot_be_read_counts_byte_for_byte() {
    let duplicate = key(r#"{"model":"a","model":"b"}"#, &[]);
    assert!(duplicate.is_some());
    assert_ne!(duplicate, key(r#"{"model":"b","model":"a"}"#, &[]));
    assert_ne!(key("{", &[]), key("{ ", &[]));
}

#[test]
fn an_explanation_tells_what_is_shared_but_converted() {
    let ask = |members: &str| {
        let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
        request.body(Bytes::from(format!(r#"{{"model":"m"{members}}}"#))).expect("a request")
    };
    let explained = crate::llm::explain(&ask(""), &ask(r#","stream":true"#));
    assert!(explained.is_shared && explained.is_converted, "{explained:?}");
    assert_eq!((&*explained.differences[0].at, explained.differences[0].counts), ("body.stream", Some(false)));
    let same = crate::llm::explain(&ask(""), &ask(r#","stream":false"#));
    assert!(same.is_shared && !same.is_converted, "{same:?}");
}

#[test]
fn a_converted_answer_says_nothing_of_the_bytes_that_it_was_made_of() {
    let body = br#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{}}"#;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let body = gzip.write_all(body).and_then(|()| gzip.finish()).expect("memory");
    let kept = ["cache-control", "content-type", "vary", "x-request-id"];
    let of_bytes = [
        "accept-ranges",
        "content-digest",
        "content-length",
        "content-md5",
        "digest",
        "etag",
        "last-modified",
        "repr-digest",
        "signature",
        "signature-input",
    ];
    let mut fields: HeaderMap = kept
        .into_iter()
        .chain(of_bytes)
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x")))
        .collect();
    fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let lifetime = Lifetime::new(SystemTime::UNIX_EPOCH, Duration::from_secs(1));
    let entry = Entry::new(Head::new(StatusCode::OK, fields, lifetime), Frames::whole(body.into()));
    let request = Request::post("/v1/chat/completions").header(CONTENT_TYPE, "application/json");
    let head = request.body(()).expect("a request").into_parts().0;
    let wanted = Fingerprint::new().identify(&head, &Bytes::from_static(br#"{"stream":true}"#)).expect("an identity");
    let rendered = Fingerprint::new().render(&head, wanted.rendering.expect("a form"), &entry);
    let Rendered::Converted(stream) = rendered else { panic!("{rendered:?}") };
    let mut names: Vec<_> = stream.head().headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!((names, stream.head().rendering()), (kept.to_vec(), wanted.rendering));
    assert_eq!(stream.head().headers()[CONTENT_TYPE], "text/event-stream; charset=utf-8");
    assert!(stream.body().data().ends_with(b"data: [DONE]\n\n"));
}

#[test]
fn the_form_of_an_answer_is_never_told_to_be_why_two_requests_do_not_share() {
    let ask = |uri: &str, body: &str| {
        let request = Request::post(format!("https://a.example{uri}")).header("content-type", "application/json");
        request.body(Bytes::from(body.to_owned())).expect("a request")
    };
    let (chat, gemini) = ("/v1/chat/completions", "/v1beta/models/g:generateContent");
    let stream = "/v1beta/models/g:streamGenerateContent?alt=sse";
    let usage = r#""stream":true,"stream_options":{"include_usage":true}"#;
    let told = |[first, second]: [(&str, String); 2]| {
        let explanation = explain(&Fingerprint::new(), &ask(first.0, &first.1), &ask(second.0, &second.1));
        let differences = explanation.differences.into_iter();
        let counts: Vec<_> = differences.filter(|one| one.counts == Some(true)).map(|one| one.at).collect();
        (explanation.is_shared, explanation.is_converted, counts)
    };
    for [one, other] in [
        [(chat, r#"{"model":"m"}"#.to_owned()), (chat, format!(r#"{{"model":"m",{usage}}}"#))],
        [(gemini, "{}".to_owned()), (stream, "{}".to_owned())],
    ] {
        assert_eq!(told([one.clone(), other.clone()]), (true, true, vec![]));
        assert_eq!(told([other, one]), (true, true, vec![]));
    }
    for (at, [one, other]) in [
        ("body.model", [(chat, r#"{"model":"m"}"#.to_owned()), (chat, format!(r#"{{"model":"n",{usage}}}"#))]),
        ("body.a", [(gemini, r#"{"a":1}"#.to_owned()), (stream, r#"{"a":2}"#.to_owned())]),
    ] {
        assert_eq!(told([one.clone(), other.clone()]), (false, false, vec![at.to_owned()]));
        assert_eq!(told([other, one]), (false, false, vec![at.to_owned()]));
    }
    // Options of a stream that isn't asked for: what that means isn't known, and so it is nobody else's.
    let [one, other] =
        [r#"{"stream":true}"#, r#"{"stream_options":{"include_usage":true}}"#].map(|body| (chat, body.to_owned()));
    let (is_shared, _, counts) = told([one, other]);
    assert!(!is_shared && !counts.is_empty(), "there is a reason");
    let (_, _, counts) = told([(chat, "{}".to_owned()), (chat, format!(r#"{{"store":true,{usage},"a":1}}"#))]);
    assert_eq!(counts, ["body.a", "body.store", "body.stream_options"], "it has no key, so each is tried alone");
}
